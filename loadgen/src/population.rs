//! Who the UEs are: identities, keys and addresses, each a function of the UE's number.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_aka::Milenage;
use imstorm_cscf::Directory;
use imstorm_cscf::hss::UserId;
use imstorm_cscf::hss::derived::Derivation;
use imstorm_cscf::identity::IdentityList;
use imstorm_sip::Writer;

use crate::profile::{AddressBlock, Profile};

/// The longest identity, in bytes.
pub const NAME_BYTES_MAX: usize = 300;

/// All UEs of a run, numbered from 0.
#[derive(Clone, Debug)]
pub struct Population {
    pub(crate) directory: Arc<Directory>,
    addresses: AddressBlock,
    /// Unprotected addresses; UE `n` uses the one at `n` modulo their number.
    pcscf: Vec<SocketAddr>,
    size: u32,
}

/// The subscribers of a profile: those of its file, or those that its seed derives.
///
/// # Errors
/// Where the file can't be read, is wrong, or has fewer subscribers than the profile has UEs.
pub fn directory(profile: &Profile) -> Result<Directory, String> {
    let population = &profile.population;
    let Some(path) = &population.subscribers else {
        return Ok(Directory::derived(Derivation {
            seed: population.seed,
            size: population.size,
            domain: population.domain.clone(),
        }));
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
    Ok(directory)
}

impl Population {
    /// The population of a profile, over these subscribers.
    ///
    /// # Panics
    /// Where there are fewer subscribers than UEs: a profile is checked before.
    #[must_use]
    pub fn new(profile: &Profile, directory: Arc<Directory>) -> Self {
        assert!(directory.len() >= profile.population.size, "a subscriber for each UE");
        Self {
            directory,
            addresses: profile.population.addresses,
            pcscf: profile.topology.pcscf.clone(),
            size: u32::try_from(profile.population.size).expect("a checked profile"),
        }
    }

    /// How many UEs there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The UE with this address.
    #[must_use]
    pub fn ue_at(&self, address: IpAddr) -> Option<u32> {
        let number = u32::try_from(self.addresses.ue(address)?).ok()?;
        (number < self.size).then_some(number)
    }

    /// The address of a UE.
    #[must_use]
    pub fn address(&self, ue: u32) -> IpAddr {
        self.addresses.address(u64::from(ue)).expect("a checked profile has an address for each UE")
    }

    /// The P-CSCF of a UE.
    #[must_use]
    pub fn pcscf(&self, ue: u32) -> SocketAddr {
        self.pcscf[ue as usize % self.pcscf.len()]
    }

    /// The USIM's algorithm, with the UE's keys.
    #[must_use]
    pub fn milenage(&self, ue: u32) -> Milenage {
        let keys = self.directory.keys(UserId(ue));
        Milenage::new(&keys.k, &keys.opc)
    }

    /// Writes a UE's private identity.
    pub fn write_impi(&self, ue: u32, out: &mut Writer<'_>) {
        self.directory.write_impi(UserId(ue), out);
    }

    /// Writes a UE's default public identity.
    pub fn write_impu(&self, ue: u32, out: &mut Writer<'_>) {
        let mut packed = [0; imstorm_cscf::hss::IDENTITIES_BYTES_MAX];
        if let Some(derived) = self.directory.derivation().filter(|_| self.directory.is_derived()) {
            return derived.write_impu(u64::from(ue) + 1, out);
        }
        let packed = self.directory.identities(UserId(ue), &mut packed).unwrap_or_default();
        out.put(IdentityList::new(packed).default_identity().unwrap_or_default());
    }
}
