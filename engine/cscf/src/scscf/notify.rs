//! The notifier (RFC 6665 clause 4.2): tells UE and P-CSCF of the connection's state, and ends it.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::{Handle, Strings};
use imstorm_base::time::{NS_PER_S, Time};
use imstorm_sip::body::secinfo;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::NonInviteClient;
use imstorm_sip::transaction::non_invite_client::{Actions, Event};
use imstorm_sip::{DialogParts, Message, Method, Uri, Writer, dialog};

use super::subscription::{Reason, Subscription, Whose};
use super::{Scscf, ScscfAlarm, ScscfConfig, write_contact};
use crate::event::Context;
use crate::hss::IDENTITIES_BYTES_MAX;
use crate::identity::IdentityList;
use crate::mw::MwError;
use crate::proxy::{self, DEFAULT_PORT, read_hex_u64};

/// The longest secinfo body, in bytes.
const BODY_BYTES_MAX: usize = crate::hss::directory::BODY_BYTES_MAX;

/// A NOTIFY under way: its client transaction.
#[derive(Debug)]
pub struct Notification {
    subscription: Key,
    whose: Whose,
    client: NonInviteClient,
    to: SocketAddr,
    /// The request as sent, where it may have to be sent again.
    request: Handle,
}

impl Scscf {
    /// Tells a subscriber of the state as it is now. One NOTIFY at a time: a change meanwhile is told after its answer.
    pub(super) fn notify(&mut self, ctx: &mut Context<'_>, key: Key, whose: Whose) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let ending = subscription.ending.is_some();
        let watcher = subscription.watcher(whose);
        if !watcher.exists() || watcher.over {
            return;
        }
        if watcher.notifying {
            watcher.notify_again = true;
            return;
        }
        watcher.notify_again = false;
        watcher.local_cseq += 1;
        watcher.over = match whose {
            Whose::Ue => ending,
            Whose::Pcscf => ending || watcher.granted_s == 0,
        };
        let parts = DialogParts::decode(self.strings.get(&watcher.dialog));
        let to = dialog::next_hop(&parts)
            .ok()
            .and_then(|hop| Uri::parse(hop).ok())
            .and_then(|uri| uri.socket_addr(DEFAULT_PORT));
        let notification = to.and_then(|to| {
            let client = NonInviteClient::new();
            let request = Handle::EMPTY;
            let under_way = Notification { subscription: key, whose, client, to, request };
            self.notifications.insert(under_way).ok()
        });
        let Some(notification) = notification else {
            ctx.counters.table_full += 1;
            return self.notify_failed(ctx, key, whose);
        };
        let subscription = self.subscriptions.get_mut(key).expect("found above");
        subscription.watcher(whose).notifying = true;
        self.send_notify(ctx, key, whose, notification);
    }

    fn send_notify(&mut self, ctx: &mut Context<'_>, key: Key, whose: Whose, notification: Key) {
        let to = self.notifications.get(notification).expect("just inserted").to;
        let reliable = ctx.mw.is_reliable(to);
        let mut request = Handle::EMPTY;
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let user = self.subscriptions.get(key).expect("a subscription that notifies").user;
        let text = NotifyText {
            config: &self.config,
            identities: IdentityList::new(self.profile(user, &mut packed)),
            subscription: self.subscriptions.get(key).expect("a subscription that notifies"),
            now: ctx.now,
            key,
            whose,
            notification,
        };
        let strings = &mut self.strings;
        let sent = ctx.mw.send(self.config.mw, to, |out| {
            let len = text.write(strings, out)?;
            if !reliable {
                // A full pool costs this NOTIFY its retransmissions, not its first sending.
                request = strings.store(&out[..len]).unwrap_or_default();
            }
            Some(len)
        });
        ctx.counters.messages_out += u64::from(sent.is_ok());
        ctx.counters.queue_full += u64::from(sent == Err(MwError::Full));
        if sent == Err(MwError::NotWritten) {
            self.close(notification);
            return self.notify_failed(ctx, key, whose);
        }
        let under_way = self.notifications.get_mut(notification).expect("just inserted");
        under_way.request = request;
        let actions = under_way.client.start(&self.config.core, reliable);
        self.arm_client(ctx, notification, whose, &actions);
        let subscription = self.subscriptions.get_mut(key).expect("a subscription that notifies");
        subscription.watcher(whose).version += 1;
    }

