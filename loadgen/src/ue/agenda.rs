//! When a UE's procedures are due. Each has a timer of its own; one that fires while another procedure is under way waits for
//! its end, so that a UE has a single request under way at any time, as the security agreement wants it across a change of
//! security associations.

use imstorm_base::time::{NS_PER_S, Time};

use super::network::URGENT;
use super::{Abandons, Basis, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::Procedure;

/// Procedures in the order in which they begin when several are due: the end first, then what keeps the connection.
const ORDER: [Procedure; 11] = [
    Procedure::Release,
    Procedure::Handover,
    Procedure::Refresh,
    Procedure::Reauthenticate,
    Procedure::NetworkRelease,
    Procedure::NetworkReauthenticate,
    Procedure::IdentityChange,
    Procedure::RegisterOverConnection,
    Procedure::RegEvent,
    Procedure::Message,
    Procedure::CallSetup,
];
/// The least time until a procedure is tried again that could not begin.
const TRY_AGAIN_NS: u64 = NS_PER_S;

/// Whether a UE is of a share of all that is spread evenly over their numbers: of a half it is every second one.
fn is_among(share: f64, ue: u32) -> bool {
    let number = f64::from(ue);
    ((number + 1.0) * share).floor() > (number * share).floor()
}

impl Generator {
    /// What the profile has for this UE, drawn once.
    pub(super) fn plan_life(&mut self, ue: u32) {
        if self.course.is_some() {
            self.ues[ue as usize].is_current = true;
            return;
        }
        for procedure in Procedure::ALL {
            let count = self.plans[*procedure as usize].count;
            self.left.set(ue, *procedure, u16::try_from(count).unwrap_or(u16::MAX));
        }
        let (release, abandon) = (self.random.unit(), self.random.unit());
        let deactivated = self.network_release.deactivated_share;
        let rejected = self.network_release.rejected_share;
        if release >= deactivated + rejected {
            self.left.set(ue, Procedure::NetworkRelease, 0);
        }
        if !is_among(self.call.share, ue) {
            self.left.set(ue, Procedure::CallSetup, 0);
        }
        if !is_among(self.handover.share, ue) {
            self.left.set(ue, Procedure::Handover, 0);
        }
        let state = &mut self.ues[ue as usize];
        state.is_current = true;
        state.to_reject = release >= deactivated;
        state.abandons = if abandon < self.abandon.challenge_share {
            Abandons::Challenge
        } else if abandon < self.abandon.challenge_share + self.abandon.secured_share {
            Abandons::Connection
        } else {
            Abandons::Nothing
        };
    }

    /// The UE has just been secured: everything that it is to do gets its time.
    pub(super) fn begin_agenda(&mut self, step: &mut Step<'_>, ue: u32) {
        if self.course.is_some() {
            return;
        }
        let number = self.ues[ue as usize].attempt;
        let state = &mut self.ues[ue as usize];
        state.due = 0;
        state.is_extra = false;
        for procedure in Procedure::ALL {
            if *procedure == Procedure::Refresh
                && let Some(after_ns) = self.herd_after_ns(step.now)
            {
                if self.left.of(ue, Procedure::Refresh) > 0 {
                    let kind = UeTimerKind::Due(Procedure::Refresh);
                    self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
                }
                continue;
            }
            self.arm_procedure(step, ue, *procedure);
        }
        if let Some((after_s, jitter)) = self.release {
            let after_ns = self.vary(after_s, jitter);
            self.ues[ue as usize].release_at = self.clock.moment(step.now + after_ns);
            let kind = UeTimerKind::Due(Procedure::Release);
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
        }
        if self.ues[ue as usize].abandons == Abandons::Connection {
            let after_ns = self.vary(self.abandon.secured_after_s, 0.0);
            let kind = UeTimerKind::Vanish;
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
        }
        self.go_on(step, ue);
    }

    /// The user has just come to this access, with all that is left to do.
    pub(super) fn resume_agenda(&mut self, step: &mut Step<'_>, ue: u32) {
        for procedure in Procedure::ALL {
            // The next call has its time from the end of the one that goes on.
            let waits = *procedure == Procedure::CallSetup && self.is_caller(ue);
            if !waits && self.ues[ue as usize].due & (1 << *procedure as u32) == 0 {
                self.arm_procedure(step, ue, *procedure);
            }
        }
        let state = &self.ues[ue as usize];
        if self.release.is_some() && state.due & (1 << Procedure::Release as u32) == 0 {
            let after_ns = self.clock.time(state.release_at).saturating_sub(step.now);
            let (kind, number) = (UeTimerKind::Due(Procedure::Release), state.attempt);
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
        }
        self.go_on(step, ue);
    }

    /// From now to this UE's place in the window into which all first refreshes fall, if the profile has one.
    fn herd_after_ns(&mut self, now: Time) -> Option<u64> {
        let at_s = self.refresh.at_s?;
        let at_ns = ((at_s + self.refresh.window_s * self.random.unit()) * 1e9) as u64;
        Some((self.started_at.unwrap_or(now) + at_ns).saturating_sub(now))
    }

    /// Arms the next one of a procedure, if one is left.
    pub(super) fn arm_procedure(&mut self, step: &Step<'_>, ue: u32, procedure: Procedure) {
        let state = &self.ues[ue as usize];
        if self.left.of(ue, procedure) == 0 || !state.basis.has(procedure) {
            return;
        }
        let number = state.attempt;
        let plan = self.plans[procedure as usize];
        let after_ns = self.vary(plan.after_s, plan.jitter);
        let kind = UeTimerKind::Due(procedure);
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
    }

    /// Tries a procedure again that could not begin: it keeps its turn.
    pub(super) fn postpone(&mut self, step: &Step<'_>, ue: u32, procedure: Procedure) {
        self.left.put_back(ue, procedure);
        let number = self.ues[ue as usize].attempt;
        let plan = self.plans[procedure as usize];
        let after_ns = self.vary(plan.after_s, plan.jitter).max(TRY_AGAIN_NS);
        let kind = UeTimerKind::Due(procedure);
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
    }

    pub(super) fn vary(&mut self, after_s: f64, jitter: f64) -> u64 {
        let factor = 1.0 + jitter * (2.0 * self.random.unit() - 1.0);
        (after_s * factor * 1e9) as u64
    }

    /// A procedure's time has come: it was intended for `at`.
    pub(super) fn is_due(&mut self, step: &mut Step<'_>, ue: u32, procedure: Procedure, at: Time) {
        let state = &mut self.ues[ue as usize];
        // What is due once nothing begins any more was not asked for.
        if !state.is_current || self.stopped {
            return;
        }
        let bit = 1 << procedure as u32;
        if state.due & bit == 0 {
            // A registration that is refreshed for its time's sake has none left.
            self.left.take_one(ue, procedure);
            if state.due == 0 && state.is_free() {
                self.note_lateness(step.now - at);
                self.begin_procedure(step, ue, procedure, at);
            } else {
                state.due |= bit;
                self.due_since.insert((self.population.user(ue), procedure), at);
            }
        }
        self.go_on(step, ue);
    }

    /// Whether a UE has something left to do that it can do over its connection.
    fn has_left(&self, ue: u32) -> bool {
        let basis = self.ues[ue as usize].basis;
        Procedure::ALL.iter().any(|it| self.left.of(ue, *it) > 0 && basis.has(*it))
    }

    /// Begins what is due, if nothing is under way. Where nothing is left to do, the UE rests.
    pub(super) fn go_on(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        if !state.is_current {
            return;
        }
        if state.due & URGENT != 0 && state.is_free() && !self.stopped {
            state.due &= !URGENT;
            state.is_extra = true;
            self.begin_refresh(step, ue, step.now);
        }
        for procedure in ORDER {
            let state = &mut self.ues[ue as usize];
            if !state.is_free() || self.stopped {
                return;
            }
            let bit = 1 << procedure as u32;
            if state.due & bit == 0 {
                continue;
            }
            state.due &= !bit;
            let waiting = self.due_since.remove(&(self.population.user(ue), procedure));
            let intended = waiting.unwrap_or(step.now);
            self.begin_procedure(step, ue, procedure, intended);
        }
        let state = &self.ues[ue as usize];
        let has_more = state.due != 0
            || self.has_left(ue)
            || self.release.is_some()
            || state.abandons == Abandons::Connection
            || self.has_open_calls(ue);
        let state = &mut self.ues[ue as usize];
        if state.is_free() && !has_more && !state.rests {
            state.rests = true;
            self.resting += 1;
        }
    }

    pub(crate) fn begin_procedure(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        procedure: Procedure,
        intended: Time,
    ) {
        match procedure {
            // They have no time of their own.
            Procedure::Secure
            | Procedure::Registration
            | Procedure::Fallback
            | Procedure::FallbackReturn
            | Procedure::SessionRefresh
            | Procedure::CallRelease
            | Procedure::HandoverSecure
            | Procedure::HandoverSessions
            | Procedure::HandoverSubscriptions
            | Procedure::HandoverBindings
            | Procedure::HandoverRelease
            | Procedure::Interruption
            | Procedure::SubscriptionMove
            | Procedure::Switch => {}
            Procedure::Handover => self.begin_handover(step, ue, intended),
            Procedure::Release => self.begin_release(step, ue, intended),
            Procedure::Refresh => self.begin_refresh(step, ue, intended),
            Procedure::Reauthenticate => self.begin_reauthentication(step, ue, intended),
            Procedure::IdentityChange => self.begin_identity_change(step, ue, intended),
            Procedure::NetworkReauthenticate => {
                self.begin_network_reauthentication(step, ue, intended);
            }
            Procedure::NetworkRelease => self.begin_network_release(step, ue, intended),
            Procedure::RegisterOverConnection => self.begin_registration(step, ue, intended),
            Procedure::RegEvent => self.begin_reg_event(step, ue, intended),
            Procedure::Message => self.begin_message(step, ue, intended),
            Procedure::CallSetup => self.begin_call(step, ue, intended),
        }
    }

    /// A procedure is over, and the connection goes on: the next one of its kind gets its time, and what is due begins.
    pub(super) fn after(&mut self, step: &mut Step<'_>, ue: u32, procedure: Procedure) {
        if self.handover_step_over(step, ue, procedure, None) {
            return;
        }
        if self.ues[ue as usize].stage != Stage::Secured {
            return;
        }
        if !std::mem::take(&mut self.ues[ue as usize].is_extra) {
            self.arm_procedure(step, ue, procedure);
        }
        self.go_on(step, ue);
    }

    /// At that time a registration had half of its time left: it is refreshed, unless the profile has another one coming. One that the connection
    /// rests on is in any case, unless it was meanwhile.
    pub(super) fn reregister(&mut self, step: &mut Step<'_>, ue: u32, at: Time) {
        let state = &mut self.ues[ue as usize];
        if state.basis == Basis::Registration {
            if state.lifetime.is_half_over(self.clock, step.now) {
                state.due |= URGENT;
                self.go_on(step, ue);
            }
            return;
        }
        let procedure = Procedure::RegisterOverConnection;
        if self.left.of(ue, procedure) == 0 {
            self.is_due(step, ue, procedure, at);
        }
    }
}
