//! What a registration does to the earlier ones of its user: today's overriding, or one of the second paper's first two solutions.

use imstorm_base::slab::Key;
use smallvec::SmallVec;

use super::Scscf;
use super::registration::Aors;
use super::subscription::{Reason, Subscription};
use crate::event::Context;
use crate::hss::UserId;

/// The registrar's policy where a user registers who is registered.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Simultaneous {
    /// The earlier registration ends (TS 24.229 clause 5.4.1.2.2, without multiple registrations).
    #[default]
    Override,
    /// Both stay where they are two flows (RFC 5626), the paper's first solution.
    Outbound,
    /// Both stay where the earlier one's UE still answers by its access, the paper's second solution.
    ConnectivityCheck,
}

impl std::str::FromStr for Simultaneous {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "override" => Ok(Self::Override),
            "outbound" => Ok(Self::Outbound),
            "connectivity-check" => Ok(Self::ConnectivityCheck),
            other => {
                Err(format!("expected override, outbound or connectivity-check, found {other:?}"))
            }
        }
    }
}

impl Scscf {
    /// Whether one registration takes the place of another of the same user, whichever is the newer one.
    pub(super) fn excludes(&self, one: &Subscription, other: &Subscription) -> bool {
        let (Some(left), Some(right)) = (self.registration_of(one), self.registration_of(other))
        else {
            return false;
        };
        if one.user != other.user {
            return false;
        }
        if one.key == other.key {
            // One way to the UE has one end: a P-CSCF that was started anew has given it to another connection.
            return true;
        }
        // With modified private identities, each of them is one that registers (the third solution).
        let is_same_impi = one.modified == other.modified;
        let is_same_place = is_same_impi
            && one.contact.get().ip() == other.contact.get().ip()
            && one.pcscf == other.pcscf;
        match (self.config.simultaneous, left.flow, right.flow) {
            (Simultaneous::Override, ..) => is_same_impi,
            // RFC 5626 clause 6: what is bound is an instance's reg-id, by whichever access and private identity of the user it comes.
            (Simultaneous::Outbound, Some(left), Some(right)) => left == right,
            // Those without reg-id are as before among themselves, and leave flows alone ...
            (Simultaneous::Outbound, None, None) => is_same_impi,
            // ... unless it is the same UE that has just begun, or ceased, to use them.
            (Simultaneous::Outbound, ..) | (Simultaneous::ConnectivityCheck, ..) => is_same_place,
        }
    }

    /// Whether a new registration would be a flow too many of its user.
    pub(super) fn has_too_many_flows(&self, made: &Subscription) -> bool {
        let flow_of =
            |found: &Subscription| self.registration_of(found).and_then(|found| found.flow);
        if flow_of(made).is_none() {
            return false;
        }
        let connections = self.live_connections(made.user);
        let others = connections.iter().filter_map(|key| self.subscriptions.get(*key));
        let others = others.filter(|other| flow_of(other).is_some() && !self.excludes(made, other));
        others.count() >= self.config.flows_max
    }

    /// A registration has been made: the earlier ones of which it takes the place end with their sessions and bindings, and those of
    /// which it is not known whether their UE is still there are checked. Of which identities that has told those who watch them.
    pub(super) fn supersede(&mut self, ctx: &mut Context<'_>, user: UserId, made: Key) -> Aors {
        let mut told = Aors::new();
        for key in self.earlier_registrations(user, made) {
            let [new, earlier] = [made, key].map(|key| self.subscriptions.get(key));
            if new.zip(earlier).is_some_and(|(new, earlier)| self.excludes(new, earlier)) {
                let bindings = self.bindings_over(key);
                told.extend(bindings.iter().filter_map(|key| Some(self.bindings.get(*key)?.aor)));
                ctx.counters.aka_registrations_overridden += 1;
                self.end(ctx, key, Reason::Deactivated);
            }
        }
        told
    }

    /// The live registrations of a user beside this one.
    pub(super) fn earlier_registrations(&self, user: UserId, made: Key) -> SmallVec<[Key; 4]> {
        let mut found = self.live_connections(user);
        found.retain(|key| *key != made && self.is_registration(*key));
        found
    }
}
