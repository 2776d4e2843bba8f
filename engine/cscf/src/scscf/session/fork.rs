//! One INVITE to several contacts (RFC 3261 clause 16.7): the first that accepts has the call, and of refusals the best goes back.

use imstorm_base::slab::Key;
use imstorm_sip::Message;

use super::super::Scscf;
use super::SessionStage;
use super::call::Branches;
use crate::event::Context;
use crate::proxy;

/// The sessions that one INVITE made.
#[derive(Debug)]
pub struct Fork {
    /// Those without a final response.
    branches: Branches,
    /// The best refusal so far; 0: none.
    best: u16,
    /// One has accepted.
    is_answered: bool,
}

impl Scscf {
    pub(super) fn begin_fork(&mut self, ctx: &mut Context<'_>, branches: Branches) {
        let Ok(fork) =
            self.forks.insert(Fork { branches: branches.clone(), best: 0, is_answered: false })
        else {
            // Each for itself then: the caller sees the first refusal.
            ctx.counters.table_full += 1;
            return;
        };
        ctx.counters.calls_forked += 1;
        for key in branches {
            self.sessions.get_mut(key).expect("a session just made").fork = Some(fork);
        }
    }

    /// A contact has accepted: the others are cancelled.
    pub(super) fn fork_accepted(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(fork) = self.sessions.get_mut(key).and_then(|session| session.fork.take()) else {
            return;
        };
        self.leave_fork(fork, key);
        let Some(fork) = self.forks.get_mut(fork) else { return };
        fork.is_answered = true;
        for other in fork.branches.clone() {
            self.send_cancel(ctx, other);
        }
    }

    /// A contact has refused. True where that goes no further: others may still accept, or one has.
    pub(super) fn fork_refused(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let Some(place) = session.fork.take() else { return false };
        let Some(fork) = self.forks.get_mut(place) else { return false };
        fork.best = better(fork.best, message.status());
        fork.branches.retain(|branch| *branch != key);
        let (best, others, is_answered) = (fork.best, fork.branches.clone(), fork.is_answered);
        if others.is_empty() {
            self.forks.remove(place);
        }
        if others.is_empty() && !is_answered {
            if best == message.status() {
                return false;
            }
            let (next, status) = (proxy::next_response_hop(message), bare(best));
            if let Some(next) = next {
                self.send(ctx, next, |out| proxy::respond_upstream(message, status, out));
            }
            return true;
        }
        if best >= 600 {
            for other in others {
                self.send_cancel(ctx, other);
            }
        }
        self.acknowledge_refusal(ctx, key, message);
        if self.sessions.get(key).is_some_and(|session| session.stage == SessionStage::Early) {
            self.drop_session(ctx, key);
        }
        true
    }

    /// A contact is lost before it has answered. The status with which the caller is to be refused, if no other may accept any more.
    pub(super) fn fork_lost(&mut self, key: Key, status: u16) -> Option<u16> {
        let place = self.sessions.get_mut(key).and_then(|session| session.fork.take());
        let Some(fork) = place.and_then(|place| self.forks.get_mut(place)) else {
            return Some(status);
        };
        fork.best = better(fork.best, status);
        fork.branches.retain(|branch| *branch != key);
        let (best, is_answered, is_last) = (fork.best, fork.is_answered, fork.branches.is_empty());
        if let Some(place) = place.filter(|_| is_last) {
            self.forks.remove(place);
        }
        (is_last && !is_answered).then_some(bare(best))
    }

    /// Whether a 100 of a contact may go back: once all have been heard, so that the caller's side repeats what was lost until then.
    pub(super) fn fork_is_heard(&self, key: Key) -> bool {
        let fork = self.sessions.get(key).and_then(|session| session.fork);
        let Some(fork) = fork.and_then(|place| self.forks.get(place)) else { return true };
        let is_heard = |key: &Key| {
            let invite = self.sessions.get(*key).and_then(|session| session.invite.as_ref());
            invite.is_none_or(|invite| invite.heard)
        };
        fork.branches.iter().all(is_heard)
    }

    /// Whether another contact has accepted the call that this one still has.
    pub(super) fn fork_is_answered(&self, key: Key) -> bool {
        let fork = self.sessions.get(key).and_then(|session| session.fork);
        fork.and_then(|place| self.forks.get(place)).is_some_and(|fork| fork.is_answered)
    }

    /// A contact is called by another flow: another session stands for it.
    pub(super) fn replace_in_fork(&mut self, place: Option<Key>, key: Key, next: Key) {
        let Some(fork) = place.and_then(|place| self.forks.get_mut(place)) else { return };
        for branch in fork.branches.iter_mut().filter(|branch| **branch == key) {
            *branch = next;
        }
    }

    /// A branch is over.
    pub(super) fn leave_fork(&mut self, place: Key, key: Key) {
        let Some(fork) = self.forks.get_mut(place) else { return };
        fork.branches.retain(|branch| *branch != key);
        if fork.branches.is_empty() {
            self.forks.remove(place);
        }
    }
}

/// A refusal without the headers that it had: one that means nothing without them becomes 480.
fn bare(status: u16) -> u16 {
    match status {
        300..=399 | 401 | 407 | 413 | 415 | 420 | 421 | 422 | 423 | 484 | 494 => 480,
        status => status,
    }
}

/// The refusal that tells the caller more (RFC 3261 clause 16.7, step 6): 6xx, else of the lowest class, and of those the ones that it
/// can do something about.
fn better(one: u16, other: u16) -> u16 {
    let rank = |status: u16| match status {
        0 => u16::MAX,
        600.. => 0,
        401 | 407 | 415 | 420 | 484 => 400,
        503 => 599,
        status => status + 1,
    };
    if rank(other) < rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::better;

    #[test]
    fn the_best_refusal() {
        assert_eq!(better(0, 486), 486);
        assert_eq!(better(486, 600), 600);
        assert_eq!(better(600, 404), 600);
        assert_eq!(better(500, 480), 480);
        assert_eq!(better(480, 415), 415);
        assert_eq!(better(503, 500), 500);
    }
}
