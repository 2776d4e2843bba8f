//! The operator's hand, as UEs' procedures and the profile ask for it: calls that the generator emits, and how they ended.

mod http;
mod switch;

use std::collections::VecDeque;

use imstorm_cscf::operator::Command;
use imstorm_cscf::scscf::Reason;
use imstorm_engine::switch::Switch;

pub use http::HttpOperator;
pub(crate) use switch::Switching;

/// Calls that wait to be made, at most: as many UEs as an operator's tool would touch in one go.
pub const CALLS_MAX: usize = 65_536;

/// What an operator is to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OperatorKind {
    /// Lower the remaining lifetime to so many seconds.
    Shorten {
        /// In seconds.
        expires_s: u32,
    },
    /// End the connections, for this reason: [`Reason::Deactivated`] or [`Reason::Rejected`].
    Terminate {
        /// Whether the UE may come back.
        reason: Reason,
    },
    /// Give the UE's user one more public identity.
    AddIdentity,
    /// Take it away again.
    RemoveIdentity,
    /// Switch the extension on or off at a role, whichever UE it is.
    Switch(Switch),
}

/// A call for the operator.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct OperatorCall {
    /// The UE's number; 0 for a switch.
    pub ue: u32,
    /// The number of the call among the UE's, or of the switch among the profile's.
    pub number: u32,
    /// What to do.
    pub kind: OperatorKind,
}

/// Calls to be made, and what has become of them: of a UE's only where it has failed.
#[derive(Debug, Default)]
pub(crate) struct OperatorDesk {
    calls: VecDeque<OperatorCall>,
    over: VecDeque<(OperatorCall, bool)>,
}

impl OperatorDesk {
    /// Files a call; false where too many wait.
    pub fn file(&mut self, call: OperatorCall) -> bool {
        let has_room = self.calls.len() < CALLS_MAX;
        if has_room {
            self.calls.push_back(call);
        }
        has_room
    }

    /// The next call to be made.
    pub fn next_call(&mut self) -> Option<OperatorCall> {
        self.calls.pop_front()
    }

    /// A call was followed, or has failed: whoever asked for it is told at the next tick.
    pub fn note(&mut self, call: OperatorCall, is_done: bool) {
        self.over.push_back((call, is_done));
    }

    /// The next call of which it is known whether it was followed.
    pub fn next_over(&mut self) -> Option<(OperatorCall, bool)> {
        self.over.pop_front()
    }

    /// Whether a call waits to be made, or what has become of one to be told.
    pub fn has_work(&self) -> bool {
        !self.calls.is_empty() || !self.over.is_empty()
    }
}

/// What the engine is to do for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Something about a user.
    Command(Command),
    /// Something about its roles.
    Switch(Switch),
}

/// The engine's order for a call.
#[must_use]
pub fn order(kind: OperatorKind, impi: Vec<u8>) -> Order {
    Order::Command(match kind {
        OperatorKind::Switch(switch) => return Order::Switch(switch),
        OperatorKind::Shorten { expires_s } => Command::Shorten { impi, expires_s },
        OperatorKind::Terminate { reason } => Command::Terminate { impi, reason },
        OperatorKind::AddIdentity => {
            Command::AddIdentity { impu: extra_identity(&impi), impi, barred: false }
        }
        OperatorKind::RemoveIdentity => {
            Command::RemoveIdentity { impu: extra_identity(&impi), impi }
        }
    })
}

/// The public identity that is added and removed: that of the private identity, with `-x` behind its user part.
#[must_use]
pub fn extra_identity(impi: &[u8]) -> Vec<u8> {
    let user = impi.iter().position(|byte| *byte == b'@').unwrap_or(impi.len());
    [&b"sip:"[..], &impi[..user], b"-x", &impi[user..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extra_identity_is_beside_the_private_one() {
        assert_eq!(extra_identity(b"ue00000001@ims.example"), b"sip:ue00000001-x@ims.example");
    }

    #[test]
    fn a_full_desk_says_so() {
        let mut desk = OperatorDesk::default();
        let call = OperatorCall { ue: 1, number: 1, kind: OperatorKind::AddIdentity };
        for _ in 0..CALLS_MAX {
            assert!(desk.file(call));
        }
        assert!(!desk.file(call));
        assert_eq!(desk.next_call(), Some(call));
        assert!(desk.file(call));
    }
}
