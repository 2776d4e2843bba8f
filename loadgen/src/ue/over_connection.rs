//! What UEs do over their secure connections without further authentication (the paper's section 3.2): they register, watch
//! their registration, and write to each other.

use imstorm_base::TextRoom;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::field::subscription_state::SubscriptionState;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method, Writer, dialog};

use super::names::{Call, Names};
use super::receive::{DIALOG_BYTES_MAX, measure_notify};
use super::remote::Remote;
use super::server::SERVER_BYTES_MAX;
use super::write::{ALLOW, UeSettings, Writing};
use super::{Asking, Basis, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure};

/// What MESSAGEs say: a hundred bytes.
const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs. 0123456789 abc";
const _: () = assert!(TEXT.len() == 100);
/// Room for a Route: two URIs of which one is the core's.
const ROUTE_BYTES_MAX: usize = 1024;

impl Generator {
    pub(super) fn begin_registration(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        self.start_procedure(ue, Procedure::RegisterOverConnection, step.start(intended));
        self.register(step, ue);
    }

    /// Sends the REGISTER of the procedure under way.
    pub(super) fn register(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        state.register_cseq += 1;
        let (call, cseq) = (Call::Registration(state.attempt), state.register_cseq);
        let home = format!("sip:{}", self.settings.domain);
        let written = self.write_over_connection(ue, call, |writing, names, route, out| {
            let parts = initial(names, home.as_bytes(), route);
            let mut writer = dialog::request(&parts, Method::Register, cseq, out);
            writing.via(writing.settings.port_us, call, cseq, &mut writer);
            writer.end();
            writing.contact(writing.settings.port_us, &mut writer);
            let expires_s = u64::from(writing.settings.registration_expires_s);
            writer.header(HeaderName::Expires).decimal(expires_s).end();
            writer.header(HeaderName::Allow).text(ALLOW).end();
            writer.header(HeaderName::Supported).text("path, gruu").end();
            writing.agreed(&mut writer);
            writer.finish().ok()
        });
        self.start_request(step, ue, Asking::Register, (call, cseq), written);
    }

    pub(super) fn begin_reg_event(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        self.start_procedure(ue, Procedure::RegEvent, step.start(intended));
        self.watch_registration(step, ue);
    }

    /// Sends the SUBSCRIBE to the registration state of the procedure under way: in its dialog, or where there is none the first one.
    pub(super) fn watch_registration(&mut self, step: &mut Step<'_>, ue: u32) {
        if self.make_watch(ue).is_none() {
            return self.fail(step, ue, Cause::Transport);
        }
        let fresh = self.next_call(ue);
        let Some(watch) = self.watch_mut(ue) else { return };
        watch.has_200 = false;
        watch.has_notify = false;
        if watch.dialog.is_empty() {
            watch.call = fresh;
            watch.cseq = 0;
            watch.notify_cseq = 0;
            watch.owner = ue;
        }
        watch.cseq += 1;
        let (call, cseq, owner) = (Call::RegEvent(watch.call), watch.cseq, watch.owner);
        self.set_watch_asked_at(ue, step.now);
        let written = self.write_over_connection(ue, call, |writing, names, route, out| {
            let mut room = TextRoom::default();
            let old = Names::new(writing.population, writing.settings, owner, call);
            let parts = match writing.watch.filter(|it| !it.dialog.is_empty()) {
                Some(it) => Remote::read(writing.strings, &it.dialog, &mut room).dialog(&old),
                None => initial(names, names.impu(), route),
            };
            writing.subscribe(&parts, (call, cseq), names, None, out)
        });
        self.start_request(step, ue, Asking::RegEvent, (call, cseq), written);
        self.name_request(ue, owner);
    }

    /// The request under way is in a dialog that another access has named.
    fn name_request(&mut self, ue: u32, owner: u32) {
        if let Some(request) = self.request_mut(ue) {
            request.named = owner;
        }
    }

