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
    /// A machine for a request that came over a `reliable` transport or not.
    pub const fn new(reliable: bool) -> NonInviteServer {
        NonInviteServer { state: State::Fresh, reliable }
    }

    /// Takes an event.
    #[allow(clippy::todo, unused_variables)]
    pub fn handle(&mut self, event: Event, timings: &Timings) -> Actions {
        todo!()
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }
}
