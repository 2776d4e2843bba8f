//! Authentication (TS 24.229 clause 5.4.1.2, TS 33.203 clause 6.1, RFC 3310): challenges, and whether their answers are right.

use std::net::SocketAddr;

use imstorm_aka::{
    DigestInput, NONCE_TEXT_LEN, Qop, decode_auts, decode_nonce, encode_nonce, response, verify,
};
use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Credentials, Message};

use super::subscription::{Authenticated, Challenge};
use super::{AWAIT_AUTH_NS, Scscf, ScscfAlarm};
use crate::event::Context;
use crate::hss::{Hss, UserId};
use crate::pcscf::LOOK_AGAIN_NS;

/// Whom a challenge is for.
pub(super) struct Challenged {
    pub user: UserId,
    /// The modified private identity by which it came.
    pub modified: Option<Key>,
    /// Of (private identity, Call-ID, From tag).
    pub key: u64,
    pub cseq: u32,
    /// It is for the refresh of a live connection, not for a first request.
    pub is_live: bool,
    /// The nonce that the user gave is not in force any more (RFC 2617 clause 3.2.1).
    pub stale: bool,
}

impl Scscf {
    /// The challenge that waits under this key, if it is this user's: keys of two users may collide.
    pub(super) fn challenge_of(&self, user: UserId, key: u64) -> Option<Key> {
        let place = self.by_challenge.find(key, |place| {
            self.challenges
                .key_at(place)
                .and_then(|found| self.challenges.get(found))
                .is_some_and(|challenge| challenge.key == key && challenge.user == user)
        })?;
        self.challenges.key_at(place)
    }

    /// 401 with a fresh vector, which takes the place of an older challenge under the same key.
    pub(super) fn send_challenge(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        to: SocketAddr,
        message: &Message<'_>,
        whom: &Challenged,
    ) {
        let known = self.challenge_of(whom.user, whom.key);
        let room = self.config.subscriptions_max;
        if known.is_none() && !whom.is_live && self.challenges.len() >= room {
            // Nobody's pending challenge makes room for somebody else's first request.
            ctx.counters.table_full += 1;
            return self.refuse(ctx, to, message, 503, |out| {
                out.header(HeaderName::RetryAfter).decimal(10).end();
            });
        }
        let mut rand = [0; 16];
        ctx.random.bytes(&mut rand);
        let vector = hss.multimedia_auth(whom.user, rand);
        let challenge = Challenge {
            user: whom.user,
            modified: whom.modified,
            key: whom.key,
            vector,
            cseq: whom.cseq,
            expires_at: ctx.now + AWAIT_AUTH_NS,
        };
        let key = match known {
            Some(key) => {
                *self.challenges.get_mut(key).expect("a challenge that was found") = challenge;
                key
            }
            None => {
                let key = self.challenges.insert(challenge).expect("a live connection's room");
                self.use_again(whom.modified);
                let indexed = self.by_challenge.insert(whom.key, key.index).is_ok();
                assert!(indexed, "the index has room for as many as the slab");
                self.arm(ctx, LOOK_AGAIN_NS, ScscfAlarm::Challenge(key));
                key
            }
        };
        ctx.counters.challenges += 1;
        self.repeat_challenge(ctx, to, message, key, whom.stale);
    }

    /// The 401 of a challenge that waits.
    pub(super) fn repeat_challenge(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        key: Key,
        stale: bool,
    ) {
        let challenge = self.challenges.get(key).expect("a challenge that was found");
        let vector = &challenge.vector;
        let mut nonce = [0; NONCE_TEXT_LEN];
        encode_nonce(&vector.rand, &vector.autn, &mut nonce);
        self.refuse(ctx, to, message, 401, |out| {
            out.header(HeaderName::WwwAuthenticate)
                .put(b"Digest realm=\"")
                .text(&self.config.realm);
            out.put(b"\",nonce=\"").put(&nonce).put(b"\",algorithm=AKAv1-MD5,qop=\"auth\"");
            if stale {
                out.put(b",stale=true");
            }
            out.put(b",ik=\"").hex(&vector.ik).put(b"\",ck=\"").hex(&vector.ck).put(b"\"").end();
        });
    }

