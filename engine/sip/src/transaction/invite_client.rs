//! The INVITE client transaction (RFC 3261 17.1.1, figure 5 as RFC 6026 8.4 has it).
//!
//! ```text
//!                                     |INVITE from TU
//!                   Timer A fires     |INVITE sent      Timer B fires
//!                   Reset A,          V                 or Transport Err.
//!                   INVITE sent +-----------+           inform TU
//!                     +---------|           |--------------------------+
//!                     |         |  Calling  |                          |
//!                     +-------->|           |-----------+              |
//!    300-699                    +-----------+ 2xx       |              |
//!    ACK sent                      |  |       2xx to TU |              |
//!    resp. to TU                   |  |1xx              |              |
//!    +-----------------------------+  |1xx to TU        |              |
//!    |                                |                 |              |
//!    |                1xx             V                 |              |
//!    |                1xx to TU +-----------+           |              |
//!    |                +---------|           |           |              |
//!    |                |         |Proceeding |           |              |
//!    |                +-------->|           |           |              |
//!    |                          +-----------+ 2xx       |              |
//!    |         300-699             |    |     2xx to TU |              |
//!    |         ACK sent,  +--------+    +---------------+              |
//!    |         resp. to TU|                             |              |
//!    |                    |                             |              |
//!    |                    V                             V              |
//!    |              +-----------+                   +----------+       |
//!    +------------->|           |Transport Err.     |          |       |
//!                   | Completed |Inform TU          | Accepted |       |
//!                +--|           |-------+           |          |-+     |
//!        300-699 |  +-----------+       |           +----------+ |     |
//!        ACK sent|    ^  |              |               |  ^     |     |
//!                |    |  |              |               |  |     |     |
//!                +----+  |              |               |  +-----+     |
//!                        |Timer D fires |  Timer M fires|    2xx       |
//!                        |-             |             - |    2xx to TU |
//!                        +--------+     |   +-----------+              |
//!                                 V     V   V                          |
//!                                +------------+                        |
//!                                |            |                        |
//!                                | Terminated |<-----------------------+
//!                                |            |
//!                                +------------+
//! ```

use super::timings::Timings;

/// What happens to the transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A response of this transaction came: 100 to 199.
    Provisional,
    /// A response of this transaction came: 200 to 299.
    Success,
    /// A response of this transaction came: 300 to 699.
    Failure,
    /// The retransmission timer fired.
    TimerA,
    /// The timeout fired.
    TimerB,
    /// The wait for more failures is over.
    TimerD,
    /// The wait for more successes is over.
    TimerM,
    /// The request or an ACK could not be sent.
    TransportError,
}

impl Event {
    /// The arrival of a response with this status.
    pub const fn response(status: u16) -> Event {
        match status {
            0..=199 => Event::Provisional,
            200..=299 => Event::Success,
            _ => Event::Failure,
        }
    }
}

/// Where the transaction is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// The INVITE is sent, no response has come.
    Calling,
    /// A provisional response has come.
    Proceeding,
    /// A 300 to 699 has come; further ones are acknowledged and absorbed.
    Completed,
    /// A 2xx has come; further ones are passed up (RFC 6026 7.2).
    Accepted,
    /// Over: the machine is to be dropped.
    Terminated,
}

/// What is to be done. Timers named here are to be started; those that ran keep running, and one
/// that fires in a state that has no use for it does nothing.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Actions {
    /// Hand the response to the transaction's user.
    pub pass_up: bool,
    /// Send the INVITE again.
    pub retransmit: bool,
    /// Send the ACK to this 300 to 699 (17.1.1.3), on the INVITE's branch. That to a 2xx is the user's.
    pub ack: bool,
    /// Start timer A with this many nanoseconds.
    pub arm_a: Option<u64>,
    /// Start timer B with this many nanoseconds.
    pub arm_b: Option<u64>,
    /// Start timer D with this many nanoseconds; timers A and B may be stopped.
    pub arm_d: Option<u64>,
    /// Start timer M with this many nanoseconds; timers A and B may be stopped.
    pub arm_m: Option<u64>,
    /// Tell the user that no response came in time (408).
    pub timed_out: bool,
    /// Tell the user that a message could not be sent (503).
    pub transport_failed: bool,
    /// The transaction is over: drop it and its timers.
    pub terminated: bool,
}

