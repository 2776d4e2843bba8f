//! What holds for any input: nothing panics, and what is written is read again.
#![allow(clippy::unwrap_used, reason = "a test")]

use imstorm_sip::body::reginfo::Reginfo;
use imstorm_sip::body::secinfo::Secinfo;
use imstorm_sip::transaction::server_key;
use imstorm_sip::{
    Challenge, Credentials, DialogParts, Edits, Frame, Framer, HeaderName, Index, Message, Method,
    NameAddr, Replaces, Room, SecurityMechanism, Uri, Via, Writer, parse, parse_head, response,
};
use proptest::prelude::*;

/// Calls everything that reads a message.
fn read_all(message: &Message<'_>) {
    _ = (message.check(), message.method(), message.method_text(), message.reason());
    for &name in HeaderName::ALL {
        _ = (message.header(name), message.has_option(name, "path"));
        assert!(message.lines(name).all(|(line, _)| message.headers()[line].name == name));
        message.name_addrs(name).for_each(drop);
        message.security(name).for_each(drop);
        message.contact_preferences(name).for_each(drop);
    }
    message.vias().for_each(drop);
    _ = (message.contact(), message.cseq(), message.expires(), message.event());
    _ = (message.subscription_state(), message.authorization(), message.www_authenticate());
    _ = (message.replaces(), message.retry_after());
    _ = (message.session_expires(), message.min_se(), message.rack(), message.rseq());
    _ = server_key(message, ([1, 2, 3, 4], 5060).into(), 7);
}

/// A message whose index came with it, and the same one parsed.
fn assert_same(written: &Message<'_>, parsed: &Message<'_>) {
    assert_eq!(written.bytes(), parsed.bytes());
    assert_eq!(written.headers(), parsed.headers());
    assert_eq!(written.body(), parsed.body());
    assert_eq!((written.method(), written.status()), (parsed.method(), parsed.status()));
    assert_eq!(written.request_uri(), parsed.request_uri());
    assert_eq!(written.reason(), parsed.reason());
    assert_eq!(written.check(), parsed.check());
    for name in HeaderName::ALL {
        assert_eq!(written.header(*name), parsed.header(*name));
        assert_eq!(written.tag(*name), parsed.tag(*name));
    }
}

/// Applies each kind of edit to each header.
fn edit_all(message: &Message<'_>) {
    let mut out = vec![0; 70_000];
    assert_eq!(Edits::new().write(message, &mut out), Ok(message.bytes().len()));
    assert_eq!(&out[..message.bytes().len()], message.bytes());
    for &name in HeaderName::ALL {
        let mut edits = Edits::new();
        edits.insert_first(name, |w| _ = w.text("<sip:new>"));
        edits.pop_first(message, name).pop_first(message, name);
        edits.remove_options(message, name, &["path", "x"]);
        edits.remove_auth_params(message, name, &["ik", "ck"]);
        if name.is_list() {
            edits.request_uri(b"sip:new@h");
        }
        let mut written = Index::default();
        let room = Room::indexed(&mut out[..60_000], &mut written);
        if let Ok(len) = edits.write(message, room) {
            // An edited message is a message again, if its Content-Length was left alone.
            if name != HeaderName::ContentLength && message.headers().len() < 90 {
                let mut index = Index::default();
                let again = parse(&out[..len], &mut index).unwrap();
                assert_eq!(again.header(name), Some(&b"<sip:new>"[..]));
                assert_eq!(again.body(), message.body());
                assert_same(&written.message(&out[..len]).unwrap(), &again);
            }
        }
    }
}