    /// Moves the subscription to the registration state from one access to another: by SUBSCRIBE with Replaces, or in its dialog by
    /// the way of the new connection.
    pub(super) fn subscribe_anew(
        &mut self,
        step: &mut Step<'_>,
        from: u32,
        to: u32,
        in_dialog: bool,
    ) {
        let Some(old) = self.watch_of(from) else { return };
        let (call, cseq, notify_cseq) = (old.call, old.cseq, old.notify_cseq);
        let names = Names::new(&self.population, &self.settings, old.owner, Call::RegEvent(call));
        let owner = if in_dialog { old.owner } else { to };
        let text = self.strings.read(&old.dialog, &mut TextRoom::default()).to_vec();
        let old = Remote::decode(&text).dialog(&names);
        if self.make_watch(to).is_none() {
            return self.fail(step, to, Cause::Transport);
        }
        let fresh = self.next_call(to);
        let Some(watch) = self.watch_mut(to) else { return };
        watch.has_200 = false;
        watch.has_notify = false;
        watch.owner = owner;
        watch.call = if in_dialog { call } else { fresh };
        watch.cseq = if in_dialog { cseq + 1 } else { 1 };
        watch.notify_cseq = if in_dialog { notify_cseq } else { 0 };
        let (call, cseq) = (Call::RegEvent(watch.call), watch.cseq);
        self.set_watch_asked_at(to, step.now);
        let written = self.write_over_connection(to, call, |writing, names, route, out| {
            let parts = match in_dialog {
                true => DialogParts { routes: route, ..old },
                false => initial(names, names.impu(), route),
            };
            writing.subscribe(&parts, (call, cseq), names, (!in_dialog).then_some(&old), out)
        });
        if in_dialog {
            // What comes in the dialog from now on comes over the new connection.
            self.lose_reg_dialog(from);
        }
        self.start_request(step, to, Asking::RegEvent, (call, cseq), written);
        self.name_request(to, owner);
    }

    /// Whether the procedure under way waits for a subscription to the registration state.
    pub(super) fn is_subscribing(&self, ue: u32) -> bool {
        let current = self.ues[ue as usize].procedure;
        matches!(current, Some(Procedure::RegEvent | Procedure::HandoverSubscriptions))
    }

    pub(super) fn begin_message(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        let partner = self.partner(ue);
        if !self.can_be_reached(partner) {
            // Its turn comes later, unless the partner will never be there.
            if self.may_register(partner) {
                self.postpone(step, ue, Procedure::Message);
            } else {
                self.arm_procedure(step, ue, Procedure::Message);
            }
            return;
        }
        self.start_procedure(ue, Procedure::Message, step.start(intended));
        self.write_to(step, ue, partner, false);
    }

    /// Sends the MESSAGE of the procedure under way, to whichever access its user has, or to that one only (RFC 3841 clause 6.2).
    pub(super) fn write_to(&mut self, step: &mut Step<'_>, ue: u32, partner: u32, only: bool) {
        let call = Call::Message(self.next_call(ue));
        let to = Names::new(&self.population, &self.settings, partner, call);
        let written = self.write_over_connection(ue, call, |writing, names, route, out| {
            let parts = DialogParts { remote_uri: to.impu(), ..initial(names, to.impu(), route) };
            let mut writer = dialog::request(&parts, Method::Message, 1, out);
            writing.via(writing.settings.port_us, call, 1, &mut writer);
            writer.end();
            if only {
                let access = UeSettings::access_type(writing.population, partner);
                writer.header(HeaderName::AcceptContact).put(b"*;+g.3gpp.accesstype=\"");
                writer.text(access).put(b"\";require;explicit").end();
            }
            writing.preferred(names, &mut writer);
            writing.agreed(&mut writer);
            writer.finish_with_body("text/plain", TEXT).ok()
        });
        self.start_request(step, ue, Asking::Message, (call, 1), written);
    }

    /// Whether a MESSAGE that is for one access of its user has come over that.
    pub(super) fn is_wanted_access(&self, ue: u32, message: &Message<'_>) -> bool {
        let access = UeSettings::access_type(&self.population, ue).as_bytes();
        let mut wanted = message.list(HeaderName::AcceptContact);
        wanted.all(|it| it.windows(access.len()).any(|part| part == access))
    }

    /// Whom a UE writes to: the one whose number differs in the last bit, or the one before where there is none.
    pub(super) fn partner(&self, ue: u32) -> u32 {
        let user = self.population.user(ue);
        if user ^ 1 < self.population.size() { user ^ 1 } else { user.saturating_sub(1) }
    }

    /// Whether a UE is registered, and not about to leave.
    pub(super) fn can_be_reached(&self, ue: u32) -> bool {
        let ue = self.current_access(ue);
        let state = &self.ues[ue as usize];
        let leaves = state.is_leaving
            || state.stage == Stage::Releasing
            || self.handover_of(ue).is_some()
            || state.procedure == Some(Procedure::NetworkRelease);
        self.is_registered(ue) && !leaves
    }

    /// Whether a UE that can't be reached may still become so.
    pub(super) fn may_register(&self, ue: u32) -> bool {
        if self.handover_of(ue).is_some() {
            return true;
        }
        let ue = self.current_access(ue);
        let state = &self.ues[ue as usize];
        let procedure = Procedure::RegisterOverConnection;
        match state.stage {
            Stage::Idle => !self.stopped,
            Stage::Gone => false,
            // Its set-up is its registration.
            _ if state.basis == Basis::Registration => !state.stage.is_secure(),
            _ => {
                self.left.of(ue, procedure) > 0
                    || state.due & (1 << procedure as u32) != 0
                    || state.procedure == Some(procedure)
            }
        }
    }

