//! SIP: a message read, and what follows from it written.

use std::hint::black_box;
use std::net::SocketAddr;

use benches::{NOTIFY, SUBSCRIBE};
use gungraun::{library_benchmark, library_benchmark_group};
use imstorm_sip::body::secinfo::Secinfo;
use imstorm_sip::transaction::key::server_key;
use imstorm_sip::{Edits, HeaderName, Index, Message, parse, response};

fn index() -> Box<Index> {
    Box::default()
}

#[library_benchmark(setup = index)]
#[bench::subscribe()]
fn parse_and_check(mut index: Box<Index>) -> Box<Index> {
    let message = parse(black_box(SUBSCRIBE), &mut index).expect("a message");
    message.check().expect("a good message");
    index
}

fn indexed() -> Message<'static> {
    let index = Box::leak(index());
    parse(SUBSCRIBE, index).expect("a message")
}

#[library_benchmark(setup = indexed)]
#[bench::subscribe()]
fn typed_fields(message: Message<'static>) -> u64 {
    black_box(message.via().expect("Via"));
    black_box(message.from().expect("From"));
    black_box(message.to().expect("To"));
    black_box(message.cseq().expect("CSeq"));
    black_box(message.contact().expect("Contact"));
    black_box(message.routes().count());
    black_box(message.event().expect("Event"));
    black_box(message.authorization().expect("Authorization"));
    black_box(message.security(HeaderName::SecurityClient).count());
    let source = SocketAddr::from(([127, 16, 4, 210], 0));
    server_key(&message, source, black_box(1)).expect("a key")
}

type Writing = (Message<'static>, Box<Edits>, Box<[u8; 4096]>);

fn writing() -> Writing {
    (indexed(), Box::new(Edits::new()), Box::new([0; 4096]))
}

#[library_benchmark(setup = writing)]
#[bench::subscribe()]
fn forward((message, mut edits, mut out): Writing) -> (usize, Box<Edits>, Box<[u8; 4096]>) {
    edits.insert_first(HeaderName::Via, |out| {
        out.put(b"SIP/2.0/UDP 127.0.0.1:6060;branch=z9hG4bK").hex_u64(7).hex_u64(1);
    });
    edits.set(&message, HeaderName::MaxForwards, |out| {
        out.decimal(69);
    });
    edits.pop_first(&message, HeaderName::Route);
    edits.remove(HeaderName::SecurityClient).remove(HeaderName::SecurityVerify);
    edits.remove_options(&message, HeaderName::Require, &["sec-agree"]);
    edits.insert_first(HeaderName::Path, |out| {
        out.put(b"<sip:").hex_u64(7).put(b"@127.0.0.1:6060;lr>");
    });
    let len = edits.write(&message, &mut out[..]).expect("room");
    (len, edits, out)
}

#[library_benchmark(setup = writing)]
#[bench::ok()]
fn answer((message, edits, mut out): Writing) -> (usize, Box<Edits>, Box<[u8; 4096]>) {
    let mut writer = response(black_box(&message), 200, Some(b"5f0c3a7b"), &mut out[..]);
    writer.header(HeaderName::Expires).decimal(600).end();
    writer.header(HeaderName::Contact).put(b"<sip:scscf.ims.example:6260>").end();
    (writer.finish().expect("room"), edits, out)
}

fn body() -> &'static [u8] {
    let index = Box::leak(index());
    parse(NOTIFY, index).expect("a message").body()
}

#[library_benchmark(setup = body)]
#[bench::notify()]
fn secinfo(body: &'static [u8]) -> usize {
    Secinfo::parse(black_box(body)).expect("a body").identities().count()
}

library_benchmark_group!(
    name = sip,
    benchmarks = [parse_and_check, typed_fields, forward, answer, secinfo]
);
