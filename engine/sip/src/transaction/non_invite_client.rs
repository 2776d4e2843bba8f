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
    /// Send the request (again).
    pub send: bool,
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

    /// Sends the request: starts timer F, and over an unreliable transport timer E.
    #[allow(clippy::todo, unused_variables)]
    pub fn start(&mut self, timings: &Timings, reliable: bool) -> Actions {
        todo!()
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

impl Default for NonInviteClient {
    fn default() -> NonInviteClient {
        NonInviteClient::new()
    }
}
