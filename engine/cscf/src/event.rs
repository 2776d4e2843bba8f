//! What a role is given besides its own state: the time, and where its outputs go.

use imstorm_base::io::Outbox;
use imstorm_base::random::SecretRandom;
use imstorm_base::time::Time;
use imstorm_base::timers::Timers;
use imstorm_esp::SealBatch;
use imstorm_sip::Edits;

use crate::armed::Armed;
use crate::counters::Counters;
use crate::mw::MwQueue;
use crate::pcscf::PcscfAlarm;
use crate::scscf::ScscfAlarm;

/// A timer of one of the roles on a shard. Cancelling is lazy: each carries the generation key of what it is about, and a role
/// ignores an alarm whose key leads nowhere.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// For the P-CSCF with this number on the shard.
    Pcscf(u8, PcscfAlarm),
    /// For the S-CSCF.
    Scscf(ScscfAlarm),
}

/// The outside of a role during one step.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of this step, in nanoseconds of a clock that never goes back.
    pub now: Time,
    /// Datagrams to UEs go here.
    pub outbox: &'a mut Outbox,
    /// Those of them that are to be sealed: they lie in the outbox unfinished.
    pub seals: &'a mut SealBatch,
    /// Messages to other roles go here.
    pub mw: &'a mut MwQueue,
    /// The shard's timers.
    pub timers: &'a mut Timers<Armed>,
    /// Unpredictable numbers: challenges, tokens, tags.
    pub random: &'a mut SecretRandom,
    /// The shard's counters.
    pub counters: &'a mut Counters,
    /// The shard's list of edits, while nobody has it: see [`Context::with_edits`].
    pub edits: Option<&'a mut Edits>,
}

impl Context<'_> {
    /// Seals what lies in the outbox unfinished. To be done before the outbox is sent.
    pub fn seal_all(&mut self) {
        let seals = &mut *self.seals;
        self.outbox.finish(|memory| seals.seal_all(memory));
    }

    /// Lends the shard's list of edits, empty, to whoever changes a message: one list for all, since its room for text is
    /// larger than what one message fills.
    pub fn with_edits<T>(&mut self, edit: impl FnOnce(&mut Self, &mut Edits) -> T) -> T {
        let edits = self.edits.take().expect("one message is edited at a time");
        edits.clear();
        let result = edit(self, edits);
        self.edits = Some(edits);
        result
    }
}
