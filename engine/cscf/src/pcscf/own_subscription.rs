//! The P-CSCF's own subscription to the security state of each UE, from which it learns the UE's authorised identities (the
//! paper's section 3.1, "Impact of security event package on P-CSCF"), or to its registration, where the connection rests on that
//! (TS 24.229 clause 5.2.3). It begins when the UE's 200 passes, is refreshed with the UE's, and ends with it.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::seconds;
use imstorm_base::{PackedAddress, TextRoom};
use imstorm_sip::body::secinfo::Secinfo;
use imstorm_sip::dialog;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::NonInviteClient;
use imstorm_sip::{DialogParts, Message, Method, Room, Uri, Writer};

use super::connection::{Basis, OwnState, Stage};
use super::lifecycle::lifetime_end;
use super::send::send_mw;
use super::transaction::{Machine, Peer, Purpose, Transaction};
use super::{OWN_MARGIN_S, Pcscf, PcscfAlarm};
use crate::event::Context;
use crate::hss::IDENTITIES_BYTES_MAX;
use crate::identity::{IDENTITY_BYTES_MAX, Identity, IdentityError, IdentityListWriter};
use crate::mw::MwError;
use crate::proxy::DEFAULT_PORT;

/// How often a SUBSCRIBE of the P-CSCF's own is tried before the connection is given up.
const FAILURES_MAX: u8 = 3;
/// How long it waits in between.
const RETRY_NS: u64 = seconds(2);
/// Room for a dialog's strings.
const DIALOG_BYTES_MAX: usize = 1024;
/// Room for a service route.
const ROUTE_BYTES_MAX: usize = 512;

impl Pcscf {
    /// The UE's subscription or registration was granted or prolonged: so is ours. The first time, `target` is whom it goes to: the Contact
    /// of the UE's 200, or the identity that is registered.
    pub(super) fn ask_own(&mut self, ctx: &mut Context<'_>, key: Key, target: Option<&[u8]>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let asked_s = connection.granted_s.saturating_add(OWN_MARGIN_S);
        connection.own.asked_s = asked_s;
        match connection.own.state {
            OwnState::None => {
                // Until the notifier answers, the dialog has its target and no tag.
                let target = target.and_then(|target| self.strings.store_packed(&[target]).ok());
                let Some(target) = target else {
                    connection.own.failures = FAILURES_MAX;
                    return self.own_failed(ctx, key);
                };
                let connection = self.connections.get_mut(key).expect("found above");
                connection.own.secret = ctx.random.next_u64();
                connection.own.dialog = target;
                self.subscribe(ctx, key, asked_s);
            }
            OwnState::Active => self.subscribe(ctx, key, asked_s),
            OwnState::Asking | OwnState::Leaving | OwnState::Over => {}
        }
    }

    /// The UE's subscription is over: so is ours.
    pub(super) fn leave_own(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.own.state {
            OwnState::Active => {
                connection.own.state = OwnState::Leaving;
                self.subscribe(ctx, key, 0);
            }
            // The answer to the SUBSCRIBE under way comes first.
            OwnState::Asking => connection.own.asked_s = 0,
            OwnState::None | OwnState::Leaving | OwnState::Over => {}
        }
    }

    /// Sends the P-CSCF's own SUBSCRIBE.
    fn subscribe(&mut self, ctx: &mut Context<'_>, key: Key, expires_s: u32) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.own.cseq += 1;
        connection.own.sent_s = expires_s;
        if connection.own.state != OwnState::Leaving {
            connection.own.state = OwnState::Asking;
        }
        let (cseq, has_dialog) = (connection.own.cseq, connection.own.has_dialog);
        let mut room = TextRoom::default();
        let blob = self.strings.read(&connection.own.dialog, &mut room);
        let target = if has_dialog { DialogParts::decode(blob).remote_target } else { blob };
        let address = match connection.basis {
            Basis::Registration if !has_dialog => connection.notifier.map(PackedAddress::get),
            _ => Uri::parse(target).ok().and_then(|uri| uri.socket_addr(DEFAULT_PORT)),
        };
        let Some(address) = address else { return self.own_failed(ctx, key) };
        let downstream = Peer::Mw(address);
        let transaction = Transaction {
            purpose: Purpose::Own,
            server_key: 0,
            upstream: Peer::Own,
            machine: Machine::NonInvite(NonInviteClient::new()),
            downstream,
            connection: key,
            cseq,
            echo: 0,
            request: Handle::EMPTY,
            again: None,
        };
        let Some(transaction) = self.open_transaction(ctx, transaction) else {
            return self.own_failed(ctx, key);
        };
        let sent = send_mw(&self.config, ctx, address, |out| {
            self.write_subscribe(key, transaction, has_dialog, expires_s, out)
        });
        let request = match sent {
            Err(MwError::NotWritten) => {
                self.abandon(ctx, transaction);
                return self.own_failed(ctx, key);
            }
            // A full pool costs this message its retransmissions, not its first sending.
            Ok(()) if !ctx.mw.is_reliable(address) => {
                self.strings.store(ctx.mw.newest()).unwrap_or_default()
            }
            // A full queue has lost it, as others are lost.
            Ok(()) | Err(MwError::Full) => Handle::EMPTY,
        };
        self.start_client(ctx, transaction, request);
    }

