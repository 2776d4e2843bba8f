//! What the sets of security associations belong to: a private identity at an address, or a private identity alone, as in TS 33.203 before there were
//! several registrations of one user (clause 7.4; the second paper's section 3).

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use smallvec::SmallVec;

use super::{Pcscf, SETS_MAX};
use crate::event::Context;

/// What keys the table of security associations.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum SaPolicy {
    /// The private identity alone: a set-up that succeeds from another address deletes what was before.
    Impi,
    /// The private identity and the UE's address: accesses stand side by side.
    #[default]
    ImpiContact,
}

impl std::str::FromStr for SaPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "impi" => Ok(Self::Impi),
            "impi-contact" => Ok(Self::ImpiContact),
            other => Err(format!("expected impi or impi-contact, found {other:?}")),
        }
    }
}

impl Pcscf {
    /// A connection has a new set that was successful. Where sets belong to the private identity alone, all others of it go with their
    /// connections if a live one of them is of another address. Nobody is told: the core finds out when it next needs one.
    pub(super) fn override_sets(&mut self, ctx: &mut Context<'_>, made: Key) {
        if self.config.sa_policy == SaPolicy::ImpiContact {
            return;
        }
        let connection = self.connections.get(made).expect("a connection that was accepted");
        let (access, ue_ip) = (connection.access, connection.ue_ip);
        let mut room = TextRoom::default();
        let impi = self.strings.read(&connection.impi, &mut room);
        let mut others = SmallVec::<[Key; SETS_MAX]>::new();
        let mut is_elsewhere = false;
        self.accesses.find(access, |index| {
            if let Some(key) = self.connections.key_at(index)
                && let Some(other) = self.connections.get(key)
                && key != made
                && other.access == access
                && other.sending_set().is_some()
                && self.strings.is(&other.impi, impi)
            {
                // A set-up that is under way may be anybody's, and so is no other access of the user.
                is_elsewhere |= other.live.is_some() && other.ue_ip != ue_ip;
                others.push(key);
            }
            false
        });
        for key in others.into_iter().filter(|_| is_elsewhere) {
            let sets = self.connections.get(key).map_or(0, |other| {
                [other.live, other.temporary, other.draining].into_iter().flatten().count()
            });
            ctx.counters.sa_sets_overridden += sets as u64;
            self.drop_connection(ctx, key);
        }
    }
}