    /// A response to a NOTIFY.
    pub(super) fn notify_response(&mut self, ctx: &mut Context<'_>, message: &Message<'_>) {
        let Some(key) = self.notification_of(message) else {
            ctx.counters.stray_response += 1;
            return;
        };
        let status = message.status();
        let under_way = self.notifications.get_mut(key).expect("a NOTIFY that was found");
        let event = Event::Response { is_final: status >= 200 };
        let actions = under_way.client.handle(event, &self.config.core);
        let whose = under_way.whose;
        self.arm_client(ctx, key, whose, &actions);
        if status < 200 {
            return;
        }
        let (subscription, whose) = self.close(key);
        if (200..300).contains(&status) {
            self.notified(ctx, subscription, whose);
        } else {
            self.notify_failed(ctx, subscription, whose);
        }
    }

    fn notification_of(&self, message: &Message<'_>) -> Option<Key> {
        let via = message.via().ok()?;
        (proxy::sent_by(&via)? == self.config.mw).then_some(())?;
        let (key, boot) = via.branch?.strip_prefix(b"z9hG4bK")?.split_at_checked(16)?;
        (read_hex_u64(boot)? == self.config.boot).then_some(())?;
        let key = Key::from_u64(read_hex_u64(key)?);
        self.notifications.get(key).map(|_| key)
    }

    /// Ends a NOTIFY's transaction; whose it was.
    fn close(&mut self, key: Key) -> (Key, Whose) {
        let done = self.notifications.remove(key).expect("a NOTIFY that was found");
        self.strings.release(done.request);
        if let Some(subscription) = self.subscriptions.get_mut(done.subscription) {
            subscription.watcher(done.whose).notifying = false;
        }
        (done.subscription, done.whose)
    }

    /// A subscriber has taken a NOTIFY.
    fn notified(&mut self, ctx: &mut Context<'_>, key: Key, whose: Whose) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        if subscription.watcher(whose).notify_again {
            return self.notify(ctx, key, whose);
        }
        if whose == Whose::Ue && subscription.ending.is_some() {
            // The P-CSCF ends its own subscription now; if it does not, it is told.
            self.arm(ctx, self.config.core.timer_f_ns(), ScscfAlarm::Release(key));
        }
        self.settle(ctx, key);
    }

    /// A subscriber can't be told, by 408, 430, 481 or silence: for the UE's connection that is the end (RFC 6665 clause 4.2.2).
    fn notify_failed(&mut self, ctx: &mut Context<'_>, key: Key, whose: Whose) {
        ctx.counters.notify_failed += 1;
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let watcher = subscription.watcher(whose);
        watcher.over = true;
        watcher.notify_again = false;
        if whose == Whose::Ue {
            if subscription.ending.is_none() {
                subscription.ending = Some(Reason::NoResource);
            }
            self.notify(ctx, key, Whose::Pcscf);
        }
        self.settle(ctx, key);
    }

    /// Ends a connection: the UE is told first, so that what is still under way ends on its security associations.
    pub(super) fn end(&mut self, ctx: &mut Context<'_>, key: Key, reason: Reason) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        if subscription.ending.is_some() {
            return;
        }
        subscription.ending = Some(reason);
        self.notify(ctx, key, Whose::Ue);
        self.settle(ctx, key);
    }

    /// The P-CSCF has ended its own subscription.
    pub(super) fn leave_pcscf(&mut self, ctx: &mut Context<'_>, key: Key) {
        self.notify(ctx, key, Whose::Pcscf);
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

    fn arm_client(&self, ctx: &mut Context<'_>, key: Key, whose: Whose, actions: &Actions) {
        if let Some(after_ns) = actions.arm_e {
            self.arm(ctx, after_ns, ScscfAlarm::TimerE(key));
        }
        if let Some(after_ns) = actions.arm_f {
            // The P-CSCF repeats a NOTIFY on the slower UE leg for as long as Timer F lasts there, and then answers 408.
            let after_ns = match whose {
                Whose::Ue => self.config.ue_leg.timer_f_ns() + self.config.core.t4_ns,
                Whose::Pcscf => after_ns,
            };
            self.arm(ctx, after_ns, ScscfAlarm::TimerF(key));
        }
    }

    pub(super) fn timer_e(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(under_way) = self.notifications.get_mut(key) else { return };
        let actions = under_way.client.handle(Event::TimerE, &self.config.core);
        let whose = under_way.whose;
        if actions.retransmit {
            let under_way = self.notifications.get(key).expect("found above");
            let bytes = self.strings.get(&under_way.request);
            ctx.counters.retransmissions_out += 1;
            self.send(ctx, under_way.to, |out| {
                out.get_mut(..bytes.len())?.copy_from_slice(bytes);
                (!bytes.is_empty()).then_some(bytes.len())
            });
        }
        self.arm_client(ctx, key, whose, &actions);
    }

    pub(super) fn timer_f(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.notifications.get(key).is_none() {
            return;
        }
        ctx.counters.transactions_timed_out += 1;
        let (subscription, whose) = self.close(key);
        self.notify_failed(ctx, subscription, whose);
    }
}

