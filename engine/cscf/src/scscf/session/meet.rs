//! Both ends of a session move at once, and neither old access is there any more: the far end's re-INVITE is on its way to a leg that its
//! UE has left, and the UE's INVITE with Replaces arrives. Each would wait for the other's answer. But each has made an offer, and the
//! S-CSCF gives each the other's as its answer where the two fit.
//!
//! RFC 3264 clause 6 lets an answer have formats that the offer did not; the media and their number must be the same.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Writer, parse, response};

use super::super::Scscf;
use super::onward::write_party;
use super::{Invite, Leg, SessionStage, Way};
use crate::event::Context;

/// The longest offer that is kept, in bytes.
const OFFER_BYTES_MAX: usize = 1024;
/// What a session description is declared as.
const SDP: &str = "application/sdp";

impl Scscf {
    /// Keeps the offer of an INVITE from the far end, in case its UE moves meanwhile.
    pub(super) fn keep_offer(&mut self, way: Way, message: &Message<'_>) -> Handle {
        let offer = offer_of(message).filter(|_| way == Way::Far);
        offer.and_then(|offer| self.strings.store(offer).ok()).unwrap_or_default()
    }

    /// Whether an INVITE with Replaces over this connection meets one of the far end's that is on its way to the leg that it replaces.
    pub(super) fn meets(&self, key: Key, connection: Key, message: &Message<'_>) -> bool {
        let session = self.sessions.get(key).expect("a session that was found");
        let Some(invite) = session.invite.as_ref() else { return false };
        let Some(offer) = offer_of(message) else { return false };
        session.stage == SessionStage::Confirmed
            && session.moving.is_none()
            && session.connection != connection
            && invite.way == Way::Far
            && !invite.refused
            && fit(self.strings.get(&invite.offer), offer)
    }

    /// Answers both, each by the other's offer: the session runs over the new connection.
    pub(super) fn meet(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (key, connection): (Key, Key),
        (leg, call): (Leg, u64),
    ) {
        self.send_cancel(ctx, key);
        self.keep_cancelling(key);
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let Some(invite) = session.invite.take() else { return };
        let (before, before_call) = (session.connection, session.call);
        let old = std::mem::replace(&mut session.ue, leg);
        session.call = call;
        session.mapped = true;
        session.far.offset = session.far.local_cseq.wrapping_sub(session.ue.remote_cseq);
        // Their ACKs are for us.
        session.far.invite = (0, 0);
        self.by_call.remove(before_call, |place| place == key.index);
        let indexed = self.by_call.insert(call, key.index).is_ok();
        assert!(indexed, "the index has room for two of each");
        self.unlink_session(key);
        self.link_session(connection, key);
        ctx.counters.sessions_moved += 1;
        // Until both have acknowledged it (RFC 3261 clause 13.3.1.4).
        let longest_ns = self.config.ue_leg.timer_h_ns();
        self.extend_session(ctx, key, ctx.now.saturating_add(longest_ns));
        let to_ue = self.answer_ue(ctx, from, message, key, &invite);
        let to_far = self.answer_far(ctx, message, key, &invite);
        let session = self.sessions.get_mut(key).expect("found above");
        let came = session.ue.remote_cseq;
        session.answers = [to_ue.map(|own| (came, own)), to_far.map(|own| (invite.cseq, own))];
        self.end_invite(invite);
        self.send_bye(ctx, &old, Some(before));
        self.release_leg(old);
    }

    fn answer_ue(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        key: Key,
        invite: &Invite,
    ) -> Option<Key> {
        let session = self.sessions.get(key)?;
        let mut text = [0; 4096];
        let parts = self.parts(&session.ue);
        let mut writer = response(message, 200, Some(parts.local_tag), &mut text);
        writer.copy(message, HeaderName::RecordRoute);
        self.write_session_uri(key, writer.header(HeaderName::Contact));
        let offer = self.strings.get(&invite.offer);
        writer.end();
        let len = writer.finish_with_body(SDP, offer).ok()?;
        self.repeat_answer(ctx, to, &text[..len])
    }

