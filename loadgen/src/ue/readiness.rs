//! Whether a UE can begin at once what somebody else wants of it.

use super::Stage;
use crate::generator::Generator;
use crate::measure::Procedure;

impl Generator {
    /// Whether a UE is free to begin a procedure, which will not be put off.
    pub(crate) fn can_begin(&self, ue: u32, procedure: Procedure) -> bool {
        let state = &self.ues[ue as usize];
        if state.stage != Stage::Secured
            || !state.is_current
            || !state.is_free()
            || state.due != 0
            || !state.basis.has(procedure)
        {
            return false;
        }
        let partner = self.partner(ue);
        match procedure {
            Procedure::Message => self.can_be_reached(partner),
            Procedure::CallSetup => self.can_be_called(ue, partner),
            Procedure::Handover => self.can_leave(ue),
            Procedure::Release => {
                !self.is_written_to(ue) && !self.is_called(ue) && !self.has_open_calls(ue)
            }
            Procedure::NetworkRelease => !self.is_written_to(ue) && !self.is_called(ue),
            _ => true,
        }
    }
}