/// What a NOTIFY is written from.
struct NotifyText<'a> {
    config: &'a ScscfConfig,
    identities: IdentityList<'a>,
    subscription: &'a Subscription,
    now: Time,
    key: Key,
    whose: Whose,
    notification: Key,
}

impl NotifyText<'_> {
    fn write(&self, strings: &Strings, out: &mut [u8]) -> Option<usize> {
        let watcher = match self.whose {
            Whose::Ue => &self.subscription.ue,
            Whose::Pcscf => &self.subscription.watching_pcscf,
        };
        let mw = self.config.mw;
        let parts = DialogParts::decode(strings.get(&watcher.dialog));
        let mut writer = dialog::request(&parts, Method::Notify, watcher.local_cseq, out);
        writer.header(HeaderName::Via).put(b"SIP/2.0/UDP ").socket(mw);
        writer.put(b";branch=z9hG4bK").hex_u64(self.notification.to_u64());
        writer.hex_u64(self.config.boot).end();
        writer.header(HeaderName::Contact);
        write_contact(mw, self.key, self.subscription.secret, &mut writer);
        writer.end();
        writer.header(HeaderName::Event).text("security").end();
        writer.header(HeaderName::SubscriptionState);
        if watcher.over {
            let reason = self.subscription.ending.filter(|_| watcher.granted_s > 0);
            let reason = reason.unwrap_or(Reason::Timeout);
            writer.text("terminated;reason=").text(reason.as_str()).end();
            writer.header(HeaderName::Expires).decimal(0).end();
            return writer.finish().ok();
        }
        let remaining_s = seconds_until(self.now, watcher.expires_at);
        writer.text("active;expires=").decimal(remaining_s).end();
        // RFC 3265 has no Expires in NOTIFY; the paper names it, and deployed S-CSCFs send both.
        writer.header(HeaderName::Expires).decimal(remaining_s).end();
        let mut body = [0; BODY_BYTES_MAX];
        let len = self.write_body(watcher.version, &mut body)?;
        writer.finish_with_body(secinfo::CONTENT_TYPE, &body[..len]).ok()
    }

    fn write_body(&self, version: u32, out: &mut [u8]) -> Option<usize> {
        let mut session = [0; 16];
        let mut writer = Writer::new(&mut session);
        writer.hex_u64(self.key.to_u64());
        let remaining_s = seconds_until(self.now, self.subscription.ue.expires_at);
        let head = secinfo::Head {
            version,
            session: writer.as_written(),
            lifetime_s: u32::try_from(remaining_s).unwrap_or(u32::MAX),
        };
        let identities = self.identities.iter().map(|identity| secinfo::Identity {
            uri: identity.uri,
            is_default: identity.is_default,
            is_barred: identity.barred,
        });
        let mut body = Writer::new(out);
        secinfo::write(&mut body, &head, identities);
        body.done().ok()
    }
}

/// Whole seconds until `at`, rounded up.
fn seconds_until(now: Time, at: Time) -> u64 {
    at.saturating_sub(now).div_ceil(NS_PER_S)
}
