//! What is different where a UE's connection rests on a registration with AKA (TS 24.229 clause 5.1.1), as in today's IMS: its 200 says
//! all that there is to know. Challenges, security associations, refreshes and the end are those of the subscription.

use imstorm_base::time::{Time, seconds};
use imstorm_sip::Message;
use imstorm_sip::body::secinfo::Identity;

use super::lifetime::identities_hash;
use super::{Basis, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::Cause;

impl Generator {
    /// Takes the 200 to a REGISTER: the way into the core, the identities, and for how many seconds the contact is bound (TS 24.229
    /// clause 5.1.1.2.1).
    pub(super) fn keep_registration(
        &mut self,
        step: &Step<'_>,
        ue: u32,
        sent_at: Time,
        message: &Message<'_>,
    ) -> Result<u32, Cause> {
        let granted_s = self.own_binding_s(ue, message).filter(|expires_s| *expires_s > 0);
        let granted_s = granted_s.ok_or(Cause::NotBound)?;
        let has_route = message.service_routes().next().is_some_and(|route| route.is_ok());
        // A registrar without security may be any, also one that knows no routes.
        let is_kept = (has_route || self.settings.is_open) && self.keep_service_route(ue, message);
        is_kept.then_some(()).ok_or(Cause::Parse)?;
        // The first one is the default one (TS 24.229 clause 5.4.1.2.2F); barred ones are not among them.
        let associated = message.associated_uris().flatten().enumerate();
        let identities = identities_hash(associated.map(|(place, entry)| Identity {
            uri: entry.uri_text,
            is_default: place == 0,
            is_barred: false,
        }));
        let state = &mut self.ues[ue as usize];
        state.identities = identities;
        state.is_bound = true;
        let number = state.attempt;
        let until = sent_at.saturating_add(seconds(u64::from(granted_s)));
        let half_ns = (until - seconds(u64::from(granted_s)) / 2).saturating_sub(step.now);
        let kind = UeTimerKind::Reregister;
        self.timers.arm(step.now, half_ns, UeTimer { ue, kind, number });
        Ok(granted_s)
    }

    /// 200 to the REGISTER with Expires 0. What the end of the registration brings along is still answered.
    pub(super) fn deregistered(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &self.ues[ue as usize];
        if state.stage != Stage::Releasing {
            return;
        }
        let left_to = self.handover_of(ue).filter(|it| it.from == ue).map(|handover| handover.to);
        if let Some(to) = left_to {
            self.retire(step, ue);
            self.complete(step, to);
            return self.handover_goes_on(step, to);
        }
        if !state.is_current {
            return self.has_left_registration(step, ue);
        }
        self.complete(step, ue);
        self.leave(step, ue);
    }

    /// The registration state is watched no more. Where the connection rests on the registration, that may be its end: the one that the UE
    /// has asked for, or the network's (TS 24.229 clause 5.1.1.7).
    pub(super) fn registration_over(&mut self, step: &mut Step<'_>, ue: u32, reason: &[u8]) {
        let is = |reasons: &[&[u8]]| reasons.iter().any(|it| reason.eq_ignore_ascii_case(it));
        let state = &self.ues[ue as usize];
        if state.basis != Basis::Registration {
            return;
        }
        if state.stage == Stage::Releasing {
            // A subscription that was moved ends for want of a resource.
            if !is(&[b"noresource"]) {
                // It answers the REGISTER with Expires 0 as well, should the 200 be late.
                self.take_response(step, ue, 200);
                self.deregistered(step, ue);
            }
            return;
        }
        // That of the old one of two registrations is what a handover is about.
        let is_left = self.handover_of(ue).is_some_and(|handover| handover.from == ue);
        if state.stage.is_secure() && is(&[b"deactivated", b"rejected"]) && !is_left {
            self.terminated(step, ue, reason);
        }
    }
}
