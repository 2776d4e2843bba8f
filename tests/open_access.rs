//! Access without protection (`access_security = "none"`, `authentication = "none"`): the same network, whose UEs show nothing but their names.

use imstorm_base::time::seconds;
use tests::open::OpenUe;
use tests::{Layout, World};

#[test]
fn a_register_without_credentials_is_bound_at_once() {
    let mut world = World::unprotected("");
    let mut ue = OpenUe::new(1, "127.16.0.1:5070");
    let register = ue.register(600);
    let answer = world.ask_openly(&ue, &register);
    assert_eq!(answer.status(), 200, "{answer}");
    assert!(answer.expect("Contact").starts_with(&ue.contact()), "{answer}");
    assert!(answer.expect("Contact").ends_with("expires=600"), "{answer}");
    assert!(answer.expect("Service-Route").contains(";sess="), "{answer}");
    let tel = "<tel:+9997000000001>";
    assert_eq!(answer.all("P-Associated-URI"), [&format!("<{}>", ue.impu), tel], "{answer}");
    assert!(answer.expect("Via").contains(";rport=5070;received=127.16.0.1"), "{answer}");
    assert!(answer.header("Security-Server").is_none());
    let tables = world.tables();
    assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (1, 0));
    assert_eq!((tables.scscf.subscriptions, tables.scscf.bindings), (1, 2));
    assert_eq!(world.counter("challenges"), 0);
}

#[test]
fn a_refresh_prolongs_one_registration_under_any_call_id() {
    let mut world = World::unprotected("");
    let mut ue = world.registered_openly(1, "127.16.0.1:5070");
    world.advance(seconds(300));
    let register = ue.register(900);
    let answer = world.ask_openly(&ue, &register);
    assert!(answer.expect("Contact").ends_with("expires=900"), "{answer}");
    // As a UE that was started anew, with CSeq 1.
    ue.call_id = "another".to_owned();
    ue.cseq = 0;
    let register = ue.register(600);
    let answer = world.ask_openly(&ue, &register);
    assert_eq!((answer.status(), answer.all("Contact").len()), (200, 1), "{answer}");
    assert!(answer.expect("Contact").ends_with("expires=600"), "{answer}");
    let tables = world.tables();
    assert_eq!((tables.pcscf.connections, tables.scscf.bindings), (1, 2));
    // Out of order (RFC 3261 clause 10.3, step 7).
    ue.cseq = 0;
    let late = ue.register(600);
    assert_eq!(world.ask_openly(&ue, &late).status(), 500);
    assert_eq!(world.counter("aka_registrations_refreshed"), 2);
}

#[test]
fn a_register_that_comes_again_gets_the_same_answer() {
    let mut world = World::unprotected("");
    let mut ue = OpenUe::new(1, "127.16.0.1:5070");
    let register = ue.register(600);
    let first = world.ask_openly(&ue, &register);
    let again = world.ask_openly(&ue, &register);
    assert_eq!(first.to_bytes(), again.to_bytes());
    let leave = ue.register(0);
    for _ in 0..2 {
        let answer = world.ask_openly(&ue, &leave);
        assert_eq!((answer.status(), answer.header("Contact")), (200, None), "{answer}");
    }
    assert_eq!(world.counter("registrations_made"), 2);
}

#[test]
fn who_deregisters_is_gone_and_may_come_back_at_once() {
    let mut world = World::unprotected("");
    let mut ue = world.registered_openly(1, "127.16.0.1:5070");
    let leave = ue.register(0);
    let answer = world.ask_openly(&ue, &leave);
    assert_eq!((answer.status(), answer.header("Service-Route")), (200, None), "{answer}");
    assert_eq!(world.tables().scscf.bindings, 0);
    let message = ue.message("sip:ue00000002@ims.example");
    assert_eq!(world.ask_openly(&ue, &message).status(), 403);
    let back = ue.register(600);
    assert_eq!(world.ask_openly(&ue, &back).status(), 200);
    let all = ue.register(0).with("Contact", "*");
    assert_eq!(world.ask_openly(&ue, &all).status(), 200);
    world.advance(seconds(1000));
    world.assert_empty();
}