    fn write_subscribe(
        &self,
        key: Key,
        transaction: Key,
        has_dialog: bool,
        expires_s: u32,
        out: Room<'_>,
    ) -> Option<usize> {
        let connection = self.connections.get(key)?;
        let mut room = TextRoom::default();
        let blob = self.strings.read(&connection.own.dialog, &mut room);
        let mut names = [0; 256];
        let own = OwnNames::write(self, key, &mut names)?;
        let mut route = [0; ROUTE_BYTES_MAX];
        let mut route = Writer::new(&mut route);
        if connection.basis == Basis::Registration {
            let mut room = TextRoom::default();
            let service_route = self.strings.read(&connection.service_route, &mut room);
            route.put(b"<").put(service_route).put(b">");
        }
        if route.has_overflowed() {
            return None;
        }
        let kept = match has_dialog {
            true => DialogParts::decode(blob),
            false => DialogParts { remote_target: blob, ..DialogParts::default() },
        };
        let parts = DialogParts {
            call_id: own.call_id,
            local_tag: own.tag,
            local_uri: own.uri,
            remote_uri: match kept.remote_uri {
                [] => kept.remote_target,
                uri => uri,
            },
            routes: if has_dialog { kept.routes } else { route.as_written() },
            ..kept
        };
        let (package, content_type) = connection.basis.package();
        let mut writer = dialog::request(&parts, Method::Subscribe, connection.own.cseq, out);
        writer.header(HeaderName::Via);
        self.write_via(&self.via_mw, transaction, &mut writer);
        writer.end();
        writer.header(HeaderName::Contact).put(b"<sip:").hex_u64(key.to_u64());
        writer.put(b"@").socket(self.config.mw).put(b">").end();
        writer.header(HeaderName::PAssertedIdentity).put(b"<").put(own.uri).put(b">").end();
        writer.header(HeaderName::Event).text(package).end();
        writer.header(HeaderName::Accept).text(content_type).end();
        writer.header(HeaderName::Expires).decimal(u64::from(expires_s)).end();
        writer.finish().ok()
    }

    /// The notifier has answered the P-CSCF's own SUBSCRIBE.
    pub(super) fn own_response(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match message.status() {
            200..=299 => {
                connection.own.failures = 0;
                if connection.own.state == OwnState::Leaving {
                    // The last NOTIFY ends it.
                    return;
                }
                let leave = connection.own.asked_s == 0;
                if !connection.own.has_dialog && !self.keep_dialog(key, message) {
                    return self.own_failed(ctx, key);
                }
                let connection = self.connections.get_mut(key).expect("found above");
                if connection.own.state == OwnState::Asking {
                    connection.own.state = OwnState::Active;
                }
                let asked_s = connection.own.asked_s;
                if leave {
                    self.leave_own(ctx, key);
                } else if asked_s > connection.own.sent_s {
                    // It was prolonged while the SUBSCRIBE was under way.
                    self.subscribe(ctx, key, asked_s);
                }
            }
            // A notifier that was started anew may know the registration, but not this dialog.
            481 if self.may_begin_anew(key) => self.begin_anew(ctx, key),
            // The notifier knows nothing of the connection any more.
            481 => {
                let connection = self.connections.get_mut(key).expect("found above");
                connection.own.state = OwnState::Over;
                self.begin_end(ctx, key);
            }
            _ => self.own_failed(ctx, key),
        }
    }

