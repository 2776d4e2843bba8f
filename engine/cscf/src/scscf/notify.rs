//! The notifier (RFC 6665 clause 4.2): tells UE and P-CSCF of the connection's state, and ends it; tells UEs of registrations.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::body::reginfo::ContactEvent;
use imstorm_sip::body::{reginfo, secinfo};
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::NonInviteClient;
use imstorm_sip::transaction::non_invite_client::{Actions, Event};
use imstorm_sip::{DialogParts, Message, Method, Room, Uri, Writer, dialog};

use super::dialog::dialog_tag;
use super::reg_event::RegSubscription;
use super::registrar::seconds_until;
use super::session::Branch;
use super::subscription::{Reason, Subscription, TokenSecret, Watcher, Whose};
use super::{Scscf, ScscfAlarm, ScscfConfig, write_contact};
use crate::event::Context;
use crate::hss::IdentitiesRoom;
use crate::identity::IdentityList;
use crate::mw::MwError;
use crate::proxy::{DEFAULT_PORT, read_hex_u64};
use crate::via::OurVia;

/// The longest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = crate::hss::directory::BODY_BYTES_MAX;

/// What a NOTIFY is about, and who is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A secure connection: its UE, or its P-CSCF.
    Security(Key, Whose),
    /// What is bound to an identity: a UE.
    Reg(Key),
}

/// A request of the S-CSCF's own that is under way: its client transaction.
#[derive(Debug)]
pub struct Notification {
    /// What is told of, and to whom. `None`: it ends a session, or an INVITE, and its answer changes nothing.
    subject: Option<Subject>,
    client: NonInviteClient,
    to: SocketAddr,
    /// The request as sent, where it may have to be sent again.
    request: Handle,
    /// The registration whose UE its answer is to show alive.
    pub(super) checks: Option<Key>,
}

impl Scscf {
    /// Tells a subscriber of a connection's state as it is now.
    pub(super) fn notify(&mut self, ctx: &mut Context<'_>, key: Key, whose: Whose) {
        self.notify_subject(ctx, Subject::Security(key, whose));
    }

    /// A change, or a refresh: tells a subscriber of the state as it is now.
    pub(super) fn notify_subject(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        if let Some(watcher) = self.watcher_mut(subject) {
            watcher.put_off = 0;
            self.tell(ctx, subject);
        }
    }

    /// One NOTIFY at a time: a change meanwhile is told after its answer.
    pub(super) fn tell(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let ends = self.ends(subject);
        let Some(watcher) = self.watcher_mut(subject) else { return };
        if !watcher.exists() || watcher.over {
            return;
        }
        if watcher.notifying {
            watcher.notify_again = true;
            return;
        }
        watcher.notify_again = false;
        watcher.must_tell = false;
        watcher.local_cseq += 1;
        watcher.over = ends;
        let watcher = self.watcher(subject).expect("found above");
        let mut room = TextRoom::default();
        let parts = DialogParts::decode(self.strings.read(&watcher.dialog, &mut room));
        let to = dialog::next_hop(&parts)
            .ok()
            .and_then(|hop| Uri::parse(hop).ok())
            .and_then(|uri| uri.socket_addr(DEFAULT_PORT));
        let Some(to) = to else { return self.notify_failed(ctx, subject) };
        let client = NonInviteClient::new();
        let subject_told = Some(subject);
        let under_way = Notification {
            subject: subject_told,
            client,
            to,
            request: Handle::EMPTY,
            checks: None,
        };
        let Ok(notification) = self.notifications.insert(under_way) else {
            ctx.counters.table_full += 1;
            return self.not_sent(ctx, subject);
        };
        let watcher = self.watcher_mut(subject).expect("found above");
        watcher.notifying = true;
        watcher.notification = Some(notification);
        self.send_notify(ctx, subject, notification);
    }

    /// Whether the next NOTIFY is the last one.
    pub(super) fn ends(&self, subject: Subject) -> bool {
        match subject {
            Subject::Security(key, whose) => self.subscriptions.get(key).is_some_and(|found| {
                found.ending.is_some()
                    || (whose == Whose::Pcscf && found.watching_pcscf.granted_s == 0)
            }),
            Subject::Reg(key) => self
                .reg_subscriptions
                .get(key)
                .is_some_and(|found| found.ending.is_some() || found.watcher.granted_s == 0),
        }
    }

    pub(super) fn watcher(&self, subject: Subject) -> Option<&Watcher> {
        watcher_of(&self.subscriptions, &self.reg_subscriptions, subject)
    }

