//! One program per UDP address. SO_REUSEPORT, which shards need, would also let a second program
//! share a port in silence and take half of the datagrams.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Holds an address for this process, through an abstract unix socket that the kernel gives up with
/// the process, however it ends.
#[derive(Debug)]
pub(crate) struct Guard {
    _listener: UnixListener,
}

static HELD: Mutex<Option<HashMap<SocketAddr, Weak<Guard>>>> = Mutex::new(None);

/// Claims `address`. Sockets of this process share the claim if `shared` (a reuseport group); else
/// a second claim is an error, as one of another process always is.
pub(crate) fn claim(address: SocketAddr, shared: bool) -> io::Result<Arc<Guard>> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let held = held.get_or_insert_default();
    held.retain(|_, guard| guard.strong_count() > 0);
    if let Some(guard) = held.get(&address).and_then(Weak::upgrade) {
        if shared {
            return Ok(guard);
        }
        return Err(in_use("bound twice by this process"));
    }
    let name = UnixAddress::from_abstract_name(format!("imstorm/udp/{address}"))?;
    let listener = UnixListener::bind_addr(&name).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => in_use("in use by another imstorm"),
        _ => error,
    })?;
    let guard = Arc::new(Guard { _listener: listener });
    held.insert(address, Arc::downgrade(&guard));
    Ok(guard)
}

fn in_use(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, why)
}
