//! The non-INVITE client transaction (RFC 3261 17.1.2, figure 6).
//!
//! ```text
//!                                    |Request from TU
//!                                    |send request
//!                Timer E             V
//!                send request  +-----------+
//!                    +---------|           |-------------------+
//!                    |         |  Trying   |  Timer F          |
//!                    +-------->|           |  or Transport Err.|
//!                              +-----------+  inform TU        |
//!                 200-699         |  |                         |
//!                 resp. to TU     |  |1xx                      |
//!                 +---------------+  |resp. to TU              |
//!                 |                  |                         |
//!                 |   Timer E        V       Timer F           |
//!                 |   send req +-----------+ or Transport Err. |
//!                 |  +---------|           | inform TU         |
//!                 |  |         |Proceeding |------------------>|
//!                 |  +-------->|           |-----+             |
//!                 |            +-----------+     |1xx          |
//!                 |              |      ^        |resp to TU   |
//!                 | 200-699      |      +--------+             |
//!                 | resp. to TU  |                             |
//!                 |              |                             |
//!                 |              V                             |
//!                 |            +-----------+                   |
//!                 |            |           |                   |
//!                 |            | Completed |                   |
//!                 |            |           |                   |
//!                 |            +-----------+                   |
//!                 |              ^   |                         |
//!                 |              |   | Timer K                 |
//!                 +--------------+   | -                       |
//!                                    V                         |
//!                              +-----------+                   |
//!                              | Terminated|<------------------+
//!                              +-----------+
//! ```

use super::timings::Timings;

/// What happens to the transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A response of this transaction came.
    Response {
        /// Whether its status is 200 or more.
        is_final: bool,
    },
    /// The retransmission timer fired.
    TimerE,
    /// The timeout fired.
    TimerF,
    /// The wait for more responses is over.
    TimerK,
    /// The request could not be sent.
    TransportError,
}

/// Where the transaction is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// The request is sent, no response has come.
    Trying,
    /// A provisional response has come.
    Proceeding,
    /// The final response has come; further ones are absorbed.
    Completed,
    /// Over: the machine is to be dropped.
    Terminated,
}

/// What is to be done. Timers named here are to be started; those that ran keep running, and one
/// that fires in a state that has no use for it does nothing.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Actions {
    /// Hand the response to the transaction's user.
    pub pass_up: bool,
    /// Send the request again.
    pub retransmit: bool,
    /// Start timer E with this many nanoseconds.
    pub arm_e: Option<u64>,
    /// Start timer F with this many nanoseconds.
    pub arm_f: Option<u64>,
    /// Start timer K with this many nanoseconds; timers E and F may be stopped.
    pub arm_k: Option<u64>,
    /// Tell the user that no final response came in time (408).
    pub timed_out: bool,
    /// Tell the user that the request could not be sent (503).
    pub transport_failed: bool,
    /// The transaction is over: drop it and its timers.
    pub terminated: bool,
}

/// The machine: 4 bytes, since it keeps the number of the current E step and not a duration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NonInviteClient {
    state: State,
    step: u8,
    reliable: bool,
}

const _: () = assert!(size_of::<NonInviteClient>() <= 8);

impl NonInviteClient {
    /// A machine whose request has not been sent.
    pub const fn new() -> NonInviteClient {
        NonInviteClient { state: State::Trying, step: 0, reliable: false }
    }

    /// The request is sent now: starts timer F, and over an unreliable transport timer E.
    pub fn start(&mut self, timings: &Timings, reliable: bool) -> Actions {
        *self = NonInviteClient { reliable, ..NonInviteClient::new() };
        let arm_e = if reliable { None } else { Some(timings.timer_e_ns(0)) };
        Actions { arm_e, arm_f: Some(timings.timer_f_ns()), ..Actions::default() }
    }

    /// Takes an event. A terminated machine does nothing any more.
    pub fn handle(&mut self, event: Event, timings: &Timings) -> Actions {
        use State::{Completed, Proceeding, Terminated, Trying};
        let none = Actions::default();
        match (self.state, event) {
            (Trying | Proceeding, Event::Response { is_final: false }) => {
                self.state = Proceeding;
                Actions { pass_up: true, ..none }
            }
            (Trying | Proceeding, Event::Response { is_final: true }) => {
                // Timer K is zero over a reliable transport: completed is then terminated.
                self.state = if self.reliable { Terminated } else { Completed };
                let arm_k = (!self.reliable).then(|| timings.timer_k_ns(false));
                Actions { pass_up: true, arm_k, terminated: self.reliable, ..none }
            }
            (Trying, Event::TimerE) => {
                self.step = self.step.saturating_add(1);
                Actions { retransmit: true, arm_e: Some(timings.timer_e_ns(self.step)), ..none }
            }
            (Proceeding, Event::TimerE) => {
                Actions { retransmit: true, arm_e: Some(timings.t2_ns), ..none }
            }
            (Trying | Proceeding, Event::TimerF) => {
                self.state = Terminated;
                Actions { timed_out: true, terminated: true, ..none }
            }
            (Trying | Proceeding, Event::TransportError) => {
                self.state = Terminated;
                Actions { transport_failed: true, terminated: true, ..none }
            }
            (Completed, Event::TimerK) => {
                self.state = Terminated;
                Actions { terminated: true, ..none }
            }
            // A retransmitted final response is absorbed; timers that were overtaken do nothing.
            (Trying | Proceeding, Event::TimerK) | (Completed | Terminated, _) => none,
        }
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }
}

