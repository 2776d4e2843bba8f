use std::path::PathBuf;
use std::process::Command;

use imstorm_esp::{HEADROOM, LocalPort, Mode, SaSet, SecurityParameters, Suite, TAILROOM};

use super::*;

const MS: u64 = 1_000_000;
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
const CK: [u8; 16] = *b"0123456789abcdef";
const IK: [u8; 16] = *b"fedcba9876543210";

const SUBSCRIBE: &str = "SUBSCRIBE sip:user7@ims.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.16.0.8:5070;branch=z9hG4bK1;rport\r\n\
    From: <sip:user7@ims.example>;tag=a\r\n\
    To: <sip:user7@ims.example>\r\nCall-ID: c7\r\nCSeq: 1 SUBSCRIBE\r\no: security\r\n\
    Expires: 600\r\nContent-Length: 0\r\n\r\n";
const CHALLENGE: &str = "SIP/2.0 401 Unauthorized\r\n\
    Via: SIP/2.0/UDP 127.16.0.8:5070;branch=z9hG4bK1;rport\r\n\
    From: <sip:user7@ims.example>;tag=a\r\n\
    To: <sip:user7@ims.example>;tag=b\r\nCall-ID: c7\r\nCSeq: 1 SUBSCRIBE\r\n\
    Content-Length: 0\r\n\r\n";
const NOTIFY: &str = "NOTIFY sip:127.16.0.8:6101 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:6061;branch=z9hG4bK2\r\nFrom: <sip:user7@ims.example>;tag=b\r\n\
    To: <sip:user7@ims.example>;tag=a\r\nCall-ID: c7\r\nCSeq: 1 NOTIFY\r\nEvent: security\r\n\
    Subscription-State: active;expires=600\r\nContent-Length: 0\r\n\r\n";

fn parameters(suite: Suite, ipv6: bool) -> SecurityParameters {
    let (ue, pcscf) = if ipv6 { ("fd00::8", "fd00::1") } else { ("127.16.0.8", "127.0.0.1") };
    SecurityParameters {
        spi_uc: 0x1000_0001,
        spi_us: 0x1000_0002,
        port_uc: 6100,
        port_us: 6101,
        // It reads as text: an ESP packet must not be taken for SIP for that.
        spi_pc: u32::from_be_bytes(*b"SIP/"),
        spi_ps: 0x2000_0002,
        port_pc: 6060,
        port_ps: 6061,
        ue_ip: ue.parse().unwrap(),
        pcscf_ip: pcscf.parse().unwrap(),
        suite,
        mode: Mode::UdpTunnel,
    }
}

fn seal(set: &mut SaSet, message: &str) -> Vec<u8> {
    let mut buffer = vec![0; HEADROOM + message.len() + TAILROOM];
    buffer[HEADROOM..HEADROOM + message.len()].copy_from_slice(message.as_bytes());
    let packet = set.seal(LocalPort::Client, &mut buffer, HEADROOM, message.len(), 5).unwrap();
    buffer[packet].to_vec()
}

/// A set-up of UE 7 whose NOTIFY never gets its answer.
fn record(recorder: &mut Recorder, suite: Suite, ipv6: bool) {
    let parameters = parameters(suite, ipv6);
    let mut ue = SaSet::for_ue(&parameters, &CK, &IK);
    let mut pcscf = SaSet::for_pcscf(&parameters, &CK, &IK);
    let (ue_ip, pcscf_ip) = (parameters.ue_ip, parameters.pcscf_ip);
    let unprotected = (SocketAddr::new(ue_ip, 5070), SocketAddr::new(pcscf_ip, 5060));
    let esp = (SocketAddr::new(ue_ip, 4500), SocketAddr::new(pcscf_ip, 4500));
    let mut note = |at_ms: u64, direction, wire: &[u8], sip: Option<&str>| {
        let (ue, pcscf) = if sip.is_some() { esp } else { unprotected };
        let (from, to) = if direction == Direction::Out { (ue, pcscf) } else { (pcscf, ue) };
        recorder.note(7, at_ms * MS, direction, from, to, wire, sip.map(str::as_bytes));
    };
    note(100, Direction::Out, SUBSCRIBE.as_bytes(), None);
    note(112, Direction::In, CHALLENGE.as_bytes(), None);
    let again = SUBSCRIBE.replace("CSeq: 1", "CSeq: 2");
    let sealed = seal(&mut ue, &again);
    note(113, Direction::Out, &sealed, Some(&again));
    let sealed = seal(&mut pcscf, NOTIFY);
    note(2_125, Direction::In, &sealed, Some(NOTIFY));
    for association in AssociationKeys::of_set(&parameters, &CK, &IK, ue_ip, pcscf_ip) {
        recorder.note_sa(7, association);
    }
    recorder.note_event(7, 2_126 * MS, "timer F fired");
    let garbage = [0, 0, 0, 0, 9];
    let (ue, pcscf) = esp;
    recorder.note(7, 2_127 * MS, Direction::In, pcscf, ue, &garbage, None);
    let forged = [b"\x12\x34\x56\x78", &[0; 40][..]].concat();
    recorder.note(7, 2_128 * MS, Direction::In, pcscf, ue, &forged, None);
    recorder.failed(7, 128_113 * MS, Procedure::Secure, Cause::Timeout);
}

