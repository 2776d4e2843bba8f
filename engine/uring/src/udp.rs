//! UDP sockets as shards need them.

use crate::guard::{self, Guard};
use imstorm_base::SocketId;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// A socket to open.
#[derive(Clone, Debug)]
pub struct SocketSpec {
    /// The number by which datagrams name it.
    pub id: SocketId,
    /// Address and port to bind; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Whether other sockets of this process bind the same address and port (a shard each).
    pub reuse_port: bool,
    /// The receive buffer to ask for, in bytes as the kernel counts them (an ESP datagram takes
    /// about 1.3 to 2.3 KiB); 0 leaves the system's default. Over `net.core.rmem_max` only with
    /// CAP_NET_ADMIN.
    pub receive_buffer_bytes: usize,
    /// Whether the destination of each datagram is reported and a source can be set: for a socket
    /// on a wildcard address.
    pub packet_info: bool,
}

/// A socket could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// The address that was to be bound.
    pub address: SocketAddr,
    /// Why not.
    pub error: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UDP {}: {}", self.address, self.error)?;
        let hint = match self.error.kind() {
            io::ErrorKind::AddrInUse => " (`ss -lunp` shows who has it)",
            io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
            io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
            _ => "",
        };
        f.write_str(hint)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// An open socket, and this process's claim on its address.
#[derive(Debug)]
pub struct BoundSocket {
    id: SocketId,
    socket: Socket,
    local: SocketAddr,
    packet_info: bool,
    timestamps: bool,
    _guard: Arc<Guard>,
}

/// Opens all of `specs`, in their order (which is their order in a reuseport group), or none.
pub fn open(specs: &[SocketSpec]) -> Result<Vec<BoundSocket>, BindError> {
    let open =
        |spec: &SocketSpec| open_one(spec).map_err(|error| BindError { address: spec.bind, error });
    specs.iter().map(open).collect()
}

/// Whether the kernel cuts a long send into datagrams (UDP_SEGMENT, Linux 4.18).
///
/// # Errors
/// Where it does not, or there is no socket at all.
pub fn probe_segments() -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 1_200)
}

impl BoundSocket {
    /// The number by which datagrams name it.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// The address that it is bound to, with the port that it got.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether a datagram may set its source address.
    #[must_use]
    pub fn packet_info(&self) -> bool {
        self.packet_info
    }

    /// Whether datagrams carry the time at which the kernel had them.
    #[must_use]
    pub fn timestamps(&self) -> bool {
        self.timestamps
    }

    /// Asks the kernel to note when it had each datagram (SO_TIMESTAMPNS), which then shows in
    /// `Received::arrival_ns`. Costs some tens of nanoseconds a datagram. Where no other socket of
    /// the machine asks for it, the kernel begins some moments later; until then the time is that
    /// at which a datagram is received, as though it had not waited.
    pub fn enable_timestamps(&mut self) -> io::Result<()> {
        set_option(&self.socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        self.timestamps = true;
        Ok(())
    }

    /// The receive buffer in force, in bytes (the kernel doubles what is asked for).
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        self.socket.recv_buffer_size()
    }

    /// Datagrams that came for this socket and were lost since it was opened, because its buffer
    /// was full or the kernel had no memory: SO_MEMINFO, which also shows what was lost after the
    /// last datagram that was queued.
    pub fn drops(&self) -> io::Result<u64> {
        Ok(u64::from(self.memory_info()?[SK_MEMINFO_DROPS]))
    }