    pub(super) fn watcher_mut(&mut self, subject: Subject) -> Option<&mut Watcher> {
        match subject {
            Subject::Security(key, whose) => {
                self.subscriptions.get_mut(key).map(|it| it.watcher(whose))
            }
            Subject::Reg(key) => self.reg_subscriptions.get_mut(key).map(|it| &mut it.watcher),
        }
    }

    fn send_notify(&mut self, ctx: &mut Context<'_>, subject: Subject, notification: Key) {
        let to = self.notifications.get(notification).expect("just inserted").to;
        let reliable = ctx.mw.is_reliable(to);
        let mut request = Handle::EMPTY;
        let mut body = std::mem::take(&mut self.body);
        let text = self.notify_text(ctx.now, subject, &mut body);
        let watcher = watcher_of(&self.subscriptions, &self.reg_subscriptions, subject);
        let strings = &mut self.strings;
        let sent = ctx.mw.send(self.config.mw, to, |mut out| {
            let (text, watcher) = text.as_ref().zip(watcher)?;
            let mut room = TextRoom::default();
            let tag = dialog_tag(subject);
            let dialog = DialogParts {
                local_tag: &tag,
                ..DialogParts::decode(strings.read(&watcher.dialog, &mut room))
            };
            let len = text.write(
                (&self.config, &self.via),
                notification,
                &dialog,
                watcher,
                &body,
                out.lend(),
            )?;
            if !reliable {
                // A full pool costs this NOTIFY its retransmissions, not its first sending.
                request = strings.store(&out.bytes()[..len]).unwrap_or_default();
            }
            Some(len)
        });
        self.body = body;
        ctx.counters.messages_out += u64::from(sent.is_ok());
        match sent {
            Ok(()) => {}
            Err(MwError::Full) => {
                ctx.counters.queue_full += 1;
                self.close_own(notification);
                return self.not_sent(ctx, subject);
            }
            Err(MwError::NotWritten) => {
                self.close_own(notification);
                return self.notify_failed(ctx, subject);
            }
        }
        let under_way = self.notifications.get_mut(notification).expect("just inserted");
        under_way.request = request;
        let actions = under_way.client.start(&self.config.core, reliable);
        self.arm_client(ctx, notification, Some(subject), &actions);
        self.watcher_mut(subject).expect("a subscription that notifies").version += 1;
    }

    /// A response to a NOTIFY, or to a request that was passed on.
    pub(super) fn response(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let Some(key) = self.notification_of(message) else {
            return match self.via.branch_in(message).and_then(Branch::read) {
                Some(branch) => self.session_response(ctx, from, message, branch),
                None if self.flow_answered(ctx, message) => {}
                None => self.pass_back(ctx, message),
            };
        };
        let status = message.status();
        let under_way = self.notifications.get(key).expect("a NOTIFY that was found");
        let checks = under_way.checks.or_else(|| self.checked_by(under_way.subject));
        if checks.is_some() && under_way.to != from {
            ctx.counters.connectivity_astray += 1;
            return;
        }
        let under_way = self.notifications.get_mut(key).expect("a NOTIFY that was found");
        let event = Event::Response { is_final: status >= 200 };
        let actions = under_way.client.handle(event, &self.config.core);
        let subject = under_way.subject;
        self.arm_client(ctx, key, subject, &actions);
        if status < 200 {
            return;
        }
        let subject = self.close_own(key);
        if let Some(connection) = checks {
            self.end_check(connection);
        }
        match (subject, status) {
            (None, _) => {}
            (Some(subject), 200..=299) => self.notified(ctx, subject),
            (Some(subject), status) if is_gone(status) => self.notify_failed(ctx, subject),
            (Some(subject), _) => self.notify_refused(ctx, subject),
        }
        if let Some(connection) = checks {
            self.checked(ctx, connection, Some(status));
        }
    }

