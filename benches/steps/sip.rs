//! SIP: reading a message, and writing what follows from it.

use std::hint::black_box;
use std::net::SocketAddr;

use benches::{MESSAGES, NOTIFY, SUBSCRIBE, header_block};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use imstorm_sip::body::secinfo::{self, Head, Identity, Secinfo};
use imstorm_sip::dialog::{self, DialogParts};
use imstorm_sip::transaction::key::server_key;
use imstorm_sip::{Edits, HeaderName, Index, Message, Method, Room, Writer, parse, response};

pub fn benchmarks(criterion: &mut Criterion) {
    reading(criterion);
    fields(criterion);
    writing(criterion);
    bodies(criterion);
}

fn reading(criterion: &mut Criterion) {
    for (name, bytes) in MESSAGES {
        let mut group = criterion.benchmark_group(format!("sip/read {name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut index = Index::default();
        group.bench_function("parse", |bencher| {
            bencher.iter(|| parse(black_box(bytes), &mut index).expect("a message").method());
        });
        group.bench_function("parse and check", |bencher| {
            bencher.iter(|| {
                let message = parse(black_box(bytes), &mut index).expect("a message");
                message.check().expect("a good message");
            });
        });
        let headers = header_block(bytes);
        let mut found = [httparse::EMPTY_HEADER; 64];
        group.bench_function("httparse, headers", |bencher| {
            bencher.iter(|| {
                let done = httparse::parse_headers(black_box(headers), &mut found);
                done.expect("headers").is_complete()
            });
        });
        group.finish();
    }
}

fn fields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sip/field");
    let (mut subscribe, mut notify) = (Index::default(), Index::default());
    let subscribe = parse(SUBSCRIBE, &mut subscribe).expect("a message");
    let notify = parse(NOTIFY, &mut notify).expect("a message");
    field(&mut group, "Via", &subscribe, |message| message.via().expect("Via"));
    field(&mut group, "From", &subscribe, |message| message.from().expect("From"));
    field(&mut group, "CSeq", &subscribe, |message| message.cseq().expect("CSeq"));
    field(&mut group, "Contact", &subscribe, |message| message.contact().expect("Contact"));
    field(&mut group, "Route, first", &subscribe, |message| message.routes().next());
    field(&mut group, "Event", &subscribe, |message| message.event().expect("Event"));
    field(&mut group, "Authorization", &subscribe, |message| {
        message.authorization().expect("Authorization")
    });
    field(&mut group, "Security-Client", &subscribe, |message| {
        message.security(HeaderName::SecurityClient).next()
    });
    field(&mut group, "Subscription-State", &notify, |message| {
        message.subscription_state().expect("Subscription-State")
    });
    let source = SocketAddr::from(([127, 16, 4, 210], 0));
    field(&mut group, "server transaction key", &subscribe, |message| {
        server_key(message, source, black_box(1)).expect("a key")
    });
    group.finish();
}

fn field<'b, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    message: &Message<'b>,
    read: impl Fn(&Message<'b>) -> T,
) {
    group.bench_function(name, |bencher| bencher.iter(|| read(black_box(message))));
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sip/write");
    let (mut index, mut out) = (Index::default(), [0; 4096]);
    let subscribe = parse(SUBSCRIBE, &mut index).expect("a message");
    let mut edits = Edits::new();
    group.bench_function("P-CSCF forwards SUBSCRIBE", |bencher| {
        bencher.iter(|| forward(black_box(&subscribe), &mut edits, (&mut out).into()));
    });
    let mut written = Index::default();
    group.bench_function("P-CSCF forwards SUBSCRIBE, indexed", |bencher| {
        bencher.iter(|| {
            let room = Room::indexed(&mut out, &mut written);
            let len = forward(black_box(&subscribe), &mut edits, room);
            written.message(&out[..len]).expect("an index").bytes().len()
        });
    });
    group.bench_function("200 to SUBSCRIBE", |bencher| {
        bencher.iter(|| {
            let mut writer = response(black_box(&subscribe), 200, Some(b"5f0c3a7b"), &mut out);
            writer.header(HeaderName::Expires).decimal(600).end();
            writer.header(HeaderName::Contact).put(b"<sip:scscf.ims.example:6260>").end();
            writer.finish().expect("room")
        });
    });
    let parts = DialogParts {
        call_id: b"8f3a61c2-000004d2-1@127.16.4.210",
        local_tag: b"5f0c3a7be1d28946",
        remote_tag: b"000004d28f3a61c3",
        local_uri: b"sip:user1234@ims.example",
        remote_uri: b"sip:user1234@ims.example",
        remote_target: b"sip:127.16.4.210:6101",
        routes: b"<sip:000004d200000001@127.0.0.1:6060;lr>",
    };
    let body = parse_body();
    group.bench_function("NOTIFY in a dialog", |bencher| {
        bencher.iter(|| {
            let mut writer = dialog::request(black_box(&parts), Method::Notify, 1, &mut out);
            writer.header(HeaderName::Via).put(b"SIP/2.0/UDP 127.0.0.1:6260;branch=z9hG4bK");
            writer.hex_u64(0x9a).hex_u64(1).end();
            writer.header(HeaderName::Event).text("security").end();
            writer.header(HeaderName::SubscriptionState).text("active;expires=600").end();
            writer.finish_with_body(secinfo::CONTENT_TYPE, body).expect("room")
        });
    });
    group.finish();
}

/// What a P-CSCF changes in a UE's request on its way into the core.
fn forward(message: &Message<'_>, edits: &mut Edits, out: Room<'_>) -> usize {
    edits.clear();
    edits.insert_first(HeaderName::Via, |out| {
        out.put(b"SIP/2.0/UDP 127.0.0.1:6060;branch=z9hG4bK").hex_u64(7).hex_u64(1);
    });
    let hops = message.max_forwards().expect("Max-Forwards").unwrap_or(70);
    edits.set(message, HeaderName::MaxForwards, |out| {
        out.decimal(u64::from(hops - 1));
    });
    edits.pop_first(message, HeaderName::Route);
    edits.remove(HeaderName::SecurityClient).remove(HeaderName::SecurityVerify);
    edits.remove_options(message, HeaderName::Require, &["sec-agree"]);
    edits.remove_options(message, HeaderName::ProxyRequire, &["sec-agree", "secevt"]);
    let credentials = message.header(HeaderName::Authorization).expect("Authorization");
    edits.set(message, HeaderName::Authorization, |out| {
        out.put(credentials).put(b",integrity-protected=\"yes\"");
    });
    for name in [HeaderName::RecordRoute, HeaderName::Path] {
        edits.insert_first(name, |out| {
            out.put(b"<sip:").hex_u64(7).put(b"@127.0.0.1:6060;lr>");
        });
    }
    edits.set(message, HeaderName::PChargingVector, |out| {
        out.put(b"icid-value=\"").hex_u64(1).hex_u64(7).put(b"\";orig-ioi=\"ims.example\"");
    });
    edits.write(message, out).expect("room")
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sip/secinfo");
    let body = parse_body();
    group.bench_function("read", |bencher| {
        bencher.iter(|| Secinfo::parse(black_box(body)).expect("a body").identities().count());
    });
    let identity = |uri| Identity { uri, is_default: false, is_barred: false };
    let identities = [
        Identity { is_default: true, ..identity(b"sip:user1234@ims.example") },
        identity(b"sip:+12025550123@ims.example;user=phone"),
        identity(b"tel:+12025550123"),
    ];
    let head = Head { version: 0, session: b"0000004d00000001", lifetime_s: 600 };
    let mut out = [0; 1024];
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            let mut writer = Writer::new(&mut out);
            secinfo::write(&mut writer, black_box(&head), identities);
            writer.done().expect("room")
        });
    });
    group.finish();
}

fn parse_body() -> &'static [u8] {
    let mut index = Index::default();
    let body = parse(NOTIFY, &mut index).expect("a message").body();
    &NOTIFY[NOTIFY.len() - body.len()..]
}