#[test]
fn a_registration_that_is_not_prolonged_ends() {
    let mut world = World::unprotected("");
    let mut ue = world.registered_openly(1, "127.16.0.1:5070");
    world.advance(seconds(599));
    assert_eq!(world.tables().scscf.bindings, 2);
    world.advance(seconds(32));
    assert_eq!(world.counter("connections_expired"), 1);
    let message = ue.message("sip:ue00000001@ims.example");
    assert_eq!(world.ask_openly(&ue, &message).status(), 403);
    world.advance(seconds(1000));
    world.assert_empty();
}

#[test]
fn two_users_behind_one_port_are_two() {
    let mut world = World::unprotected("");
    let source = "127.16.0.1:5070";
    let mut one = world.registered_openly(1, source);
    let other = world.registered_openly(2, source);
    assert_eq!(world.tables().pcscf.connections, 2);
    let message = one.message(&other.impu);
    world.openly(&one, &message);
    let came = world.take_one_at(one.source);
    assert_eq!(came.expect("P-Asserted-Identity"), format!("<{}>", one.impu));
    assert_eq!(came.expect("P-Called-Party-ID"), format!("<{}>", other.impu));
    world.openly(&other, &other.respond(&came, 200));
    assert_eq!(world.take_one_at(one.source).status(), 200);
    let leave = one.register(0);
    assert_eq!(world.ask_openly(&one, &leave).status(), 200);
    assert_eq!(world.tables().scscf.bindings, 2, "the other one's");
}

#[test]
fn requests_go_to_the_contact_and_answers_to_where_the_request_came_from() {
    let mut world = World::unprotected("");
    let mut ue = OpenUe::new(1, "127.16.0.1:5070");
    ue.contact = "127.16.0.1:5080".parse().unwrap();
    let register = ue.register(600);
    assert_eq!(world.ask_openly(&ue, &register).status(), 200);
    let message = ue.message(&ue.impu.clone());
    world.openly(&ue, &message);
    let came = world.take_one_at(ue.contact);
    assert_eq!((came.method(), came.body.as_str()), ("MESSAGE", "hello"));
    let answer = ue.respond(&came, 200);
    // The answer of somebody else is nobody's.
    let stranger = OpenUe::new(1, "127.16.0.9:5080");
    world.openly(&stranger, &answer);
    assert!(world.take_at(ue.source).is_empty());
    assert_eq!(world.counter("stray_response"), 1);
    let mut responder = ue.clone();
    responder.source = ue.contact;
    world.openly(&responder, &answer);
    assert_eq!(world.take_one_at(ue.source).status(), 200);
}

#[test]
fn a_contact_behind_a_nat_is_reached_where_its_register_came_from() {
    let mut world = World::unprotected("");
    let mut ue = OpenUe::new(1, "127.16.0.1:5070");
    ue.contact = "10.0.0.1:5060".parse().unwrap();
    let register = ue.register(600);
    assert_eq!(world.ask_openly(&ue, &register).status(), 200);
    let message = ue.message(&ue.impu.clone());
    world.openly(&ue, &message);
    assert_eq!(world.take_one_at(ue.source).method(), "MESSAGE");
}

#[test]
fn a_strangers_request_is_refused() {
    let mut world = World::unprotected("");
    let ue = world.registered_openly(1, "127.16.0.1:5070");
    for (number, source) in [(2, "127.16.0.1:5070"), (1, "127.16.0.1:5071"), (1, "127.16.0.2:5070")]
    {
        let mut stranger = OpenUe::new(number, source);
        let message = stranger.message(&ue.impu);
        assert_eq!(world.ask_openly(&stranger, &message).status(), 403, "{stranger:?}");
    }
    assert_eq!(world.counter("unregistered_refused"), 3);
    // Who is no subscriber is none by registering either.
    let mut nobody = OpenUe::new(77, "127.16.0.3:5070");
    let register = nobody.register(600);
    assert_eq!(world.ask_openly(&nobody, &register).status(), 403);
    assert_eq!(world.tables().pcscf.connections, 1);
    // Nor is the name of another one's taken, or a contact elsewhere.
    let mut ue = ue;
    let forged = ue.message("sip:ue00000001@ims.example");
    let forged = forged.and("P-Asserted-Identity", "<sip:ue00000002@ims.example>");
    world.openly(&ue, &forged);
    let came = world.take_one_at(ue.source);
    assert_eq!(came.all("P-Asserted-Identity"), ["<sip:ue00000001@ims.example>"]);
    let invite = ue.invite("sip:ue00000001@ims.example").with("Contact", "<sip:x@127.16.0.9>");
    assert_eq!(world.ask_openly(&ue, &invite).status(), 403);
}

