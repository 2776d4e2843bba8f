//! A UE's side of AKA and of the security agreement: from the 401 to the security associations, at set-up and at
//! re-authentication.

use imstorm_aka::{Refusal, answer_with, decode_nonce};
use imstorm_base::slab::Key;
use imstorm_esp::Associations;
use imstorm_sip::Message;
use imstorm_sip::header::HeaderName;

use super::agreement::choose;
use super::server::{SERVER_BYTES_MAX, Server};
use super::write::Credentials;
use super::{Abandons, Asking, Authentication, Stage, UeSet};
use crate::generator::{Generator, Step};
use crate::measure::Cause;

/// How many challenges in a row a UE takes that it can't answer (TS 24.229 clause 5.1.1.5.3).
const BAD_CHALLENGES_MAX: u8 = 2;

impl Generator {
    /// 401 to the first SUBSCRIBE.
    pub(crate) fn challenged(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        if self.ues[ue as usize].abandons == Abandons::Challenge {
            return self.abandon(step, ue);
        }
        let Some(set) = self.agree(step, ue, message, Asking::First) else { return };
        self.drop_set(ue);
        let state = &mut self.ues[ue as usize];
        state.set = set.into();
        state.stage = Stage::Answering;
        self.ask(step, ue, Asking::Answer, Credentials::Answer);
    }

    /// 401 to a refresh: the new set waits beside the one in force, and carries the answer (TS 33.203 clause 7.4).
    pub(crate) fn rechallenged(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        self.ues[ue as usize].was_challenged = true;
        let Some(set) = self.agree(step, ue, message, Asking::Refresh) else { return };
        // Two sets at most: what came through a former connection's has had its time.
        self.drop_other_set(ue);
        let state = &mut self.ues[ue as usize];
        state.other_set = set.into();
        state.is_next = true;
        state.stage = Stage::Reanswering;
        state.has_200 = false;
        state.has_notify = false;
        self.ask(step, ue, Asking::Reanswer, Credentials::Answer);
    }

    /// The answer was right: the new set is in force. Nothing of the UE's pends on the former, which goes (TS 24.229 clause
    /// 5.1.1.5.1).
    pub(super) fn switch_sets(&mut self, ue: u32) {
        self.drop_set(ue);
        let state = &mut self.ues[ue as usize];
        state.set = state.other_set.take();
        state.is_next = false;
    }

    /// Answers the challenge in a 401 to `asked`, and makes the four security associations that it offers. `None` where that failed, and
    /// what follows has begun.
    fn agree(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        message: &Message<'_>,
        asked: Asking,
    ) -> Option<Key> {
        let nonce = message.www_authenticate().ok().flatten().map(|challenge| challenge.nonce);
        let Some(Ok((rand, autn))) = nonce.map(decode_nonce) else {
            self.fail(step, ue, Cause::BadChallenge);
            return None;
        };
        let state = &mut self.ues[ue as usize];
        state.authentication = Authentication { rand, autn, ..Authentication::default() };
        let milenage = self.population.milenage(ue);
        let user = self.population.user(ue) as usize;
        let accept = |sqn| self.usims.accept(user, sqn);
        let keys = match answer_with(&milenage, accept, &rand, &autn) {
            Ok(keys) => keys,
            Err(refusal) => {
                self.refuse_challenge(step, ue, &refusal, asked);
                return None;
            }
        };
        let state = &mut self.ues[ue as usize];
        state.bad_challenges = 0;
        state.authentication.res = keys.res;
        let (offer, pcscf_turn) = (state.offer, state.pcscf_turn);
        let side = state.client_side(ue, &self.settings.ports_uc, self.settings.port_us);
        let (mode, suites) = (self.settings.mode, &self.settings.suites);
        let (ue_ip, pcscf_ip) = (self.population.address(ue), self.pcscf(ue).ip());
        let Some(parameters) = choose(message, mode, suites, &side, ue_ip, pcscf_ip) else {
            self.fail(step, ue, Cause::BadSecurityServer);
            return None;
        };
        let sa = Associations::for_ue(&parameters, &keys.ck, &keys.ik);
        if let Some(course) = &mut self.course {
            course.agreed(parameters.suite);
        }
        self.record_keys(ue, &parameters, &keys.ck, &keys.ik);
        let (port_pc, port_ps) = (parameters.port_pc, parameters.port_ps);
        let set = self.keep_server(message, &sa, (port_pc, port_ps)).and_then(|server| {
            let set = UeSet { sa, port_pc, port_ps, offer, pcscf_turn, server };
            self.sets.insert(set).ok()
        });
        if set.is_none() {
            self.fail(step, ue, Cause::Transport);
        }
        set
    }

    /// Security-Server as it came, line by line in one list: Security-Verify repeats it.
    fn keep_server(
        &mut self,
        message: &Message<'_>,
        sa: &Associations,
        ports: (u16, u16),
    ) -> Option<Server> {
        let mut server = [0; SERVER_BYTES_MAX];
        let mut writer = imstorm_sip::Writer::new(&mut server);
        for (place, (_, line)) in message.lines(HeaderName::SecurityServer).enumerate() {
            if place > 0 {
                writer.put(b", ");
            }
            writer.put(line);
        }
        let fits = !writer.has_overflowed();
        fits.then(|| self.servers.keep(writer.as_written(), sa, ports, &mut self.strings)).flatten()
    }

    /// The challenge can't be answered: the network is told why, with an offer of new SPIs, on what there was before (TS 24.229
    /// clause 5.1.1.5.3).
    fn refuse_challenge(&mut self, step: &mut Step<'_>, ue: u32, refusal: &Refusal, asked: Asking) {
        let state = &mut self.ues[ue as usize];
        state.bad_challenges += 1;
        let (credentials, cause) = match refusal {
            Refusal::MacFailure => (Credentials::MacFailure, Cause::MacFailure),
            Refusal::SqnOutOfRange { auts } => {
                (Credentials::OutOfRange(*auts), Cause::SqnOutOfRange)
            }
        };
        if state.bad_challenges > BAD_CHALLENGES_MAX {
            return self.fail(step, ue, cause);
        }
        state.authentication.nc = 0;
        self.ask(step, ue, asked, credentials);
    }
}
