//! What a shard shows of its tables: pages, each of a bounded number of places.

use imstorm_base::time::Time;
use imstorm_cscf::Scscf;
use imstorm_cscf::hss::UserId;
use imstorm_cscf::show::{PLACES_MAX, Page, SubscriberRow};

use super::Shard;
use crate::tables::{Query, Rows, Shown, Table};

impl Shard {
    /// A part of a table. Changes nothing.
    #[must_use]
    pub fn show(&self, now: Time, query: &Query) -> Shown {
        let directory = self.topology.directory.as_ref();
        let user = |impi: &Vec<u8>| directory.and_then(|all| all.find(impi));
        // Of a modified private identity only its own rows are meant, of its base all.
        let only = query.impi.as_deref();
        let only = only.filter(|impi| directory.is_some_and(|all| all.is_modified(impi)));
        let asked = match &query.impi {
            None => Asked::All(u32::try_from(query.from).unwrap_or(u32::MAX)),
            Some(impi) => user(impi).map_or(Asked::Nobody, Asked::User),
        };
        match query.table {
            Table::Subscribers => shown(self.subscribers(asked), Rows::Subscribers),
            Table::Subscriptions => {
                let all = |scscf: &Scscf, from| scscf.show_subscriptions(now, from);
                let of = |scscf: &Scscf, user| {
                    named(scscf.show_subscriptions_of(now, user), only, |row| &row.impi)
                };
                shown(self.of_scscf(asked, all, of), Rows::Subscriptions)
            }
            Table::Associations => self.associations(now, query),
            Table::Bindings => {
                let all = |scscf: &Scscf, from| scscf.show_bindings(now, from);
                let of = |scscf: &Scscf, user| {
                    named(scscf.show_bindings_of(now, user), only, |row| &row.impi)
                };
                shown(self.of_scscf(asked, all, of), Rows::Bindings)
            }
            Table::Sessions => {
                let of = |scscf: &Scscf, user| {
                    named(scscf.show_sessions_of(user), only, |row| &row.impi)
                };
                let page = self.of_scscf(asked, Scscf::show_sessions, of);
                shown(page, Rows::Sessions)
            }
        }
    }

    fn of_scscf<Row>(
        &self,
        asked: Asked,
        all: impl FnOnce(&Scscf, u32) -> Page<Row>,
        of: impl FnOnce(&Scscf, UserId) -> Vec<Row>,
    ) -> Page<Row> {
        match (&self.scscf, asked) {
            (Some(scscf), Asked::All(from)) => all(scscf, from),
            (Some(scscf), Asked::User(user)) => Page::whole(of(scscf, user)),
            (None, _) | (_, Asked::Nobody) => Page::whole(Vec::new()),
        }
    }

    /// The subscribers that this shard owns.
    fn subscribers(&self, asked: Asked) -> Page<SubscriberRow> {
        let Some(hss) = &self.hss else { return Page::whole(Vec::new()) };
        let from = match asked {
            Asked::All(from) => from,
            Asked::User(user) => return Page::whole(vec![hss.subscriber(user)]),
            Asked::Nobody => return Page::whole(Vec::new()),
        };
        let users = u32::try_from(hss.directory().len()).unwrap_or(u32::MAX);
        let end = from.saturating_add(PLACES_MAX).min(users);
        let all = (from..end).map(|user| hss.subscriber(UserId(user)));
        let rows = all.filter(|row| self.topology.owner(row.impi.as_bytes()) == self.number);
        Page { rows: rows.collect(), next: Some(end).filter(|end| *end < users) }
    }

