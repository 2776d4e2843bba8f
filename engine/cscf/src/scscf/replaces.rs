//! Replaces (RFC 3891). That document has it in INVITE only; for SUBSCRIBE, draft-jentz-subscribe-with-replaces extends it: a UE
//! takes a subscription over to another of its secure connections, and the one that it had before ends.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Replaces};

use super::Scscf;
use super::dialog::read_tag;
use super::notify::Subject;
use super::subscription::{Watcher, Whose};
use crate::event::Context;

impl Scscf {
    /// Refuses a request with a Replaces that may not be there (RFC 3891 clause 3). True where it was.
    pub(super) fn refuse_replaces(
        &self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> bool {
        let is_there = message.header(HeaderName::Replaces).is_some();
        if is_there {
            ctx.counters.replaces_refused += 1;
            self.refuse(ctx, from, message, 400, |_| ());
        }
        is_there
    }

    /// The subscription to a registration that a first SUBSCRIBE over `connection` replaces. It must be of the same user and about the
    /// same identity.
    ///
    /// # Errors
    /// The status that refuses the request.
    pub(super) fn replaced_reg(
        &self,
        message: &Message<'_>,
        connection: Key,
        aor: u64,
    ) -> Result<Option<Key>, u16> {
        let Some(replaces) = message.replaces().map_err(|_| 400_u16)? else { return Ok(None) };
        let Some(Subject::Reg(key)) = self.named_by(&replaces) else { return Err(481) };
        let found = self.reg_subscriptions.get(key).expect("a dialog that was found");
        if !self.is_same_user(found.connection, connection) {
            return Err(403);
        }
        if found.aor != aor {
            return Err(481);
        }
        is_confirmed(&replaces).map(|()| Some(key))
    }

    /// The connection that a refresh in the security dialog of `connection` replaces: another one of the same user.
    ///
    /// # Errors
    /// The status that refuses the request. One that names no dialog is refused by 603 and not by 481: a dialog that has ended is soon
    /// forgotten, so that the two are one (RFC 3891 clause 3), and 481 would end the dialog that it is sent in (RFC 5057 clause 5.1).
    pub(super) fn replaced_connection(
        &self,
        message: &Message<'_>,
        (connection, whose): (Key, Whose),
        asked_s: u32,
    ) -> Result<Option<Key>, u16> {
        let Some(replaces) = message.replaces().map_err(|_| 400_u16)? else { return Ok(None) };
        if whose == Whose::Pcscf || asked_s == 0 {
            return Err(400);
        }
        let Some(Subject::Security(key, Whose::Ue)) = self.named_by(&replaces) else {
            return Err(603);
        };
        if key == connection {
            return Err(400);
        }
        if !self.is_same_user(key, connection) {
            return Err(403);
        }
        is_confirmed(&replaces).map(|()| Some(key))
    }

    pub(super) fn is_same_user(&self, one: Key, other: Key) -> bool {
        let user_of = |key| self.subscriptions.get(key).map(|found| found.user);
        user_of(one).is_some() && user_of(one) == user_of(other)
    }

    /// The subscription whose dialog a Replaces names: its to-tag is ours.
    fn named_by(&self, replaces: &Replaces<'_>) -> Option<Subject> {
        let subject = read_tag(replaces.to_tag)?;
        let watcher = self.watcher(subject).filter(|watcher| Watcher::exists(watcher))?;
        let mut room = TextRoom::default();
        let parts = DialogParts::decode(self.strings.read(&watcher.dialog, &mut room));
        let is_named = parts.call_id == replaces.call_id && parts.remote_tag == replaces.from_tag;
        is_named.then_some(subject)
    }
}

/// A subscription is never early, so that one that may be replaced only while it is can't be (RFC 3891 clause 3).
fn is_confirmed(replaces: &Replaces<'_>) -> Result<(), u16> {
    match replaces.early_only {
        true => Err(486),
        false => Ok(()),
    }
}
