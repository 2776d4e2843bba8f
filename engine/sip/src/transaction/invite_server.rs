//! The INVITE server transaction (RFC 3261 17.2.1, figure 7 as RFC 6026 8.6 has it).
//!
//! ```text
//!                                       |INVITE
//!                                       |pass INV to TU
//!                    INVITE             V send 100 if TU won't in 200 ms
//!                    send response+------------+
//!                        +--------|            |--------+ 101-199 from TU
//!                        |        |            |        | send response
//!                        +------->|            |<-------+
//!                                 | Proceeding |
//!                                 |            |--------+ Transport Err.
//!                                 |            |        | Inform TU
//!                                 |            |<-------+
//!                                 +------------+
//!                    300-699 from TU |    |2xx from TU
//!                    send response   |    |send response
//!                     +--------------+    +------------+
//!                     |                                |
//!    INVITE           V          Timer G fires         |
//!    send response +-----------+ send response         |
//!         +--------|           |--------+              |
//!         |        |           |        |              |
//!         +------->| Completed |<-------+      INVITE  |  Transport Err.
//!                  |           |               -       |  Inform TU
//!         +--------|           |----+          +-----+ |  +---+
//!         |        +-----------+    | ACK      |     | v  |   v
//!         |          ^   |          | -        |  +------------+
//!         |          |   |          |          |  |            |---+ ACK
//!         +----------+   |          |          +->|  Accepted  |   | to TU
//!         Transport Err. |          |             |            |<--+
//!         Inform TU      |          V             +------------+
//!                        |      +-----------+        |  ^     |
//!                        |      |           |        |  |     |
//!                        |      | Confirmed |        |  +-----+
//!                        |      |           |        |  2xx from TU
//!          Timer H fires |      +-----------+        |  send response
//!          -             |          |                |
//!                        |          | Timer I fires  |
//!                        |          | -              | Timer L fires
//!                        |          V                | -
//!                        |        +------------+     |
//!                        |        |            |<----+
//!                        +------->| Terminated |
//!                                 |            |
//!                                 +------------+
//! ```

use super::timings::Timings;

/// What happens to the transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The INVITE came (again).
    Request,
    /// The user answers with a 1xx, 100 included.
    Provisional,
    /// The user answers with a 2xx, or gives it once more.
    Success,
    /// The user answers with a 300 to 699.
    Failure,
    /// An ACK came: that to a failure on the INVITE's branch, or one of RFC 2543 (RFC 6026 6).
    Ack,
    /// The failure is to be sent again.
    TimerG,
    /// The wait for the ACK is over.
    TimerH,
    /// The wait for more ACKs is over.
    TimerI,
    /// The wait for more retransmissions of an accepted INVITE is over.
    TimerL,
    /// A response could not be sent.
    TransportError,
}

impl Event {
    /// The user's answer with this status.
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
    /// No INVITE yet: the first one is passed up.
    Fresh,
    /// The INVITE is with the user; retransmissions get the last provisional response again.
    Proceeding,
    /// A failure was sent, and is sent again until its ACK comes.
    Completed,
    /// The ACK has come; further ones are absorbed.
    Confirmed,
    /// A 2xx was sent, which the user repeats; retransmissions of the INVITE are absorbed (RFC 6026 7.1).
    Accepted,
    /// Over: the machine is to be dropped.
    Terminated,
}

/// What is to be done. Timers named here are to be started; one that fires in a state that has no
/// use for it does nothing.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Actions {
    /// Hand the INVITE, or the ACK of a 2xx, to the transaction's user.
    pub pass_up: bool,
    /// Send the response that the user just gave.
    pub respond: bool,
    /// Send the last response again.
    pub respond_again: bool,
    /// Start timer G with this many nanoseconds.
    pub arm_g: Option<u64>,
    /// Start timer H with this many nanoseconds.
    pub arm_h: Option<u64>,
    /// Start timer I with this many nanoseconds; timers G and H may be stopped.
    pub arm_i: Option<u64>,
    /// Start timer L with this many nanoseconds.
    pub arm_l: Option<u64>,
    /// Tell the user that no ACK came.
    pub timed_out: bool,
    /// Tell the user that the response could not be sent.
    pub transport_failed: bool,
    /// The transaction is over: drop it.
    pub terminated: bool,
}

