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

#[test]
fn of_all_ues_those_that_failed_are_kept_up_to_the_limit() {
    let mut recorder = Recorder::new(Capture::Failed { limit: 2 });
    for ue in 0..10 {
        recorder.note_event(ue, ue, "started");
    }
    for ue in [5, 3, 8] {
        recorder.failed(ue, 20, Procedure::Refresh, Cause::NoNotify);
    }
    for ue in 0..10 {
        recorder.finished(ue);
    }
    let kept: Vec<_> = recorder.captures().iter().map(|capture| capture.ue).collect();
    assert_eq!(kept, [3, 5]);
    assert!(recorder.wants(3) && !recorder.wants(8));
    let failure = &recorder.captures()[0].entries[1].kind;
    let EntryKind::Failure { procedure, cause } = failure else { panic!("{failure:?}") };
    assert_eq!((procedure.as_str(), cause.as_str()), ("refresh", "no_notify"));
}

#[test]
fn when_room_is_needed_settled_ues_go_first_and_then_the_oldest() {
    let mut rings = Rings::new(2_000, 3_000);
    let event = |len| Entry { at_ns: 0, kind: EntryKind::Event { text: "x".repeat(len) } };
    let len = 900 - size_of::<Entry>();
    let ues = |rings: &Rings| {
        let mut ues: Vec<_> = rings.iter().map(|(ue, _)| ue).collect();
        ues.sort_unstable();
        ues
    };
    for ue in [1, 2, 3] {
        rings.push(ue, event(len));
    }
    rings.settle(2);
    rings.push(4, event(len));
    assert_eq!(ues(&rings), [1, 3, 4], "2 was settled");
    rings.settle(4);
    rings.push(4, event(1));
    rings.push(5, event(len));
    assert_eq!(ues(&rings), [3, 4, 5], "1 was the oldest, and 4 was in a procedure again");
    rings.keep(3);
    rings.push(6, event(len));
    rings.push(7, event(len));
    assert_eq!(ues(&rings), [3, 5, 6, 7], "3 is kept and its bytes don't count");
    for ue in [3, 5, 6, 7] {
        rings.let_go(ue);
    }
    assert_eq!(ues(&rings), [3]);
}

/// A folder of its own below the system's temporary one.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("imstorm-recorder-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn files_are_written_for_each_ue() {
    let mut recorder = Recorder::new(Capture::Failed { limit: 5 });
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