    fn answer_far(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        key: Key,
        invite: &Invite,
    ) -> Option<Key> {
        let session = self.sessions.get(key)?;
        let parts = DialogParts::decode(self.strings.get(&session.far.dialog));
        let mut index = imstorm_sip::Index::default();
        let sent = parse(self.strings.get(&invite.sent), &mut index).ok()?;
        let mut text = [0; 4096];
        let mut writer = Writer::new(&mut text);
        writer.status(200);
        for via in sent.list(HeaderName::Via).skip(1) {
            writer.header(HeaderName::Via).put(via).end();
        }
        write_party(parts.remote_uri, parts.remote_tag, writer.header(HeaderName::From));
        write_party(parts.local_uri, parts.local_tag, writer.end().header(HeaderName::To));
        writer.end().header(HeaderName::CallId).put(parts.call_id).end();
        writer.header(HeaderName::CSeq).decimal(u64::from(invite.cseq)).text(" INVITE").end();
        self.write_session_uri(key, writer.header(HeaderName::Contact));
        writer.end();
        let len = writer.finish_with_body(SDP, offer_of(message)?).ok()?;
        self.repeat_answer(ctx, invite.upstream, &text[..len])
    }

    /// Sends a 2xx, again until its ACK comes (RFC 3261 clause 13.3.1.4).
    fn repeat_answer(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        answer: &[u8],
    ) -> Option<Key> {
        self.ask_lossy(ctx, to, |_, out| out.copy(answer))
    }

    /// ACK to a 2xx of our own. False where there was none.
    pub(super) fn is_answer_acknowledged(
        &mut self,
        ctx: &mut Context<'_>,
        (key, way): (Key, Way),
        ack: &Message<'_>,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let cseq = ack.cseq().map_or(0, |cseq| cseq.number);
        let answer = &mut session.answers[usize::from(way == Way::Far)];
        let Some((_, answer)) = answer.take_if(|(of, _)| *of == cseq) else { return false };
        if session.answers == [None, None] {
            self.extend_session(ctx, key, Time::MAX);
        }
        self.close_own(answer);
        true
    }
}

/// The session description of an INVITE, where it is one that can be kept.
fn offer_of<'b>(message: &Message<'b>) -> Option<&'b [u8]> {
    let is_sdp = message
        .header(HeaderName::ContentType)
        .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(SDP.as_bytes()));
    let body = message.body();
    (is_sdp && !body.is_empty() && body.len() <= OFFER_BYTES_MAX).then_some(body)
}

/// Whether of two offers each may be the other's answer: the same media in the same order, all of them wanted.
fn fit(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (media(one), media(other));
    let mut count = 0;
    loop {
        match (one.next(), other.next()) {
            (None, None) => return count > 0,
            (Some(Some(one)), Some(Some(other))) if one == other => count += 1,
            _ => return false,
        }
    }
}

/// Each medium's kind and transport; `None` for one that is switched off, or can't be read (RFC 4566 clause 5.14).
fn media(description: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let lines = description.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.strip_prefix(b"m=")).map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let (kind, port, transport) = (words.next()?, words.next()?, words.next()?);
        (port != b"0").then_some((kind, transport))
    })
}

#[cfg(test)]
mod tests {
    use super::fit;

    const AUDIO: &[u8] = b"v=0\r\nm=audio 49152 RTP/AVP 96\r\na=sendrecv\r\n";

    #[test]
    fn offers_that_fit() {
        assert!(fit(AUDIO, b"v=0\r\nm=audio 1000 RTP/AVP 97 98\r\n"));
        for other in [
            &b""[..],
            b"v=0\r\n",
            b"v=0\r\nm=audio 0 RTP/AVP 96\r\n",
            b"v=0\r\nm=video 49152 RTP/AVP 96\r\n",
            b"v=0\r\nm=audio 49152 RTP/SAVP 96\r\n",
            b"v=0\r\nm=audio 1 RTP/AVP 96\r\nm=video 1 RTP/AVP 97\r\n",
            b"v=0\r\nm=audio\r\n",
        ] {
            assert!(!fit(AUDIO, other), "{}", other.escape_ascii());
            assert!(!fit(other, AUDIO));
        }
    }
}