    /// Sends a request whose answer changes nothing, again until there is one. `write` gets the key that its branch may have.
    pub(super) fn ask_own(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        write: impl FnOnce(Key, Room<'_>) -> Option<usize>,
    ) -> Option<Key> {
        let reliable = ctx.mw.is_reliable(to);
        self.ask_over(ctx, to, reliable, write)
    }

    /// As [`Scscf::ask_own`], where a hop behind the next one may lose it.
    pub(super) fn ask_lossy(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        write: impl FnOnce(Key, Room<'_>) -> Option<usize>,
    ) -> Option<Key> {
        self.ask_over(ctx, to, false, write)
    }

    fn ask_over(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        reliable: bool,
        write: impl FnOnce(Key, Room<'_>) -> Option<usize>,
    ) -> Option<Key> {
        let client = NonInviteClient::new();
        let asked =
            Notification { subject: None, client, to, request: Handle::EMPTY, checks: None };
        let Ok(key) = self.notifications.insert(asked) else {
            // Without a transaction it is sent once, and its answer is a stray one.
            ctx.counters.table_full += 1;
            self.send(ctx, to, |out| write(Key::from_u64(u64::MAX), out));
            return None;
        };
        let mut request = Handle::EMPTY;
        let strings = &mut self.strings;
        let sent = ctx.mw.send(self.config.mw, to, |mut out| {
            let len = write(key, out.lend())?;
            if !reliable {
                request = strings.store(&out.bytes()[..len]).unwrap_or_default();
            }
            Some(len)
        });
        if sent.is_err() {
            ctx.counters.queue_full += u64::from(sent == Err(MwError::Full));
            self.close_own(key);
            return None;
        }
        ctx.counters.messages_out += 1;
        let under_way = self.notifications.get_mut(key).expect("just inserted");
        under_way.request = request;
        let actions = under_way.client.start(&self.config.core, reliable);
        self.arm_client(ctx, key, None, &actions);
        Some(key)
    }

    fn notification_of(&self, message: &Message<'_>) -> Option<Key> {
        let (key, boot) = self.via.branch_in(message)?.split_at_checked(16)?;
        (read_hex_u64(boot)? == self.config.boot).then_some(())?;
        let key = Key::from_u64(read_hex_u64(key)?);
        self.notifications.get(key).map(|_| key)
    }

    /// Ends the transaction of a request of our own; what it told of.
    pub(super) fn close_own(&mut self, key: Key) -> Option<Subject> {
        let done = self.notifications.remove(key)?;
        self.strings.release(done.request);
        if let Some(watcher) = done.subject.and_then(|subject| self.watcher_mut(subject)) {
            watcher.notifying = false;
        }
        done.subject
    }

    /// Gives up the NOTIFY that is under way to a subscriber who has gone another way: nothing more of it is sent, nor waited for.
    pub(super) fn abandon_notify(&mut self, subject: Subject) {
        let last = self.watcher(subject).and_then(|watcher| watcher.notification);
        if let Some(key) = last.filter(|key| self.notifications.get(*key).is_some()) {
            self.close_own(key);
        }
    }

    /// A subscriber has taken a NOTIFY.
    fn notified(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let Some(watcher) = self.watcher(subject) else { return };
        let over = watcher.over;
        if watcher.notify_again {
            return self.notify_subject(ctx, subject);
        }
        match subject {
            Subject::Security(key, whose) => {
                if whose == Whose::Ue && over {
                    // The P-CSCF ends its own subscription now; if it does not, it is told.
                    self.arm(ctx, self.config.core.timer_f_ns(), ScscfAlarm::Release(key));
                }
                self.settle(ctx, key);
            }
            Subject::Reg(key) if over => self.drop_reg(ctx, key),
            Subject::Reg(_) => {}
        }
    }

    /// A subscriber can't be told: it has said that it is gone, or nothing (RFC 6665 clause 4.2.2).
    pub(super) fn notify_failed(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        ctx.counters.notify_failed += 1;
        self.give_up(ctx, subject);
    }

    /// Ends a subscription whose subscriber can't be told. For the UE's connection that is the end, and for everything that runs
    /// over it.
    pub(super) fn give_up(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let (key, whose) = match subject {
            Subject::Security(key, whose) => (key, whose),
            Subject::Reg(key) => return self.drop_reg(ctx, key),
        };
        let Some(watcher) = self.watcher_mut(subject) else { return };
        watcher.over = true;
        watcher.notify_again = false;
        watcher.must_tell = false;
        if whose == Whose::Ue {
            let subscription = self.subscriptions.get_mut(key).expect("found above");
            if subscription.ending.is_none() {
                subscription.ending = Some(Reason::NoResource);
                self.release_sessions_over(ctx, key, false);
                self.end_what_runs_over(ctx, key, Reason::NoResource, ContactEvent::Deactivated);
            }
            self.notify(ctx, key, Whose::Pcscf);
        } else {
            self.end_unwatched(ctx, key);
        }
        self.settle(ctx, key);
    }

    /// A P-CSCF that is told nothing can't police what its UE does, nor end the security associations: the connection ends, and the
    /// UE may make another.
    pub(super) fn end_unwatched(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.subscriptions.get(key).is_some_and(|found| found.ending.is_none()) {
            ctx.counters.unwatched_ended += 1;
            self.end(ctx, key, Reason::NoResource);
        }
    }

    /// Ends a connection (F5, F6): what runs over it ends first, then the UE is told, so that what is still under way ends on its
    /// security associations.
    pub(super) fn end(&mut self, ctx: &mut Context<'_>, key: Key, reason: Reason) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        if subscription.ending.is_some() {
            return;
        }
        subscription.ending = Some(reason);
        let event = match reason {
            Reason::Timeout if subscription.ue.granted_s == 0 => ContactEvent::Unregistered,
            Reason::Timeout => ContactEvent::Expired,
            Reason::NoResource | Reason::Deactivated => ContactEvent::Deactivated,
            Reason::Rejected => ContactEvent::Rejected,
        };
        self.release_sessions_over(ctx, key, true);
        self.end_what_runs_over(ctx, key, reason, event);
        self.notify(ctx, key, Whose::Ue);
        self.settle(ctx, key);
    }

    /// The P-CSCF has ended its own subscription.
    pub(super) fn leave_pcscf(&mut self, ctx: &mut Context<'_>, key: Key) {
        self.notify(ctx, key, Whose::Pcscf);
        self.end_unwatched(ctx, key);
        self.settle(ctx, key);
    }

    fn settle(&mut self, ctx: &mut Context<'_>, key: Key) {
        let done = self.subscriptions.get(key).is_some_and(|subscription| {
            subscription.ending.is_some()
                && subscription.ue.is_done()
                && subscription.watching_pcscf.is_done()
        });
        if done {
            self.drop_subscription(ctx, key);
        }
    }

    /// A connection has ended, and its P-CSCF has not left by itself: it is told, and then forgotten.
    pub(super) fn release_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(subscription) = self.subscriptions.get(key) else { return };
        if subscription.watching_pcscf.over {
            return self.drop_subscription(ctx, key);
        }
        self.notify(ctx, key, Whose::Pcscf);
        self.arm(ctx, 2 * self.config.core.timer_f_ns(), ScscfAlarm::Release(key));
    }

    fn arm_client(
        &self,
        ctx: &mut Context<'_>,
        key: Key,
        subject: Option<Subject>,
        actions: &Actions,
    ) {
        if let Some(after_ns) = actions.arm_e {
            self.arm(ctx, after_ns, ScscfAlarm::TimerE(key));
        }
        if let Some(after_ns) = actions.arm_f {
            // The P-CSCF repeats a NOTIFY on the slower UE leg for as long as Timer F lasts there, and then answers 408.
            let after_ns = match subject {
                Some(Subject::Security(_, Whose::Pcscf)) => after_ns,
                _ => self.config.ue_leg.timer_f_ns() + self.config.core.t4_ns,
            };
            self.arm(ctx, after_ns, ScscfAlarm::TimerF(key));
        }
    }

    pub(super) fn timer_e(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(under_way) = self.notifications.get_mut(key) else { return };
        let actions = under_way.client.handle(Event::TimerE, &self.config.core);
        let subject = under_way.subject;
        if actions.retransmit {
            let under_way = self.notifications.get(key).expect("found above");
            let bytes = self.strings.get(&under_way.request);
            ctx.counters.retransmissions_out += 1;
            self.send(
                ctx,
                under_way.to,
                |out| {
                    if bytes.is_empty() { None } else { out.copy(bytes) }
                },
            );
        }
        self.arm_client(ctx, key, subject, &actions);
    }

    pub(super) fn timer_f(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.notifications.get(key).is_none() {
            return;
        }
        ctx.counters.transactions_timed_out += 1;
        let under_way = self.notifications.get(key).expect("found above");
        let checks = under_way.checks.or_else(|| self.checked_by(under_way.subject));
        let subject = self.close_own(key);
        if let Some(connection) = checks {
            self.end_check(connection);
        }
        if let Some(subject) = subject {
            self.notify_failed(ctx, subject);
        }
        if let Some(connection) = checks {
            self.checked(ctx, connection, None);
        }
    }

    /// What a NOTIFY says, its body in `body`. `None` where that does not fit.
    fn notify_text(&self, now: Time, subject: Subject, body: &mut [u8]) -> Option<NotifyText> {
        let watcher = self.watcher(subject)?;
        let (connection, event, content_type, ending) = match subject {
            Subject::Security(key, _) if self.is_registration(key) => {
                let ending = self.subscriptions.get(key)?.ending;
                (key, "reg", reginfo::CONTENT_TYPE, ending)
            }
            Subject::Security(key, _) => {
                let ending = self.subscriptions.get(key)?.ending;
                (key, "security", secinfo::CONTENT_TYPE, ending)
            }
            Subject::Reg(key) => {
                let found = self.reg_subscriptions.get(key)?;
                (found.connection, "reg", reginfo::CONTENT_TYPE, found.ending)
            }
        };
        let body_len = match subject {
            Subject::Security(key, _) if self.is_registration(key) => {
                self.write_registration(now, key, watcher.version, body)?
            }
            // The last NOTIFY of a connection has nothing more to say.
            Subject::Security(..) if watcher.over => 0,
            Subject::Security(key, _) => self.write_secinfo(now, key, watcher.version, body)?,
            Subject::Reg(key) => self.write_reginfo(now, key, body)?,
        };
        Some(NotifyText {
            connection,
            secret: self.subscriptions.get(connection)?.secret,
            event,
            remaining_s: seconds_until(now, watcher.expires_at),
            // A subscriber that has left is told so, whatever else ends.
            reason: ending.filter(|_| watcher.granted_s > 0).unwrap_or(Reason::Timeout),
            content_type,
            body_len,
        })
    }

    fn write_secinfo(&self, now: Time, key: Key, version: u32, out: &mut [u8]) -> Option<usize> {
        let subscription = self.subscriptions.get(key)?;
        let mut packed = IdentitiesRoom::default();
        let identities = IdentityList::new(self.profile(subscription.user, &mut packed));
        let mut session = [0; 16];
        let mut writer = Writer::new(&mut session);
        writer.hex_u64(key.to_u64());
        let remaining_s = seconds_until(now, subscription.ue.expires_at);
        let head = secinfo::Head {
            version,
            session: writer.as_written(),
            lifetime_s: u32::try_from(remaining_s).unwrap_or(u32::MAX),
        };
        let identities = identities.iter().map(|identity| secinfo::Identity {
            uri: identity.uri,
            is_default: identity.is_default,
            is_barred: identity.barred,
        });
        let mut body = Writer::new(out);
        secinfo::write(&mut body, &head, identities);
        body.done().ok()
    }
}

/// Whether an answer to a NOTIFY says that its subscriber is gone: RFC 6665 clause 4.2.2, and 408 and 430 of a P-CSCF that can't
/// reach its UE.
fn is_gone(status: u16) -> bool {
    matches!(status, 404 | 405 | 408 | 410 | 416 | 430 | 480..=485 | 489 | 501 | 604)
}

/// The subscriber's side of a subscription.
fn watcher_of<'a>(
    subscriptions: &'a Slab<Subscription>,
    reg_subscriptions: &'a Slab<RegSubscription>,
    subject: Subject,
) -> Option<&'a Watcher> {
    match subject {
        Subject::Security(key, Whose::Ue) => subscriptions.get(key).map(|it| &it.ue),
        Subject::Security(key, Whose::Pcscf) => subscriptions.get(key).map(|it| &it.watching_pcscf),
        Subject::Reg(key) => reg_subscriptions.get(key).map(|it| &it.watcher),
    }
}

