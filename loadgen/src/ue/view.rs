//! A UE as seen from outside, for checks.

use std::net::SocketAddr;

use imstorm_base::time::Time;

use super::Stage;
use super::lifetime::Moment;
use crate::generator::Generator;

/// What a UE believes of itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UeView {
    /// How far it is.
    pub stage: Stage,
    /// Its connection's sets of four security associations: two during a re-authentication, else one.
    pub sets: usize,
    /// It keeps the set of the connection before, whose last NOTIFY may come again.
    pub has_former_set: bool,
    /// It has a secure connection.
    pub is_secured: bool,
    /// A procedure or a request is under way.
    pub is_busy: bool,
    /// A request is under way.
    pub is_asking: bool,
    /// When its connection's lifetime ends, as it believes; 0 where it never had one.
    pub lifetime_ends_at: Time,
    /// [`identities_hash`](super::lifetime::identities_hash) of the identities as last notified.
    pub identities: u32,
    /// The contact at which its default identity is registered.
    pub contact: Option<SocketAddr>,
}

impl Generator {
    /// A UE as it is now; `None` where there is none with this number.
    #[must_use]
    pub fn ue(&self, ue: u32) -> Option<UeView> {
        let state = self.ues.get(ue as usize)?;
        let ends_at = state.lifetime.ends_at;
        let had_one = ends_at != Moment::default();
        let has_former_set = state.other_set.is_some() && !state.is_next;
        let registered = self.is_registered(ue);
        Some(UeView {
            stage: state.stage,
            sets: usize::from(state.set.is_some())
                + usize::from(state.other_set.is_some() && !has_former_set),
            has_former_set,
            is_secured: state.stage.is_secure(),
            is_busy: state.procedure.is_some() || state.request.is_some(),
            is_asking: state.request.is_some(),
            lifetime_ends_at: if had_one { self.clock.time(ends_at) } else { 0 },
            identities: state.identities,
            contact: registered
                .then(|| SocketAddr::new(self.population.address(ue), self.settings.port_us)),
        })
    }
}