impl Default for NonInviteClient {
    fn default() -> NonInviteClient {
        NonInviteClient::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Completed, Proceeding, Terminated, Trying};

    const S: u64 = 1_000_000_000;
    const EVENTS: [Event; 6] = [
        Event::Response { is_final: false },
        Event::Response { is_final: true },
        Event::TimerE,
        Event::TimerF,
        Event::TimerK,
        Event::TransportError,
    ];

    /// One line an event: the state behind it and what is done.
    fn table(state: State, reliable: bool) -> String {
        let mut text = String::new();
        for event in EVENTS {
            let mut machine = NonInviteClient { state, step: 0, reliable };
            let done = machine.handle(event, &Timings::CORE);
            let mut said = vec![format!("{:?}", machine.state)];
            let flags = [
                (done.pass_up, "pass_up"),
                (done.retransmit, "retransmit"),
                (done.timed_out, "timed_out"),
                (done.transport_failed, "transport_failed"),
                (done.terminated, "terminated"),
            ];
            said.extend(flags.into_iter().filter(|flag| flag.0).map(|flag| flag.1.to_string()));
            for (timer, name) in [(done.arm_e, "E"), (done.arm_f, "F"), (done.arm_k, "K")] {
                said.extend(timer.map(|ns| format!("{name}={}ms", ns / 1_000_000)));
            }
            text += &format!("{}\n", said.join(" "));
        }
        text
    }

    #[test]
    fn every_state_and_event() {
        assert_eq!(
            table(Trying, false),
            "Proceeding pass_up\n\
             Completed pass_up K=5000ms\n\
             Trying retransmit E=1000ms\n\
             Terminated timed_out terminated\n\
             Trying\n\
             Terminated transport_failed terminated\n"
        );
        assert_eq!(
            table(Proceeding, false),
            "Proceeding pass_up\n\
             Completed pass_up K=5000ms\n\
             Proceeding retransmit E=4000ms\n\
             Terminated timed_out terminated\n\
             Proceeding\n\
             Terminated transport_failed terminated\n"
        );
        assert_eq!(
            table(Completed, false),
            "Completed\nCompleted\nCompleted\nCompleted\nTerminated terminated\nCompleted\n"
        );
        assert_eq!(table(Terminated, false), "Terminated\n".repeat(6));
    }

    #[test]
    fn over_a_reliable_transport_nothing_waits() {
        assert!(table(Trying, true).contains("Terminated pass_up terminated\n"));
        assert!(table(Proceeding, true).contains("Terminated pass_up terminated\n"));
        let mut machine = NonInviteClient::new();
        let started = machine.start(&Timings::CORE, true);
        assert_eq!((started.arm_e, started.arm_f), (None, Some(32 * S)));
    }

    /// RFC 3261 17.1.2.2: "500 ms, 1 s, 2 s, 4 s, 4 s, 4 s"; TS 24.229 table 7.8 towards the UE.
    #[test]
    fn retransmission_intervals() {
        for (timings, seconds_f, halves) in [
            (Timings::CORE, 32, [1, 2, 4, 8, 8, 8]),
            (Timings::UE_LEG, 128, [4, 8, 16, 32, 32, 32]),
        ] {
            let mut machine = NonInviteClient::new();
            let mut done = machine.start(&timings, false);
            assert_eq!(done.arm_f, Some(seconds_f * S));
            for half_seconds in halves {
                assert_eq!(done.arm_e, Some(half_seconds * S / 2));
                done = machine.handle(Event::TimerE, &timings);
                assert!(done.retransmit);
            }
        }
    }

    #[test]
    fn the_step_saturates() {
        let mut machine = NonInviteClient::new();
        machine.start(&Timings::CORE, false);
        for _ in 0..1000 {
            let done = machine.handle(Event::TimerE, &Timings::CORE);
            assert!(done.arm_e.is_some_and(|ns| ns <= 4 * S));
        }
    }
}