#[test]
fn what_asks_for_protection_is_told_that_there_is_none() {
    let mut world = World::unprotected("");
    let mut ue = world.registered_openly(1, "127.16.0.1:5070");
    let asks = ue.register(600).and("Proxy-Require", "secevt");
    assert_eq!(world.ask_openly(&ue, &asks).status(), 420);
    let esp = world.pcscf_esp;
    world.datagram(ue.source, esp, &[0x11; 64]);
    assert_eq!(world.counter("esp_unknown_spi"), 1);
    let (impu, contact) = (ue.impu.clone(), ue.contact());
    let subscribe = ue.request("SUBSCRIBE", &impu, &impu).and("Event", "security");
    let subscribe = subscribe.and("Contact", &contact).with("Call-ID", "s");
    assert_eq!(world.ask_openly(&ue, &subscribe).status(), 489);
}

/// One call from a UE to another: 100, 180, 200, ACK, BYE.
#[test]
fn a_call_is_made_and_ended() {
    let mut world = World::unprotected("");
    let mut caller = world.registered_openly(1, "127.16.0.1:5070");
    let callee = world.registered_openly(2, "127.16.0.2:5070");
    let invite = caller.invite(&callee.impu);
    world.openly(&caller, &invite);
    assert_eq!(world.take_one_at(caller.source).status(), 100);
    let came = world.take_one_at(callee.source);
    assert_eq!(came.method(), "INVITE");
    world.openly(&callee, &callee.respond(&came, 180));
    assert_eq!(world.take_one_at(caller.source).status(), 180);
    world.openly(&callee, &callee.respond(&came, 200));
    let ok = world.take_one_at(caller.source);
    assert_eq!(ok.status(), 200, "{ok}");
    let ack = in_dialog(&mut caller, "ACK", &ok);
    world.openly(&caller, &ack);
    let ack = world.take_one_at(callee.source);
    assert_eq!(ack.method(), "ACK", "{ack}");
    assert_eq!(world.tables().scscf.sessions, 2);
    // The callee hangs up, whose name in the dialog is To's.
    let mut callee = callee;
    let (from, to) = (came.expect("To").to_owned() + ";tag=callee", came.expect("From").to_owned());
    let mut bye = callee.request("BYE", tests::ue::bare_uri(came.expect("Contact")), "x");
    for route in came.all("Record-Route") {
        bye = bye.and("Route", route);
    }
    let bye = bye.with("From", &from).with("To", &to).with("Call-ID", came.expect("Call-ID"));
    world.openly(&callee, &bye);
    let bye = world.take_one_at(caller.source);
    assert_eq!(bye.method(), "BYE", "{bye}");
    world.openly(&caller, &caller.respond(&bye, 200));
    assert_eq!(world.take_one_at(callee.source).status(), 200);
    assert_eq!(world.tables().scscf.sessions, 0);
}

/// A request of the caller in the dialog that this 200 has made.
fn in_dialog(caller: &mut OpenUe, method: &str, ok: &tests::Text) -> tests::Text {
    let mut request = caller.request(method, tests::ue::bare_uri(ok.expect("Contact")), "x");
    for route in ok.all("Record-Route").iter().rev() {
        request = request.and("Route", route);
    }
    let number = if method == "ACK" { ok.cseq() } else { caller.cseq };
    request
        .with("From", ok.expect("From"))
        .with("To", ok.expect("To"))
        .with("Call-ID", ok.expect("Call-ID"))
        .with("CSeq", &format!("{number} {method}"))
}

