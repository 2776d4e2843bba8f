//! The way between the control plane and the shards. The control thread asks, one thing at a time; the shard answers between
//! two ticks. An empty queue costs a shard one look a turn.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use imstorm_cscf::operator::{Command, Done, Refusal};
use imstorm_uring::Waker;

use crate::switch::Switch;
use crate::tables::{Query, Shown};

/// Inquiries that may wait for one shard: more than one only where it did not answer the last in time.
const WAITING_MAX: usize = 8;
/// How long a shard may take for an answer. A turn takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Something that a shard is asked, and where its answer goes.
#[derive(Debug)]
pub enum Inquiry {
    /// A command is to be followed.
    Operate(Command, SyncSender<Result<Done, Refusal>>),
    /// A switch is to be thrown; at how many roles it was.
    Switch(Switch, SyncSender<usize>),
    /// A part of a table is to be shown.
    Show(Query, SyncSender<Shown>),
}

/// A shard did not answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// Its number.
    pub shard: usize,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} did not answer within {} s", self.shard, PATIENCE.as_secs())
    }
}

impl std::error::Error for NoAnswer {}

/// A shard's end.
#[derive(Debug)]
pub struct Inquiries(Receiver<Inquiry>);

impl Inquiries {
    /// All that wait now: no more than the queue holds.
    pub fn waiting(&self) -> impl Iterator<Item = Inquiry> {
        self.0.try_iter().take(WAITING_MAX)
    }
}

/// The control plane's end of one shard's queue, before the shard runs.
#[derive(Debug)]
pub struct Asker(SyncSender<Inquiry>);

/// A queue for one shard.
#[must_use]
pub fn queue() -> (Asker, Inquiries) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (Asker(sender), Inquiries(receiver))
}

/// The control plane's end of all queues.
#[derive(Debug)]
pub struct Desk {
    shards: Vec<(Asker, Waker)>,
}

