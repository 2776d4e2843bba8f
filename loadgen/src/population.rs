//! Who the UEs are: identities, keys and addresses, each a function of the UE's number.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_aka::Milenage;
use imstorm_cscf::Directory;
use imstorm_cscf::hss::UserId;
use imstorm_cscf::identity::IdentityList;
use imstorm_sip::Writer;

use crate::part::Part;
use crate::profile::{AddressBlock, Profile};

/// The longest identity, in bytes.
pub const NAME_BYTES_MAX: usize = 300;

/// All users of a run, and the accesses by which each UE reaches the core, numbered from 0: first the first access of every user,
/// then the second ones. Access `k` of user `n` has the number `n + k * users`, an address of its own, and may have another P-CSCF.
///
/// Where several generators share a population each counts its own users from 0. Identities, keys and addresses are those of the user's
/// number in the whole, so that no two generators have the same.
#[derive(Clone, Debug)]
pub struct Population {
    pub(crate) directory: Arc<Directory>,
    addresses: AddressBlock,
    /// Unprotected addresses; access `k` of user `n` uses the one at `n + k` modulo their number.
    pcscf: Vec<SocketAddr>,
    /// Of this generator.
    size: u32,
    accesses: u32,
    /// Of all generators together.
    whole: u32,
    /// The number in the whole of the first user of this generator.
    first: u32,
    part: Part,
}

/// The subscribers of a profile: those of its file, or those that its seed derives.
///
/// # Errors
/// Where the file can't be read, is wrong, or has fewer subscribers than the profile has UEs.
pub fn directory(profile: &Profile) -> Result<Directory, String> {
    let population = &profile.population;
    let is_modified = profile.schemes.as_ref().is_some_and(|it| it.scheme.modifies_impi());
    let Some(path) = &population.subscribers else {
        return Ok(Directory::derived(population.derivation()).taking_modified(is_modified));
    };
    let file = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{file}: can't be read: {error}"))?;
    let directory = Directory::from_csv(&text, None)
        .map_err(|error| format!("{file}:{}: {}: {}", error.line, error.field, error.problem))?;
    if directory.len() < population.size {
        let (there, wanted) = (directory.len(), population.size);
        return Err(format!("{file}: {there} subscribers for population.size = {wanted} UEs"));
    }
    Ok(directory.taking_modified(is_modified))
}

/// Checks that a profile's part is one that can be run by itself.
///
/// # Errors
/// Where it can't: what was expected.
pub fn check_part(profile: &Profile) -> Result<(), String> {
    let part = profile.part;
    if part.is_whole() {
        return Ok(());
    }
    if profile.schemes.is_some() {
        return Err(
            "a comparison's users go through its steps together: it has no parts".to_owned()
        );
    }
    if profile.ues() == 0 {
        let size = profile.population.size;
        return Err(format!("--part {part}: expected at most a part for each two of {size} UEs"));
    }
    let addresses = &profile.population.addresses;
    if profile.ue.shared_address && u64::from(part.of) > addresses.capacity() {
        return Err(format!(
            "--part {part}: expected an address for each part, got population.addresses = \"{addresses}\""
        ));
    }
    Ok(())
}

impl Population {
    /// The population of a profile, over these subscribers.
    ///
    /// # Panics
    /// Where there are fewer subscribers than UEs: a profile is checked before.
    #[must_use]
    pub fn new(profile: &Profile, directory: Arc<Directory>) -> Self {
        assert!(directory.len() >= profile.population.size, "a subscriber for each UE");
        let number = |value: u64| u32::try_from(value).expect("a checked profile");
        Self {
            directory,
            addresses: profile.population.addresses,
            pcscf: profile.pcscfs().to_vec(),
            size: number(profile.ues()),
            accesses: profile.population.accesses,
            whole: number(profile.population.size),
            first: number(profile.part.users(profile.population.size).start),
            part: profile.part,
        }
    }

    /// The number in the whole of an access's user.
    #[must_use]
    pub fn number(&self, ue: u32) -> u32 {
        self.first + self.user(ue)
    }

    /// The one address of all UEs of this generator, where its profile has them share one.
    #[must_use]
    pub fn shared_address(&self) -> IpAddr {
        let address = self.addresses.address(u64::from(self.part.number - 1));
        address.expect("a part is checked, and has an address")
    }

    /// How many users there are, each with one UE.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many accesses there are, of all users together.
    #[must_use]
    pub fn accesses(&self) -> u32 {
        self.size * self.accesses
    }

    /// The user of an access.
    #[must_use]
    pub fn user(&self, ue: u32) -> u32 {
        ue % self.size
    }

    /// The accesses of an access's user, itself included.
    pub fn accesses_of(&self, ue: u32) -> impl Iterator<Item = u32> + use<> {
        let (user, size) = (self.user(ue), self.size);
        (0..self.accesses).map(move |access| user + access * size)
    }

    /// The access that follows in turn among those of the same user; itself where there is one only.
    #[must_use]
    pub fn next_access(&self, ue: u32) -> u32 {
        (ue + self.size) % self.accesses()
    }

    /// The access with this address.
    #[must_use]
    pub fn ue_at(&self, address: IpAddr) -> Option<u32> {
        let number = u32::try_from(self.addresses.ue(address)?).ok()?;
        let (access, user) = (number / self.whole, number % self.whole);
        let user = user.checked_sub(self.first).filter(|user| *user < self.size)?;
        (access < self.accesses).then(|| user + access * self.size)
    }

    /// The address of an access.
    #[must_use]
    pub fn address(&self, ue: u32) -> IpAddr {
        let access = ue / self.size;
        let address = self.addresses.address(u64::from(self.number(ue) + access * self.whole));
        address.expect("a checked profile has an address for each access")
    }

