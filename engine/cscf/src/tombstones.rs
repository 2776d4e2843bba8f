//! What completed server transactions leave behind until Timer J fires (RFC 3261 clause 17.2.2): enough to know a request that
//! comes again, but not its final response, which is made anew from the state that it was made from. Only an answer that says what nobody
//! keeps, as a session description, is kept as well.

use std::collections::VecDeque;

use imstorm_base::fifo::{Chunks, Fifo};
use imstorm_base::index::Index;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;

/// A completed server transaction until Timer J fires: at 128 s of it and three for a set-up, 5,000 set-ups a second leave 61 MB of them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// The transaction's key: [`server_key`](imstorm_sip::transaction::server_key).
    key: u64,
    ends_at: Time,
    /// The connection that it was of: what else the response carried is made anew from its state.
    pub connection: Key,
    /// The request's CSeq, lest a colliding key answers another request.
    pub cseq: u32,
    /// The final response's status.
    pub status: u16,
}

const _: () = assert!(size_of::<Tombstone>() <= 32);

/// The tombstones of one role, oldest first: Timer J is the same for all of them.
#[derive(Debug)]
pub struct Tombstones {
    timer_j_ns: u64,
    capacity: usize,
    /// The running number of the oldest one.
    first: u32,
    waiting: Fifo,
    memory: Chunks<Tombstone>,
    index: Index,
    /// Answers that are kept, by the running numbers of their tombstones, oldest first.
    answers: VecDeque<(u32, Handle)>,
    /// Answers whose tombstones have gone.
    released: Vec<Handle>,
}

impl Tombstones {
    /// Room for `capacity` of them; beyond that the oldest goes early.
    #[must_use]
    pub fn new(capacity: usize, timer_j_ns: u64) -> Self {
        Self {
            timer_j_ns,
            capacity,
            first: 0,
            waiting: Fifo::with_capacity(capacity),
            memory: Chunks::with_capacity(capacity),
            index: Index::with_capacity(capacity),
            answers: VecDeque::new(),
            released: Vec::new(),
        }
    }

    /// Claims the memory of the first `count` now. Only before the first one.
    pub fn prefill(&mut self, count: usize) {
        assert!(self.is_empty(), "tombstones are prefilled before the first one");
        let count = count.min(self.capacity);
        let any = Tombstone { key: 0, ends_at: 0, connection: Key::new(0, 0), cseq: 0, status: 0 };
        self.memory.prefill(count, any);
        self.index.prefill(count);
    }