/// What a NOTIFY says.
struct NotifyText {
    /// The connection that it goes over, and its token.
    connection: Key,
    secret: TokenSecret,
    event: &'static str,
    remaining_s: u64,
    /// Why it is the last one, if it is.
    reason: Reason,
    content_type: &'static str,
    body_len: usize,
}

impl NotifyText {
    fn write(
        &self,
        (config, via): (&ScscfConfig, &OurVia),
        notification: Key,
        dialog: &DialogParts<'_>,
        watcher: &Watcher,
        body: &[u8],
        out: Room<'_>,
    ) -> Option<usize> {
        let mut writer = dialog::request(dialog, Method::Notify, watcher.local_cseq, out);
        via.write_head(writer.header(HeaderName::Via));
        writer.hex_u64(notification.to_u64()).hex_u64(config.boot).end();
        writer.header(HeaderName::Contact);
        write_contact(config.mw, self.connection, self.secret, &mut writer);
        writer.end();
        writer.header(HeaderName::Event).text(self.event).end();
        writer.header(HeaderName::SubscriptionState);
        let remaining_s = if watcher.over { 0 } else { self.remaining_s };
        if watcher.over {
            writer.text("terminated;reason=").text(self.reason.as_str()).end();
        } else {
            writer.text("active;expires=").decimal(remaining_s).end();
        }
        // RFC 3265 has no Expires in NOTIFY; the paper names it, and deployed S-CSCFs send both.
        writer.header(HeaderName::Expires).decimal(remaining_s).end();
        match &body[..self.body_len] {
            [] => writer.finish().ok(),
            body => writer.finish_with_body(self.content_type, body).ok(),
        }
    }
}
