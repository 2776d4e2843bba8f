//! What a UE keeps of its subscription to the registration state. Few profiles want one.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;

use crate::generator::Generator;

/// A subscription to the registration state, made or under way.
#[derive(Debug, Default)]
pub struct Watch {
    /// The number of the subscription among the UE's calls.
    pub call: u32,
    /// The access that has named its dialog.
    pub owner: u32,
    /// CSeq of the last SUBSCRIBE.
    pub cseq: u32,
    /// CSeq of the last NOTIFY.
    pub notify_cseq: u32,
    /// The network's part of its dialog; empty where there is none.
    pub dialog: Handle,
    pub has_200: bool,
    pub has_notify: bool,
}

const _: () = assert!(size_of::<Watch>() <= 28);

impl Generator {
    /// A UE's watch, made at first use. `None` where there is no room, which the population's size forbids.
    pub(super) fn make_watch(&mut self, ue: u32) -> Option<Key> {
        let state = &mut self.ues[ue as usize];
        if state.watch.is_none() {
            state.watch = self.watches.insert(Watch::default()).ok()?.into();
        }
        state.watch.key(&self.watches)
    }

    pub(super) fn watch_of(&self, ue: u32) -> Option<&Watch> {
        self.watches.get(self.ues[ue as usize].watch.key(&self.watches)?)
    }

    pub(super) fn watch_mut(&mut self, ue: u32) -> Option<&mut Watch> {
        let key = self.ues[ue as usize].watch.key(&self.watches)?;
        self.watches.get_mut(key)
    }

    /// Whether a UE has a dialog about its registration state.
    pub(super) fn has_watch(&self, ue: u32) -> bool {
        self.watch_of(ue).is_some_and(|it| !it.dialog.is_empty())
    }

    /// The connection is over, and what ran over it.
    pub(super) fn drop_services(&mut self, ue: u32) {
        let state = &mut self.ues[ue as usize];
        state.register_cseq = 0;
        state.is_bound = false;
        let Some(key) = state.watch.take().key(&self.watches) else { return };
        if let Some(watch) = self.watches.remove(key) {
            self.strings.release(watch.dialog);
        }
        self.take_watch_asked_at(ue);
    }

    /// Whether a UE's default identity is registered over its connection.
    pub(super) fn is_registered(&self, ue: u32) -> bool {
        let state = &self.ues[ue as usize];
        state.stage.is_secure() && state.is_bound
    }
}