    /// Remembers a completed transaction.
    pub fn bury(&mut self, now: Time, transaction: u64, connection: Key, cseq: u32, status: u16) {
        self.expire(now);
        if self.waiting.len() == self.capacity {
            self.drop_oldest();
        }
        let number = place(self.first, u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        if self.index.insert(transaction, number).is_ok() {
            let ends_at = now + self.timer_j_ns;
            let tombstone = Tombstone { key: transaction, ends_at, connection, cseq, status };
            self.waiting.push(&mut self.memory, tombstone);
        }
    }

    /// Keeps the answer of the transaction that was buried last.
    pub fn keep_answer(&mut self, answer: Handle) {
        match self.waiting.len().checked_sub(1).and_then(|ahead| u32::try_from(ahead).ok()) {
            Some(ahead) => self.answers.push_back((place(self.first, ahead), answer)),
            None => self.released.push(answer),
        }
    }

    /// The answer that is kept of the completed transaction with this key.
    #[must_use]
    pub fn answer(&self, transaction: u64) -> Option<&Handle> {
        let number = self.number_of(transaction)?;
        let ahead = |number: u32| number.wrapping_sub(self.first) & NUMBER_MASK;
        let found = self.answers.binary_search_by_key(&ahead(number), |(other, _)| ahead(*other));
        found.ok().and_then(|at| self.answers.get(at)).map(|(_, answer)| answer)
    }

    /// An answer whose tombstone has gone, to be given back.
    pub fn released(&mut self) -> Option<Handle> {
        self.released.pop()
    }

    /// The completed transaction with this key, if Timer J still runs.
    pub fn find(&mut self, now: Time, transaction: u64) -> Option<Tombstone> {
        self.expire(now);
        let number = self.number_of(transaction)?;
        self.at(number).copied()
    }

    fn number_of(&self, transaction: u64) -> Option<u32> {
        self.index.find(transaction, |number| {
            self.at(number).is_some_and(|found| found.key == transaction)
        })
    }

    fn at(&self, number: u32) -> Option<&Tombstone> {
        let ahead = number.wrapping_sub(self.first) & NUMBER_MASK;
        self.waiting.get(&self.memory, ahead as usize)
    }

    /// Bytes that they take when there are as many as there may be.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.memory.reserved_bytes() + self.index.reserved_bytes()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets go of those whose Timer J has fired.
    pub fn expire(&mut self, now: Time) {
        while self.waiting.front(&self.memory).is_some_and(|oldest| oldest.ends_at <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.waiting.pop(&mut self.memory) {
            let number = self.first;
            self.index.remove(oldest.key, |candidate| candidate == number);
            while self.answers.front().is_some_and(|(of, _)| *of == number) {
                self.released.extend(self.answers.pop_front().map(|(_, answer)| answer));
            }
            self.first = place(self.first, 1);
        }
    }
}

/// Running numbers have 31 bits: the index has one value that it keeps to itself.
const NUMBER_MASK: u32 = u32::MAX >> 1;

fn place(first: u32, ahead: u32) -> u32 {
    first.wrapping_add(ahead) & NUMBER_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new(1, 2);

    #[test]
    fn a_tombstone_is_found_until_timer_j() {
        let mut tombstones = Tombstones::new(8, 100);
        tombstones.bury(1000, 77, KEY, 5, 200);
        assert_eq!(
            tombstones.find(1099, 77).map(|found| (found.cseq, found.status)),
            Some((5, 200))
        );
        assert_eq!(tombstones.find(1099, 78), None);
        assert_eq!(tombstones.find(1100, 77), None);
        assert!(tombstones.is_empty());
    }

    #[test]
    fn prefilled_tombstones_are_none() {
        let mut tombstones = Tombstones::new(2, 100);
        tombstones.prefill(5);
        assert!(tombstones.is_empty());
        assert_eq!(tombstones.find(0, 0), None);
        for transaction in [1, 2, 3] {
            tombstones.bury(10, transaction, KEY, 1, 200);
        }
        assert_eq!(tombstones.len(), 2);
        assert!(tombstones.find(10, 1).is_none() && tombstones.find(10, 3).is_some());
    }

    #[test]
    fn an_answer_goes_with_its_tombstone() {
        let mut strings = imstorm_base::strings::Strings::with_capacity(1 << 16);
        let mut tombstones = Tombstones::new(8, 100);
        for transaction in 1..=3 {
            tombstones.bury(transaction * 10, transaction, KEY, 1, 200);
            if transaction != 2 {
                tombstones.keep_answer(strings.store(&[transaction as u8]).unwrap());
            }
        }
        let kept = |tombstones: &Tombstones, transaction| {
            tombstones.answer(transaction).map(|answer| strings.get(answer)[0])
        };
        assert_eq!([1, 2, 3].map(|number| kept(&tombstones, number)), [Some(1), None, Some(3)]);
        tombstones.expire(115);
        assert_eq!([1, 2, 3].map(|number| kept(&tombstones, number)), [None, None, Some(3)]);
        let released = tombstones.released().unwrap();
        assert!(tombstones.released().is_none());
        strings.release(released);
    }

    #[test]
    fn running_numbers_begin_again() {
        let mut tombstones = Tombstones::new(4, 100);
        tombstones.first = NUMBER_MASK - 2;
        for transaction in 0..20 {
            tombstones.bury(transaction * 50, transaction, KEY, 1, 200);
            assert!(tombstones.find(transaction * 50, transaction).is_some());
        }
        assert_eq!(tombstones.len(), 2);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut tombstones = Tombstones::new(4, 1000);
        for transaction in 0..10 {
            tombstones.bury(0, transaction, KEY, 1, 200);
        }
        assert_eq!(tombstones.len(), 4);
        assert_eq!(tombstones.find(1, 5), None);
        assert!((6..10).all(|transaction| tombstones.find(1, transaction).is_some()));
    }
}
