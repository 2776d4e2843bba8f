//! The core that is under load, as the generator sees it from outside: whether it answers, and what its control plane says.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Method, Writer};

use crate::report;

/// How often a target is asked whether it is there, and how long it has each time.
const PROBES: u32 = 6;
const PROBE_WAIT: Duration = Duration::from_millis(500);
/// How long the control plane has for an answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether anything answers SIP at `target`: any response to OPTIONS will do, a refusal too.
///
/// # Errors
/// Where no socket can be had.
pub fn answers(target: SocketAddr) -> io::Result<bool> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(PROBE_WAIT))?;
    let source = socket.local_addr()?;
    let mut datagram = [0; 2048];
    for probe in 0..PROBES {
        let Some(len) = write_options(&mut datagram, target, source, probe) else { break };
        // Where nobody listens, the next call says so: then it is tried again after the same wait.
        let answered = socket.send(&datagram[..len]).and_then(|_| socket.recv(&mut datagram));
        match answered {
            Ok(len) if datagram[..len].starts_with(b"SIP/2.0 ") => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::thread::sleep(PROBE_WAIT);
            }
            _ => {}
        }
    }
    Ok(false)
}

fn write_options(
    out: &mut [u8],
    target: SocketAddr,
    source: SocketAddr,
    probe: u32,
) -> Option<usize> {
    let unique = imstorm_base::random::mix(u64::from(std::process::id()), u64::from(source.port()));
    let mut uri = [0; 64];
    let mut writer = Writer::new(&mut uri);
    writer.put(b"sip:").socket(target);
    let uri = writer.as_written();
    let mut writer = Writer::new(out);
    writer.request(Method::Options, uri);
    writer.header(HeaderName::Via).put(b"SIP/2.0/UDP ").socket(source);
    writer.put(b";branch=z9hG4bK").hex_u64(unique).decimal(u64::from(probe)).put(b";rport").end();
    writer.header(HeaderName::MaxForwards).decimal(70).end();
    writer.header(HeaderName::From).put(b"<").put(uri).put(b">;tag=").hex_u64(unique).end();
    writer.header(HeaderName::To).put(b"<").put(uri).put(b">").end();
    writer.header(HeaderName::CallId).hex_u64(unique).put(b"@").ip(source.ip()).end();
    writer.header(HeaderName::CSeq).decimal(u64::from(probe) + 1).text(" OPTIONS").end();
    writer.finish().ok()
}

/// A shard of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardState {
    /// The processor time of its thread, in nanoseconds.
    pub cpu_ns: u64,
}

/// What an engine's control plane says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// All of it.
    pub engine: report::Engine,
    /// Its shards, in order; none where they are not told.
    pub shards: Vec<ShardState>,
}

/// The engine's state, asked at its control plane; `None` where it can't be asked.
#[must_use]
pub fn status(admin: &str) -> Option<report::Engine> {
    status_of_shards(admin).map(|status| status.engine)
}

/// The same, with what is said of each shard.
#[must_use]
pub fn status_of_shards(admin: &str) -> Option<Status> {
    // The path of a Unix socket ends at a colon.
    let colon = if admin.starts_with("unix:") { ":" } else { "" };
    let url = format!("{admin}{colon}/v1/status");
    let (status, body) = imstorm_control::get(&url, ADMIN_TIMEOUT).ok()?;
    (status == 200).then_some(())?;
    let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let number = |name: &str| value.get(name).and_then(serde_json::Value::as_u64);
    let shard = |value: &serde_json::Value| {
        let cpu_ns = value.get("cpu_ns").and_then(serde_json::Value::as_u64)?;
        Some(ShardState { cpu_ns })
    };
    let shards = value.get("shards").and_then(serde_json::Value::as_array);
    let shards = shards.into_iter().flatten().map_while(shard).collect();
    let engine = report::Engine {
        subscriptions: number("subscriptions")?,
        security_associations: number("security_associations")?,
        registrations: number("registrations")?,
        sessions: number("sessions")?,
        messages_in: number("messages_in")?,
        messages_out: number("messages_out")?,
        esp_rejected: number("esp_rejected")?,
        shard_hops: number("shard_hops")?,
        gm_messages: number("gm_messages")?,
        gm_bytes: number("gm_bytes")?,
        mw_messages: number("mw_messages")?,
        mw_bytes: number("mw_bytes")?,
        pcscf_bytes: number("pcscf_bytes")?,
        scscf_bytes: number("scscf_bytes")?,
        cpu_s: value.get("cpu_s")?.as_f64()?,
        rss_bytes: number("rss_bytes")?,
    };
    Some(Status { engine, shards })
}
