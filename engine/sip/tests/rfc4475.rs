//! RFC 4475's torture messages: what reading and checking each of them gives.
#![allow(clippy::disallowed_methods, reason = "the messages are files")]

use imstorm_sip::{Index, Scheme, Uri, parse};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The outcome of each file. `ok`: read, and passed [`check`](imstorm_sip::Message::check); what the
/// RFC wants done with it then is for who looks at the header in question.
const OUTCOMES: &[(&str, &str)] = &[
    ("badaspec.dat", "400 Bad To"),
    ("badbranch.dat", "400 Empty Branch"),
    // The Date is not looked at.
    ("baddate.dat", "ok"),
    // As archived it lacks the empty line; see below for what it is about.
    ("baddn.dat", "expected EndOfHeaders at 331, found the end"),
    ("badinv01.dat", "400 Bad Via"),
    ("badvers.dat", "505 Version Not Supported"),
    ("bcast.dat", "ok"),
    ("bext01.dat", "ok"),
    ("bigcode.dat", "expected StatusCode at 8, found '4'"),
    ("clerr.dat", "expected Body at 498, found the end"),
    ("cparam01.dat", "ok"),
    ("cparam02.dat", "ok"),
    ("dblreq.dat", "ok"),
    ("esc01.dat", "ok"),
    ("esc02.dat", "ok"),
    ("escnull.dat", "ok"),
    ("escruri.dat", "400 Headers In Request-URI"),
    ("insuf.dat", "400 Bad From"),
    ("intmeth.dat", "ok"),
    // A request of RFC 2543's: no element of an IMS core sends one.
    ("inv2543.dat", "400 From Without Tag"),
    ("invut.dat", "ok"),
    ("longreq.dat", "ok"),
    ("ltgtruri.dat", "400 Bad Request-URI"),
    ("lwsdisp.dat", "ok"),
    ("lwsruri.dat", "expected Version at 29, found 'l'"),
    ("lwsstart.dat", "expected RequestUri at 7, found ' '"),
    ("mcl01.dat", "expected ContentLength at 284, found '5'"),
    ("mismatch01.dat", "400 CSeq Method Mismatch"),
    ("mismatch02.dat", "400 CSeq Method Mismatch"),
    ("mpart01.dat", "ok"),
    ("multi01.dat", "400 Repeated Header"),
    ("ncl.dat", "expected ContentLength at 326, found '-'"),
    ("noreason.dat", "ok"),
    ("novelsc.dat", "ok"),
    ("quotbal.dat", "400 Bad To"),
    ("regaut01.dat", "ok"),
    ("regbadct.dat", "400 Bad Contact"),
    ("regescrt.dat", "ok"),
    ("scalar02.dat", "400 Bad CSeq"),
    ("scalarlg.dat", "400 Bad CSeq"),
    ("sdp01.dat", "ok"),
    ("semiuri.dat", "ok"),
    ("test.dat", "expected RequestUri at 7, found 's'"),
    ("transports.dat", "ok"),
    ("trws.dat", "expected Version at 38, found 'S'"),
    ("unksm2.dat", "ok"),
    ("unkscm.dat", "ok"),
    ("unreason.dat", "ok"),
    ("wsinv.dat", "ok"),
    ("zeromf.dat", "ok"),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/rfc4475")
}

fn message(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).expect("the file is in tests/data")
}

fn outcome(bytes: &[u8]) -> String {
    let mut index = Index::default();
    match parse(bytes, &mut index) {
        Err(error) => error.to_string(),
        Ok(message) => match message.check() {
            Err(error) => error.to_string(),
            Ok(()) => "ok".to_string(),
        },
    }
}