/// The machine: it keeps the number of the current A step and not a duration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct InviteClient {
    state: State,
    step: u8,
    reliable: bool,
}

const _: () = assert!(size_of::<InviteClient>() <= 8);

impl InviteClient {
    /// A machine whose INVITE has not been sent.
    pub const fn new() -> InviteClient {
        InviteClient { state: State::Calling, step: 0, reliable: false }
    }

    /// The INVITE is sent now: starts timer B, and over an unreliable transport timer A.
    pub fn start(&mut self, timings: &Timings, reliable: bool) -> Actions {
        *self = InviteClient { reliable, ..InviteClient::new() };
        let arm_a = if reliable { None } else { Some(timings.timer_a_ns(0)) };
        Actions { arm_a, arm_b: Some(timings.timer_b_ns()), ..Actions::default() }
    }

    /// Takes an event. A terminated machine does nothing any more.
    pub fn handle(&mut self, event: Event, timings: &Timings) -> Actions {
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        let none = Actions::default();
        match (self.state, event) {
            (Calling | Proceeding, Event::Provisional) => {
                self.state = Proceeding;
                Actions { pass_up: true, ..none }
            }
            (Calling | Proceeding, Event::Success) => {
                self.state = Accepted;
                Actions { pass_up: true, arm_m: Some(timings.timer_m_ns()), ..none }
            }
            (Calling | Proceeding, Event::Failure) => {
                // Timer D is zero over a reliable transport: completed is then terminated.
                self.state = if self.reliable { Terminated } else { Completed };
                let arm_d = (!self.reliable).then(|| timings.timer_d_ns(false));
                Actions { pass_up: true, ack: true, arm_d, terminated: self.reliable, ..none }
            }
            (Completed, Event::Failure) => Actions { ack: true, ..none },
            (Accepted, Event::Success) => Actions { pass_up: true, ..none },
            (Calling, Event::TimerA) => {
                self.step = self.step.saturating_add(1);
                Actions { retransmit: true, arm_a: Some(timings.timer_a_ns(self.step)), ..none }
            }
            (Calling, Event::TimerB) => {
                self.state = Terminated;
                Actions { timed_out: true, terminated: true, ..none }
            }
            (Calling | Completed, Event::TransportError) => {
                self.state = Terminated;
                Actions { transport_failed: true, terminated: true, ..none }
            }
            (Completed, Event::TimerD) | (Accepted, Event::TimerM) => {
                self.state = Terminated;
                Actions { terminated: true, ..none }
            }
            // After a provisional response neither A nor B counts: the proxy's timer C does (16.6, 11). A 2xx behind a
            // failure, or a failure behind a 2xx, is none that the figure knows; nothing was sent that could have failed.
            (Calling, Event::TimerD | Event::TimerM)
            | (
                Proceeding,
                Event::TimerA
                | Event::TimerB
                | Event::TimerD
                | Event::TimerM
                | Event::TransportError,
            )
            | (
                Completed,
                Event::Provisional | Event::Success | Event::TimerA | Event::TimerB | Event::TimerM,
            )
            | (
                Accepted,
                Event::Provisional
                | Event::Failure
                | Event::TimerA
                | Event::TimerB
                | Event::TimerD
                | Event::TransportError,
            )
            | (Terminated, _) => none,
        }
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }
}

impl Default for InviteClient {
    fn default() -> InviteClient {
        InviteClient::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};

    const S: u64 = 1_000_000_000;
    const EVENTS: [Event; 8] = [
        Event::Provisional,
        Event::Success,
        Event::Failure,
        Event::TimerA,
        Event::TimerB,
        Event::TimerD,
        Event::TimerM,
        Event::TransportError,
    ];