impl Desk {
    /// A desk over running shards, in the order of their numbers.
    #[must_use]
    pub fn new(shards: Vec<(Asker, Waker)>) -> Self {
        Self { shards }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Has the user's owner follow a command and then tells the others, all of them even where one is silent. A refusal of the owner's
    /// reaches nobody else, but for one that says that the command was followed before: then the others may have missed it.
    ///
    /// # Errors
    /// Where a shard does not answer: the first such. It may still follow the command later, and the owner may have followed it
    /// already.
    pub fn operate(
        &self,
        owner: usize,
        command: &Command,
    ) -> Result<Result<Done, Refusal>, NoAnswer> {
        let ask = |shard| self.ask(shard, |reply| Inquiry::Operate(command.clone(), reply));
        let done = ask(owner)?;
        let was_done = matches!(done, Err(Refusal::IdentityHeld | Refusal::IdentityUnknown));
        let mut told = Ok(());
        if done.is_ok() || was_done {
            for shard in (0..self.shards.len()).filter(|shard| *shard != owner) {
                // What it has to say concerns its own users, of whom this is none.
                told = told.and(ask(shard).map(|_| ()));
            }
        }
        told.map(|()| done)
    }

    /// Has all shards throw a switch, also those behind one that is silent.
    ///
    /// # Errors
    /// Where a shard does not answer: the first such. It may still follow later.
    pub fn switch(&self, switch: Switch) -> Result<(), NoAnswer> {
        let mut told = Ok(());
        for shard in 0..self.shards.len() {
            let answer = self.ask(shard, |reply| Inquiry::Switch(switch, reply));
            told = told.and(answer.map(|_| ()));
        }
        told
    }

    /// A part of a shard's table.
    ///
    /// # Errors
    /// Where the shard does not answer.
    pub fn show(&self, shard: usize, query: &Query) -> Result<Shown, NoAnswer> {
        self.ask(shard, |reply| Inquiry::Show(query.clone(), reply))
    }

    fn ask<Answer>(
        &self,
        shard: usize,
        inquiry: impl FnOnce(SyncSender<Answer>) -> Inquiry,
    ) -> Result<Answer, NoAnswer> {
        // Room for the one answer: the shard never waits for us, not even where we have given up.
        let (reply, answer) = sync_channel(1);
        let (Asker(queue), waker) = &self.shards[shard];
        match queue.try_send(inquiry(reply)) {
            Ok(()) => waker.wake(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                return Err(NoAnswer { shard });
            }
        }
        answer.recv_timeout(PATIENCE).map_err(|_| NoAnswer { shard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Rows, Table};
    use imstorm_uring::backend::Sizes;
    use imstorm_uring::{Backend, backend};

    /// A desk over shards that are not there, and their ends of the queues.
    fn desk(shards: usize) -> (Desk, Vec<Inquiries>) {
        let io = backend::open(Backend::Mmsg, Vec::new(), &Sizes::default()).unwrap();
        let (askers, inquiries): (Vec<_>, Vec<_>) = (0..shards).map(|_| queue()).unzip();
        (Desk::new(askers.into_iter().map(|asker| (asker, io.waker())).collect()), inquiries)
    }

    fn query() -> Query {
        Query { table: Table::Bindings, impi: None, from: 0 }
    }

    /// Answers one inquiry as a shard would: what came, and what was said.
    fn answer_one(inquiries: &mut Inquiries, operated: Result<Done, Refusal>) {
        match inquiries.0.recv().unwrap() {
            Inquiry::Operate(_, reply) => reply.try_send(operated).unwrap(),
            Inquiry::Switch(_, reply) => reply.try_send(1).unwrap(),
            Inquiry::Show(query, reply) => {
                let shown = Shown { rows: query.table.no_rows(), next: Some(7) };
                reply.try_send(shown).unwrap();
            }
        }
    }

    #[test]
    fn a_shard_that_ended_or_is_full_is_not_waited_for() {
        let (desk, inquiries) = desk(2);
        let (reply, _answer) = sync_channel(1);
        for _ in 0..WAITING_MAX {
            desk.shards[1].0.0.try_send(Inquiry::Show(query(), reply.clone())).unwrap();
        }
        assert_eq!(desk.show(1, &query()), Err(NoAnswer { shard: 1 }));
        assert_eq!(inquiries[1].waiting().count(), WAITING_MAX);
        drop(inquiries);
        assert_eq!(desk.show(0, &query()), Err(NoAnswer { shard: 0 }));
    }

    #[test]
    fn what_a_shard_answers_comes_back() {
        let (desk, mut inquiries) = desk(1);
        std::thread::scope(|scope| {
            scope.spawn(|| answer_one(&mut inquiries[0], Ok(Done::default())));
            let shown = desk.show(0, &query()).unwrap();
            assert_eq!(shown, Shown { rows: Rows::Bindings(Vec::new()), next: Some(7) });
        });
        assert_eq!(inquiries[0].waiting().count(), 0);
    }

    #[test]
    fn only_what_the_owner_has_done_is_told_to_the_others() {
        let (desk, mut inquiries) = desk(3);
        let command = Command::AddIdentity {
            impi: b"a@ims.example".to_vec(),
            impu: b"sip:b@ims.example".to_vec(),
            barred: false,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| answer_one(&mut inquiries[1], Err(Refusal::IdentityTaken)));
            assert_eq!(desk.operate(1, &command), Ok(Err(Refusal::IdentityTaken)));
        });
        assert!(inquiries.iter().all(|shard| shard.waiting().count() == 0));
        std::thread::scope(|scope| {
            for (number, inquiries) in inquiries.iter_mut().enumerate() {
                let connections = if number == 1 { 2 } else { 0 };
                scope.spawn(move || answer_one(inquiries, Ok(Done { connections })));
            }
            assert_eq!(desk.operate(1, &command), Ok(Ok(Done { connections: 2 })));
        });
    }

    #[test]
    fn a_switch_is_thrown_at_all_shards_even_behind_a_silent_one() {
        let (desk, mut inquiries) = desk(3);
        let switch = Switch { role: crate::switch::Switched::Scscf, is_on: false };
        let thrown = |inquiries: &mut [Inquiries]| {
            std::thread::scope(|scope| {
                for inquiries in inquiries {
                    scope.spawn(move || answer_one(inquiries, Ok(Done::default())));
                }
                desk.switch(switch)
            })
        };
        assert_eq!(thrown(&mut inquiries), Ok(()));
        // Shard 0 has ended.
        inquiries.remove(0);
        assert_eq!(thrown(&mut inquiries), Err(NoAnswer { shard: 0 }));
    }

    #[test]
    fn a_silent_shard_keeps_nobody_from_learning_and_a_repetition_reaches_all() {
        let (desk, mut inquiries) = desk(3);
        let impi = b"a@ims.example".to_vec();
        let command = Command::RemoveIdentity { impi, impu: b"sip:b@ims.example".to_vec() };
        let silent = Err(NoAnswer { shard: 0 });
        // Shard 0 has ended.
        inquiries.remove(0);
        for said in [Ok(Done::default()), Err(Refusal::IdentityUnknown)] {
            std::thread::scope(|scope| {
                for inquiries in &mut inquiries {
                    scope.spawn(move || answer_one(inquiries, said));
                }
                assert_eq!(desk.operate(1, &command), silent);
            });
        }
    }
}
