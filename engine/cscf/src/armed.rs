//! An alarm as it waits: a dozen bytes, of which a population has several million.

use imstorm_base::slab::Key;

use crate::event::Alarm;
use crate::pcscf::{InviteTimer, PcscfAlarm};
use crate::scscf::{ScscfAlarm, Subject, Whose};

/// An alarm, packed.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Armed {
    /// What it is about; anything where it is about nothing.
    key: Key,
    /// The P-CSCF's number on the shard; 0 for the S-CSCF.
    number: u8,
    /// Its place in [`KINDS`].
    kind: u8,
}

const _: () = assert!(size_of::<Armed>() <= 12);

/// Makes an alarm of a P-CSCF's number and a key.
type Make = fn(u8, Key) -> Alarm;

macro_rules! pcscf {
    ($kind:ident) => {
        |number, key| Alarm::Pcscf(number, PcscfAlarm::$kind(key))
    };
}

macro_rules! invite {
    ($timer:ident) => {
        |number, key| Alarm::Pcscf(number, PcscfAlarm::Invite(key, InviteTimer::$timer))
    };
}

macro_rules! scscf {
    ($kind:ident) => {
        |_, key| Alarm::Scscf(ScscfAlarm::$kind(key))
    };
}

/// All kinds of alarms.
const KINDS: [Make; 31] = [
    pcscf!(TimerE),
    pcscf!(TimerF),
    pcscf!(SetUp),
    pcscf!(Set),
    |number, _| Alarm::Pcscf(number, PcscfAlarm::Answers),
    pcscf!(Release),
    pcscf!(Deregistered),
    pcscf!(Own),
    pcscf!(Held),
    pcscf!(Connection),
    invite!(A),
    invite!(B),
    invite!(ClientDone),
    invite!(Look),
    invite!(Cancelled),
    invite!(G),
    invite!(H),
    invite!(I),
    invite!(L),
    scscf!(Challenge),
    scscf!(Subscription),
    scscf!(TimerE),
    scscf!(TimerF),
    |_, key| Alarm::Scscf(ScscfAlarm::TellAgain(Subject::Security(key, Whose::Ue))),
    |_, key| Alarm::Scscf(ScscfAlarm::TellAgain(Subject::Security(key, Whose::Pcscf))),
    |_, key| Alarm::Scscf(ScscfAlarm::TellAgain(Subject::Reg(key))),
    scscf!(Release),
    scscf!(Binding),
    scscf!(Reg),
    scscf!(Session),
    scscf!(Attempt),
];

impl Armed {
    /// The alarm.
    #[must_use]
    pub fn get(self) -> Alarm {
        KINDS[usize::from(self.kind)](self.number, self.key)
    }
}

impl From<Alarm> for Armed {
    fn from(alarm: Alarm) -> Self {
        match alarm {
            Alarm::Pcscf(number, alarm) => {
                let (kind, key) = of_pcscf(alarm);
                Self { key, number, kind }
            }
            Alarm::Scscf(alarm) => {
                let (kind, key) = of_scscf(alarm);
                Self { key, number: 0, kind }
            }
        }
    }
}

fn of_pcscf(alarm: PcscfAlarm) -> (u8, Key) {
    match alarm {
        PcscfAlarm::TimerE(key) => (0, key),
        PcscfAlarm::TimerF(key) => (1, key),
        PcscfAlarm::SetUp(key) => (2, key),
        PcscfAlarm::Set(key) => (3, key),
        PcscfAlarm::Answers => (4, Key::new(0, 0)),
        PcscfAlarm::Release(key) => (5, key),
        PcscfAlarm::Deregistered(key) => (6, key),
        PcscfAlarm::Own(key) => (7, key),
        PcscfAlarm::Held(key) => (8, key),
        PcscfAlarm::Connection(key) => (9, key),
        // In the order in which they are declared.
        PcscfAlarm::Invite(key, timer) => (10 + timer as u8, key),
    }
}

fn of_scscf(alarm: ScscfAlarm) -> (u8, Key) {
    match alarm {
        ScscfAlarm::Challenge(key) => (19, key),
        ScscfAlarm::Subscription(key) => (20, key),
        ScscfAlarm::TimerE(key) => (21, key),
        ScscfAlarm::TimerF(key) => (22, key),
        ScscfAlarm::TellAgain(Subject::Security(key, Whose::Ue)) => (23, key),
        ScscfAlarm::TellAgain(Subject::Security(key, Whose::Pcscf)) => (24, key),
        ScscfAlarm::TellAgain(Subject::Reg(key)) => (25, key),
        ScscfAlarm::Release(key) => (26, key),
        ScscfAlarm::Binding(key) => (27, key),
        ScscfAlarm::Reg(key) => (28, key),
        ScscfAlarm::Session(key) => (29, key),
        ScscfAlarm::Attempt(key) => (30, key),
    }
}

impl std::fmt::Debug for Armed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_back() {
        let mut seen = Vec::new();
        for kind in 0..KINDS.len() as u8 {
            let alarm = Armed { key: Key::new(7, 9), number: 3, kind }.get();
            let armed = Armed::from(alarm);
            assert_eq!((armed.kind, armed.get()), (kind, alarm));
            assert!(!seen.contains(&alarm));
            seen.push(alarm);
        }
    }
}
