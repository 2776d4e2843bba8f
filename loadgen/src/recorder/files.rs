//! The files of what was recorded.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::capture::{self, EntryKind, UeCapture};
use super::pcapng::Pcapng;
use super::{Direction, Recorder, UeEvents, esp_sa};

const SIP_PORT: u16 = 5060;

/// How much was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// How many UEs.
    pub ues: usize,
    /// How many datagrams.
    pub datagrams: usize,
}

/// Writes `directory/captures/`: for each UE `ue-N.pcapng`, `ue-N.sip` and `ue-N.json`, and
/// `esp_sa` for all of which there are keys. A message whose datagram was not kept stands in the pcapng as if it had been sent unprotected. `epoch_ns` is the run's start in nanoseconds since 1970. Without anything
/// recorded it writes nothing.
///
/// `esp_sa` holds keys. It is where Wireshark looks for them if the folder is its configuration's:
///
/// ```text
/// WIRESHARK_CONFIG_DIR=directory/captures tshark -o esp.enable_encryption_decode:TRUE \
///     -o esp.enable_authentication_check:TRUE -r directory/captures/ue-N.pcapng -Y sip -V
/// ```
///
/// # Errors
/// A file can't be made or written.
#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
pub fn write(recorder: &Recorder, directory: &Path, epoch_ns: u64) -> io::Result<Written> {
    let captures = recorder.captures();
    let mut written = Written::default();
    if captures.is_empty() {
        return Ok(written);
    }
    let directory = directory.join("captures");
    std::fs::create_dir_all(&directory)?;
    let mut keys = String::new();
    for capture in &captures {
        let path = |extension| directory.join(format!("ue-{}.{extension}", capture.ue));
        let (pcapng, datagrams) = pcapng(capture, epoch_ns);
        std::fs::write(path("pcapng"), pcapng)?;
        std::fs::write(path("sip"), sip(capture, epoch_ns))?;
        std::fs::write(path("json"), UeEvents::of(capture).to_json())?;
        keys.extend(capture.associations.iter().map(esp_sa::line));
        written.ues += 1;
        written.datagrams += datagrams;
    }
    if !keys.is_empty() {
        std::fs::write(directory.join("esp_sa"), keys)?;
    }
    Ok(written)
}

/// The capture's packets, and how many. What else was noted is a comment on the packet after it, or
/// on the last one.
pub(super) fn pcapng(capture: &UeCapture, epoch_ns: u64) -> (Vec<u8>, usize) {
    let mut file = Pcapng::new(&format!("ue-{}", capture.ue));
    let is_packet = |kind: &EntryKind| note(kind).is_none();
    let last = capture.entries.iter().rposition(|entry| is_packet(&entry.kind));
    let mut comments = Vec::new();
    let mut count = 0;
    for (index, entry) in capture.entries.iter().enumerate() {
        if let Some(note) = note(&entry.kind) {
            comments.push(note);
            continue;
        }
        if let EntryKind::Message { spi: Some(spi), .. } = &entry.kind {
            comments.push(format!("it was in ESP, SPI 0x{spi:08x}"));
        }
        if last == Some(index) {
            comments.extend(capture.entries[index + 1..].iter().filter_map(|e| note(&e.kind)));
        }
        let time_ns = epoch_ns.saturating_add(entry.at_ns);
        match &entry.kind {
            EntryKind::Datagram { direction, source, destination, wire, .. } => {
                let addresses = (*source, *destination);
                file.datagram(time_ns, *direction, addresses, wire, &comments.join("; "));
            }
            EntryKind::Message { direction, source, destination, spi, sip } => {
                let addresses = (in_the_clear(*source), in_the_clear(*destination));
                // An unprotected one is as it was.
                let addresses = if spi.is_some() { addresses } else { (*source, *destination) };
                file.datagram(time_ns, *direction, addresses, sip, &comments.join("; "));
            }
            EntryKind::Event { .. } | EntryKind::Failure { .. } => continue,
        }
        comments.clear();
        count += 1;
    }
    (file.into_bytes(), count)
}

/// The capture's SIP messages as text.
pub(super) fn sip(capture: &UeCapture, epoch_ns: u64) -> String {
    let mut text = format!("UE {}\n", capture.ue);
    if capture.dropped > 0 {
        let _ = writeln!(text, "({} earlier events were not kept)", capture.dropped);
    }
    for entry in &capture.entries {
        let (offset_us, at_ns) = (entry.at_ns / 1_000, epoch_ns.saturating_add(entry.at_ns));
        let _ = write!(
            text,
            "\n--- {}.{:06} s (unix time {}.{:09}) ",
            offset_us / 1_000_000,
            offset_us % 1_000_000,
            at_ns / 1_000_000_000,
            at_ns % 1_000_000_000
        );
        let (direction, source, destination, bytes, (spi, message)) = match &entry.kind {
            EntryKind::Datagram { direction, source, destination, wire, sip } => {
                let contents = capture::contents(wire, sip.as_deref());
                (direction, source, destination, wire.len(), contents)
            }
            EntryKind::Message { direction, source, destination, spi, sip } => {
                (direction, source, destination, sip.len(), (*spi, Some(&sip[..])))
            }
            other => {
                let _ = writeln!(text, "{}", note(other).unwrap_or_default());
                continue;
            }
        };
        let way = match direction {
            Direction::In => "received",
            Direction::Out => "sent",
        };
        let spi = spi.map_or("unprotected".to_owned(), |spi| format!("ESP spi 0x{spi:08x}"));
        let _ = writeln!(text, "{way}, {source} to {destination}, {spi}, {bytes} bytes");
        match message {
            Some(message) => {
                text.push('\n');
                text.push_str(&String::from_utf8_lossy(message).replace("\r\n", "\n"));
                if !text.ends_with('\n') {
                    text.push('\n');
                }
            }
            None => text.push_str("(no SIP message, or not opened)\n"),
        }
    }
    text
}

/// What was noted besides messages, in a line.
fn note(kind: &EntryKind) -> Option<String> {
    match kind {
        EntryKind::Datagram { .. } | EntryKind::Message { .. } => None,
        EntryKind::Event { text } => Some(text.clone()),
        EntryKind::Failure { procedure, cause } => Some(format!("{procedure} FAILED: {cause}")),
    }
}

/// The same address with the port of SIP: at that of ESP a message would be taken for a packet.
fn in_the_clear(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), SIP_PORT)
}
