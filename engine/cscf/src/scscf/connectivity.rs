//! Whether the UE of an earlier registration is still there (the second paper's section 3, second solution): asked by the access that it
//! registered over, when its user has registered over another one. By the subscription to the registration that the UE itself has there: only
//! the UE answers its NOTIFY. A UE that has none is sent OPTIONS by its binding.

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Method, Writer, dialog};

use super::Scscf;
use super::binding::BindingParts;
use super::notify::Subject;
use super::simultaneous::Simultaneous;
use super::subscription::Reason;
use crate::event::Context;
use crate::hss::UserId;

/// The check of a registration that is under way.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// None.
    #[default]
    None,
    /// By the next answer to a NOTIFY of this subscription to a registration, from this CSeq on: one before may have been sent, and answered,
    /// while the UE was still there.
    Notify(Key, u32),
    /// By the answer to OPTIONS, one of the S-CSCF's own requests.
    Options(Key),
}

impl Scscf {
    /// A registration has been made, and answered: those of the same user elsewhere are checked, one check of each at a time.
    pub(super) fn check_earlier(&mut self, ctx: &mut Context<'_>, user: UserId, made: Key) {
        if self.config.simultaneous != Simultaneous::ConnectivityCheck {
            return;
        }
        for key in self.earlier_registrations(user, made) {
            if self.check_of(key) == Check::None {
                ctx.counters.connectivity_checks += 1;
                self.begin_check(ctx, key);
            }
        }
    }

    fn begin_check(&mut self, ctx: &mut Context<'_>, connection: Key) {
        let watching = self.watching_over(connection);
        let usable = |key: &&Key| {
            self.reg_subscriptions.get(**key).is_some_and(|found| {
                found.ending.is_none() && !found.watcher.over && found.watcher.granted_s > 0
            })
        };
        let Some(key) = watching.iter().find(usable).copied() else {
            return self.check_by_options(ctx, connection);
        };
        // The new registration may have had it notified already, of the state as it is now.
        let is_told = self.reg_subscriptions.get(key).is_some_and(|it| it.watcher.is_behind());
        if !is_told {
            self.notify_subject(ctx, Subject::Reg(key));
        }
        let Some(found) = self.reg_subscriptions.get(key) else {
            // It could not be told, and is no more.
            return self.begin_check(ctx, connection);
        };
        let watcher = &found.watcher;
        let is_under_way = watcher.notifying && !watcher.notify_again;
        let from = watcher.local_cseq + u32::from(!is_under_way);
        self.set_check(connection, Check::Notify(key, from));
    }

    fn check_by_options(&mut self, ctx: &mut Context<'_>, connection: Key) {
        let mut text = [0; 2048];
        let asked = self.options_parts(connection, &mut text).and_then(|len| {
            let to = self.subscriptions.get(connection)?.pcscf.get();
            let parts = DialogParts::decode(&text[..len]);
            let (via, boot) = (self.via.clone(), self.config.boot);
            self.ask_own(ctx, to, |own, out| {
                let mut writer = dialog::request(&parts, Method::Options, 1, out);
                via.write_head(writer.header(HeaderName::Via));
                writer.hex_u64(own.to_u64()).hex_u64(boot).end();
                writer.finish().ok()
            })
        });
        // Without room nothing is learnt, and so nothing changes.
        let Some(asked) = asked else { return };
        if let Some(under_way) = self.notifications.get_mut(asked) {
            under_way.checks = Some(connection);
            self.set_check(connection, Check::Options(asked));
        }
    }

    /// The names of OPTIONS to the UE of a registration, as those of a dialog; their length in `out`.
    fn options_parts(&self, connection: Key, out: &mut [u8]) -> Option<usize> {
        let found = self.subscriptions.get(connection)?;
        let registration = self.registration_of(found)?;
        let binding = self.bindings.get(found.bindings?)?;
        let (mut room, mut path_room) = (TextRoom::default(), TextRoom::default());
        let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        let mut names = [0; 160];
        let mut writer = Writer::new(&mut names);
        writer.hex_u64(self.visible.hash(&connection.to_u64().to_be_bytes()));
        writer.hex_u64(self.bindings_made);
        let call_id = writer.len();
        writer.put(b"sip:").socket(self.config.mw);
        let len = writer.done().ok()?;
        let (call_id, own) = names[..len].split_at(call_id);
        let parts = DialogParts {
            call_id,
            local_tag: &call_id[..16],
            remote_tag: b"",
            local_uri: own,
            remote_uri: parts.impu,
            remote_target: parts.contact,
            routes: self.strings.read(&registration.path, &mut path_room),
        };
        parts.encode(out).ok()
    }

    /// The connection that an answer to this NOTIFY is the check of.
    pub(super) fn checked_by(&self, subject: Option<Subject>) -> Option<Key> {
        let Some(Subject::Reg(key)) = subject else { return None };
        let found = self.reg_subscriptions.get(key)?;
        let Check::Notify(by, from) = self.check_of(found.connection) else { return None };
        // Of the last one a UE that has left the subscription by itself may know nothing any more: that it has left says nothing.
        let counts = by == key && found.watcher.local_cseq >= from && !found.watcher.over;
        counts.then_some(found.connection)
    }

    /// A check is over, whatever it has found.
    pub(super) fn end_check(&mut self, connection: Key) {
        self.set_check(connection, Check::None);
    }

    /// The UE of a registration has registered again over its access: it is there, and what a check still finds is no news.
    pub(super) fn registers_again(&mut self, ctx: &mut Context<'_>, connection: Key) {
        match self.check_of(connection) {
            Check::None => return,
            Check::Notify(..) => {}
            Check::Options(asked) => {
                if let Some(under_way) = self.notifications.get_mut(asked) {
                    under_way.checks = None;
                }
            }
        }
        self.end_check(connection);
        ctx.counters.connectivity_alive += 1;
    }

    /// What a check has found: a final status, or none in time. Each check is counted as one or the other, be its registration over meanwhile or not.
    pub(super) fn checked(&mut self, ctx: &mut Context<'_>, connection: Key, status: Option<u16>) {
        // By these the P-CSCF says that its UE can't be reached, or knows nothing of it; any other answer is the UE's own (480: its user wants no
        // calls), or says nothing of it (503: others ask too much).
        if !matches!(status, None | Some(408 | 430 | 481)) {
            ctx.counters.connectivity_alive += 1;
            return;
        }
        ctx.counters.connectivity_dead += 1;
        self.end(ctx, connection, Reason::Deactivated);
    }

    /// A subscription to a registration is none of this connection's any more: a check by it is made another way.
    pub(super) fn check_otherwise(&mut self, ctx: &mut Context<'_>, connection: Key, gone: Key) {
        if !matches!(self.check_of(connection), Check::Notify(by, _) if by == gone) {
            return;
        }
        self.set_check(connection, Check::None);
        if self.subscriptions.get(connection).is_some_and(|found| found.ending.is_none()) {
            self.begin_check(ctx, connection);
        }
    }

    fn check_of(&self, connection: Key) -> Check {
        let found = self.subscriptions.get(connection).and_then(|it| self.registration_of(it));
        found.map_or(Check::None, |registration| registration.check)
    }

    fn set_check(&mut self, connection: Key, check: Check) {
        if let Some(registration) = self.registration_mut(connection) {
            registration.check = check;
        }
    }
}
