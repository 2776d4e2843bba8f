//! What names the dialogs that are formed here: the connection's token in URIs, our tags, and the strings that are kept.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Uri, dialog};

use super::Scscf;
use super::notify::Subject;
use super::subscription::{TokenSecret, Whose};
use crate::event::Context;
use crate::proxy::{DEFAULT_PORT, read_hex_u64};

/// Room for a dialog's strings.
const DIALOG_BYTES_MAX: usize = 2048;

impl Scscf {
    /// The connection whose token a URI of ours carries.
    pub(super) fn connection_at(&self, now: Time, uri: &[u8]) -> Option<Key> {
        self.connection_of(now, &Uri::parse(uri).ok()?)
    }

    /// As [`Scscf::connection_at`], of a URI that has been read.
    fn connection_of(&self, now: Time, uri: &Uri<'_>) -> Option<Key> {
        (uri.socket_addr(DEFAULT_PORT)? == self.config.mw).then_some(())?;
        let (place, secret) = uri.param("sess")??.split_at_checked(16)?;
        let key = Key::from_u64(read_hex_u64(place)?);
        let secret = TokenSecret(read_hex_u64(secret)?);
        let found = self.subscriptions.get(key)?;
        let (earlier, until) = found.earlier_secret;
        let is_known = found.secret == secret || (until > now && earlier == secret);
        is_known.then_some(key)
    }

    /// The live connection that a request came over: its topmost Route has the token, and it comes from the P-CSCF of the connection. Without
    /// authentication one that has no Route at all is known by the identity that is asserted.
    /// Any other request is refused.
    pub(super) fn routed_over(
        &self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Option<Key> {
        let route = message.routes().next().and_then(Result::ok);
        let key = match route {
            // Without authentication there may be nobody in front who could know the token.
            None if self.is_open() => self.connection_by_name(from, message),
            route => route.and_then(|route| self.connection_of(ctx.now, &route.uri)),
        };
        let key = key.filter(|key| self.is_from_pcscf(*key, from));
        if key.is_none() {
            ctx.counters.wrong_route += 1;
            self.refuse(ctx, from, message, 403, |_| ());
        }
        key
    }

    /// Whether a request for a live connection comes from the P-CSCF that it passes.
    pub(super) fn is_from_pcscf(&self, key: Key, from: SocketAddr) -> bool {
        self.subscriptions
            .get(key)
            .is_some_and(|found| found.pcscf.get() == from && found.ending.is_none())
    }

    /// The strings of the dialog that a SUBSCRIBE forms, as its notifier keeps them: without its own tag, which is [`dialog_tag`].
    pub(super) fn dialog_blob(&mut self, message: &Message<'_>) -> Option<Handle> {
        let (from, to) = (message.from().ok()?, message.to().ok()?);
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, false, &mut routes).ok()?;
        let parts = DialogParts {
            call_id: message.call_id().ok()?,
            local_tag: b"",
            remote_tag: from.tag().unwrap_or_default(),
            local_uri: to.uri_text,
            remote_uri: from.uri_text,
            remote_target: message.contact().ok()??.uri_text,
            routes: &routes[..len],
        };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let len = parts.encode(&mut blob).ok()?;
        self.strings.store_packed(&[&blob[..len]]).ok()
    }

    /// The strings of a dialog that goes on by the way that a request inside it came: with its remote target and route set.
    pub(super) fn moved_dialog(
        &mut self,
        subject: Subject,
        message: &Message<'_>,
    ) -> Option<Handle> {
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, false, &mut routes).ok()?;
        let mut room = TextRoom::default();
        let parts = DialogParts {
            remote_target: message.contact().ok()??.uri_text,
            routes: &routes[..len],
            ..DialogParts::decode(self.strings.read(&self.watcher(subject)?.dialog, &mut room))
        };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let len = parts.encode(&mut blob).ok()?;
        self.strings.store_packed(&[&blob[..len]]).ok()
    }

    /// Whether a request is of the dialog that this tag of ours names.
    pub(super) fn is_dialog(&self, key: Key, whose: Whose, message: &Message<'_>) -> bool {
        let Some(subscription) = self.subscriptions.get(key) else { return false };
        let watcher = match whose {
            Whose::Ue => &subscription.ue,
            Whose::Pcscf => &subscription.watching_pcscf,
        };
        if !watcher.exists() {
            return false;
        }
        let mut room = TextRoom::default();
        let parts = DialogParts::decode(self.strings.read(&watcher.dialog, &mut room));
        message.call_id() == Ok(parts.call_id)
            && message
                .tag(HeaderName::From)
                .is_ok_and(|tag| tag.unwrap_or_default() == parts.remote_tag)
    }

    /// Whether a request without a To tag is the one that formed the P-CSCF's dialog.
    pub(super) fn is_dialog_request(&self, key: Key, message: &Message<'_>) -> bool {
        self.is_dialog(key, Whose::Pcscf, message)
    }
}

/// The subscription's place, and a mark of whose dialog it is.
const TAG_LEN: usize = 17;

/// Our tag in a subscription's dialog.
pub(super) fn dialog_tag(subject: Subject) -> [u8; TAG_LEN] {
    let mut tag = [0; TAG_LEN];
    let mut writer = imstorm_sip::Writer::new(&mut tag);
    let (key, mark) = match subject {
        Subject::Security(key, Whose::Ue) => (key, b"u"),
        Subject::Security(key, Whose::Pcscf) => (key, b"p"),
        Subject::Reg(key) => (key, b"r"),
    };
    writer.hex_u64(key.to_u64()).put(mark);
    tag
}

pub(super) fn read_tag(tag: &[u8]) -> Option<Subject> {
    let (place, mark) = tag.split_at_checked(16)?;
    let key = Key::from_u64(read_hex_u64(place)?);
    match mark {
        b"u" => Some(Subject::Security(key, Whose::Ue)),
        b"p" => Some(Subject::Security(key, Whose::Pcscf)),
        b"r" => Some(Subject::Reg(key)),
        _ => None,
    }
}
