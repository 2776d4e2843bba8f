//! The core that is under load, as the generator sees it from outside: whether it answers, and what its control plane says.

use std::net::SocketAddr;
use std::time::Duration;

use imstorm_base::Io;
use imstorm_base::time::NS_PER_MS;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Method, Writer};
use imstorm_uring::{AnyIo, Clock};

use crate::generator::UNPROTECTED;
use crate::report;

/// How often a target is asked whether it is there, and how long it has each time.
const PROBES: u32 = 6;
const PROBE_WAIT_NS: u64 = 500 * NS_PER_MS;
/// How long the control plane has for an answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether anything answers SIP at `target`: any response to OPTIONS will do, a refusal too.
///
/// # Errors
/// Where the sockets fail.
pub fn answers(io: &mut AnyIo, target: SocketAddr, source: SocketAddr) -> std::io::Result<bool> {
    let clock = Clock::new();
    for probe in 0..PROBES {
        let (_, outbox) = io.parts();
        // A full outbox before anything was sent is impossible; a lost probe is followed by another.
        let _ = outbox.send(UNPROTECTED, Some(source.ip()), target, |slot| {
            write_options(slot, target, source, probe, clock.now()).map(|len| 0..len)
        });
        let until = clock.now() + PROBE_WAIT_NS;
        loop {
            let now = clock.now();
            if now >= until {
                break;
            }
            io.turn(until - now)?;
            let (inbox, _) = io.parts();
            for place in 0..inbox.len() {
                let (received, datagram) = inbox.get_mut(place);
                if received.peer == target && datagram.starts_with(b"SIP/2.0 ") {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn write_options(
    out: &mut [u8],
    target: SocketAddr,
    source: SocketAddr,
    probe: u32,
    unique: u64,
) -> Option<usize> {
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

/// The engine's state, asked at its control plane; `None` where it can't be asked.
#[must_use]
pub fn status(admin: &str) -> Option<report::Engine> {
    let (status, body) = imstorm_control::get(&format!("{admin}/v1/status"), ADMIN_TIMEOUT).ok()?;
    (status == 200).then_some(())?;
    let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let number = |name: &str| value.get(name).and_then(serde_json::Value::as_u64);
    Some(report::Engine {
        subscriptions: number("subscriptions")?,
        security_associations: number("security_associations")?,
        registrations: number("registrations")?,
        sessions: number("sessions")?,
        messages_in: number("messages_in")?,
        messages_out: number("messages_out")?,
        esp_rejected: number("esp_rejected")?,
        shard_hops: number("shard_hops")?,
        cpu_s: value.get("cpu_s")?.as_f64()?,
        rss_bytes: number("rss_bytes")?,
    })
}