fn recorded() -> UeCapture {
    let mut recorder = Recorder::new(Capture::Ues(vec![9, 7]));
    record(&mut recorder, Suite::ALL[0], false);
    let mut captures = recorder.captures();
    assert_eq!(captures.len(), 1, "UE 9 did nothing");
    captures.remove(0)
}

#[test]
fn a_capture_gives_ladder_text_and_json() {
    let capture = recorded();
    let events = UeEvents::of(&capture);
    insta::assert_snapshot!("ladder", ladder(&events));
    insta::assert_snapshot!("json", events.to_json());
    insta::assert_snapshot!("sip", files::sip(&capture, EPOCH_NS));
    let keys: String = capture.associations.iter().map(esp_sa::line).collect();
    insta::assert_snapshot!("esp_sa", keys);
}

#[test]
fn the_json_is_read_back() {
    let mut events = UeEvents::of(&recorded());
    events.dropped = 3;
    assert_eq!(UeEvents::from_json(&events.to_json()).unwrap(), events);
    assert!(ladder(&events).contains("(3 earlier events were not kept)"));
    assert!(UeEvents::from_json("{}").is_err());
}

#[test]
fn nothing_is_recorded_unless_asked() {
    let mut recorder = Recorder::new(Capture::None);
    assert!(!recorder.wants(7));
    record(&mut recorder, Suite::ALL[0], false);
    assert!(recorder.captures().is_empty());
    let directory = directory("nothing");
    assert_eq!(write(&recorder, &directory, EPOCH_NS).unwrap(), Written::default());
    assert!(!directory.join("captures").exists());
}

#[test]
fn a_ring_drops_its_oldest() {
    let mut recorder = Recorder::new(Capture::Ues(vec![1]));
    let address = "127.0.0.1:1".parse().unwrap();
    for at_ns in 0..100 {
        recorder.note(1, at_ns, Direction::In, address, address, &[0; 10_000], None);
    }
    let capture = recorder.captures().remove(0);
    assert_eq!(capture.entries.len() as u64 + capture.dropped, 100);
    assert_eq!(capture.entries.last().unwrap().at_ns, 99);
    let bytes: usize = capture.entries.iter().map(Entry::len).sum();
    assert!(bytes <= UE_BYTES_MAX && bytes > UE_BYTES_MAX - 20_000, "{bytes}");
}

fn heard<'a>(direction: Direction, spi: u32, sip: &'a str) -> Heard<'a> {
    let (local, peer) = ("127.16.0.8:4500".parse().unwrap(), "127.0.0.1:4500".parse().unwrap());
    Heard { direction, local, peer, spi, sip: sip.as_bytes() }
}

fn ues(recorder: &Recorder) -> Vec<u64> {
    recorder.captures().iter().map(|capture| capture.ue).collect()
}

/// The start lines of what is kept of a UE, and its failures.
fn kept(recorder: &Recorder, ue: u64) -> Vec<String> {
    let captures = recorder.captures();
    let capture = captures.iter().find(|capture| capture.ue == ue).expect("it is kept");
    let events = UeEvents::of(capture).events.into_iter();
    let text = events.map(|event| match event.kind {
        EventKind::Datagram { message, .. } => message.expect("a message").start_line,
        EventKind::Event { text } => text,
        EventKind::Failure { procedure, cause } => format!("{procedure}: {cause}"),
    });
    text.collect()
}

