//! Which UE begins what is offered: one that is free, by chance, so that all have their share.

use imstorm_base::time::Time;

use super::Starter;
use crate::generator::{Generator, Step};
use crate::measure::{Measurements, Procedure};
use crate::profile::is_set_up;

/// So many UEs are looked at by chance,
const TRIES: u32 = 32;
/// and then so many in a row: of a small population all. In a big one nearly all are busy where none of these is free.
const ROW: u32 = 4_096;

/// Tries users from `0..users` until one suits: some by chance, then some in a row.
pub(crate) fn pick(
    users: u32,
    mut drawn: impl FnMut() -> u32,
    mut suits: impl FnMut(u32) -> bool,
) -> Option<u32> {
    if users == 0 {
        return None;
    }
    let mut user = 0;
    for _ in 0..TRIES {
        user = drawn() % users;
        if suits(user) {
            return Some(user);
        }
    }
    (0..users.min(ROW)).map(|more| (user + more) % users).find(|user| suits(*user))
}

/// The UEs with connections of their own.
pub(crate) struct UeStarter<'a, 'b, 'c> {
    pub generator: &'a mut Generator,
    pub step: &'b mut Step<'c>,
}

impl Starter for UeStarter<'_, '_, '_> {
    fn all_started(&self) -> bool {
        self.generator.all_started()
    }

    fn is_quiet(&self) -> bool {
        let generator = &self.generator;
        generator.all_started() && generator.under_way == 0 && generator.away == 0
    }

    fn strays(&self) -> u64 {
        self.generator.ignored + self.generator.unprotected_ignored
    }

    fn start(&mut self, procedure: Procedure, intended: Time) -> bool {
        let Self { generator, step } = self;
        if is_set_up(procedure) {
            let Some(ue) = generator.next_fresh() else { return false };
            generator.begin(step, ue, intended);
            return true;
        }
        let users = generator.brought_up();
        let mut random = generator.random;
        let picked = pick(
            users,
            || random.next_u32(),
            |user| generator.can_begin(generator.current_access(user), procedure),
        );
        generator.random = random;
        let Some(user) = picked else { return false };
        let ue = generator.current_access(user);
        generator.begin_procedure(step, ue, procedure, intended);
        true
    }

    fn note_lateness(&mut self, late_ns: u64) {
        self.generator.note_lateness(late_ns);
    }

    fn measurements(&mut self) -> &mut Measurements {
        &mut self.generator.measurements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_free_in_a_small_population_is_found() {
        for free in 0..ROW {
            assert_eq!(pick(ROW, || 7, |user| user == free), Some(free));
        }
        assert_eq!(pick(ROW, || 7, |_| false), None);
        assert_eq!(pick(0, || 7, |_| true), None);
    }
}