    fn may_begin_anew(&self, key: Key) -> bool {
        self.connections.get(key).is_some_and(|connection| {
            connection.basis == Basis::Registration
                && connection.stage == Stage::Live
                && connection.own.state == OwnState::Asking
                && connection.own.asked_s > 0
                && connection.own.has_dialog
        })
    }

    /// Subscribes in another dialog in the place of one that is gone.
    fn begin_anew(&mut self, ctx: &mut Context<'_>, key: Key) {
        let connection = self.connections.get_mut(key).expect("a connection that asked");
        let own = std::mem::take(&mut connection.own);
        self.strings.release(own.dialog);
        self.watch_registration(ctx, key);
    }

    fn keep_dialog(&mut self, key: Key, message: &Message<'_>) -> bool {
        let Ok(to) = message.to() else { return false };
        let Ok(Some(contact)) = message.contact() else { return false };
        // Our own names follow from the connection, and mostly the notifier is asked by the URI that it is reached at.
        let parts = DialogParts {
            remote_tag: to.tag().unwrap_or_default(),
            remote_uri: match to.uri_text == contact.uri_text {
                true => b"",
                false => to.uri_text,
            },
            remote_target: contact.uri_text,
            ..DialogParts::default()
        };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let Ok(len) = parts.encode(&mut blob) else { return false };
        let connection = self.connections.get_mut(key).expect("a connection that asked");
        let kept = self.strings.replace_packed(&mut connection.own.dialog, &blob[..len]).is_ok();
        connection.own.has_dialog = kept;
        kept
    }

    /// The P-CSCF's own subscription can't be had: it is tried again a few times, then the connection is given up.
    pub(super) fn own_failed(&mut self, ctx: &mut Context<'_>, key: Key) {
        ctx.counters.own_subscription_failed += 1;
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.own.failures = connection.own.failures.saturating_add(1);
        if connection.own.failures < FAILURES_MAX && connection.stage != Stage::Ending {
            return self.arm(ctx, RETRY_NS, PcscfAlarm::Own(key));
        }
        connection.own.state = OwnState::Over;
        self.begin_end(ctx, key);
    }

    /// Time to try the P-CSCF's own subscription again.
    pub(super) fn ask_again(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.own.failures == 0 {
            return;
        }
        if connection.stage == Stage::Ending {
            connection.own.state = OwnState::Over;
            return self.settle(ctx, key);
        }
        let asked_s = connection.own.asked_s;
        self.subscribe(ctx, key, asked_s);
    }

