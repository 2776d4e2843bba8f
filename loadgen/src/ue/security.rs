//! A UE's side of AKA and of the security agreement: from the 401 to the security associations.

use imstorm_aka::{Refusal, answer, decode_nonce};
use imstorm_esp::SaSet;
use imstorm_sip::Message;
use imstorm_sip::header::HeaderName;

use super::agreement::choose;
use super::write::Credentials;
use super::{Asking, Authentication, Stage, UeSet};
use crate::generator::{Generator, Step};
use crate::measure::Cause;

/// How many challenges in a row a UE takes that it can't answer (TS 24.229 clause 5.1.1.5.3).
const BAD_CHALLENGES_MAX: u8 = 2;

impl Generator {
    /// 401 to the first SUBSCRIBE.
    pub(crate) fn challenged(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        let nonce = message.www_authenticate().ok().flatten().map(|challenge| challenge.nonce);
        let Some(Ok((rand, autn))) = nonce.map(decode_nonce) else {
            return self.fail(step, ue, Cause::BadChallenge);
        };
        let state = &mut self.ues[ue as usize];
        state.authentication = Authentication { rand, autn, ..Authentication::default() };
        let milenage = self.population.milenage(ue);
        let keys = match answer(&milenage, &mut state.freshness, &rand, &autn) {
            Ok(keys) => keys,
            Err(refusal) => return self.refuse_challenge(step, ue, &refusal),
        };
        state.bad_challenges = 0;
        state.authentication.res = keys.res;
        let side = state.client_side(ue, self.settings.port_uc, self.settings.port_us);
        let (mode, suites) = (self.settings.mode, &self.settings.suites);
        let (ue_ip, pcscf_ip) = (self.population.address(ue), self.population.pcscf(ue).ip());
        let Some(parameters) = choose(message, mode, suites, &side, ue_ip, pcscf_ip) else {
            return self.fail(step, ue, Cause::BadSecurityServer);
        };
        // Security-Verify repeats what came, line by line in one list.
        let mut server = [0; 2048];
        let mut writer = imstorm_sip::Writer::new(&mut server);
        for (place, (_, line)) in message.lines(HeaderName::SecurityServer).enumerate() {
            if place > 0 {
                writer.put(b", ");
            }
            writer.put(line);
        }
        let state = &mut self.ues[ue as usize];
        let kept = !writer.has_overflowed()
            && self.strings.replace(&mut state.security_server, writer.as_written()).is_ok();
        self.drop_set(ue);
        let sa = SaSet::for_ue(&parameters, &keys.ck, &keys.ik);
        let Some(set) = self.sets.insert(UeSet { sa }).ok().filter(|_| kept) else {
            return self.fail(step, ue, Cause::Transport);
        };
        self.record_keys(ue, &parameters, &keys.ck, &keys.ik);
        let state = &mut self.ues[ue as usize];
        state.set = Some(set);
        state.stage = Stage::Answering;
        self.ask(step, ue, Asking::Answer, Credentials::Answer);
    }

    /// The challenge can't be answered: the network is told why, with an offer of new SPIs (TS 24.229 clause 5.1.1.5.3).
    fn refuse_challenge(&mut self, step: &mut Step<'_>, ue: u32, refusal: &Refusal) {
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
        self.ask(step, ue, Asking::First, credentials);
    }
}