    /// Whether the partner's MESSAGE to this UE is under way: it stays until that is answered.
    pub(super) fn is_written_to(&self, ue: u32) -> bool {
        let partner = self.request_of(self.current_access(self.partner(ue)));
        partner.is_some_and(|request| request.asking == Asking::Message)
    }

    /// The number of the user's next call. What is begun over one access may go on over the other, under the same number, and must not be
    /// taken for what that has begun.
    pub(super) fn next_call(&mut self, ue: u32) -> u32 {
        let state = &mut self.ues[self.population.user(ue) as usize];
        state.calls = state.calls.wrapping_add(1);
        state.calls
    }

    /// Writes a request into `text`, given the UE's names and the Route that leads over its connection.
    pub(super) fn write_over_connection(
        &mut self,
        ue: u32,
        call: Call,
        write: impl FnOnce(&Writing<'_>, &Names, &[u8], &mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let names = Names::new(&self.population, &self.settings, ue, call);
        let mut route = [0; ROUTE_BYTES_MAX];
        let len = self.write_route(ue, &mut route)?;
        let mut verify = [0; SERVER_BYTES_MAX];
        let verify = self.write_server(self.ues[ue as usize].set, &mut verify);
        let watch = self.ues[ue as usize].watch.key(&self.watches);
        let writing = Writing {
            population: &self.population,
            settings: &self.settings,
            strings: &self.strings,
            ue,
            state: &self.ues[ue as usize],
            watch: watch.and_then(|key| self.watches.get(key)),
            verify,
            remote: Remote::default(),
            replaced: None,
        };
        write(&writing, &names, &route[..len], &mut self.text[..])
    }

    /// The Route of whatever leaves over the connection: the P-CSCF's protected port, then the Service-Route of the last 200, or
    /// where it had none its Contact.
    fn write_route(&self, ue: u32, out: &mut [u8]) -> Option<usize> {
        let len = self.write_first_hop(ue, out)?;
        let mut room = TextRoom::default();
        let remote = Remote::read(&self.strings, &self.ues[ue as usize].remote, &mut room);
        if self.settings.is_open && remote.service_route.is_empty() {
            return Some(len);
        }
        let mut writer = Writer::new(out.get_mut(len..)?);
        writer.put(b",");
        if remote.service_route.is_empty() {
            writer.put(b"<").put(remote.target).put(b">");
        } else {
            writer.put(remote.service_route);
        }
        Some(len + writer.done().ok()?)
    }

    /// The P-CSCF's protected port, or its only one where nothing is protected, as the first Route of whatever leaves over the connection.
    pub(super) fn write_first_hop(&self, ue: u32, out: &mut [u8]) -> Option<usize> {
        let port_ps = match self.settings.is_open {
            true => self.pcscf(ue).port(),
            false => self.sets.get(self.set_of(ue)?)?.port_ps,
        };
        let mut writer = Writer::new(out);
        writer.put(b"<sip:").ip(self.pcscf(ue).ip()).put(b":");
        writer.decimal(u64::from(port_ps)).put(b";lr>");
        writer.done().ok()
    }

    /// 200 to REGISTER: it must list the contact that was registered.
    pub(super) fn registered(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        sent_at: Time,
        message: &Message<'_>,
    ) {
        let Some(expires_s) = self.own_binding_s(ue, message).filter(|expires_s| *expires_s > 0)
        else {
            return self.fail(step, ue, Cause::NotBound);
        };
        let until = sent_at.saturating_add(seconds(u64::from(expires_s)));
        let state = &mut self.ues[ue as usize];
        state.is_bound = true;
        let number = state.attempt;
        let half_ns = until.saturating_sub(step.now) / 2;
        let kind = UeTimerKind::Reregister;
        self.timers.arm(step.now, half_ns, UeTimer { ue, kind, number });
        let procedure = self.ues[ue as usize].procedure;
        self.complete(step, ue);
        self.after(step, ue, procedure.unwrap_or(Procedure::RegisterOverConnection));
    }

    /// The seconds for which a 200 lists the UE's contact.
    pub(super) fn own_binding_s(&self, ue: u32, message: &Message<'_>) -> Option<u32> {
        let address = self.population.address(ue);
        let ours = std::net::SocketAddr::new(address, self.settings.port_us);
        let contact = message
            .contacts()
            .flatten()
            .find(|contact| contact.uri.socket_addr(self.settings.port_us) == Some(ours))?;
        let own = contact.params.value("expires").and_then(|text| std::str::from_utf8(text).ok());
        match own {
            Some(text) => text.parse().ok(),
            None => message.expires().ok().flatten(),
        }
    }

    /// 2xx to a SUBSCRIBE to the registration state: the dialog is made, its NOTIFY has to follow.
    pub(super) fn reg_accepted(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        let mut text = [0; DIALOG_BYTES_MAX];
        let written = self.write_dialog(ue, b"", message, &mut text);
        let watch = self.ues[ue as usize].watch.key(&self.watches);
        let Some(watch) = watch.and_then(|key| self.watches.get_mut(key)) else { return };
        let kept = written.is_some_and(|len| {
            self.strings.replace_packed(&mut watch.dialog, &text[..len]).is_ok()
        });
        if !kept {
            return self.fail(step, ue, Cause::Parse);
        }
        watch.has_200 = true;
        if watch.has_notify {
            self.reg_subscribed(step, ue);
        } else {
            self.arm_timer_n(step, ue);
        }
    }

    /// A NOTIFY of the registration state.
    pub(super) fn reg_notified(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        cseq: u32,
        state: &SubscriptionState<'_>,
    ) {
        let Some(watch) = self.watch_mut(ue) else { return };
        if cseq <= watch.notify_cseq {
            return;
        }
        watch.notify_cseq = cseq;
        let asked_at = self.take_watch_asked_at(ue);
        measure_notify(&mut self.measurements, step.now, asked_at);
        let Some(watch) = self.watch_mut(ue) else { return };
        if state.is_terminated() {
            let ended = std::mem::take(&mut watch.dialog);
            self.strings.release(ended);
            if self.is_subscribing(ue) {
                self.fail(step, ue, Cause::TerminatedByNetwork);
            }
            return self.registration_over(step, ue, state.reason.unwrap_or_default());
        }
        watch.has_notify = true;
        if watch.has_200 && self.is_subscribing(ue) {
            self.reg_subscribed(step, ue);
        }
    }

    fn reg_subscribed(&mut self, step: &mut Step<'_>, ue: u32) {
        let procedure = self.ues[ue as usize].procedure;
        self.complete(step, ue);
        self.after(step, ue, procedure.unwrap_or(Procedure::RegEvent));
    }

    /// 2xx to MESSAGE.
    pub(super) fn message_delivered(&mut self, step: &mut Step<'_>, ue: u32) {
        self.complete(step, ue);
        self.after(step, ue, Procedure::Message);
    }

    /// The subscription to the registration state is gone: the next one is a new one.
    pub(super) fn lose_reg_dialog(&mut self, ue: u32) {
        if let Some(watch) = self.watch_mut(ue) {
            let lost = std::mem::take(&mut watch.dialog);
            self.strings.release(lost);
        }
    }
}

/// A request outside any dialog, from the UE's default identity to itself.
pub(super) fn initial<'a>(names: &'a Names, target: &'a [u8], routes: &'a [u8]) -> DialogParts<'a> {
    DialogParts {
        call_id: names.call_id(),
        local_tag: names.tag(),
        remote_tag: b"",
        local_uri: names.impu(),
        remote_uri: names.impu(),
        remote_target: target,
        routes,
    }
}

