//! NOTIFYs that are put off: the subscriber has refused one for now, or there was no room for it.

use imstorm_base::time::seconds;

use super::notify::Subject;
use super::subscription::Whose;
use super::{Scscf, ScscfAlarm};
use crate::event::Context;

/// How long a NOTIFY that was refused, or for which there was no room, is put off.
const TELL_AGAIN_NS: u64 = seconds(5);
/// How often the NOTIFY of one state is put off. Then the subscriber hears of the next change, or by its next refresh.
const PUT_OFF_MAX: u8 = 3;

impl Scscf {
    /// A subscriber has refused a NOTIFY, by a status that does not say that it is gone: it may only be busy. Of an end it need not
    /// be told again.
    pub(super) fn notify_refused(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let Some(watcher) = self.watcher_mut(subject) else { return };
        if watcher.over {
            return self.notify_failed(ctx, subject);
        }
        if std::mem::take(&mut watcher.notify_again) {
            watcher.put_off = 0;
        }
        ctx.counters.notify_failed += 1;
        self.put_off(ctx, subject);
    }

    /// There was no room for a NOTIFY: it is as if it had not been begun.
    pub(super) fn not_sent(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let Some(watcher) = self.watcher_mut(subject) else { return };
        watcher.local_cseq -= 1;
        watcher.over = false;
        self.put_off(ctx, subject);
    }

    /// Tells a subscriber again later, a few times. Whoever can't be told of an end then is left alone; so is a P-CSCF, which must
    /// know whom it polices.
    fn put_off(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let must_know = self.ends(subject) || matches!(subject, Subject::Security(_, Whose::Pcscf));
        let Some(watcher) = self.watcher_mut(subject) else { return };
        if watcher.put_off == PUT_OFF_MAX {
            if must_know {
                self.give_up(ctx, subject);
            }
            return;
        }
        watcher.put_off += 1;
        watcher.must_tell = true;
        let armed = std::mem::replace(&mut watcher.tell_armed, true);
        ctx.counters.notify_put_off += 1;
        if !armed {
            self.arm(ctx, TELL_AGAIN_NS, ScscfAlarm::TellAgain(subject));
        }
    }