#[test]
fn a_ue_watches_its_registration() {
    let mut world = World::unprotected("");
    let mut ue = world.registered_openly(1, "127.16.0.1:5070");
    let (impu, contact) = (ue.impu.clone(), ue.contact());
    let subscribe = ue
        .request("SUBSCRIBE", &impu, &impu)
        .with("Call-ID", "watch")
        .and("Contact", &contact)
        .and("Event", "reg")
        .and("Expires", "3600");
    world.openly(&ue, &subscribe);
    let mut came = world.take_at(ue.source);
    assert_eq!(came.len(), 2, "{came:#?}");
    let notify = came.remove(1);
    assert_eq!((came[0].status(), notify.method()), (200, "NOTIFY"));
    assert!(notify.body.contains("state=\"active\""), "{notify}");
    world.openly(&ue, &ue.respond(&notify, 200));
    let again = in_dialog(&mut ue, "SUBSCRIBE", &came[0]).and("Contact", &contact);
    let again = again.and("Event", "reg").and("Expires", "0");
    world.openly(&ue, &again);
    let came = world.take_at(ue.source);
    assert_eq!(came[0].status(), 200, "{came:#?}");
    assert!(came[1].expect("Subscription-State").starts_with("terminated"), "{came:#?}");
    world.openly(&ue, &ue.respond(&came[1], 200));
    assert_eq!(world.tables().scscf.reg_subscriptions, 0);
}

#[test]
fn another_address_of_a_user_takes_the_place_of_the_one_before() {
    let mut world = World::unprotected("");
    let mut before = world.registered_openly(1, "127.16.0.1:5070");
    let after = world.registered_openly(1, "127.16.0.2:5070");
    assert_eq!(world.tables().scscf.subscriptions, 1);
    let message = before.message(&after.impu);
    assert_eq!(world.ask_openly(&before, &message).status(), 403, "the S-CSCF knows better");
    // And moves within one address, where the way to it stays the same.
    let mut moved = after;
    moved.contact.set_port(5090);
    let register = moved.register(600);
    let answer = world.ask_openly(&moved, &register);
    assert_eq!((answer.status(), answer.all("Contact").len()), (200, 1), "{answer}");
    assert_eq!(world.tables().scscf.subscriptions, 1);
    let message = moved.message(&moved.impu.clone());
    world.openly(&moved, &message);
    assert_eq!(world.take_one_at(moved.contact).method(), "MESSAGE");
}

#[test]
fn an_operator_ends_a_registration_and_shortens_none() {
    use imstorm_cscf::operator::{Command, Refusal};
    use imstorm_cscf::scscf::Reason;
    let mut world = World::unprotected("");
    let mut ue = world.registered_openly(1, "127.16.0.1:5070");
    let impi = b"ue00000001@ims.example".to_vec();
    let shorten = Command::Shorten { impi: impi.clone(), expires_s: 60 };
    assert_eq!(world.operate(&shorten), Err(Refusal::NoAuthentication));
    let terminate = Command::Terminate { impi, reason: Reason::Deactivated };
    assert_eq!(world.operate(&terminate).map(|done| done.connections), Ok(1));
    assert_eq!(world.tables().scscf.bindings, 0);
    let message = ue.message(&ue.impu.clone());
    assert_eq!(world.ask_openly(&ue, &message).status(), 403);
    let back = ue.register(600);
    assert_eq!(world.ask_openly(&ue, &back).status(), 200);
}

/// The S-CSCF on its own: what speaks to it does so as a P-CSCF would, but for the tokens, which it can't learn.
mod alone {
    use super::*;
    use std::net::SocketAddr;
    use tests::Text;

    const PATH: &str = "<sip:127.0.0.1:7070;lr>";

    struct Alone {
        world: World,
        peer: SocketAddr,
    }

    impl Alone {
        fn new() -> Self {
            let ip = "127.0.0.1".parse().expect("an address");
            let more = "peers = [\"127.0.0.1\"]\n";
            let settings = [
                (", realm", ", authentication = \"none\", realm".to_owned()),
                ("{ address =", "{ access_security = \"none\", address =".to_owned()),
            ];
            let world = World::altered(Layout::Together, ip, more, &settings);
            Self { world, peer: "127.0.0.1:7070".parse().expect("an address") }
        }

        /// What comes back to the peer for a request.
        fn ask(&mut self, request: &Text) -> Vec<Text> {
            let scscf = self.world.scscf_mw;
            self.world.datagram(self.peer, scscf, &request.to_bytes());
            self.came()
        }

        fn came(&mut self) -> Vec<Text> {
            let came = std::mem::take(&mut self.world.astray);
            assert!(came.iter().all(|wire| wire.to == self.peer), "{came:?}");
            came.iter().map(|wire| Text::parse(&wire.bytes)).collect()
        }
    }

