//! What a UE keeps only while it is about something: most UEs of a big run rest, and have none of it.

use imstorm_base::slab::Slab;
use imstorm_base::time::Time;

use super::Ue;
use crate::generator::Generator;
use crate::measure::{Procedure, Start};

/// The times from which a UE's doings are measured, until all of them have come.
#[derive(Debug, Default)]
pub struct Progress {
    /// The start of the procedure under way; [`Ue::procedure`] says which one that is.
    pub start: Start,
    /// When that was first sent which the next NOTIFY follows: a SUBSCRIBE, or the operator's call.
    pub asked_at: Option<Time>,
    /// When the SUBSCRIBE to the registration state was sent, until its NOTIFY comes.
    pub watch_asked_at: Option<Time>,
    /// Until when a NOTIFY is waited for: Timer N.
    pub notify_until: Time,
    /// The lifetime that the operator has lowered, in seconds.
    pub full_s: u32,
}

const _: () = assert!(size_of::<Progress>() <= 64);

impl Generator {
    pub(super) fn progress_of(&self, ue: u32) -> Option<&Progress> {
        self.progress.get(self.ues[ue as usize].progress.key(&self.progress)?)
    }

    /// A UE's progress, which is made where there is none yet. `None` where there is no room, which the population's size forbids.
    pub(super) fn progress_mut(&mut self, ue: u32) -> Option<&mut Progress> {
        progress_of(&mut self.progress, &mut self.ues[ue as usize])
    }

    /// The procedure under way and its start: it is over.
    pub(super) fn take_procedure(&mut self, ue: u32) -> Option<(Procedure, Start)> {
        let procedure = self.ues[ue as usize].procedure.take()?;
        let progress = self.progress_mut(ue)?;
        progress.notify_until = 0;
        let start = progress.start;
        self.drop_progress(ue);
        Some((procedure, start))
    }

    /// When that was sent which a NOTIFY follows that has just come.
    pub(super) fn take_asked_at(&mut self, ue: u32) -> Option<Time> {
        let key = self.ues[ue as usize].progress.key(&self.progress)?;
        let asked_at = self.progress.get_mut(key)?.asked_at.take();
        self.drop_progress(ue);
        asked_at
    }

    /// What the next NOTIFY is measured from.
    pub(super) fn set_asked_at(&mut self, ue: u32, asked_at: Option<Time>) {
        if let Some(progress) = self.progress_mut(ue) {
            progress.asked_at = asked_at;
        }
        self.drop_progress(ue);
    }

    /// When the SUBSCRIBE to the registration state was sent of which a NOTIFY has just come.
    pub(super) fn take_watch_asked_at(&mut self, ue: u32) -> Option<Time> {
        let key = self.ues[ue as usize].progress.key(&self.progress)?;
        let asked_at = self.progress.get_mut(key)?.watch_asked_at.take();
        self.drop_progress(ue);
        asked_at
    }

    /// What the next NOTIFY of the registration state is measured from.
    pub(super) fn set_watch_asked_at(&mut self, ue: u32, asked_at: Time) {
        if let Some(progress) = self.progress_mut(ue) {
            progress.watch_asked_at = Some(asked_at);
        }
    }

    /// A UE's progress goes if nothing is under way that would need it.
    fn drop_progress(&mut self, ue: u32) {
        let state = &mut self.ues[ue as usize];
        let Some(key) = state.progress.key(&self.progress) else { return };
        let is_awaited = |it: &Progress| it.asked_at.is_some() || it.watch_asked_at.is_some();
        let is_awaited = self.progress.get(key).is_some_and(is_awaited);
        if state.procedure.is_none() && !is_awaited {
            state.progress.take();
            self.progress.remove(key);
        }
    }
}

/// As [`Generator::progress_mut`], where the generator is borrowed in part.
pub(super) fn progress_of<'a>(
    slab: &'a mut Slab<Progress>,
    state: &mut Ue,
) -> Option<&'a mut Progress> {
    if state.progress.is_none() {
        state.progress = slab.insert(Progress::default()).ok()?.into();
    }
    let key = state.progress.key(slab)?;
    slab.get_mut(key)
}