impl Writing<'_> {
    /// A SUBSCRIBE to the registration state, which may replace another one.
    fn subscribe(
        &self,
        parts: &DialogParts<'_>,
        (call, cseq): (Call, u32),
        names: &Names,
        replaced: Option<&DialogParts<'_>>,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut writer = dialog::request(parts, Method::Subscribe, cseq, out);
        self.via(self.settings.port_us, call, cseq, &mut writer);
        writer.end();
        self.contact(self.settings.port_us, &mut writer);
        writer.header(HeaderName::Event).text("reg").end();
        let expires_s = u64::from(self.settings.reg_event_expires_s);
        writer.header(HeaderName::Expires).decimal(expires_s).end();
        writer.header(HeaderName::Accept).text("application/reginfo+xml").end();
        writer.header(HeaderName::Allow).text(ALLOW).end();
        if let Some(replaced) = replaced {
            self.replace(replaced, &mut writer);
        }
        self.preferred(names, &mut writer);
        self.agreed(&mut writer);
        writer.finish().ok()
    }

    /// The identity that the UE wants to be known by.
    pub(super) fn preferred(&self, names: &Names, out: &mut Writer<'_>) {
        out.header(HeaderName::PPreferredIdentity).put(b"<").put(names.impu()).put(b">").end();
    }

    /// What every protected request carries (RFC 3329 clause 2.6).
    fn agreed(&self, out: &mut Writer<'_>) {
        if self.settings.is_open {
            return;
        }
        out.header(HeaderName::Require).text("sec-agree").end();
        out.header(HeaderName::ProxyRequire).text("sec-agree").end();
        self.verify(out);
    }

    /// Security-Verify of the set in force.
    pub(super) fn verify(&self, out: &mut Writer<'_>) {
        out.header(HeaderName::SecurityVerify).put(self.verify).end();
    }
}