    /// How many P-CSCFs there are.
    #[must_use]
    pub fn pcscfs(&self) -> u32 {
        u32::try_from(self.pcscf.len()).unwrap_or(u32::MAX)
    }

    /// The P-CSCF of an access.
    #[must_use]
    pub fn pcscf(&self, ue: u32) -> SocketAddr {
        self.pcscf_past(ue, 0)
    }

    /// The P-CSCF of an access that has gone past so many.
    #[must_use]
    pub fn pcscf_past(&self, ue: u32, turn: u8) -> SocketAddr {
        let (user, access) = (self.number(ue) as usize, (ue / self.size) as usize);
        self.pcscf[(user + access + usize::from(turn)) % self.pcscf.len()]
    }

    /// The USIM's algorithm, with the UE's keys.
    #[must_use]
    pub fn milenage(&self, ue: u32) -> Milenage {
        let keys = self.directory.keys(UserId(self.number(ue)));
        Milenage::new(&keys.k, &keys.opc)
    }

    /// Writes a UE's private identity.
    pub fn write_impi(&self, ue: u32, out: &mut Writer<'_>) {
        self.directory.write_impi(UserId(self.number(ue)), out);
    }

    /// Writes a UE's default public identity.
    pub fn write_impu(&self, ue: u32, out: &mut Writer<'_>) {
        let user = self.number(ue);
        if let Some(derived) = self.directory.derivation().filter(|_| self.directory.is_derived()) {
            return derived.write_impu(u64::from(user) + 1, out);
        }
        let mut packed = [0; imstorm_cscf::hss::IDENTITIES_BYTES_MAX];
        let packed = self.directory.identities(UserId(user), &mut packed).unwrap_or_default();
        out.put(IdentityList::new(packed).default_identity().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accesses_of_a_user_share_its_identity_and_nothing_else() {
        let text = "name = \"p\"\n[population]\nsize = 3\naccesses = 2\n[arrivals]\nrate_per_s = 1\n\
                    [topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n";
        let profile = Profile::parse("p.toml", text, &[]).unwrap();
        let population = Population::new(&profile, Arc::new(directory(&profile).unwrap()));
        assert_eq!((population.size(), population.accesses()), (3, 6));
        let identity = |ue| {
            let mut text = [0; NAME_BYTES_MAX];
            let mut writer = Writer::new(&mut text);
            population.write_impi(ue, &mut writer);
            population.write_impu(ue, &mut writer);
            writer.as_written().to_vec()
        };
        for user in 0..3 {
            let other = population.next_access(user);
            assert_eq!((other, population.next_access(other)), (user + 3, user));
            assert_eq!(population.accesses_of(other).collect::<Vec<_>>(), [user, other]);
            assert_eq!((population.user(user), population.user(other)), (user, user));
            assert_eq!(identity(user), identity(other));
            assert_ne!(identity(user), identity((user + 1) % 3));
            assert_ne!(population.pcscf(user), population.pcscf(other));
            for access in [user, other] {
                assert_eq!(population.ue_at(population.address(access)), Some(access));
            }
        }
        let beyond = profile.population.addresses.address(6).unwrap();
        assert_eq!(population.ue_at(beyond), None);
    }

    #[test]
    fn the_users_of_all_parts_are_the_whole_runs_and_share_nothing() {
        let text = "name = \"p\"\n[population]\nsize = 11\naccesses = 2\n[arrivals]\nrate_per_s = 1\n\
                    [topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n";
        let mut profile = Profile::parse("p.toml", text, &[]).unwrap();
        let directory = Arc::new(directory(&profile).unwrap());
        // By address, as each access has one: private identity, public identity and P-CSCF.
        let mut all_of = |part: Part| {
            profile.part = part;
            check_part(&profile).unwrap();
            let population = Population::new(&profile, Arc::clone(&directory));
            let each = (0..population.accesses()).map(|ue| {
                let mut text = [0; NAME_BYTES_MAX];
                let mut writer = Writer::new(&mut text);
                population.write_impi(ue, &mut writer);
                population.write_impu(ue, &mut writer);
                let address = population.address(ue);
                assert_eq!(population.ue_at(address), Some(ue));
                (
                    address,
                    (writer.as_written().to_vec(), population.pcscf(ue), population.number(ue)),
                )
            });
            each.collect::<Vec<_>>()
        };
        let parts = (1..=3).flat_map(|number| all_of(Part { number, of: 3 })).collect::<Vec<_>>();
        let by_address: std::collections::BTreeMap<_, _> = parts.iter().cloned().collect();
        assert_eq!(by_address.len(), parts.len(), "no address is there twice");
        assert_eq!(by_address, all_of(Part::WHOLE).into_iter().collect());
    }

    #[test]
    fn a_part_without_users_or_address_is_refused() {
        let text = "name = \"p\"\n[population]\nsize = 4\n[arrivals]\nrate_per_s = 1\n";
        let mut profile = Profile::parse("p.toml", text, &[]).unwrap();
        profile.part = Part { number: 2, of: 3 };
        let said = [1, 2, 3].map(|number| {
            profile.part.number = number;
            check_part(&profile).is_ok()
        });
        assert!(said.contains(&false), "two pairs for three parts");
        let mut profile = Profile::load("register-plain", &[]).unwrap();
        profile.population.addresses = "127.0.0.9/32".parse().unwrap();
        profile.part = Part { number: 2, of: 2 };
        assert!(check_part(&profile).unwrap_err().contains("127.0.0.9/32"));
    }
}
