//! Answers that nobody waits for any more: a refusal is acknowledged, and who has accepted is told that it is over (RFC 3261 clause
//! 13.2.2.4). Upstream they would do harm.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method, Uri, Writer, dialog};

use super::super::Scscf;
use super::Side;
use crate::event::Context;
use crate::proxy::{self, DEFAULT_PORT};

impl Scscf {
    /// A response to a request of a session that is gone.
    pub(super) fn answer_to_nobody(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let status = message.status();
        let method = message.cseq().map(|cseq| cseq.method);
        match method {
            Ok(Method::Invite) if status >= 300 => self.acknowledge_late(ctx, from, message),
            Ok(Method::Invite) if status >= 200 => self.refuse_acceptance(ctx, message),
            Ok(Method::Invite | Method::Cancel) | Err(_) => ctx.counters.stray_response += 1,
            // Whoever asked need not wait for Timer F.
            Ok(_) if status >= 200 => match proxy::next_response_hop(message) {
                Some(next) => {
                    self.send(ctx, next, |out| proxy::respond_upstream(message, status, out));
                }
                None => ctx.counters.stray_response += 1,
            },
            Ok(_) => {}
        }
    }

    /// ACK to a refusal, where it came from: its branch is what it is known by (RFC 3261 clause 17.1.1.3).
    pub(super) fn acknowledge_late(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let Ok(cseq) = message.cseq() else { return };
        let Ok(to) = message.to() else { return };
        self.send(ctx, from, |out| {
            let mut writer = Writer::new(out);
            writer.request(Method::Ack, to.uri_text);
            writer.header(HeaderName::Via).put(message.list(HeaderName::Via).next()?).end();
            writer.header(HeaderName::MaxForwards).text("70").end();
            for name in [HeaderName::From, HeaderName::To, HeaderName::CallId] {
                writer.copy(message, name);
            }
            writer.header(HeaderName::CSeq).decimal(u64::from(cseq.number)).text(" ACK").end();
            writer.finish().ok()
        });
    }

    /// ACK to a 2xx of the far end, in the place of a UE that has gone another way.
    pub(super) fn acknowledge_for_ue(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
    ) {
        let Some(to) = self.next_hop(key, Side::Far) else { return };
        let Some(session) = self.sessions.get(key) else { return };
        let Ok(cseq) = message.cseq() else { return };
        let parts = self.parts(&session.far);
        let branch = ctx.random.next_u64();
        self.send(ctx, to, |out| {
            let mut writer = dialog::request(&parts, Method::Ack, cseq.number, out);
            self.via.write_head(writer.header(HeaderName::Via));
            writer.hex_u64(branch).end();
            writer.finish().ok()
        });
    }

    /// ACK and BYE to whoever has accepted what nobody wants any more.
    pub(super) fn refuse_acceptance(&mut self, ctx: &mut Context<'_>, message: &Message<'_>) {
        let mut routes = [0; 1024];
        let Some((parts, to, cseq)) = accepted_dialog(message, &mut routes) else {
            ctx.counters.stray_response += 1;
            return;
        };
        ctx.counters.acceptances_refused += 1;
        let via = self.via.clone();
        let (boot, branch) = (self.config.boot, ctx.random.next_u64());
        self.send(ctx, to, |out| {
            let mut writer = dialog::request(&parts, Method::Ack, cseq, out);
            via.write_head(writer.header(HeaderName::Via));
            writer.hex_u64(branch).end();
            writer.finish().ok()
        });
        self.ask_own(ctx, to, |own, out| {
            let mut writer = dialog::request(&parts, Method::Bye, cseq.wrapping_add(1), out);
            via.write_head(writer.header(HeaderName::Via));
            writer.hex_u64(own.to_u64()).hex_u64(boot).end();
            writer.finish().ok()
        });
    }
}

/// The dialog that a 2xx has made, as whoever sent the INVITE has it; where it leads, and the INVITE's CSeq.
fn accepted_dialog<'a>(
    message: &Message<'a>,
    routes: &'a mut [u8],
) -> Option<(DialogParts<'a>, SocketAddr, u32)> {
    let (from, to) = (message.from().ok()?, message.to().ok()?);
    let len = dialog::route_set(message, true, routes).ok()?;
    let parts = DialogParts {
        call_id: message.call_id().ok()?,
        local_tag: from.tag().unwrap_or_default(),
        remote_tag: to.tag().unwrap_or_default(),
        local_uri: from.uri_text,
        remote_uri: to.uri_text,
        remote_target: message.contact().ok()??.uri_text,
        routes: &routes[..len],
    };
    let hop = Uri::parse(dialog::next_hop(&parts).ok()?).ok()?.socket_addr(DEFAULT_PORT)?;
    Some((parts, hop, message.cseq().ok()?.number))
}
