//! A request for an instance that has several flows goes by the newest, and where that has failed by the next (RFC 5626 clause 7).
//!
//! A standalone request is kept for that until it is answered, beside a proxy that else keeps nothing; an INVITE beside its session.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::{Index, Message, parse};

use super::targets::{Flows, Target};
use super::{Scscf, ScscfAlarm};
use crate::event::Context;
use crate::mw::MESSAGE_BYTES_MAX;
use crate::proxy::read_hex_u64;

/// Stands in a branch before the number of the attempt, from the second on.
const MARK: u8 = b'n';

/// A request that may go by several flows.
#[derive(Debug)]
pub struct Attempt {
    /// What names a standalone request: the branch of its first attempt. 0 for an INVITE.
    branch: u64,
    /// The number of the attempt that is under way, from 0.
    number: u8,
    /// Where it came from.
    pub from: SocketAddr,
    /// As it came.
    request: Handle,
    /// The binding that it went to.
    current: Key,
    /// Those that it has not gone to, the next one first.
    others: Flows,
}

/// What a branch of a standalone request says: which it is, and which attempt.
fn read_branch(text: &[u8]) -> Option<(u64, u8)> {
    let (branch, rest) = text.split_at_checked(16)?;
    let number = match rest {
        [] => 0,
        [MARK, digit @ b'1'..=b'9'] => digit - b'0',
        _ => return None,
    };
    Some((read_hex_u64(branch)?, number))
}

/// Writes what [`read_branch`] reads.
pub(super) fn write_branch(branch: u64, number: u8, out: &mut imstorm_sip::Writer<'_>) {
    out.hex_u64(branch);
    if number > 0 {
        out.put(&[MARK, b'0' + number]);
    }
}

impl Scscf {
    /// Where a standalone request goes now, and by which attempt: as it went before where it comes again.
    pub(super) fn attempt_of(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (branch, target): (u64, &Target),
    ) -> (Key, u8) {
        if let Some(known) = self.attempt_at(branch).and_then(|key| self.attempts.get(key)) {
            return (known.current, known.number);
        }
        if !target.others.is_empty() {
            self.keep_attempt(ctx, from, message, (branch, target));
        }
        (target.binding, 0)
    }

    /// Keeps a request that has other flows than the one that it goes by. Without room it has only that one.
    pub(super) fn keep_attempt(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (branch, target): (u64, &Target),
    ) -> Option<Key> {
        let kept = match self.attempts.len() < self.attempts.capacity() {
            true => self.strings.store(message.bytes()).ok(),
            false => None,
        };
        let Some(request) = kept else {
            ctx.counters.table_full += 1;
            return None;
        };
        let (current, others) = (target.binding, target.others.clone());
        let attempt = Attempt { branch, number: 0, from, request, current, others };
        let key = self.attempts.insert(attempt).expect("room, as just seen");
        if branch != 0 {
            let indexed = self.by_attempt.insert(branch, key.index).is_ok();
            assert!(indexed, "the index has room for as many as the slab");
            let after_ns = self.config.ue_leg.timer_f_ns() + self.config.core.t4_ns;
            self.arm(ctx, after_ns, ScscfAlarm::Attempt(key));
        }
        Some(key)
    }

    /// A request is answered, or has had its time.
    pub(super) fn drop_attempt(&mut self, key: Key) {
        let Some(gone) = self.attempts.remove(key) else { return };
        self.strings.release(gone.request);
        if gone.branch != 0 {
            self.by_attempt.remove(gone.branch, |place| place == key.index);
        }
    }

    fn attempt_at(&self, branch: u64) -> Option<Key> {
        if self.attempts.is_empty() {
            return None;
        }
        let is_it = |place| {
            let key = self.attempts.key_at(place);
            key.and_then(|key| self.attempts.get(key)).is_some_and(|it| it.branch == branch)
        };
        self.by_attempt.find(branch, is_it).and_then(|place| self.attempts.key_at(place))
    }

    /// The next flow of a request whose last one has failed: a binding that is still there. The request, as it came, is in `out`.
    pub(super) fn next_attempt(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        out: &mut [u8; MESSAGE_BYTES_MAX],
    ) -> Option<(Key, usize)> {
        let attempt = self.attempts.get_mut(key)?;
        while !attempt.others.is_empty() {
            let binding = attempt.others.remove(0);
            if self.bindings.get(binding).is_none_or(|found| found.event.is_end()) {
                continue;
            }
            attempt.current = binding;
            attempt.number += 1;
            let request = self.strings.get(&attempt.request);
            out.get_mut(..request.len())?.copy_from_slice(request);
            ctx.counters.flows_failed_over += 1;
            return Some((binding, request.len()));
        }
        None
    }

    /// A response to a standalone request that may go by another flow. True where it goes no further: the flow has failed, and the request
    /// went by the next.
    pub(super) fn flow_answered(&mut self, ctx: &mut Context<'_>, message: &Message<'_>) -> bool {
        let branch = self.via.branch_in(message).and_then(read_branch);
        let Some((branch, number)) = branch.filter(|_| !self.attempts.is_empty()) else {
            return false;
        };
        let Some(key) = self.attempt_at(branch).filter(|_| message.status() >= 200) else {
            return false;
        };
        let is_failure = has_failed(message.status());
        if self.attempts.get(key).is_none_or(|attempt| attempt.number != number) {
            // Of an attempt that was given up: its failure is known already.
            return is_failure;
        }
        let mut text = [0; MESSAGE_BYTES_MAX];
        while is_failure && let Some((binding, len)) = self.next_attempt(ctx, key, &mut text) {
            let mut headers = Index::default();
            if let Ok(request) = parse(&text[..len], &mut headers) {
                let number = self.attempts.get(key).map_or(0, |attempt| attempt.number);
                if self.pass_to_binding(ctx, &request, binding, (branch, number)) {
                    return true;
                }
            }
        }
        self.drop_attempt(key);
        false
    }
}

/// Whether a status says that the flow has failed, and not that the UE has refused.
pub(super) fn has_failed(status: u16) -> bool {
    matches!(status, 408 | 430)
}