    fn register(ue: &mut OpenUe, expires_s: u32) -> Text {
        ue.register(expires_s).and("Path", PATH)
    }

    #[test]
    fn binds_prolongs_and_unbinds() {
        let mut alone = Alone::new();
        let mut ue = OpenUe::new(1, "127.16.0.1:5070");
        for expires_s in [600, 900] {
            let answer = alone.ask(&register(&mut ue, expires_s)).remove(0);
            assert_eq!((answer.status(), answer.all("Contact").len()), (200, 1), "{answer}");
            assert_eq!(answer.expect("Path"), PATH);
        }
        assert_eq!(alone.world.tables().scscf.subscriptions, 1);
        let list = register(&mut ue, 0).without("Contact").without("Expires");
        assert_eq!(alone.ask(&list).remove(0).all("Contact").len(), 1);
        let leave = register(&mut ue, 0);
        for _ in 0..2 {
            let answer = alone.ask(&leave).remove(0);
            assert_eq!((answer.status(), answer.header("Contact")), (200, None), "{answer}");
        }
        alone.world.advance(seconds(1000));
        alone.world.assert_empty();
    }

    #[test]
    fn refuses_whom_it_does_not_know_and_what_has_no_path() {
        let mut alone = Alone::new();
        let mut nobody = OpenUe::new(99, "127.16.0.1:5070");
        assert_eq!(alone.ask(&register(&mut nobody, 600)).remove(0).status(), 403);
        let mut ue = OpenUe::new(1, "127.16.0.1:5070");
        assert_eq!(alone.ask(&ue.register(600)).remove(0).status(), 400);
        assert_eq!(alone.ask(&register(&mut ue, 10)).remove(0).status(), 423);
        alone.world.assert_empty();
    }

    #[test]
    fn notifies_of_a_registration_without_a_token() {
        let mut alone = Alone::new();
        let mut ue = OpenUe::new(1, "127.16.0.1:5070");
        alone.ask(&register(&mut ue, 600));
        let impu = ue.impu.clone();
        for number in 0..3 {
            let subscribe = ue
                .request("SUBSCRIBE", &impu, &impu)
                .with("Call-ID", &format!("watch-{number}"))
                .and("P-Asserted-Identity", &format!("<{impu}>"))
                .and("Contact", "<sip:w@127.0.0.1:7070>")
                .and("Event", "reg")
                .and("Expires", "3600");
            let came = alone.ask(&subscribe);
            assert_eq!((came[0].status(), came[1].method()), (200, "NOTIFY"), "{came:#?}");
            assert!(came[1].body.contains("127.16.0.1:5070"), "{}", came[1]);
            assert!(alone.ask(&ue.respond(&came[1], 200)).is_empty());
        }
        assert_eq!(alone.world.tables().scscf.notifications, 0);
        // Whoever is not registered by this way has nothing to watch.
        let mut other = OpenUe::new(2, "127.16.0.2:5070");
        let impu = other.impu.clone();
        let subscribe = other
            .request("SUBSCRIBE", &impu, &impu)
            .and("P-Asserted-Identity", &format!("<{impu}>"))
            .and("Contact", "<sip:w@127.0.0.1:7070>")
            .and("Event", "reg");
        assert_eq!(alone.ask(&subscribe).remove(0).status(), 403);
        // With the registration, its watchers are told that it is over.
        let came = alone.ask(&register(&mut ue, 0));
        assert_eq!(came.iter().filter(|it| it.method() == "NOTIFY").count(), 3, "{came:#?}");
    }
}

