//! The generator's own sockets: what room they have, and what they have lost.

use std::io;

use imstorm_uring::BoundSocket;
use serde::{Deserialize, Serialize};

/// With less room than this a burst of answers is lost: at 100,000 a second of 1 KiB each, which the kernel counts as some 2 KiB,
/// it is full after 20 ms.
pub const RECEIVE_BUFFER_BYTES_MIN: u64 = 4 << 20;

/// A socket of the generator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SocketHealth {
    /// Its address and port.
    pub address: String,
    /// The room that it has for datagrams, in bytes: half of what SO_RCVBUF says, as the kernel doubles what is asked for, to have room for
    /// its own records.
    pub receive_buffer_bytes: u64,
    /// Datagrams that were lost because there was none (SO_MEMINFO).
    pub drops: u64,
}

impl SocketHealth {
    /// A socket that has lost nothing yet.
    ///
    /// # Errors
    /// The kernel's, where it does not say how much room there is.
    pub fn new(socket: &BoundSocket) -> io::Result<Self> {
        Ok(Self {
            address: socket.local().to_string(),
            receive_buffer_bytes: socket.receive_buffer_bytes()? as u64 / 2,
            drops: 0,
        })
    }

    /// Adds what the same socket lost in another time, or one of the same address in another part of the run.
    pub fn merge(&mut self, other: &Self) {
        self.receive_buffer_bytes = self.receive_buffer_bytes.min(other.receive_buffer_bytes);
        self.drops += other.drops;
    }
}

/// What is said of the sockets at a run's start: a line, and a warning where one of them is too small.
#[must_use]
pub fn announce(sockets: &[SocketHealth]) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let shown =
        sockets.iter().map(|it| format!("{} {:.1} MiB", it.address, mib(it.receive_buffer_bytes)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let mut text = format!("receive buffers, without what the kernel doubles them by: {shown}\n");
    let least = sockets.iter().map(|it| it.receive_buffer_bytes).min();
    if least.is_some_and(|bytes| bytes < RECEIVE_BUFFER_BYTES_MIN) {
        text.push_str(&format!(
            "warning: below {:.0} MiB bursts of answers may be lost here; raise it with: sysctl -w net.core.rmem_max={}\n",
            mib(RECEIVE_BUFFER_BYTES_MIN),
            super::RECEIVE_BUFFER_BYTES
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, mib: u64) -> SocketHealth {
        SocketHealth { address: address.to_owned(), receive_buffer_bytes: mib << 20, drops: 2 }
    }

    #[test]
    fn a_small_buffer_is_warned_of_with_what_helps() {
        let good = announce(&[socket("127.0.0.1:5070", 16), socket("127.0.0.1:4500", 4)]);
        assert_eq!(
            good,
            "receive buffers, without what the kernel doubles them by: 127.0.0.1:5070 16.0 MiB, 127.0.0.1:4500 4.0 MiB\n"
        );
        let bad = announce(&[socket("127.0.0.1:5070", 16), socket("127.0.0.1:4500", 3)]);
        assert!(bad.contains("warning: below 4 MiB"), "{bad}");
        assert!(bad.ends_with("sysctl -w net.core.rmem_max=16777216\n"), "{bad}");
    }

    #[test]
    fn parts_add_up_to_the_smallest_room() {
        let mut sum = socket("a", 16);
        sum.merge(&socket("a", 4));
        assert_eq!(sum, SocketHealth { drops: 4, ..socket("a", 4) });
    }
}
