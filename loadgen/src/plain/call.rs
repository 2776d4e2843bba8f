//! Plain UEs' calls of the profile's target: INVITE, ACK, BYE (RFC 3261 clauses 13 and 15). A UE has one at a time.
//!
//! What is sent is never kept: an INVITE is put together again from its template, an ACK from the 200 that has come again, and a BYE
//! from the dialog's strings.

use std::net::SocketAddr;

use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::{Timings, hop};
use imstorm_sip::{DialogParts, Message, Method, Uri, dialog, parse};

use super::template::Fields;
use super::texts::{Kind, Name};
use super::{Around, Plain, Timer, TimerKind, cause_of, write_impu};
use crate::measure::{Cause, Procedure, Start, Transaction};
use crate::population::NAME_BYTES_MAX;

/// How far a UE's call is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// The INVITE has no answer at all.
    Calling,
    /// It has a provisional one.
    Proceeding,
    /// The session is established.
    Up,
    /// BYE is under way.
    Ending,
}

/// A UE's call.
#[derive(Debug)]
pub(super) struct Call {
    /// When the procedure under way was to start.
    intended: Time,
    /// When the request under way was sent first.
    sent_at: Time,
    /// What a BYE is written from: the other side's tag, its Contact and the route set. Empty where no session is up.
    dialog: Handle,
    /// The call's number, from 1.
    number: u32,
    /// How many the profile has left.
    left: u32,
    stage: Stage,
    /// How often the request was sent again.
    step: u8,
    /// There is nothing more to do.
    at_rest: bool,
}

const _: () = assert!(size_of::<Call>() <= 40);

impl Call {
    /// The start of the procedure under way, whose request is the first thing that it sends.
    fn start(&self) -> Start {
        Start { intended: self.intended, began: self.sent_at }
    }

    /// Whether there is none.
    pub(super) fn is_free(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// The procedure under way.
    pub(super) fn under_way(&self) -> Option<(Procedure, Start)> {
        let procedure = match self.stage {
            Stage::Idle | Stage::Up => return None,
            Stage::Calling | Stage::Proceeding => Procedure::CallSetup,
            Stage::Ending => Procedure::CallRelease,
        };
        Some((procedure, self.start()))
    }
}

impl Default for Call {
    fn default() -> Self {
        Self {
            intended: 0,
            sent_at: 0,
            dialog: Handle::EMPTY,
            number: 0,
            left: 0,
            stage: Stage::Idle,
            step: 0,
            at_rest: false,
        }
    }
}

/// Room for a dialog's strings, and for a message of one.
const DIALOG_BYTES_MAX: usize = 1_024;
/// Of SIP over UDP (RFC 3261 clause 19.1.2).
const DEFAULT_PORT: u16 = 5_060;
/// The number of the BYE's CSeq: that of the INVITE, which the ACK has as well, is 1.
const BYE_CSEQ: u32 = 2;

/// Whether a UE is of a share of all that is spread evenly over their numbers: of a half it is every second one.
fn is_among(share: f64, ue: u32) -> bool {
    let number = f64::from(ue);
    ((number + 1.0) * share).floor() > (number * share).floor()
}

impl Plain {
    /// What the profile has for this UE.
    pub(super) fn plan_calls(&mut self, ue: u32) {
        let Some(call) = self.calls.get_mut(ue as usize) else { return };
        if is_among(self.call.share, ue) {
            call.left = self.call.count;
        } else {
            call.at_rest = true;
            self.counts.at_rest += 1;
        }
    }

    /// The UE is registered: its first call gets its time.
    pub(super) fn begin_calls(&mut self, around: &mut Around<'_>, ue: u32) {
        if !self.calls.is_empty() && !self.calls[ue as usize].at_rest {
            self.arm_call(around, ue);
        }
    }

    /// The UE is not registered any more: there are no further calls.
    pub(super) fn end_calls(&mut self, ue: u32) {
        let Some(call) = self.calls.get_mut(ue as usize) else { return };
        call.left = 0;
        if call.stage == Stage::Idle && !call.at_rest {
            call.at_rest = true;
            self.counts.at_rest += 1;
        }
    }