    /// One line an event: the state behind it and what is done.
    fn table(state: State, reliable: bool) -> String {
        let mut text = String::new();
        for event in EVENTS {
            let mut machine = InviteClient { state, step: 0, reliable };
            let done = machine.handle(event, &Timings::CORE);
            let mut said = vec![format!("{:?}", machine.state)];
            let flags = [
                (done.pass_up, "pass_up"),
                (done.retransmit, "retransmit"),
                (done.ack, "ack"),
                (done.timed_out, "timed_out"),
                (done.transport_failed, "transport_failed"),
                (done.terminated, "terminated"),
            ];
            said.extend(flags.into_iter().filter(|flag| flag.0).map(|flag| flag.1.to_string()));
            let timers =
                [(done.arm_a, "A"), (done.arm_b, "B"), (done.arm_d, "D"), (done.arm_m, "M")];
            for (timer, name) in timers {
                said.extend(timer.map(|ns| format!("{name}={}ms", ns / 1_000_000)));
            }
            text += &format!("{}\n", said.join(" "));
        }
        text
    }

    #[test]
    fn every_state_and_event() {
        assert_eq!(
            table(Calling, false),
            "Proceeding pass_up\n\
             Accepted pass_up M=32000ms\n\
             Completed pass_up ack D=37000ms\n\
             Calling retransmit A=1000ms\n\
             Terminated timed_out terminated\n\
             Calling\n\
             Calling\n\
             Terminated transport_failed terminated\n"
        );
        assert_eq!(
            table(Proceeding, false),
            "Proceeding pass_up\n\
             Accepted pass_up M=32000ms\n\
             Completed pass_up ack D=37000ms\n\
             Proceeding\n\
             Proceeding\n\
             Proceeding\n\
             Proceeding\n\
             Proceeding\n"
        );
        assert_eq!(
            table(Completed, false),
            "Completed\n\
             Completed\n\
             Completed ack\n\
             Completed\n\
             Completed\n\
             Terminated terminated\n\
             Completed\n\
             Terminated transport_failed terminated\n"
        );
        assert_eq!(
            table(Accepted, false),
            "Accepted\n\
             Accepted pass_up\n\
             Accepted\n\
             Accepted\n\
             Accepted\n\
             Accepted\n\
             Terminated terminated\n\
             Accepted\n"
        );
        assert_eq!(table(Terminated, false), "Terminated\n".repeat(8));
    }

    /// Timers A and D are zero, M is not (RFC 6026 8.11).
    #[test]
    fn over_a_reliable_transport_only_successes_are_waited_for() {
        for state in [Calling, Proceeding] {
            let table = table(state, true);
            assert!(table.contains("Terminated pass_up ack terminated\n"), "{table}");
            assert!(table.contains("Accepted pass_up M=32000ms\n"), "{table}");
        }
        let mut machine = InviteClient::new();
        let started = machine.start(&Timings::CORE, true);
        assert_eq!((started.arm_a, started.arm_b), (None, Some(32 * S)));
    }

    /// RFC 3261 17.1.1.2: T1 doubled each time, with no bound but timer B; so towards the UE.
    #[test]
    fn retransmission_intervals() {
        for (timings, t1_ns) in [(Timings::CORE, S / 2), (Timings::UE_LEG, 2 * S)] {
            let mut machine = InviteClient::new();
            let mut done = machine.start(&timings, false);
            assert_eq!(done.arm_b, Some(64 * t1_ns));
            let mut sent = 1;
            let mut at_ns = 0;
            for doublings in 0.. {
                assert_eq!(done.arm_a, Some(t1_ns << doublings));
                at_ns += t1_ns << doublings;
                if at_ns >= timings.timer_b_ns() {
                    break;
                }
                done = machine.handle(Event::TimerA, &timings);
                assert!(done.retransmit);
                sent += 1;
            }
            // At 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
            assert_eq!(sent, 7);
        }
    }

    #[test]
    fn the_step_saturates() {
        let mut machine = InviteClient::new();
        machine.start(&Timings::CORE, false);
        for _ in 0..1000 {
            let done = machine.handle(Event::TimerA, &Timings::CORE);
            assert!(done.arm_a.is_some_and(|ns| ns <= Timings::CORE.timer_b_ns()));
        }
    }

    #[test]
    fn statuses_are_events() {
        let events = [100, 199, 200, 299, 300, 487, 699].map(Event::response);
        use Event::{Failure, Provisional, Success};
        let expected = [Provisional, Provisional, Success, Success, Failure, Failure, Failure];
        assert_eq!(events, expected);
    }
}
