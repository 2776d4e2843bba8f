//! The non-INVITE server transaction (RFC 3261 17.2.2, figure 8).
//!
//! ```text
//!                                   |Request received
//!                                   |pass to TU
//!                                   V
//!                             +-----------+
//!                             |           |
//!                             | Trying    |-------------+
//!                             |           |             |
//!                             +-----------+             |200-699 from TU
//!                                   |                   |send response
//!                                   |1xx from TU        |
//!                                   |send response      |
//!                                   |                   |
//!                Request            V      1xx from TU  |
//!                send response+-----------+send response|
//!                    +--------|           |--------+    |
//!                    |        | Proceeding|        |    |
//!                    +------->|           |<-------+    |
//!             +<--------------|           |             |
//!             |Trnsprt Err    +-----------+             |
//!             |Inform TU            |                   |
//!             |                     |                   |
//!             |                     |200-699 from TU    |
//!             |                     |send response      |
//!             |  Request            V                   |
//!             |  send response+-----------+             |
//!             |      +--------|           |             |
//!             |      |        | Completed |<------------+
//!             |      +------->|           |
//!             +<--------------|           |
//!             |Trnsprt Err    +-----------+
//!             |Inform TU            |
//!             |                     |Timer J fires
//!             |                     |-
//!             |                     |
//!             |                     V
//!             |               +-----------+
//!             |               |           |
//!             +-------------->| Terminated|
//!                             |           |
//!                             +-----------+
//! ```

use super::timings::Timings;

/// What happens to the transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The request came (again).
    Request,
    /// The user answers with a 1xx.
    Provisional,
    /// The user answers with a 200 to 699.
    Final,
    /// The wait for retransmissions is over.
    TimerJ,
    /// The response could not be sent.
    TransportError,
}

/// Where the transaction is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// No request yet: the first one is passed up.
    Fresh,
    /// The request is with the user; retransmissions are absorbed.
    Trying,
    /// A provisional response was sent; retransmissions get it again.
    Proceeding,
    /// The final response was sent; retransmissions get it again.
    Completed,
    /// Over: the machine is to be dropped.
    Terminated,
}

/// What is to be done.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Actions {
    /// Hand the request to the transaction's user.
    pub pass_up: bool,
    /// Send the response that the user just gave.
    pub respond: bool,
    /// Send the last response again.
    pub respond_again: bool,
    /// Start timer J with this many nanoseconds.
    pub arm_j: Option<u64>,
    /// Tell the user that the response could not be sent.
    pub transport_failed: bool,
    /// The transaction is over: drop it.
    pub terminated: bool,
}

/// The machine: two bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NonInviteServer {
    state: State,
    reliable: bool,
}

const _: () = assert!(size_of::<NonInviteServer>() <= 8);

impl NonInviteServer {
    /// A machine for a request that comes over a `reliable` transport or not. The request itself is
    /// its first event.
    pub const fn new(reliable: bool) -> NonInviteServer {
        NonInviteServer { state: State::Fresh, reliable }
    }

    /// Takes an event. A terminated machine does nothing any more.
    pub fn handle(&mut self, event: Event, timings: &Timings) -> Actions {
        use State::{Completed, Fresh, Proceeding, Terminated, Trying};
        let none = Actions::default();
        match (self.state, event) {
            (Fresh, Event::Request) => {
                self.state = Trying;
                Actions { pass_up: true, ..none }
            }
            (Proceeding | Completed, Event::Request) => Actions { respond_again: true, ..none },
            (Fresh | Trying | Proceeding, Event::Provisional) => {
                self.state = Proceeding;
                Actions { respond: true, ..none }
            }
            (Fresh | Trying | Proceeding, Event::Final) => {
                // Timer J is zero over a reliable transport: completed is then terminated.
                self.state = if self.reliable { Terminated } else { Completed };
                let arm_j = (!self.reliable).then(|| timings.timer_j_ns(false));
                Actions { respond: true, arm_j, terminated: self.reliable, ..none }
            }
            (Completed, Event::TimerJ) => {
                self.state = Terminated;
                Actions { terminated: true, ..none }
            }
            (Proceeding | Completed, Event::TransportError) => {
                self.state = Terminated;
                Actions { transport_failed: true, terminated: true, ..none }
            }
            // A retransmission before any response is absorbed, and so is what the user answers
            // after its final response (17.2.2); nothing was sent that could have failed.
            (Trying, Event::Request)
            | (Fresh | Trying | Proceeding, Event::TimerJ)
            | (Fresh | Trying, Event::TransportError)
            | (Completed, Event::Provisional | Event::Final)
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
    use State::{Completed, Fresh, Proceeding, Terminated, Trying};

    const EVENTS: [Event; 5] =
        [Event::Request, Event::Provisional, Event::Final, Event::TimerJ, Event::TransportError];

    /// One line an event: the state behind it and what is done.
    fn table(state: State, reliable: bool) -> String {
        let mut text = String::new();
        for event in EVENTS {
            let mut machine = NonInviteServer { state, reliable };
            let done = machine.handle(event, &Timings::UE_LEG);
            let mut said = vec![format!("{:?}", machine.state)];
            let flags = [
                (done.pass_up, "pass_up"),
                (done.respond, "respond"),
                (done.respond_again, "respond_again"),
                (done.transport_failed, "transport_failed"),
                (done.terminated, "terminated"),
            ];
            said.extend(flags.into_iter().filter(|flag| flag.0).map(|flag| flag.1.to_string()));
            said.extend(done.arm_j.map(|ns| format!("J={}s", ns / 1_000_000_000)));
            text += &format!("{}\n", said.join(" "));
        }
        text
    }

    #[test]
    fn every_state_and_event() {
        assert_eq!(
            table(Fresh, false),
            "Trying pass_up\nProceeding respond\nCompleted respond J=128s\nFresh\nFresh\n"
        );
        assert_eq!(
            table(Trying, false),
            "Trying\nProceeding respond\nCompleted respond J=128s\nTrying\nTrying\n"
        );
        assert_eq!(
            table(Proceeding, false),
            "Proceeding respond_again\nProceeding respond\nCompleted respond J=128s\n\
             Proceeding\nTerminated transport_failed terminated\n"
        );
        assert_eq!(
            table(Completed, false),
            "Completed respond_again\nCompleted\nCompleted\nTerminated terminated\n\
             Terminated transport_failed terminated\n"
        );
        assert_eq!(table(Terminated, false), "Terminated\n".repeat(5));
    }

    #[test]
    fn over_a_reliable_transport_the_final_response_ends_it() {
        for state in [Fresh, Trying, Proceeding] {
            assert!(table(state, true).contains("Terminated respond terminated\n"), "{state:?}");
        }
    }
}