#[test]
fn of_a_ue_that_fails_what_it_said_before_is_kept_and_what_follows() {
    let mut recorder = Recorder::new(Capture::Failed);
    recorder.begin(50 * MS);
    for ue in [7, 8] {
        recorder.note_message(ue, 100 * MS, &heard(Direction::Out, 0, SUBSCRIBE));
        recorder.note_message(ue, 112 * MS, &heard(Direction::In, 9, CHALLENGE));
    }
    recorder.failed(7, 112 * MS, Procedure::Secure, Cause::BadChallenge);
    recorder.note_message(7, 113 * MS, &heard(Direction::Out, 0, SUBSCRIBE));
    recorder.note_message(8, 113 * MS, &heard(Direction::Out, 0, SUBSCRIBE));
    let subscribe = "SUBSCRIBE sip:user7@ims.example SIP/2.0";
    let expected = [subscribe, "SIP/2.0 401 Unauthorized", "secure: bad_challenge", subscribe];
    assert_eq!(
        (ues(&recorder), kept(&recorder, 7)),
        (vec![7], expected.map(str::to_owned).to_vec())
    );
    let capture = recorder.captures().remove(0);
    assert_eq!(capture.entries[0].at_ns, 50 * MS, "from the run's start");
    assert!(capture.associations.is_empty(), "no keys");
    let EventKind::Datagram { spi, .. } = &UeEvents::of(&capture).events[1].kind else { panic!() };
    assert_eq!(spi.as_deref(), Some("0x00000009"));
}

#[test]
fn each_cause_has_two_examples_and_all_together_32() {
    let mut recorder = Recorder::new(Capture::Failed);
    for ue in 0..10 {
        recorder.failed(ue, 20, Procedure::Refresh, Cause::NoNotify);
    }
    assert_eq!(ues(&recorder), [0, 1]);
    // Another failure of a UE that is kept is noted whatever it is.
    recorder.failed(1, 21, Procedure::Release, Cause::NoNotify);
    assert_eq!(kept(&recorder, 1), ["refresh: no_notify", "release: no_notify"]);
    for (ue, status) in (100..).zip(400..500) {
        recorder.failed(ue, 22, Procedure::Message, Cause::StatusOther(status));
    }
    assert_eq!(ues(&recorder).len(), 32);
    assert!(!recorder.wants(0));
}

#[test]
fn who_has_to_ask_again_is_listened_to_until_it_succeeds() {
    let mut recorder = Recorder::new(Capture::Failed);
    recorder.note_message(7, 0, &heard(Direction::Out, 0, SUBSCRIBE));
    recorder.note_message(8, 0, &heard(Direction::Out, 0, SUBSCRIBE));
    let second = 1_000 * MS;
    recorder.suspect(7, 2 * second, Cause::Timeout);
    recorder.suspect(8, 3 * second, Cause::Timeout);
    // What others say meanwhile is more than the memory holds.
    for number in 0..20_000 {
        recorder.note_message(100, 4 * second + number, &heard(Direction::Out, 0, NOTIFY));
    }
    recorder.settled(8);
    for ue in [7, 8] {
        recorder.failed(ue, 128 * second, Procedure::Secure, Cause::Timeout);
    }
    let subscribe = "SUBSCRIBE sip:user7@ims.example SIP/2.0";
    assert_eq!(kept(&recorder, 7), [subscribe, "secure: timeout"]);
    assert_eq!(kept(&recorder, 8), ["what came before may not have been kept", "secure: timeout"]);
}

#[test]
fn suspects_are_few_and_the_oldest_make_room() {
    let mut recorder = Recorder::new(Capture::Failed);
    let second = 1_000 * MS;
    // A second apart each; the seventeenth has no room.
    for ue in 0..20 {
        recorder.note_message(ue, ue * second, &heard(Direction::Out, 0, SUBSCRIBE));
        recorder.suspect(ue, ue * second, Cause::Timeout);
    }
    // At the same time another one would take too long to look for.
    recorder.suspect(20, 150 * second, Cause::Timeout);
    recorder.suspect(21, 150 * second, Cause::Timeout);
    recorder.note_message(0, 151 * second, &heard(Direction::Out, 0, NOTIFY));
    recorder.failed(0, 152 * second, Procedure::Secure, Cause::Timeout);
    let entries = recorder.captures().remove(0).entries.len();
    // It had made room, and is found in the memory of all.
    assert_eq!(entries, 3);
}

