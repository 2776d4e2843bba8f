//! A UDP echo through the engine's I/O layer.

use std::net::{Ipv4Addr, SocketAddr};

use imstorm_base::time::NS_PER_MS;
use imstorm_base::{Io, SocketId};
use imstorm_uring::backend::{self, Sizes};
use imstorm_uring::udp::{self, SocketSpec};
use imstorm_uring::{Backend, process};

/// As the engine's default.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// As the engine's default `io_batch_wait_us`.
const BATCH_WAIT_US: u32 = 1_000;
/// The longest sleep, as the engine's.
const WAIT_NS: u64 = 100 * NS_PER_MS;

/// Sends back what comes to `port` on 127.0.0.1, until it is stopped.
pub fn serve(port: &str, kind: Backend) -> Result<String, String> {
    let port: u16 = port.parse().map_err(|_| format!("port: {port}"))?;
    let spec = SocketSpec {
        id: SocketId(0),
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        reuse_port: false,
        receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        packet_info: false,
    };
    let sockets = udp::open(&[spec]).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("{kind}: {error}");
    process::set_timer_slack(1).map_err(failed)?;
    let mut io = backend::open(kind, sockets, &Sizes::default()).map_err(failed)?;
    io.set_batch_wait(BATCH_WAIT_US);
    loop {
        io.turn(WAIT_NS).map_err(failed)?;
        let (inbox, outbox) = io.parts();
        for place in 0..inbox.len() {
            let (received, bytes) = inbox.get_mut(place);
            // What finds no room is counted in the outbox, and lost as at a socket.
            let _ = outbox.send(received.socket, None, received.peer, |slot| {
                slot.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(0..bytes.len())
            });
        }
    }
}