    /// Bytes that wait in the receive buffer, as the kernel counts them.
    pub fn queued_bytes(&self) -> io::Result<u64> {
        Ok(u64::from(self.memory_info()?[SK_MEMINFO_RMEM_ALLOC]))
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn memory_info(&self) -> io::Result<[u32; SK_MEMINFO_VARS]> {
        let mut info = [0u32; SK_MEMINFO_VARS];
        let mut len = size_of_val(&info) as libc::socklen_t;
        // SAFETY: `info` has `len` bytes, both outlive the call, and any bytes make valid u32s.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                info.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// linux/sock_diag.h
const SK_MEMINFO_RMEM_ALLOC: usize = 0;
const SK_MEMINFO_DROPS: usize = 8;
const SK_MEMINFO_VARS: usize = 9;

fn open_one(spec: &SocketSpec) -> io::Result<BoundSocket> {
    let (domain, is_v6) = match spec.bind {
        SocketAddr::V4(_) => (Domain::IPV4, false),
        SocketAddr::V6(_) => (Domain::IPV6, true),
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if is_v6 {
        socket.set_only_v6(true)?;
    }
    // SO_REUSEADDR lets 0.0.0.0:4500 (a generator) and 127.0.0.1:4500 (an engine) be bound beside
    // each other; that nobody binds the very same address is the guard's business. With a port
    // chosen by the kernel it must come after the bind: a port that others reuse could be chosen.
    let is_port_given = spec.bind.port() != 0;
    socket.set_reuse_address(is_port_given)?;
    socket.set_reuse_port(spec.reuse_port && is_port_given)?;
    let early = is_port_given.then(|| guard::claim(spec.bind, spec.reuse_port)).transpose()?;
    socket.bind(&spec.bind.into())?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(spec.reuse_port)?;
    let guard = early.map_or_else(|| guard::claim(local, spec.reuse_port), Ok)?;
    if spec.packet_info {
        let (level, option) = if is_v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
        } else {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
        };
        set_option(&socket, level, option, 1)?;
    }
    if spec.receive_buffer_bytes > 0 {
        let asked = i32::try_from(spec.receive_buffer_bytes).unwrap_or(i32::MAX / 2);
        // Without CAP_NET_ADMIN the limit of the system holds; the caller can read what it got.
        if set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, asked).is_err() {
            set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, asked)?;
        }
    }
    let (id, packet_info) = (spec.id, spec.packet_info);
    Ok(BoundSocket { id, socket, local, packet_info, timestamps: false, _guard: guard })
}

fn set_option(socket: &Socket, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option's value is an int, `value` is one and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};

    fn spec(bind: &str) -> SocketSpec {
        SocketSpec {
            id: SocketId(0),
            bind: bind.parse().unwrap(),
            reuse_port: true,
            receive_buffer_bytes: 0,
            packet_info: false,
        }
    }

    #[test]
    fn wildcard_and_specific_share_a_port_and_the_specific_gets_its_datagrams() {
        let first = open(&[spec("127.0.0.1:0")]).unwrap();
        let port = first[0].local().port();
        drop(first);
        let specific = open(&[spec(&format!("127.0.0.1:{port}"))]).unwrap();
        let wildcard = open(&[spec(&format!("0.0.0.0:{port}"))]).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (to, got_by) in [("127.0.0.1", &specific[0]), ("127.0.0.9", &wildcard[0])] {
            sender.send_to(to.as_bytes(), (to, port)).unwrap();
            let mut buffer = [0u8; 64];
            let n = rustix::io::read(got_by, &mut buffer).unwrap();
            assert_eq!(&buffer[..n], to.as_bytes());
        }
    }

    #[test]
    fn an_address_belongs_to_one_program() {
        let held = open(&[spec("127.0.0.1:0")]).unwrap();
        let address = held[0].local();
        let again = open(&[SocketSpec { reuse_port: false, ..spec(&address.to_string()) }]);
        assert_eq!(again.unwrap_err().error.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        // What another process would hold.
        let name = UnixAddress::from_abstract_name(format!("imstorm/udp/{address}")).unwrap();
        let foreign = UnixListener::bind_addr(&name).unwrap();
        let error = open(&[spec(&address.to_string())]).unwrap_err();
        assert!(error.to_string().contains("in use by another imstorm"), "{error}");
        drop(foreign);
        open(&[spec(&address.to_string()), spec(&address.to_string())]).unwrap();
    }

    #[test]
    fn buffer_and_drops_are_readable() {
        let sockets = open(&[SocketSpec { receive_buffer_bytes: 8_192, ..spec("127.0.0.1:0") }]);
        let socket = &sockets.unwrap()[0];
        let effective = socket.receive_buffer_bytes().unwrap();
        assert!((8_192..=32_768).contains(&effective), "{effective}");
        assert_eq!((socket.drops().unwrap(), socket.queued_bytes().unwrap()), (0, 0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[0; 1_000], socket.local()).unwrap();
        }
        assert!((50..100).contains(&socket.drops().unwrap()));
        assert!(socket.queued_bytes().unwrap() > 0);
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = open(&[spec("192.0.2.1:5060")]).unwrap_err();
        assert!(error.to_string().starts_with("UDP 192.0.2.1:5060: "), "{error}");
        assert!(error.to_string().contains("no interface"), "{error}");
    }
}