#[test]
fn what_is_kept_of_a_failed_ue_is_bounded_and_its_failure_stays() {
    let mut recorder = Recorder::new(Capture::Failed);
    recorder.note_message(7, 0, &heard(Direction::Out, 0, SUBSCRIBE));
    recorder.failed(7, 1, Procedure::Secure, Cause::Timeout);
    for at_ns in 2..1_000 {
        recorder.note_message(7, at_ns, &heard(Direction::Out, 0, NOTIFY));
    }
    let capture = recorder.captures().remove(0);
    let bytes: usize = capture.entries.iter().map(Entry::len).sum();
    assert!((60 * 1024..=64 * 1024).contains(&bytes), "{bytes}");
    assert_eq!(capture.dropped, 0);
    assert!(matches!(capture.entries[1].kind, EntryKind::Failure { .. }));
}

#[test]
fn who_is_chosen_is_recorded_with_keys_beside_those_that_fail() {
    let mut recorder = Recorder::new(Capture::Ues(vec![7]));
    record(&mut recorder, Suite::ALL[0], false);
    recorder.failed(9, 5, Procedure::Refresh, Cause::Timeout);
    recorder.failed(10, 5, Procedure::Refresh, Cause::Timeout);
    // The chosen one is an example, too.
    assert_eq!(ues(&recorder), [7, 9]);
    assert_eq!(recorder.captures()[0].associations.len(), 4);
}

