//! Answers that are kept for requests that come again: those that say what nobody else keeps. A second 200 to UPDATE without the
//! session description, or without Session-Expires, would be another answer.

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Method};

use super::send::Keep;
use super::transaction::Peer;
use super::{Pcscf, PcscfAlarm};
use crate::event::Context;
use imstorm_base::strings::Handle;

impl Pcscf {
    /// Keeps the answer to the request whose transaction was completed last.
    pub(super) fn keep_answer(&mut self, ctx: &mut Context<'_>, answer: Handle) {
        if answer.is_empty() {
            return;
        }
        self.tombstones.keep_answer(answer);
        // Not before Timer J, which runs since a moment ago.
        self.arm(ctx, self.config.ue_leg.timer_j_ns(false), PcscfAlarm::Answers);
    }

    /// Gives back the answers whose Timer J has fired.
    pub(super) fn drop_answers(&mut self, ctx: &mut Context<'_>) {
        self.tombstones.expire(ctx.now);
        while let Some(answer) = self.tombstones.released() {
            self.strings.release(answer);
        }
    }

    /// Sends the kept answer of a completed transaction again. False where none is kept.
    pub(super) fn answer_again(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        transaction: u64,
    ) -> bool {
        let Some(answer) = self.tombstones.answer(transaction) else { return false };
        let mut text = [0; crate::mw::MESSAGE_BYTES_MAX];
        let len = answer.kept_bytes();
        text[..len].copy_from_slice(self.strings.get(answer));
        self.send(ctx, peer, |out| out.copy(&text[..len]))
    }
}

/// Whether an answer is kept.
pub(super) fn keep_of_answer(answer: &Message<'_>) -> Keep {
    let is_of_session =
        answer.cseq().is_ok_and(|cseq| matches!(cseq.method, Method::Update | Method::Prack));
    let says_more =
        !answer.body().is_empty() || answer.header(HeaderName::SessionExpires).is_some();
    match is_of_session && says_more {
        true => Keep::WhereLossy,
        false => Keep::Never,
    }
}