    fn arm_call(&mut self, around: &mut Around<'_>, ue: u32) {
        let after_ns = self.vary(self.call.after_s, self.call.jitter);
        if after_ns == 0 {
            return self.call(around, ue, around.now);
        }
        self.timers.arm(around.now, after_ns, Timer { ue, number: 0, kind: TimerKind::Call });
    }

    /// The UE calls once more than the profile has for it.
    pub(super) fn begin_call(&mut self, around: &mut Around<'_>, ue: u32, intended: Time) {
        if let Some(call) = self.calls.get_mut(ue as usize) {
            call.left += 1;
        }
        self.call(around, ue, intended);
    }

    /// The UE calls.
    pub(super) fn call(&mut self, around: &mut Around<'_>, ue: u32, intended: Time) {
        let Some(call) = self.calls.get_mut(ue as usize) else { return };
        if call.left == 0 || call.stage != Stage::Idle || around.stopped {
            return;
        }
        call.left -= 1;
        call.number = call.number.wrapping_add(1);
        call.stage = Stage::Calling;
        call.intended = intended;
        call.sent_at = around.now;
        call.step = 0;
        let number = call.number;
        self.counts.at_rest -= u64::from(std::mem::take(&mut call.at_rest));
        self.counts.under_way += 1;
        let start = Start { intended, began: around.now };
        around.measurements.attempted(Procedure::CallSetup, start);
        around.measurements.transaction_attempted(Transaction::Invite);
        self.send_template(around, &self.texts.invite, ue, number);
        self.arm_request(around, ue, self.timings.timer_a_ns(0));
    }

    fn arm_request(&mut self, around: &Around<'_>, ue: u32, after_ns: u64) {
        let call = &self.calls[ue as usize];
        let timer = Timer { ue, number: request_number(call), kind: TimerKind::CallRequest };
        self.timers.arm(around.now, after_ns, timer);
    }

    /// The request under way has no final answer yet: timers A and B (RFC 3261 clause 17.1.1.2), E and F (17.1.2.2); and the longest that a
    /// caller waits for an answer to its call, which is as long as a proxy does (clause 16.6).
    pub(super) fn call_request_again(&mut self, around: &mut Around<'_>, ue: u32, number: u32) {
        let call = &mut self.calls[ue as usize];
        if request_number(call) != number {
            return;
        }
        let timings = &self.timings;
        let (lasts_ns, next_ns) = match call.stage {
            Stage::Idle | Stage::Up => return,
            Stage::Proceeding => (Timings::TIMER_C_NS, Timings::TIMER_C_NS),
            Stage::Calling => (timings.timer_b_ns(), timings.timer_a_ns(call.step + 1)),
            Stage::Ending => (timings.timer_f_ns(), timings.timer_e_ns(call.step + 1)),
        };
        let ends_at = call.sent_at + lasts_ns;
        if around.now >= ends_at {
            return self.no_answer(around, ue);
        }
        let (stage, count) = (call.stage, call.number);
        call.step = call.step.saturating_add(1).min(16);
        match stage {
            Stage::Calling => {
                self.counts.retransmissions += 1;
                self.send_template(around, &self.texts.invite, ue, count);
            }
            Stage::Ending => {
                self.counts.retransmissions += 1;
                self.send_bye(around, ue);
            }
            Stage::Idle | Stage::Proceeding | Stage::Up => {}
        }
        self.arm_request(around, ue, next_ns.min(ends_at - around.now));
    }

    fn no_answer(&mut self, around: &mut Around<'_>, ue: u32) {
        match self.calls[ue as usize].stage {
            Stage::Ending => {
                around.measurements.transaction_failed(Transaction::Bye);
                self.released(around, ue, 408);
            }
            Stage::Proceeding => {
                around.measurements.transaction_failed(Transaction::Invite);
                self.cancel(around, ue);
                self.call_failed(around, ue, Cause::NoAnswer);
            }
            Stage::Calling => {
                around.measurements.transaction_failed(Transaction::Invite);
                self.call_failed(around, ue, Cause::Timeout);
            }
            Stage::Idle | Stage::Up => {}
        }
    }

