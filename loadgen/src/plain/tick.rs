//! The generator's tick and state where all UEs are plain.

use imstorm_base::io::{Inbox, Outbox};
use imstorm_base::time::Time;

use super::starter::PlainStarter;
use super::{Around, Counts, Plain};
use crate::generator::{Generator, GeneratorState};
use crate::traffic::Starter;

impl Generator {
    /// One tick of plain UEs.
    pub(crate) fn plain_tick(
        &mut self,
        plain: &mut Plain,
        now: Time,
        inbox: &mut Inbox,
        outbox: &mut Outbox,
    ) {
        let elapsed_ns = now - self.started_at.unwrap_or(now);
        let mut around = Around {
            now,
            outbox,
            population: &self.population,
            measurements: &mut self.measurements,
            recorder: &mut self.recorder,
            stopped: self.stopped,
            outbox_full: 0,
        };
        plain.tick(&mut around, inbox);
        let mut starter = PlainStarter {
            plain,
            around: &mut around,
            random: &mut self.random,
            lateness: &mut self.lateness,
            late_ns_max: &mut self.late_ns_max,
            brought_up: self.brought_up,
            fresh: &mut self.fresh,
            all_started: false,
        };
        while !self.stopped
            && let Some((ue, at)) = self.schedule.due(elapsed_ns)
        {
            let late_ns = elapsed_ns - at;
            starter.note_lateness(late_ns);
            starter.plain.begin(starter.around, ue, now - late_ns);
        }
        starter.all_started = self.schedule.remaining() == 0;
        if let Some(traffic) = &mut self.traffic {
            traffic.tick(now, &mut starter);
        }
        self.outbox_full += around.outbox_full;
    }

    /// The same of plain UEs: those that are registered count as secured, though nothing secures them.
    pub(crate) fn plain_state(&self, counts: Counts) -> GeneratorState {
        GeneratorState {
            under_way: counts.under_way,
            secured: counts.registered,
            connections: counts.registered,
            secured_max: counts.registered_max,
            secured_ever: counts.registered_ever,
            gone: counts.gone,
            not_started: u64::from(self.schedule.remaining()),
            retransmissions: counts.retransmissions,
            ignored: counts.ignored,
            outbox_full: self.outbox_full,
            late_ns_max: self.late_ns_max,
            waiting: self.waiting(),
            sessions: counts.sessions,
            ..GeneratorState::default()
        }
    }
}
