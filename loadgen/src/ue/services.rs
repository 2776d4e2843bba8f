//! What a UE keeps of its registration, of its subscription to the registration state, and of its MESSAGEs. Few profiles want
//! it: a UE has it only from its first such request on.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;

use crate::generator::Generator;

/// What a UE does over its connection beside the security subscription.
#[derive(Debug, Default)]
pub struct Services {
    /// CSeq of the last REGISTER.
    pub register_cseq: u32,
    /// When the registration of the default identity ends, if it is registered.
    pub registered_until: Option<Time>,
    /// The number of the subscription to the registration state among the UE's calls.
    pub reg_call: u32,
    /// The access that has named that subscription's dialog.
    pub reg_owner: u32,
    /// CSeq of the last SUBSCRIBE to the registration state.
    pub reg_cseq: u32,
    /// When that SUBSCRIBE was sent, until its NOTIFY comes.
    pub reg_asked_at: Option<Time>,
    /// CSeq of the last NOTIFY of it.
    pub reg_notify_cseq: u32,
    /// The strings of its dialog; empty where there is none.
    pub reg_dialog: Handle,
    pub reg_has_200: bool,
    pub reg_has_notify: bool,
}

impl Generator {
    /// A UE's services, made at first use. `None` where there is no room, which the population's size forbids.
    pub(super) fn services_of(&mut self, ue: u32) -> Option<Key> {
        let state = &mut self.ues[ue as usize];
        if state.services.is_none() {
            state.services = self.services.insert(Services::default()).ok();
        }
        state.services
    }

    pub(super) fn services(&self, ue: u32) -> Option<&Services> {
        self.services.get(self.ues[ue as usize].services?)
    }

    pub(super) fn services_mut(&mut self, ue: u32) -> Option<&mut Services> {
        self.services.get_mut(self.ues[ue as usize].services?)
    }

    /// The connection is over, and what ran over it.
    pub(super) fn drop_services(&mut self, ue: u32) {
        let Some(key) = self.ues[ue as usize].services.take() else { return };
        if let Some(services) = self.services.remove(key) {
            self.strings.release(services.reg_dialog);
        }
    }

    /// Whether a UE's default identity is registered over its connection.
    pub(super) fn is_registered(&self, ue: u32) -> bool {
        self.ues[ue as usize].stage.is_secure()
            && self.services(ue).is_some_and(|it| it.registered_until.is_some())
    }
}