    /// CANCEL, once: whatever becomes of it, the INVITE's late answers are dealt with as those of a call that is over.
    fn cancel(&mut self, around: &mut Around<'_>, ue: u32) {
        let name = Name { ue, count: self.calls[ue as usize].number };
        let (local, to) = (self.local, around.population.pcscf(ue));
        self.with_invite(around, name, |around, invite| {
            around.send(local, ue, to, |out| hop::cancel(invite, out).ok());
        });
    }

    /// Lets `read` look at the INVITE of a call as it was sent.
    fn with_invite(
        &mut self,
        around: &mut Around<'_>,
        name: Name,
        read: impl FnOnce(&mut Around<'_>, &Message<'_>),
    ) {
        let mut impu = [0; NAME_BYTES_MAX];
        let len = write_impu(around.population, name.ue, &mut impu);
        let fields = Fields { impu: &impu[..len], ue: name.ue, count: name.count };
        let mut text = [0; 2_048];
        let Some(len) = self.texts.invite.write(&fields, &mut text) else { return };
        let Some(mut headers) = self.other_headers.take() else { return };
        if let Ok(invite) = parse(&text[..len], &mut headers) {
            read(around, &invite);
        }
        self.other_headers = Some(headers);
    }

    pub(super) fn invite_response(
        &mut self,
        around: &mut Around<'_>,
        name: Name,
        message: &Message<'_>,
    ) {
        let ue = name.ue;
        let status = message.status();
        let Some(call) = self.calls.get_mut(ue as usize) else {
            self.counts.ignored += 1;
            return;
        };
        let is_current = call.number == name.count && call.stage != Stage::Idle;
        let is_open = is_current && matches!(call.stage, Stage::Calling | Stage::Proceeding);
        match status {
            0..=199 if is_open => call.stage = Stage::Proceeding,
            0..=199 => {}
            200..=299 if is_open => self.accepted(around, ue, message),
            // It comes again, or too late: then it is ended at once (RFC 3261 clause 13.2.2.4).
            200..=299 => self.acknowledge(around, name, message, !is_current),
            _ => {
                let (local, to) = (self.local, around.population.pcscf(ue));
                self.with_invite(around, name, |around, invite| {
                    around
                        .send(local, ue, to, |out| hop::ack_to_failure(invite, message, out).ok());
                });
                if is_open {
                    self.invite_over(around, ue);
                    self.call_failed(around, ue, cause_of(status));
                }
            }
        }
    }

    fn invite_over(&mut self, around: &mut Around<'_>, ue: u32) {
        let latency_ns = around.now - self.calls[ue as usize].sent_at;
        around.measurements.transaction_completed(Transaction::Invite, latency_ns);
    }

    /// The first 2xx.
    fn accepted(&mut self, around: &mut Around<'_>, ue: u32, message: &Message<'_>) {
        self.invite_over(around, ue);
        let name = Name { ue, count: self.calls[ue as usize].number };
        let hangs_up_now = self.call.holding_s == Some(0.0) && !around.stopped;
        let mut blob = [0; DIALOG_BYTES_MAX];
        let kept = write_dialog(message, &mut blob).and_then(|len| {
            let kept = self.strings.store(&blob[..len]).ok()?;
            Some((kept, len))
        });
        let Some((kept, len)) = kept else {
            return self.call_failed(around, ue, Cause::Parse);
        };
        self.send_in_dialog(around, name, Kind::Ack, &blob[..len]);
        let call = &mut self.calls[ue as usize];
        call.stage = Stage::Up;
        call.dialog = kept;
        let start = call.start();
        let number = call.number;
        self.counts.under_way -= 1;
        self.counts.sessions.established += 1;
        around.note_completed(ue, Procedure::CallSetup, start);
        if hangs_up_now {
            self.start_bye(around, ue, around.now, &blob[..len]);
        } else if let Some(holding_s) = self.call.holding_s {
            let after_ns = self.call.holding.draw_ns(holding_s, &mut self.random);
            self.timers.arm(around.now, after_ns, Timer { ue, number, kind: TimerKind::HangUp });
        } else {
            // It stays, and with it its UE.
            let call = &mut self.calls[ue as usize];
            call.at_rest = true;
            self.counts.at_rest += 1;
        }
    }