/// Pieces that messages are made of, right and wrong ones.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "INVITE ",
        "sip:a@h ",
        "SIP/2.0",
        "\r\n",
        "\r\n\r\n",
        "Via: ",
        "SIP/2.0/UDP ",
        "[::1]",
        ":5060",
        ";branch=z9hG4bK",
        "From: ",
        "<sip:",
        ">",
        ";tag=",
        "\"",
        "\\",
        ",",
        ";",
        "=",
        "CSeq: 1 ",
        "INVITE",
        "l: 0",
        "Contact: ",
        "Route: ",
        "%41",
        "@",
        "?",
        " ",
        "\t",
        "Authorization: Digest ",
        "ik=\"0\"",
        "WWW-Authenticate: Digest ",
        "Security-Client: ipsec-3gpp;spi-c=1",
        "\0",
        "tel:+1",
        "Require: path, x",
        "Event: reg;id=1",
        "Replaces: a;to-tag=1;from-tag=2",
        "Accept-Contact: *;audio",
        "+x=\"!#-1:",
        "Session-Expires: 60;refresher=uac",
        "RAck: 1 ",
        "99999999999999999999",
        "<secinfo ",
        "<reginfo>",
        "</r:reginfo>",
        "<contact state='active' expires='5'>",
        "</contact>",
        "<uri>",
        "<identity>",
        "</identity>",
        "/>",
        "xmlns='urn:imstorm:params:xml:ns:secinfo'",
        " version='1'",
        " lifetime='1'",
        "&amp;",
        "&#x",
        "<!--",
        "-->",
    ]);
    prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn pieces(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..most).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn fields_never_panic(text in pieces(12)) {
        _ = (Uri::parse(&text), NameAddr::parse(&text), Via::parse(&text), Secinfo::parse(&text));
        _ = (Credentials::parse(&text), Challenge::parse(&text), Replaces::parse(&text));
        if let (Ok(a), Ok(b)) = (SecurityMechanism::parse(&text), SecurityMechanism::parse(&text)) {
            prop_assert!(a.same(&b));
        }
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert!(uri.same_identity(&uri) && uri.text == &text[..]);
        }
        if let Ok(secinfo) = Secinfo::parse(&text) {
            secinfo.identities().for_each(drop);
        }
        if let Ok(reginfo) = Reginfo::parse(&text) {
            reginfo.contacts().for_each(drop);
        }
    }

    #[test]
    fn messages_never_panic(text in pieces(40)) {
        let mut index = Index::default();
        if let Ok(message) = parse(&text, &mut index) {
            read_all(&message);
        }
        if let Ok(message) = parse_head(&text, &mut index) {
            read_all(&message);
        }
    }

    #[test]
    fn any_headers_are_read_and_edited(
        lines in prop::collection::vec((prop::sample::select(HeaderName::ALL), pieces(8)), 0..30),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut text = b"SUBSCRIBE sip:a@h SIP/2.0\r\n".to_vec();
        for (name, value) in &lines {
            if *name == HeaderName::ContentLength {
                continue;
            }
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend(value.iter().filter(|byte| !b"\r\n\0".contains(byte)));
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&body);
        let mut index = Index::default();
        let message = parse(&text, &mut index).unwrap();
        prop_assert_eq!(message.body(), &body[..]);
        read_all(&message);
        edit_all(&message);
        let mut out = vec![0; 70_000];
        let mut written = Index::default();
        let room = Room::indexed(&mut out[..60_000], &mut written);
        let len = response(&message, 200, Some(b"tag"), room).finish().unwrap();
        let mut index = Index::default();
        let answer = parse(&out[..len], &mut index).unwrap();
        assert_same(&written.message(&out[..len]).unwrap(), &answer);
    }

    #[test]
    fn requests_are_read_as_written(
        user in "[a-z0-9+.;=%41-]{1,20}",
        host in "[a-z]{1,10}(\\.[a-z]{1,5}){0,3}",
        tag in "[a-zA-Z0-9.!%*_+`'~-]{1,20}",
        call_id in "[a-zA-Z0-9@.-]{1,40}",
        cseq in any::<u32>(),
        expires in any::<u32>(),
        spi in any::<u32>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let uri = format!("sip:{user}@{host}");
        let mut out = vec![0; 4096];
        let mut written = Index::default();
        let mut writer = Writer::new(Room::indexed(&mut out, &mut written));
        writer.request(Method::Subscribe, uri.as_bytes());
        writer.header(HeaderName::Via).text("SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1;rport").end();
        writer.header(HeaderName::From).text("<").text(&uri).text(">;tag=").text(&tag).end();
        writer.header(HeaderName::To).text("\"q,<\" <").text(&uri).text(">").end();
        writer.header(HeaderName::CallId).text(&call_id).end();
        writer.header(HeaderName::CSeq).decimal(cseq.into()).text(" SUBSCRIBE").end();
        writer.header(HeaderName::Expires).decimal(expires.into()).end();
        writer.header(HeaderName::SecurityClient).text("ipsec-3gpp;spi-c=").decimal(spi.into()).end();
        let len = writer.finish_with_body("application/x", &body).unwrap();
        prop_assert_eq!(Framer::new(65_535).frame(&out[..len]), Ok(Frame::Message { len }));
        let mut index = Index::default();
        let message = parse(&out[..len], &mut index).unwrap();
        assert_same(&written.message(&out[..len]).unwrap(), &message);
        prop_assert_eq!(message.check(), Ok(()));
        prop_assert_eq!(message.from().unwrap().tag(), Some(tag.as_bytes()));
        prop_assert_eq!(message.to().unwrap().uri_text, uri.as_bytes());
        prop_assert_eq!(message.to().unwrap().uri.user, Some(user.as_bytes()));
        prop_assert_eq!(message.call_id(), Ok(call_id.as_bytes()));
        prop_assert_eq!(message.cseq().unwrap().number, cseq);
        prop_assert_eq!(message.expires(), Ok(Some(expires)));
        let offer = message.security(HeaderName::SecurityClient).next().unwrap().unwrap();
        prop_assert_eq!(offer.spi_c, Some(spi));
        prop_assert_eq!(message.body(), &body[..]);
    }

    #[test]
    fn blobs_give_their_strings_back(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 7)) {
        let dialog = DialogParts {
            call_id: &parts[0],
            local_tag: &parts[1],
            remote_tag: &parts[2],
            local_uri: &parts[3],
            remote_uri: &parts[4],
            remote_target: &parts[5],
            routes: &parts[6],
        };
        let mut out = vec![0xff; dialog.encoded_len() + 3];
        prop_assert_eq!(dialog.encode(&mut out), Ok(dialog.encoded_len()));
        prop_assert_eq!(DialogParts::decode(&out), dialog);
        let mut request = vec![0; 2000];
        _ = imstorm_sip::dialog::request(&dialog, Method::Notify, 1, &mut request).finish();
    }

    #[test]
    fn streams_never_panic(text in pieces(30), step in 1usize..20) {
        let mut framer = Framer::new(400);
        let (mut start, mut end) = (0, 0);
        while end < text.len() {
            end = (end + step).min(text.len());
            while let Ok(frame) = framer.frame(&text[start..end]) {
                start += match frame {
                    Frame::Ping { consumed } | Frame::Pong { consumed } => consumed,
                    Frame::Message { len } => len,
                    Frame::Incomplete => break,
                };
                prop_assert!(start <= end);
            }
        }
    }
}