    /// The user's USIM found the sequence number out of range and asks for resynchronisation (TS 33.102 clause 6.3.5). True
    /// where its AUTS was right.
    pub(super) fn resynchronise(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        challenge: Key,
        credentials: &Credentials<'_>,
    ) -> bool {
        let Some(challenge) = self.challenges.get(challenge) else { return false };
        let auts = credentials.auts.map(decode_auts);
        let nonce_is_ours = decode_nonce(credentials.nonce).is_ok_and(|(rand, autn)| {
            rand == challenge.vector.rand && autn == challenge.vector.autn
        });
        if let Some(Ok(auts)) = auts
            && nonce_is_ours
            && hss.resynchronise(challenge.user, &challenge.vector.rand, &auts).is_ok()
        {
            ctx.counters.resynchronised += 1;
            return true;
        }
        ctx.counters.resynchronisation_refused += 1;
        false
    }

    /// Whether the answer to a challenge is right; what stays of it then.
    pub(super) fn answered(
        &self,
        challenge: Key,
        credentials: &Credentials<'_>,
        message: &Message<'_>,
    ) -> Option<Authenticated> {
        let vector = &self.challenges.get(challenge)?.vector;
        let authenticated = Authenticated {
            rand: vector.rand,
            autn: vector.autn,
            xres: vector.xres,
            nc: count_of(credentials)?,
        };
        authenticated.agrees(credentials, message, 0).then_some(authenticated)
    }

    /// A challenge is over, answered or not.
    pub(super) fn drop_challenge(&mut self, key: Key) {
        if let Some(challenge) = self.challenges.remove(key) {
            self.by_challenge.remove(challenge.key, |place| place == key.index);
            self.give_back(challenge.modified);
        }
    }

    pub(super) fn challenge_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(challenge) = self.challenges.get(key) else { return };
        if challenge.expires_at > ctx.now {
            let remaining_ns = challenge.expires_at - ctx.now;
            return self.arm(ctx, remaining_ns.min(LOOK_AGAIN_NS), ScscfAlarm::Challenge(key));
        }
        ctx.counters.challenges_expired += 1;
        self.drop_challenge(key);
    }
}

impl Authenticated {
    /// Whether these credentials are about this vector's nonce.
    pub(super) fn is_nonce(&self, credentials: &Credentials<'_>) -> bool {
        decode_nonce(credentials.nonce)
            .is_ok_and(|(rand, autn)| rand == self.rand && autn == self.autn)
    }

    /// Whether the response is right for this request, with a nonce count above `nc_used`.
    pub(super) fn agrees(
        &self,
        credentials: &Credentials<'_>,
        message: &Message<'_>,
        nc_used: u32,
    ) -> bool {
        if !self.is_nonce(credentials) || credentials.uri != message.request_uri() {
            return false;
        }
        // The challenge asks for qop=auth; without it the nonce could be used again and again.
        let qop = match (credentials.qop, credentials.cnonce, credentials.nc) {
            (Some(qop), Some(cnonce), Some(nc)) if qop.eq_ignore_ascii_case(b"auth") => {
                if count_of(credentials).is_none_or(|count| count <= nc_used) {
                    return false;
                }
                Some(Qop { cnonce, nc })
            }
            _ => return false,
        };
        let expected = response(&DigestInput {
            username: credentials.username,
            realm: credentials.realm,
            password: &self.xres,
            nonce: credentials.nonce,
            uri: credentials.uri,
            method: message.method_text(),
            qop,
        });
        verify(&expected, credentials.response)
    }
}

/// The nonce count; 0 where there is no qop.
pub(super) fn count_of(credentials: &Credentials<'_>) -> Option<u32> {
    match credentials.nc {
        Some(nc) => u32::from_str_radix(std::str::from_utf8(nc).ok()?, 16).ok(),
        None => Some(0),
    }
}