#[test]
fn each_gives_what_the_table_says() {
    let index_tsv = std::fs::read_to_string(folder().join("index.tsv")).unwrap();
    let mut outcomes: BTreeMap<_, _> = OUTCOMES.iter().copied().collect();
    for row in index_tsv.lines().skip(1) {
        let mut columns = row.split('\t');
        let (file, class) = (columns.next().unwrap(), columns.nth(1).unwrap());
        let found = outcome(&message(file));
        assert_eq!(Some(found.as_str()), outcomes.remove(file), "{file}");
        assert!(class != "valid" || found == "ok", "{file} is valid");
    }
    assert!(outcomes.is_empty(), "not in the index: {outcomes:?}");
}

#[test]
fn a_display_name_that_is_no_token() {
    let mut bytes = message("baddn.dat");
    bytes.extend_from_slice(b"\r\n");
    assert_eq!(outcome(&bytes), "400 Bad From");
}

#[test]
fn white_space_and_folds() {
    let bytes = message("wsinv.dat");
    let mut index = Index::default();
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.to().unwrap().tag(), Some(&b"1918181833n"[..]));
    assert_eq!(message.from().unwrap().display, b"\"J Rosenberg \\\\\\\"\"");
    assert_eq!(message.max_forwards(), Ok(Some(68)));
    assert_eq!(message.cseq().unwrap().number, 9);
    let vias: Vec<_> = message.vias().map(|via| via.unwrap().branch.unwrap()).collect();
    assert_eq!(vias, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
    let contact = message.contact().unwrap().unwrap();
    assert_eq!(contact.display, b"\"Quoted string \\\"\\\"\"");
    assert_eq!(contact.params.value("newparam"), Some(&b"newvalue"[..]));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    assert_eq!(contact.params.get("q"), Some(Some(&b"0.33"[..])));
    assert!(message.routes().next().unwrap().unwrap().uri.is_loose_router());
}

#[test]
fn escapes_are_looked_through_once() {
    let bytes = message("esc01.dat");
    let mut index = Index::default();
    let message = parse(&bytes, &mut index).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.user, Some(&b"sips%3Auser%40example.com"[..]));
    let contact = message.contact().unwrap().unwrap();
    let plain = Uri::parse(b"sip:caller@host5.example.net;lr;name=value%25%34%31").unwrap();
    assert!(contact.uri.is_loose_router());
    assert!(contact.uri.same(&plain), "{:?}", String::from_utf8_lossy(contact.uri_text));

    let bytes = self::message("escnull.dat");
    let mut index = Index::default();
    let message = parse(&bytes, &mut index).unwrap();
    let contacts: Vec<_> = message.contacts().map(|contact| contact.unwrap().uri).collect();
    assert_eq!(contacts.len(), 2);
    assert!(!contacts[0].same_identity(&contacts[1]));
}

#[test]
fn details() {
    let bytes = message("semiuri.dat");
    let mut index = Index::default();
    let uri = Uri::parse(parse(&bytes, &mut index).unwrap().request_uri()).unwrap();
    assert_eq!(uri.user, Some(&b"user;par=u%40example.net"[..]));
    assert!(uri.params.is_empty());

    let bytes = message("unksm2.dat");
    let mut index = Index::default();
    let parsed = parse(&bytes, &mut index).unwrap();
    assert_eq!(parsed.to().unwrap().uri.scheme, Scheme::Other);

    let bytes = message("regaut01.dat");
    let mut index = Index::default();
    assert_eq!(parse(&bytes, &mut index).unwrap().authorization(), Ok(None));

    for (file, in_uri) in [("cparam01.dat", false), ("cparam02.dat", true)] {
        let bytes = message(file);
        let mut index = Index::default();
        let contact = parse(&bytes, &mut index).unwrap().contact().unwrap().unwrap();
        assert_eq!(contact.uri.params.has("unknownparam"), in_uri);
        assert_eq!(contact.params.has("unknownparam"), !in_uri);
    }

    let bytes = message("dblreq.dat");
    let mut index = Index::default();
    let first = parse(&bytes, &mut index).unwrap();
    let rest = &bytes[first.bytes().len()..];
    let mut index = Index::default();
    assert_eq!(parse(rest, &mut index).unwrap().method_text(), b"INVITE");
}