/// A folder of its own below the system's temporary one.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("imstorm-recorder-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn files_are_written_for_each_ue() {
    let mut recorder = Recorder::new(Capture::Ues(vec![7]));
    record(&mut recorder, Suite::ALL[0], false);
    let root = directory("files");
    let written = write(&recorder, &root, EPOCH_NS).unwrap();
    assert_eq!(written, Written { ues: 1, datagrams: 6 });
    let read = |name: &str| std::fs::read(root.join("captures").join(name)).unwrap();
    let capture = &recorder.captures()[0];
    assert_eq!(read("ue-7.pcapng"), files::pcapng(capture, EPOCH_NS).0);
    assert_eq!(read("ue-7.sip"), files::sip(capture, EPOCH_NS).as_bytes());
    assert_eq!(read("ue-7.json"), UeEvents::of(capture).to_json().as_bytes());
    assert_eq!(read("esp_sa").iter().filter(|byte| **byte == b'\n').count(), 4);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_message_without_its_datagram_is_a_packet_in_the_clear() {
    let mut recorder = Recorder::new(Capture::Failed);
    recorder.note_message(7, 0, &heard(Direction::Out, 9, SUBSCRIBE));
    recorder.failed(7, 1, Procedure::Secure, Cause::Timeout);
    let root = directory("clear");
    assert_eq!(write(&recorder, &root, EPOCH_NS).unwrap(), Written { ues: 1, datagrams: 1 });
    let file = std::fs::read(root.join("captures/ue-7.pcapng")).unwrap();
    let has = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(has(SUBSCRIBE.as_bytes()));
    assert!(has(b"it was in ESP, SPI 0x00000009; secure FAILED: timeout"));
    assert!(has(&[5060_u16.to_be_bytes(), 5060_u16.to_be_bytes()].concat()));
    assert!(!root.join("captures/esp_sa").exists());
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_ladder_is_drawn_for_a_file_and_for_a_page() {
    let events = UeEvents::of(&recorded());
    let alone = svg(&events, &Drawing { id: "ue-7", alone: true, links: false });
    insta::assert_snapshot!("svg", alone);
    let in_page = svg(&events, &Drawing { id: "ue-7", alone: false, links: true });
    assert!(!in_page.contains("xmlns") && !in_page.contains("<style>"));
    for number in 1..=6 {
        let (id, text) = (message_id("ue-7", number), text_id("ue-7", number));
        assert!(in_page.contains(&format!("id=\"{id}\"")), "{id}");
        assert!(in_page.contains(&format!("href=\"#{text}\"")), "{text}");
    }
}

#[test]
fn what_a_message_says_is_no_markup() {
    let mut recorder = Recorder::new(Capture::Failed);
    let evil = "<script>alert(\"1\")</script> & \u{1} SIP/2.0\r\nCSeq: 1 <b>\r\n\r\n";
    recorder.note_message(7, 0, &heard(Direction::In, 9, evil));
    recorder.note_event(7, 0, "</svg>");
    recorder.failed(7, 1, Procedure::Secure, Cause::Timeout);
    let events = UeEvents::of(&recorder.captures()[0]);
    let drawn = svg(&events, &Drawing { id: "a\"b", alone: true, links: true });
    assert!(!drawn.contains("<script") && !drawn.contains("<b>") && !drawn.contains('\u{1}'));
    assert!(
        drawn.contains("&lt;script&gt;alert(&quot;1&quot;)") && drawn.contains("id=\"a&quot;b\"")
    );
    let mut reader = quick_xml::Reader::from_str(&drawn);
    loop {
        match reader.read_event().expect("well-formed XML") {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(start) => {
                assert!(start.attributes().all(|it| it.is_ok()));
            }
            _ => {}
        }
    }
}

#[test]
fn lifelines_are_the_addresses_that_take_part() {
    let mut recorder = Recorder::new(Capture::Ues(vec![7]));
    let to = |host: &str| format!("{host}:5060").parse().unwrap();
    let text = SUBSCRIBE.as_bytes();
    for (ue, pcscf) in [("127.16.0.8", "127.0.0.1"), ("127.17.0.8", "127.0.0.2")] {
        recorder.note(7, 0, Direction::Out, to(ue), to(pcscf), text, None);
    }
    let events = UeEvents::of(&recorder.captures()[0]);
    insta::assert_snapshot!("ladder_of_two_accesses", ladder(&events));
    let drawn = svg(&events, &Drawing { id: "ue-7", alone: true, links: false });
    for name in ["UE 7 (1)", "UE 7 (2)", "P-CSCF (1)", "P-CSCF (2)"] {
        assert!(drawn.contains(&format!(">{name}</text>")), "{name}");
    }
}

/// A line of fields for each packet, decrypted by the keys that lie beside the capture.
fn tshark(captures: &std::path::Path) -> String {
    let output = Command::new("tshark")
        .env("WIRESHARK_CONFIG_DIR", captures)
        .args(["-o", "esp.enable_encryption_decode:TRUE"])
        .args(["-o", "esp.enable_authentication_check:TRUE"])
        .args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"])
        .args(["-T", "fields", "-E", "separator=|", "-e", "frame.number"])
        .args(["-e", "frame.time_epoch", "-e", "sip.CSeq", "-e", "esp.icv_good"])
        .args(["-e", "udp.checksum.status", "-e", "ip.checksum.status", "-r"])
        .arg(captures.join("ue-7.pcapng"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What Wireshark makes of our files, for each suite and both IP versions.
#[test]
#[ignore = "needs tshark"]
fn wireshark_decrypts_the_captures() {
    for (index, suite) in Suite::ALL.into_iter().enumerate() {
        for ipv6 in [false, true] {
            let root = directory(&format!("tshark-{index}-{ipv6}"));
            let mut recorder = Recorder::new(Capture::Ues(vec![7]));
            record(&mut recorder, suite, ipv6);
            write(&recorder, &root, EPOCH_NS).unwrap();
            let captures = root.join("captures");
            let text = tshark(&captures);
            // A checksum's status is 1 if it is good; within ESP there is a second of each.
            let ip = |text: &str| if ipv6 { String::new() } else { text.to_owned() };
            let expected = [
                format!("1|1700000000.100000000|1 SUBSCRIBE||1|{}", ip("1")),
                format!("2|1700000000.112000000|1 SUBSCRIBE||1|{}", ip("1")),
                format!("3|1700000000.113000000|2 SUBSCRIBE|1|1,1|{}", ip("1,1")),
                format!("4|1700000002.125000000|1 NOTIFY|1|1,1|{}", ip("1,1")),
            ];
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines[..4], expected, "{suite:?}");
            assert_eq!(lines.len(), 6);
            // With another key the ICV is wrong: it was the keys that did it.
            let keys = std::fs::read_to_string(captures.join("esp_sa")).unwrap();
            std::fs::write(captures.join("esp_sa"), keys.replace("0x66", "0x67")).unwrap();
            let text = tshark(&captures);
            assert!(text.lines().nth(2).unwrap().contains("|0|"), "{suite:?} {text}");
            std::fs::remove_dir_all(root).unwrap();
        }
    }
}