/// Where access is protected nothing of this can be reached.
#[test]
fn with_security_associations_all_this_is_refused_as_ever() {
    let mut world = World::new(Layout::Together);
    let mut ue = OpenUe::new(1, "127.16.0.1:5070");
    let register = ue.register(600);
    let answer = world.ask_openly(&ue, &register);
    assert_eq!(answer.status(), 421, "{answer}");
    assert_eq!(answer.expect("Require"), "sec-agree");
    let message = ue.message("sip:ue00000002@ims.example");
    assert_eq!(world.ask_openly(&ue, &message).status(), 403);
    let asks = ue.register(600).and("Require", "sec-agree").and("Proxy-Require", "sec-agree");
    assert_eq!(world.ask_openly(&ue, &asks).status(), 403, "no credentials");
    world.assert_empty();
    // Nor does the core take it.
    let more = "peers = [\"127.0.0.9\"]\n";
    let mut world = World::with(Layout::Together, "127.0.0.1".parse().unwrap(), more);
    let register = ue.register(600).and("Path", "<sip:127.0.0.9:7070;lr>");
    for role in [world.icscf_mw, world.scscf_mw] {
        world.datagram("127.0.0.9:7070".parse().unwrap(), role, &register.to_bytes());
        let came = world.astray.pop().unwrap();
        assert!(String::from_utf8_lossy(&came.bytes).starts_with("SIP/2.0 403"), "{role}");
    }
    world.assert_empty();
}

/// The engine as a process, over UDP sockets on 127.0.0.0/8.
mod over_sockets {
    use std::io::{BufRead, BufReader};
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use tests::Text;
    use tests::open::OpenUe;

    /// The longest that an answer may take.
    const PATIENCE: Duration = Duration::from_secs(30);

    struct Engine {
        process: Child,
        pcscf: SocketAddr,
        said: String,
    }

    impl Drop for Engine {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    impl Engine {
        fn start(shards: u8) -> Self {
            let [_, _, high, low] = std::process::id().to_be_bytes();
            let ip = Ipv4Addr::new(127, 120 + shards, high, low.max(1));
            let text = format!(
                "pcscf = [{{ access_security = \"none\", address = \"{ip}:5060\", mw = \"{ip}:6060\" }}]\n\
                 icscf = {{ mw = \"{ip}:6160\" }}\n\
                 scscf = {{ authentication = \"none\", mw = \"{ip}:6260\" }}\n\
                 subscribers = {{ size = 100 }}\nadmin = \"{ip}:9060\"\nshards = {shards}\n"
            );
            let name = format!("imstorm-open-{shards}-{}.toml", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, text).expect("a file");
            let mut process = Command::new(env!("CARGO_BIN_EXE_engine-under-test"))
                .arg("serve")
                .arg(&path)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            let mut lines = BufReader::new(process.stderr.take().expect("it is piped"));
            let mut said = String::new();
            while !said.contains("/v1/status") {
                let count = lines.read_line(&mut said).expect("its standard error");
                assert!(count > 0, "it ended: {said}");
            }
            let _ = std::fs::remove_file(&path);
            Self { process, pcscf: SocketAddr::new(ip.into(), 5060), said }
        }
    }

    /// A UE with a socket.
    struct SocketUe {
        ue: OpenUe,
        socket: UdpSocket,
        pcscf: SocketAddr,
    }

    impl SocketUe {
        fn new(number: u64, pcscf: SocketAddr) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            let source = socket.local_addr().expect("an address");
            Self { ue: OpenUe::new(number, &source.to_string()), socket, pcscf }
        }

        fn send(&self, message: &Text) {
            self.socket.send_to(&message.to_bytes(), self.pcscf).expect("it is sent");
        }

        fn receive(&self) -> Text {
            let mut room = [0; 4096];
            let len = self.socket.recv(&mut room).expect("a message in time");
            Text::parse(&room[..len])
        }
    }

    fn register_and_send(shards: u8) {
        let engine = Engine::start(shards);
        assert!(engine.said.contains("whoever reaches this engine is trusted"), "{}", engine.said);
        let mut ues: Vec<_> = (1..=4).map(|number| SocketUe::new(number, engine.pcscf)).collect();
        for it in &mut ues {
            let register = it.ue.register(600);
            it.send(&register);
            assert_eq!(it.receive().status(), 200);
        }
        for place in 0..ues.len() {
            let to = ues[(place + 1) % 4].ue.impu.clone();
            let message = ues[place].ue.message(&to);
            ues[place].send(&message);
            let callee = &ues[(place + 1) % 4];
            let came = callee.receive();
            assert_eq!(came.method(), "MESSAGE");
            callee.send(&callee.ue.respond(&came, 200));
            assert_eq!(ues[place].receive().status(), 200);
        }
    }

    #[test]
    fn users_register_and_reach_each_other() {
        register_and_send(1);
    }

    #[test]
    fn they_do_over_two_shards() {
        register_and_send(2);
    }
}