    /// A NOTIFY for the P-CSCF itself.
    pub(super) fn own_notify(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        server_key: u64,
        key: Key,
        message: &Message<'_>,
    ) {
        let mut names = [0; 256];
        let is_ours = OwnNames::write(self, key, &mut names).is_some_and(|own| {
            message.call_id() == Ok(own.call_id) && message.tag(HeaderName::To) == Ok(Some(own.tag))
        });
        let is_ours =
            is_ours && self.is_own_event(key, message) && self.is_from_notifier(key, peer);
        let (Ok(cseq), Ok(Some(state))) = (message.cseq(), message.subscription_state()) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, peer, message, 400, |_| ());
        };
        if !is_ours || self.connections.get(key).is_none() {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, peer, message, 481, |_| ());
        }
        self.respond_ok(ctx, peer, message);
        if !self.is_reliable(ctx, peer) {
            self.tombstones.bury(ctx.now, server_key, key, cseq.number, 200);
        }
        let connection = self.connections.get_mut(key).expect("found above");
        let connection_cseq = &mut connection.own.notify_cseq;
        if cseq.number <= *connection_cseq {
            ctx.counters.retransmissions_in += 1;
            return;
        }
        *connection_cseq = cseq.number;
        if state.state.eq_ignore_ascii_case(b"terminated") {
            connection.own.state = OwnState::Over;
            self.begin_end(ctx, key);
            return self.settle(ctx, key);
        }
        match connection.basis {
            Basis::Subscription => self.learn_identities(ctx, key, message),
            Basis::Registration => self.learn_registration(ctx, key, message),
        }
    }

    /// Whether a NOTIFY is of the event package that the P-CSCF has subscribed to for this connection.
    fn is_own_event(&self, key: Key, message: &Message<'_>) -> bool {
        let package = self.connections.get(key).map(|connection| connection.basis.package().0);
        let event = message.event().ok().flatten();
        event
            .zip(package)
            .is_some_and(|(event, package)| event.package.eq_ignore_ascii_case(package.as_bytes()))
    }

    fn is_from_notifier(&self, key: Key, peer: Peer) -> bool {
        let notifier = self.connections.get(key).and_then(|connection| connection.notifier);
        matches!(peer, Peer::Mw(from) if notifier == Some(from.into()))
    }

    fn respond_ok(&mut self, ctx: &mut Context<'_>, peer: Peer, message: &Message<'_>) {
        self.send(ctx, peer, |out| imstorm_sip::response(message, 200, None, out).finish().ok());
    }

    fn learn_identities(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let secinfo = Secinfo::parse(message.body());
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let list = match &secinfo {
            Ok(secinfo) => {
                self.follow_lifetime(ctx, key, secinfo.head.lifetime_s);
                pack(secinfo, &mut packed).ok()
            }
            Err(_) => {
                ctx.counters.malformed += 1;
                None
            }
        };
        let is_kept = self.keep_identities(key, list);
        ctx.counters.table_full += u64::from(secinfo.is_ok() && !is_kept);
        let connection = self.connections.get_mut(key).expect("a connection that was notified");
        let first = !std::mem::replace(&mut connection.knows_identities, true);
        if first && connection.held > 0 {
            self.pass_held(ctx, key);
        }
    }

    /// Keeps the UE's identities. Where that can't be done, or there are none, it has none: whoever can't be policed may not originate, not
    /// even by what was allowed before.
    pub(super) fn keep_identities(&mut self, key: Key, list: Option<&[u8]>) -> bool {
        let connection = self.connections.get_mut(key).expect("a connection that was found");
        let handle = &mut connection.identities;
        let is_kept = list.is_some_and(|list| {
            self.strings.is(handle, list) || self.strings.replace_packed(handle, list).is_ok()
        });
        if !is_kept {
            self.strings.release(std::mem::take(handle));
        }
        is_kept
    }

    /// The notifier's last word on how long the connection lives: a lifetime that was lowered for a re-authentication lowers the
    /// security associations' too, and is restored with it.
    pub(super) fn follow_lifetime(&mut self, ctx: &mut Context<'_>, key: Key, lifetime_s: u32) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let ends_at = lifetime_end(ctx.now, lifetime_s);
        if connection.stage != Stage::Live {
            return;
        }
        connection.expires_at = ends_at;
        let Some(live) = connection.live else { return };
        let Some(set) = self.sets.get_mut(live) else { return };
        set.expires_at = ends_at;
        self.look_at_set(ctx, live);
    }
}

/// The identities of a NOTIFY's body as a packed list.
///
/// # Errors
/// [`IdentityError::TooLong`] where one of them, or all together, are longer than the HSS would have them.
fn pack<'a>(secinfo: &Secinfo<'_>, out: &'a mut [u8]) -> Result<&'a [u8], IdentityError> {
    let mut list = IdentityListWriter::new(out);
    for identity in secinfo.identities() {
        let mut uri = [0; IDENTITY_BYTES_MAX];
        let mut writer = Writer::new(&mut uri);
        imstorm_sip::body::secinfo::unescape(identity.uri, &mut writer);
        if writer.has_overflowed() {
            return Err(IdentityError::TooLong);
        }
        list.push(Identity {
            uri: writer.as_written(),
            is_default: identity.is_default,
            barred: identity.is_barred,
        })?;
    }
    Ok(list.finish())
}

/// The names of the P-CSCF's side of its own dialog, which follow from the connection's key.
struct OwnNames<'a> {
    call_id: &'a [u8],
    tag: &'a [u8],
    uri: &'a [u8],
}

impl<'a> OwnNames<'a> {
    fn write(pcscf: &Pcscf, key: Key, out: &'a mut [u8; 256]) -> Option<Self> {
        let mut writer = Writer::new(&mut *out);
        // Nobody else can name this dialog.
        let secret = pcscf.connections.get(key)?.own.secret;
        writer.hex_u64(secret).put(b"-").hex_u64(key.to_u64());
        let call_id = writer.len();
        writer.put(b"sip:").socket(pcscf.config.mw);
        let len = writer.done().ok()?;
        let (call_id, uri) = out[..len].split_at(call_id);
        Some(Self { call_id, tag: &call_id[..16], uri })
    }
}
