//! CANCEL (RFC 3261 clause 9): answered here, and sent on to wherever the INVITE went.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Method, Room, Writer, parse};

use super::super::Scscf;
use super::Invite;
use super::call::Branches;
use crate::event::Context;

impl Scscf {
    pub(in super::super) fn cancel(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let via = self.via_of(message);
        let is_it =
            |invite: &Invite| invite.upstream == from && invite.cseq == number && invite.via == via;
        let of_session = self.session_at(message.request_uri()).filter(|key| {
            let session = self.sessions.get(*key).expect("a session that was found");
            session.invite.as_ref().is_some_and(is_it)
        });
        let invites = match of_session {
            Some(key) => Branches::from_iter([key]),
            None => self.invites_like(message, is_it),
        };
        if invites.is_empty() {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 481, |_| ());
        }
        self.refuse(ctx, from, message, 200, |_| ());
        for key in invites {
            self.send_cancel(ctx, key);
        }
    }

    /// Cancels a session's INVITE, unless it has been answered.
    pub(super) fn send_cancel(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(invite) = session.invite.as_mut() else { return };
        invite.cancelled |= !invite.refused;
        if invite.refused || invite.cancel.is_some() || invite.sent.is_empty() {
            return;
        }
        let to = invite.downstream;
        let mut kept = [0; 2048];
        let len = invite.sent.kept_bytes();
        kept[..len].copy_from_slice(self.strings.get(&invite.sent));
        let mut index = imstorm_sip::Index::default();
        let Ok(sent) = parse(&kept[..len], &mut index) else { return };
        ctx.counters.calls_cancelled += 1;
        let asked = self.ask_own(ctx, to, |_, out| {
            write_like(&sent, Method::Cancel, sent.header(HeaderName::To), out)
        });
        if let Some(invite) = self.sessions.get_mut(key).and_then(|it| it.invite.as_mut()) {
            invite.cancel = asked;
        }
    }

    /// Acknowledges a refusal where its INVITE went (RFC 3261 clause 17.1.1.3): `named` is the refusal, or the ACK that came for it.
    pub(super) fn acknowledge_refusal(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        named: &Message<'_>,
    ) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(invite) = session.invite.as_ref().filter(|it| !it.sent.is_empty()) else { return };
        let mut index = imstorm_sip::Index::default();
        let Ok(sent) = parse(self.strings.get(&invite.sent), &mut index) else { return };
        // An INVITE of a dialog has the tag, as its leg knows it; a first one had none.
        let has_tag = matches!(sent.tag(HeaderName::To), Ok(Some(_)));
        let to = if has_tag { sent.header(HeaderName::To) } else { named.header(HeaderName::To) };
        self.send(ctx, invite.downstream, |out| write_like(&sent, Method::Ack, to, out));
    }
}

/// Writes the CANCEL or ACK of an INVITE that was sent: its topmost Via alone, and what names it.
fn write_like(
    sent: &Message<'_>,
    method: Method,
    to: Option<&[u8]>,
    out: Room<'_>,
) -> Option<usize> {
    let mut writer = Writer::new(out);
    writer.request(method, sent.request_uri());
    writer.header(HeaderName::Via).put(sent.list(HeaderName::Via).next()?).end();
    writer.copy(sent, HeaderName::Route);
    writer.header(HeaderName::MaxForwards).text("70").end();
    writer.copy(sent, HeaderName::From);
    writer.header(HeaderName::To).put(to?).end();
    writer.copy(sent, HeaderName::CallId);
    let cseq = sent.cseq().ok()?.number;
    writer.header(HeaderName::CSeq).decimal(u64::from(cseq)).put(b" ").text(method.as_str()).end();
    writer.finish().ok()
}
