//! Whether a refresh shows that its sender still knows the key (RFC 2617 clause 3.2.2), and the challenge where it does not, or the
//! network wants one.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_sip::Message;

use super::Scscf;
use super::challenge::{Challenged, count_of};
use super::security_event::is_protected;
use super::subscription::Authenticated;
use crate::event::Context;
use crate::hss::Hss;

impl Scscf {
    /// Lets a refresh of the UE pass if it shows that its sender still knows the key; else answers it. True where it passes.
    pub(super) fn admit_refresh(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
        key: Key,
        cseq: u32,
    ) -> bool {
        let subscription = self.subscriptions.get(key).expect("a dialog that was found");
        let (user, modified) = (subscription.user, subscription.modified);
        let request = subscription.key;
        if let Some(challenge) = self.challenge_of(user, request)
            && self.challenges.get(challenge).is_some_and(|found| found.cseq == cseq)
        {
            self.repeat_challenge(ctx, from, message, challenge, false);
            return false;
        }
        let mut whom =
            Challenged { user, modified, key: request, cseq, is_live: true, stale: false };
        match self.check_refresh(key, message) {
            Refresh::Right { nc } => {
                let subscription = self.subscriptions.get_mut(key).expect("found above");
                if let Some(authenticated) = &mut subscription.authenticated {
                    authenticated.nc = nc;
                }
                return true;
            }
            Refresh::Answers(challenge, authenticated) => {
                self.drop_challenge(challenge);
                let subscription = self.subscriptions.get_mut(key).expect("found above");
                subscription.authenticated = Some(authenticated);
                subscription.must_challenge = false;
                ctx.counters.reauthenticated += 1;
                return true;
            }
            Refresh::Unprotected => {
                ctx.counters.unprotected_refused += 1;
                self.refuse(ctx, from, message, 403, |_| ());
                return false;
            }
            Refresh::OutOfRange(challenge) => {
                if let Ok(Some(credentials)) = message.authorization() {
                    self.resynchronise(ctx, hss, challenge, &credentials);
                }
            }
            Refresh::Challenge { stale, wrong } => {
                ctx.counters.stale_nonce += u64::from(stale);
                ctx.counters.authentication_failed += u64::from(wrong);
                whom.stale = stale;
            }
        }
        self.send_challenge(ctx, hss, from, message, &whom);
        false
    }

    /// Whether a refresh shows that its sender still knows the key.
    fn check_refresh(&self, key: Key, message: &Message<'_>) -> Refresh {
        let subscription = self.subscriptions.get(key).expect("a dialog that was found");
        let Ok(Some(credentials)) = message.authorization() else {
            return Refresh::Challenge { stale: false, wrong: false };
        };
        if !is_protected(&credentials) {
            return Refresh::Unprotected;
        }
        if let Some(challenge) = self.challenge_of(subscription.user, subscription.key)
            && self.challenge_has_nonce(challenge, &credentials)
        {
            if credentials.auts.is_some() {
                return Refresh::OutOfRange(challenge);
            }
            return match self.answered(challenge, &credentials, message) {
                Some(authenticated) => Refresh::Answers(challenge, authenticated),
                None => Refresh::Challenge { stale: false, wrong: true },
            };
        }
        let Some(last) = &subscription.authenticated else {
            return Refresh::Challenge { stale: false, wrong: false };
        };
        if !last.is_nonce(&credentials) {
            return Refresh::Challenge { stale: true, wrong: false };
        }
        if subscription.must_challenge {
            return Refresh::Challenge { stale: false, wrong: false };
        }
        if last.agrees(&credentials, message, last.nc) {
            return Refresh::Right { nc: count_of(&credentials).unwrap_or(last.nc) };
        }
        Refresh::Challenge { stale: false, wrong: true }
    }
}

/// What a refresh shows.
enum Refresh {
    /// The right response over the nonce in force.
    Right { nc: u32 },
    /// The right answer to a running challenge.
    Answers(Key, Authenticated),
    /// It did not come through a security association.
    Unprotected,
    /// The sequence number of a running challenge is out of range; it comes with AUTS.
    OutOfRange(Key),
    /// No or a wrong response, or a nonce that is not in force.
    Challenge { stale: bool, wrong: bool },
}