/// The machine: it keeps the number of the current G step and not a duration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct InviteServer {
    state: State,
    step: u8,
    reliable: bool,
}

const _: () = assert!(size_of::<InviteServer>() <= 8);

impl InviteServer {
    /// A machine for an INVITE that comes over a `reliable` transport or not. The INVITE itself is
    /// its first event.
    pub const fn new(reliable: bool) -> InviteServer {
        InviteServer { state: State::Fresh, step: 0, reliable }
    }

    /// Takes an event. A terminated machine does nothing any more.
    pub fn handle(&mut self, event: Event, timings: &Timings) -> Actions {
        use State::{Accepted, Completed, Confirmed, Fresh, Proceeding, Terminated};
        let none = Actions::default();
        match (self.state, event) {
            (Fresh, Event::Request) => {
                self.state = Proceeding;
                Actions { pass_up: true, ..none }
            }
            (Proceeding | Completed, Event::Request) => Actions { respond_again: true, ..none },
            (Fresh | Proceeding, Event::Provisional) => {
                self.state = Proceeding;
                Actions { respond: true, ..none }
            }
            (Fresh | Proceeding, Event::Success) => {
                self.state = Accepted;
                Actions { respond: true, arm_l: Some(timings.timer_l_ns()), ..none }
            }
            (Fresh | Proceeding, Event::Failure) => {
                self.state = Completed;
                let arm_g = (!self.reliable).then(|| timings.timer_g_ns(0));
                Actions { respond: true, arm_g, arm_h: Some(timings.timer_h_ns()), ..none }
            }
            (Accepted, Event::Success) => Actions { respond: true, ..none },
            (Completed, Event::TimerG) => {
                self.step = self.step.saturating_add(1);
                Actions { respond_again: true, arm_g: Some(timings.timer_g_ns(self.step)), ..none }
            }
            (Completed, Event::Ack) => {
                // Timer I is zero over a reliable transport: confirmed is then terminated.
                self.state = if self.reliable { Terminated } else { Confirmed };
                let arm_i = (!self.reliable).then(|| timings.timer_i_ns(false));
                Actions { arm_i, terminated: self.reliable, ..none }
            }
            (Accepted, Event::Ack) => Actions { pass_up: true, ..none },
            (Completed, Event::TimerH) => {
                self.state = Terminated;
                Actions { timed_out: true, terminated: true, ..none }
            }
            (Confirmed, Event::TimerI) | (Accepted, Event::TimerL) => {
                self.state = Terminated;
                Actions { terminated: true, ..none }
            }
            // It stays where it is, so that the INVITE that comes again is known (RFC 6026 7.1).
            (Proceeding | Completed | Accepted, Event::TransportError) => {
                Actions { transport_failed: true, ..none }
            }
            // Only the first final response counts; what was overtaken does nothing.
            (
                Fresh | Proceeding,
                Event::Ack | Event::TimerG | Event::TimerH | Event::TimerI | Event::TimerL,
            )
            | (Fresh, Event::TransportError)
            | (
                Completed,
                Event::Provisional
                | Event::Success
                | Event::Failure
                | Event::TimerI
                | Event::TimerL,
            )
            | (
                Confirmed,
                Event::Request
                | Event::Provisional
                | Event::Success
                | Event::Failure
                | Event::Ack
                | Event::TimerG
                | Event::TimerH
                | Event::TimerL
                | Event::TransportError,
            )
            | (
                Accepted,
                Event::Request
                | Event::Provisional
                | Event::Failure
                | Event::TimerG
                | Event::TimerH
                | Event::TimerI,
            )
            | (Terminated, _) => none,
        }
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Accepted, Completed, Confirmed, Fresh, Proceeding, Terminated};

    const EVENTS: [Event; 10] = [
        Event::Request,
        Event::Provisional,
        Event::Success,
        Event::Failure,
        Event::Ack,
        Event::TimerG,
        Event::TimerH,
        Event::TimerI,
        Event::TimerL,
        Event::TransportError,
    ];

