//! What the operator switches at given times of the run: whether a role of the core knows the extension.

use imstorm_base::time::Time;
use imstorm_engine::switch::{Switch, Switched};

use super::{OperatorCall, OperatorKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Start};
use crate::profile::{Profile, SwitchRole};
use crate::ue::{UeTimer, UeTimerKind};

/// A switch of the profile's.
#[derive(Debug)]
pub(crate) struct Switching {
    /// From the run's start.
    after_ns: u64,
    /// What is switched; nothing where the target has no such P-CSCF.
    switch: Option<Switch>,
    /// When the operator was asked, while it has not answered.
    asked_at: Option<Time>,
}

impl Switching {
    /// Those of a profile, with the addresses of this run. Of several generators the first one has them.
    pub fn all(profile: &Profile) -> Vec<Self> {
        if profile.part.number > 1 {
            return Vec::new();
        }
        let pcscfs = &profile.topology.pcscf;
        let each = profile.operator.iter().map(|plan| {
            let role = match (plan.role, plan.number) {
                (SwitchRole::Scscf, _) => Some(Switched::Scscf),
                (SwitchRole::Pcscf, None) => Some(Switched::Pcscfs),
                (SwitchRole::Pcscf, Some(number)) => {
                    pcscfs.get(number.saturating_sub(1)).map(|address| Switched::Pcscf(*address))
                }
            };
            Self {
                after_ns: (plan.at_s * 1e9) as u64,
                switch: role.map(|role| Switch { role, is_on: plan.security_event }),
                asked_at: None,
            }
        });
        each.collect()
    }
}

impl Generator {
    /// The run starts: the switches have their times.
    pub(crate) fn arm_switches(&mut self, now: Time) {
        for (number, it) in (0..).zip(&self.switches) {
            let timer = UeTimer { ue: 0, kind: UeTimerKind::Switch, number };
            self.timers.arm(now, it.after_ns, timer);
        }
    }

    /// A switch's time has come.
    pub(crate) fn switch_is_due(&mut self, step: &Step<'_>, number: u32) {
        if self.stopped {
            return;
        }
        let it = &mut self.switches[number as usize];
        it.asked_at = Some(step.now);
        self.measurements.attempted(Procedure::Switch, Start::at(step.now));
        self.under_way += 1;
        let call =
            it.switch.map(|it| OperatorCall { ue: 0, number, kind: OperatorKind::Switch(it) });
        if !call.is_some_and(|call| self.operator.file(call)) {
            self.switch_over(step, number, false);
        }
    }

    /// A switch was thrown, or could not be.
    pub(crate) fn switch_over(&mut self, step: &Step<'_>, number: u32, is_done: bool) {
        let Some(asked_at) = self.switches[number as usize].asked_at.take() else { return };
        self.under_way -= 1;
        if is_done {
            self.measurements.completed(Procedure::Switch, Start::at(asked_at), step.now);
        } else {
            self.measurements.failed(Procedure::Switch, Start::at(asked_at), Cause::Operator);
        }
    }
}