    /// The P-CSCFs' tables one after the other: the upper half of the place is the P-CSCF's number.
    fn associations(&self, now: Time, query: &Query) -> Shown {
        let number = query.from >> 32;
        let from = (query.from & u64::from(u32::MAX)) as u32;
        let pcscf = usize::try_from(number).ok().and_then(|number| self.pcscfs.get(number));
        let Some(pcscf) = pcscf else { return shown(Page::whole(Vec::new()), Rows::Associations) };
        let page = pcscf.show_associations(now, from, query.impi.as_deref());
        let next = match page.next {
            Some(place) => Some(number << 32 | u64::from(place)),
            None => Some((number + 1) << 32).filter(|_| number + 1 < self.pcscfs.len() as u64),
        };
        Shown { rows: Rows::Associations(page.rows), next }
    }
}

/// Whose rows are wanted.
#[derive(Copy, Clone)]
enum Asked {
    /// Everybody's, from this place on.
    All(u32),
    /// One user's.
    User(UserId),
    /// A user's who is none.
    Nobody,
}

/// The rows of one modified private identity, or all.
fn named<Row>(mut rows: Vec<Row>, only: Option<&[u8]>, impi: impl Fn(&Row) -> &str) -> Vec<Row> {
    if let Some(only) = only {
        rows.retain(|row| impi(row).as_bytes() == only);
    }
    rows
}

fn shown<Row>(page: Page<Row>, rows: impl FnOnce(Vec<Row>) -> Rows) -> Shown {
    Shown { rows: rows(page.rows), next: page.next.map(u64::from) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use imstorm_cscf::hss::Directory;

    use super::*;
    use crate::config::EngineConfig;
    use crate::topology::Topology;

    const CONFIG: &str = "pcscf = [{ address = \"127.0.0.1:5060\", mw = \"127.0.0.1:6060\" }, \
        { address = \"127.0.0.2:5060\", mw = \"127.0.0.2:6060\" }]\n\
        icscf = { mw = \"127.0.0.1:6070\" }\nscscf = { mw = \"127.0.0.1:6080\" }\n\
        subscribers = { size = 300 }\nshards = 2\n";

    fn shards() -> Vec<Shard> {
        let config = EngineConfig::parse("test", CONFIG).unwrap();
        let derivation = config.subscribers.as_ref().unwrap().derivation().unwrap();
        let directory = Some(Arc::new(Directory::derived(derivation)));
        let topology = Arc::new(Topology::new(&config, 2, directory));
        (0..2).map(|number| Shard::new(&config, Arc::clone(&topology), number, [7; 32])).collect()
    }

    fn show(shard: &Shard, table: Table, from: u64) -> (usize, Option<u64>) {
        let shown = shard.show(0, &Query { table, impi: None, from });
        (shown.rows.len(), shown.next)
    }

    #[test]
    fn all_p_cscfs_are_gone_through() {
        let shard = shards().remove(0);
        assert_eq!(show(&shard, Table::Associations, 0), (0, Some(1 << 32)));
        assert_eq!(show(&shard, Table::Associations, 1 << 32), (0, None));
        assert_eq!(show(&shard, Table::Associations, 2 << 32), (0, None));
        assert_eq!(show(&shard, Table::Associations, u64::MAX), (0, None));
    }

    #[test]
    fn each_subscriber_is_one_shards_and_pages_are_bounded() {
        let shards = shards();
        let mut found = 0;
        for shard in &shards {
            let (first, next) = show(shard, Table::Subscribers, 0);
            assert_eq!(next, Some(256));
            let (second, next) = show(shard, Table::Subscribers, 256);
            assert_eq!(next, None);
            found += first + second;
        }
        assert_eq!(found, 300);
        assert_eq!(show(&shards[0], Table::Subscribers, u64::MAX), (0, None));
    }

    #[test]
    fn one_users_rows_are_asked_for_by_name() {
        let shard = shards().remove(0);
        let ask = |impi: &[u8]| {
            let query = Query { table: Table::Subscribers, impi: Some(impi.to_vec()), from: 0 };
            shard.show(0, &query).rows.len()
        };
        assert_eq!((ask(b"ue00000300@ims.example"), ask(b"ue00000301@ims.example")), (1, 0));
    }
}