    /// One line an event: the state behind it and what is done.
    fn table(state: State, reliable: bool) -> String {
        let mut text = String::new();
        for event in EVENTS {
            let mut machine = InviteServer { state, step: 0, reliable };
            let done = machine.handle(event, &Timings::UE_LEG);
            let mut said = vec![format!("{:?}", machine.state)];
            let flags = [
                (done.pass_up, "pass_up"),
                (done.respond, "respond"),
                (done.respond_again, "respond_again"),
                (done.timed_out, "timed_out"),
                (done.transport_failed, "transport_failed"),
                (done.terminated, "terminated"),
            ];
            said.extend(flags.into_iter().filter(|flag| flag.0).map(|flag| flag.1.to_string()));
            let timers =
                [(done.arm_g, "G"), (done.arm_h, "H"), (done.arm_i, "I"), (done.arm_l, "L")];
            for (timer, name) in timers {
                said.extend(timer.map(|ns| format!("{name}={}s", ns / 1_000_000_000)));
            }
            text += &format!("{}\n", said.join(" "));
        }
        text
    }

    #[test]
    fn every_state_and_event() {
        assert_eq!(
            table(Fresh, false),
            "Proceeding pass_up\nProceeding respond\nAccepted respond L=128s\n\
             Completed respond G=2s H=128s\nFresh\nFresh\nFresh\nFresh\nFresh\nFresh\n"
        );
        assert_eq!(
            table(Proceeding, false),
            "Proceeding respond_again\nProceeding respond\nAccepted respond L=128s\n\
             Completed respond G=2s H=128s\nProceeding\nProceeding\nProceeding\nProceeding\n\
             Proceeding\nProceeding transport_failed\n"
        );
        assert_eq!(
            table(Completed, false),
            "Completed respond_again\nCompleted\nCompleted\nCompleted\nConfirmed I=17s\n\
             Completed respond_again G=4s\nTerminated timed_out terminated\nCompleted\n\
             Completed\nCompleted transport_failed\n"
        );
        assert_eq!(
            table(Confirmed, false),
            "Confirmed\nConfirmed\nConfirmed\nConfirmed\nConfirmed\nConfirmed\nConfirmed\n\
             Terminated terminated\nConfirmed\nConfirmed\n"
        );
        assert_eq!(
            table(Accepted, false),
            "Accepted\nAccepted\nAccepted respond\nAccepted\nAccepted pass_up\nAccepted\n\
             Accepted\nAccepted\nTerminated terminated\nAccepted transport_failed\n"
        );
        assert_eq!(table(Terminated, false), "Terminated\n".repeat(10));
    }

    /// Timers G and I are zero, H and L are not (RFC 3261 17.2.1, RFC 6026 8.7).
    #[test]
    fn over_a_reliable_transport_the_ack_ends_it() {
        for state in [Fresh, Proceeding] {
            let table = table(state, true);
            assert!(table.contains("Completed respond H=128s\n"), "{table}");
            assert!(table.contains("Accepted respond L=128s\n"), "{table}");
        }
        assert!(table(Completed, true).contains("Terminated terminated\n"));
    }

    /// RFC 3261 17.2.1: "doubles with each retransmission until it reaches T2".
    #[test]
    fn the_failure_is_repeated_at_t2_in_the_end() {
        for (timings, halves) in
            [(Timings::CORE, [1, 2, 4, 8, 8]), (Timings::UE_LEG, [4, 8, 16, 32, 32])]
        {
            let mut machine = InviteServer::new(false);
            machine.handle(Event::Request, &timings);
            let mut done = machine.handle(Event::Failure, &timings);
            for half_seconds in halves {
                assert_eq!(done.arm_g, Some(half_seconds * 500_000_000));
                done = machine.handle(Event::TimerG, &timings);
                assert!(done.respond_again);
            }
        }
    }

    #[test]
    fn statuses_are_events() {
        let events = [100, 183, 200, 299, 300, 699].map(Event::response);
        use Event::{Failure, Provisional, Success};
        assert_eq!(events, [Provisional, Provisional, Success, Success, Failure, Failure]);
    }
}