    /// ACK to a 2xx that is not the first, and BYE where the call is none that goes on.
    fn acknowledge(
        &mut self,
        around: &mut Around<'_>,
        name: Name,
        message: &Message<'_>,
        ends: bool,
    ) {
        let mut blob = [0; DIALOG_BYTES_MAX];
        let Some(len) = write_dialog(message, &mut blob) else {
            self.counts.ignored += 1;
            return;
        };
        self.send_in_dialog(around, name, Kind::Ack, &blob[..len]);
        if ends {
            self.send_in_dialog(around, name, Kind::Bye, &blob[..len]);
        }
    }

    /// The UE hangs up.
    pub(super) fn hang_up(&mut self, around: &mut Around<'_>, ue: u32, number: u32, at: Time) {
        let call = &self.calls[ue as usize];
        if call.number != number || call.stage != Stage::Up || around.stopped {
            return;
        }
        let mut blob = [0; DIALOG_BYTES_MAX];
        let kept = self.strings.get(&call.dialog);
        let len = kept.len();
        blob[..len].copy_from_slice(kept);
        self.start_bye(around, ue, at, &blob[..len]);
    }

    fn start_bye(&mut self, around: &mut Around<'_>, ue: u32, intended: Time, dialog: &[u8]) {
        let call = &mut self.calls[ue as usize];
        call.stage = Stage::Ending;
        call.intended = intended;
        call.sent_at = around.now;
        call.step = 0;
        let name = Name { ue, count: call.number };
        self.counts.under_way += 1;
        let start = Start { intended, began: around.now };
        around.measurements.attempted(Procedure::CallRelease, start);
        around.measurements.transaction_attempted(Transaction::Bye);
        self.send_in_dialog(around, name, Kind::Bye, dialog);
        self.arm_request(around, ue, self.timings.timer_e_ns(0));
    }

    /// BYE again.
    fn send_bye(&mut self, around: &mut Around<'_>, ue: u32) {
        let call = &self.calls[ue as usize];
        let name = Name { ue, count: call.number };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let kept = self.strings.get(&call.dialog);
        let len = kept.len();
        blob[..len].copy_from_slice(kept);
        self.send_in_dialog(around, name, Kind::Bye, &blob[..len]);
    }

    /// ACK or BYE in the dialog with these strings.
    fn send_in_dialog(&mut self, around: &mut Around<'_>, name: Name, kind: Kind, blob: &[u8]) {
        let ue = name.ue;
        let parts = DialogParts::decode(blob);
        let to = self.next_hop(&parts).unwrap_or_else(|| around.population.pcscf(ue));
        let mut impu = [0; NAME_BYTES_MAX];
        let len = write_impu(around.population, ue, &mut impu);
        let fields = Fields { impu: &impu[..len], ue, count: name.count };
        let (mut call_id, mut tag, mut branch) = ([0; 96], [0; 16], [0; 128]);
        let lens = [
            self.texts.call_id.write(&fields, &mut call_id),
            self.texts.tag.write(&fields, &mut tag),
            self.texts.branch.write(&fields, &mut branch),
        ];
        let [Some(call_id_len), Some(tag_len), Some(branch_len)] = lens else { return };
        let target = self.call.target.as_deref().unwrap_or_default();
        let parts = DialogParts {
            call_id: &call_id[..call_id_len],
            local_tag: &tag[..tag_len],
            local_uri: &impu[..len],
            remote_uri: target.as_bytes(),
            ..parts
        };
        let (method, cseq) = match kind {
            Kind::Ack => (Method::Ack, 1),
            _ => (Method::Bye, BYE_CSEQ),
        };
        around.send(self.local, ue, to, |out| {
            let mut writer = dialog::request(&parts, method, cseq, out);
            writer.header(HeaderName::Via).put(&branch[..branch_len]);
            writer.put(&[kind.letter()]).put(b";rport").end();
            writer.finish().ok()
        });
    }