    /// Time to tell a subscriber what was put off, unless it has been told meanwhile.
    pub(super) fn tell_again(&mut self, ctx: &mut Context<'_>, subject: Subject) {
        let Some(watcher) = self.watcher_mut(subject) else { return };
        watcher.tell_armed = false;
        if watcher.must_tell {
            self.tell(ctx, subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use imstorm_base::io::Outbox;
    use imstorm_base::random::SecretRandom;
    use imstorm_base::timers::Timers;
    use imstorm_sip::transaction::Timings;

    use imstorm_base::slab::Key;
    use imstorm_base::time::Time;
    use imstorm_esp::{Lanes, SealBatch};
    use imstorm_sip::DialogParts;

    use super::super::ScscfConfig;
    use super::super::subscription::{Reason, Subscription, TokenSecret, Watcher};
    use super::*;
    use crate::armed::Armed;
    use crate::counters::Counters;
    use crate::event::Alarm;
    use crate::hss::derived::Derivation;
    use crate::hss::{Directory, UserId};
    use crate::look::Look;
    use crate::mw::MwQueue;

    /// An S-CSCF with one connection, and what is around it: a queue of one message.
    struct Scene {
        scscf: Scscf,
        key: Key,
        now: Time,
        outbox: Outbox,
        seals: SealBatch,
        mw: MwQueue,
        timers: Timers<Armed>,
        random: SecretRandom,
        counters: Counters,
    }

    impl Scene {
        fn new() -> Self {
            let [scscf_at, pcscf_at] =
                [6260, 6060].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            let derivation = Derivation::new(1, 4, "ims.example");
            let config = ScscfConfig {
                authentication: crate::Authentication::Aka,
                mw: scscf_at,
                icscf: None,
                shard: 0,
                service_route_header: false,
                renew_token: false,
                security_event: true,
                simultaneous: super::super::Simultaneous::Override,
                flows_max: 4,
                modified_impis_max: 0,
                binding_required_after_s: 0,
                realm: "ims.example".to_owned(),
                subscriptions_max: 4,
                strings_bytes: 65_536,
                expires_max_s: 600_000,
                expires_min_s: 60,
                core: Timings::CORE,
                ue_leg: Timings::UE_LEG,
                seed: 1,
                boot: 1,
            };
            let mut scscf = Scscf::new(config, Arc::new(Directory::derived(derivation)), [0; 16]);
            let parts = DialogParts {
                call_id: b"call",
                local_tag: b"here",
                remote_tag: b"there",
                local_uri: b"sip:ue00000001@ims.example",
                remote_uri: b"sip:127.0.0.1:6060",
                remote_target: b"sip:1@127.0.0.1:6060",
                routes: b"",
            };
            let mut blob = [0; 512];
            let len = parts.encode(&mut blob).unwrap();
            let mut watcher = || Watcher {
                dialog: scscf.strings.store_packed(&[&blob[..len]]).unwrap(),
                granted_s: 600,
                expires_at: seconds(1600),
                ..Watcher::default()
            };
            let (ue, watching_pcscf) = (watcher(), watcher());
            let subscription = Subscription {
                user: UserId(0),
                modified: None,
                registration: None,
                key: 7,
                secret: TokenSecret(7),
                earlier_secret: (TokenSecret(0), 0),
                contact: SocketAddr::from(([127, 16, 0, 1], 5060)).into(),
                pcscf: pcscf_at.into(),
                authenticated: None,
                ue,
                watching_pcscf,
                must_challenge: false,
                bindings: None,
                watching: None,
                sessions: None,
                unbound_until: Time::MAX,
                look: Look::default(),
                ending: None,
                next_of_user: None,
            };
            let key = scscf.subscriptions.insert(subscription).unwrap();
            Self {
                scscf,
                key,
                now: seconds(1000),
                outbox: Outbox::new(1, 4096),
                seals: SealBatch::new(Lanes::detect()),
                mw: MwQueue::new(1, vec![pcscf_at]),
                timers: Timers::new(&[]),
                random: SecretRandom::new([1; 32]),
                counters: Counters::default(),
            }
        }

        fn with<T>(&mut self, step: impl FnOnce(&mut Scscf, &mut Context<'_>, Key) -> T) -> T {
            let ctx = &mut Context {
                now: self.now,
                outbox: &mut self.outbox,
                seals: &mut self.seals,
                mw: &mut self.mw,
                timers: &mut self.timers,
                random: &mut self.random,
                counters: &mut self.counters,
                edits: None,
            };
            step(&mut self.scscf, ctx, self.key)
        }

        fn pass(&mut self, ns: u64) {
            self.now += ns;
            while let Some(Alarm::Scscf(alarm)) = self.timers.poll(self.now).map(Armed::get) {
                self.with(|scscf, ctx, _| scscf.alarm(ctx, alarm));
            }
        }

        /// The one message that is under way, as text.
        fn take(&mut self) -> Option<String> {
            let message = self.mw.take()?;
            let text = String::from_utf8_lossy(message.bytes()).into_owned();
            self.mw.release(message);
            Some(text)
        }

        fn fill(&mut self) {
            let at = self.scscf.config.mw;
            self.mw.send(at, at, |_| Some(0)).unwrap();
        }
    }

    #[test]
    fn what_found_no_room_is_told_when_there_is_some() {
        let mut scene = Scene::new();
        scene.fill();
        scene.with(|scscf, ctx, key| scscf.notify(ctx, key, Whose::Ue));
        assert_eq!((scene.counters.queue_full, scene.counters.notify_put_off), (1, 1));
        assert_eq!(scene.scscf.notifications.len(), 0, "nothing waits for Timer F");
        scene.take();
        scene.pass(TELL_AGAIN_NS - 1);
        assert_eq!(scene.take(), None);
        scene.pass(1);
        let notify = scene.take().expect("a NOTIFY");
        assert!(notify.contains("CSeq: 1 NOTIFY") && notify.contains("version=\"0\""), "{notify}");
        scene.pass(seconds(60));
        assert_eq!((scene.take(), scene.counters.notify_failed), (None, 0));
    }

    #[test]
    fn an_end_that_found_no_room_is_told_and_does_not_last_for_ever() {
        let mut scene = Scene::new();
        scene.fill();
        scene.with(|scscf, ctx, key| scscf.end(ctx, key, Reason::Deactivated));
        scene.take();
        scene.pass(TELL_AGAIN_NS);
        let notify = scene.take().expect("a NOTIFY");
        assert!(notify.contains("terminated;reason=deactivated"), "{notify}");
        let mut scene = Scene::new();
        scene.fill();
        scene.with(|scscf, ctx, key| scscf.end(ctx, key, Reason::Deactivated));
        for _ in 0..6 {
            scene.pass(TELL_AGAIN_NS);
        }
        assert_eq!((scene.scscf.subscriptions.len(), scene.scscf.strings.used_bytes()), (0, 0));
    }

    #[test]
    fn a_pcscf_that_can_not_be_told_costs_the_connection() {
        let mut scene = Scene::new();
        scene.fill();
        scene.with(|scscf, ctx, key| scscf.notify(ctx, key, Whose::Pcscf));
        for _ in 0..3 {
            scene.pass(TELL_AGAIN_NS);
        }
        assert_eq!((scene.counters.notify_put_off, scene.counters.unwatched_ended), (4, 1));
        scene.take();
        scene.pass(TELL_AGAIN_NS);
        let notify = scene.take().expect("a NOTIFY to the UE");
        assert!(notify.contains("terminated;reason=noresource"), "{notify}");
    }
}