    /// Where requests of a dialog go: its first route, or its other side's Contact (RFC 3261 clause 12.2.1.1), if that is an address.
    fn next_hop(&mut self, parts: &DialogParts<'_>) -> Option<SocketAddr> {
        let uri = dialog::next_hop(parts).ok()?;
        if self.next_hop.0 != uri {
            let parsed = Uri::parse(uri).ok()?;
            let found = parsed.socket_addr(DEFAULT_PORT);
            self.next_hop.0.clear();
            self.next_hop.0.extend_from_slice(uri);
            self.next_hop.1 = found.filter(|it| it.is_ipv4() == self.local.is_ipv4());
        }
        self.next_hop.1
    }

    pub(super) fn bye_response(&mut self, around: &mut Around<'_>, name: Name, status: u16) {
        let call = self.calls.get(name.ue as usize);
        let Some(call) = call.filter(|it| it.number == name.count && it.stage == Stage::Ending)
        else {
            self.counts.ignored += 1;
            return;
        };
        if status < 200 {
            return;
        }
        let latency_ns = around.now - call.sent_at;
        around.measurements.transaction_completed(Transaction::Bye, latency_ns);
        self.released(around, name.ue, status);
    }

    /// BYE was answered, or not (408): the session is over either way (RFC 3261 clause 15.1.1).
    fn released(&mut self, around: &mut Around<'_>, ue: u32, status: u16) {
        self.counts.under_way -= 1;
        self.counts.sessions.released += 1;
        let start = self.calls[ue as usize].start();
        // 481: the other side has hung up at the same time.
        if status < 300 || status == 481 {
            around.note_completed(ue, Procedure::CallRelease, start);
        } else {
            let cause = if status == 408 { Cause::Timeout } else { cause_of(status) };
            around.note_failed(ue, Procedure::CallRelease, start, cause);
        }
        self.call_over(around, ue);
    }

    /// BYE has come; with which status it is answered.
    pub(super) fn ended_by_peer(
        &mut self,
        around: &mut Around<'_>,
        name: Option<Name>,
        message: &Message<'_>,
    ) -> u16 {
        let call = name.and_then(|name| Some((name, self.calls.get(name.ue as usize)?)));
        let Some((name, call)) = call.filter(|(name, call)| {
            call.number == name.count && matches!(call.stage, Stage::Up | Stage::Ending)
        }) else {
            return 481;
        };
        let remote_tag = message.tag(HeaderName::From).ok().flatten().unwrap_or_default();
        if DialogParts::decode(self.strings.get(&call.dialog)).remote_tag != remote_tag {
            return 481;
        }
        // The own BYE, if there is one, is answered as well.
        if call.stage == Stage::Up {
            self.counts.sessions.released += 1;
            self.call_over(around, name.ue);
        }
        200
    }

    fn call_failed(&mut self, around: &mut Around<'_>, ue: u32, cause: Cause) {
        self.counts.under_way -= 1;
        let start = self.calls[ue as usize].start();
        around.note_failed(ue, Procedure::CallSetup, start, cause);
        self.call_over(around, ue);
    }

    /// The call is over: the next one gets its time.
    fn call_over(&mut self, around: &mut Around<'_>, ue: u32) {
        let call = &mut self.calls[ue as usize];
        call.stage = Stage::Idle;
        self.strings.release(std::mem::replace(&mut call.dialog, Handle::EMPTY));
        if call.left > 0 && !around.stopped {
            return self.arm_call(around, ue);
        }
        if !call.at_rest {
            call.at_rest = true;
            self.counts.at_rest += 1;
        }
        if self.registrations.is_empty() {
            self.counts.gone += 1;
            around.recorder.finished(u64::from(ue));
        }
    }
}

/// Tells requests of a UE's calls apart: a call has INVITE and BYE.
fn request_number(call: &Call) -> u32 {
    call.number << 1 | u32::from(call.stage == Stage::Ending)
}

/// What a BYE is written from: of the strings of the dialog that a 2xx makes those that the UE does not have itself.
fn write_dialog(message: &Message<'_>, out: &mut [u8]) -> Option<usize> {
    let mut routes = [0; 512];
    let len = dialog::route_set(message, true, &mut routes).ok()?;
    let parts = DialogParts {
        remote_tag: message.tag(HeaderName::To).ok()??,
        remote_target: message.contact().ok()??.uri_text,
        routes: &routes[..len],
        ..DialogParts::default()
    };
    parts.encode(out).ok()
}
