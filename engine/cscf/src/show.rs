//! What an operator may look at: the tables as plain rows, made by the shard that owns them, in pages so small that no list,
//! however long, holds up a message. Rows hold no key, no response and no token's secret half.

use std::net::{IpAddr, SocketAddr};

use imstorm_base::slab::{Key, Slab};
use imstorm_base::time::{NS_PER_S, Time};
use imstorm_sip::Writer;

use crate::hss::{Directory, Hss, IDENTITIES_BYTES_MAX, UserId};
use crate::identity::IdentityList;

/// How many places of a table one page looks at.
pub const PLACES_MAX: u32 = 256;
/// Longer private identities are cut.
const IMPI_BYTES_MAX: usize = 1024;

/// A part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Row> {
    /// The rows, in the table's order.
    pub rows: Vec<Row>,
    /// The place from which the next page goes on; nothing at the table's end.
    pub next: Option<u32>,
}

impl<Row> Page<Row> {
    /// A page that is all there is.
    #[must_use]
    pub fn whole(rows: Vec<Row>) -> Self {
        Self { rows, next: None }
    }

    /// Looks at the next places of a table with `places` of them; `row` adds what is to be shown of a place.
    pub(crate) fn of_places(
        places: u64,
        from: u32,
        mut row: impl FnMut(&mut Vec<Row>, u32),
    ) -> Self {
        let end = from.saturating_add(PLACES_MAX);
        let mut rows = Vec::new();
        for place in from..end {
            if u64::from(place) >= places {
                return Self::whole(rows);
            }
            row(&mut rows, place);
        }
        Self { rows, next: Some(end).filter(|end| u64::from(*end) < places) }
    }

    /// Looks at the next places of a slab.
    pub(crate) fn of_slab<T>(
        slab: &Slab<T>,
        from: u32,
        mut row: impl FnMut(&mut Vec<Row>, Key, &T),
    ) -> Self {
        Self::of_places(slab.places() as u64, from, |rows, place| {
            if let Some(key) = slab.key_at(place)
                && let Some(value) = slab.get(key)
            {
                row(rows, key, value);
            }
        })
    }
}

/// A public identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// The URI.
    pub impu: String,
    /// The one that the network asserts when the user names none.
    pub is_default: bool,
    /// It may be called, and not be used for calling.
    pub barred: bool,
}

impl IdentityRow {
    /// The rows of a packed list.
    #[must_use]
    pub fn list(packed: &[u8]) -> Vec<Self> {
        let rows = IdentityList::new(packed).iter().map(|identity| Self {
            impu: text(identity.uri),
            is_default: identity.is_default,
            barred: identity.barred,
        });
        rows.collect()
    }
}

/// A subscriber of the HSS, as provisioned now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberRow {
    /// The private identity.
    pub impi: String,
    /// The public identities.
    pub impus: Vec<IdentityRow>,
}

/// A user's secure connection, as its notifier, the S-CSCF, sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// The private identity.
    pub impi: String,
    /// The connection's identifier, as in the NOTIFY's body: to be shown, and not the token.
    pub session: String,
    /// What it rests on: `subscription`, or `registration` with AKA.
    pub made_by: &'static str,
    /// The public identity that the UE subscribed with; of a registration the one that its P-CSCF watches.
    pub impu: String,
    /// The UE's address.
    pub contact: SocketAddr,
    /// The P-CSCF's address on Mw.
    pub pcscf: SocketAddr,
    /// Seconds until the UE's subscription ends if it is not refreshed, rounded up.
    pub expires_s: u64,
    /// The same of the P-CSCF's own subscription, if there is one.
    pub pcscf_expires_s: Option<u64>,
    /// The version of the next body that the UE is sent (the first one is 0).
    pub version: u32,
    /// The public identities that the connection may use, and those that are barred.
    pub identities: Vec<IdentityRow>,
    /// The next refresh will be challenged whatever it shows.
    pub must_challenge: bool,
    /// Why it ends, once it does (RFC 6665 clause 4.1.3): `deactivated`, `rejected`, `timeout`, `noresource`.
    pub ending: Option<&'static str>,
}

/// A set of four security associations at the P-CSCF (TS 33.203 clause 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationRow {
    /// The private identity, as in Authorization.
    pub impi: String,
    /// The UE's address, the inner one of all its packets.
    pub ue: IpAddr,
    /// Where ESP for the UE goes.
    pub outer: SocketAddr,
    /// The P-CSCF's unprotected address.
    pub pcscf: SocketAddr,
    /// How far the connection is: `setting-up`, `live` or `ending`.
    pub stage: &'static str,
    /// What the set is to it: `live`; `temporary`, of a challenge that is not answered yet; `draining`, the one before.
    pub set: &'static str,
    /// The UE's SPI for its client port.
    pub spi_uc: u32,
    /// The UE's SPI for its server port.
    pub spi_us: u32,
    /// The P-CSCF's SPI for its client port.
    pub spi_pc: u32,
    /// The P-CSCF's SPI for its server port.
    pub spi_ps: u32,
    /// The UE's protected client port.
    pub port_uc: u16,
    /// The UE's protected server port.
    pub port_us: u16,
    /// The P-CSCF's protected client port.
    pub port_pc: u16,
    /// The P-CSCF's protected server port.
    pub port_ps: u16,
    /// The integrity algorithm (RFC 3329 `alg`).
    pub alg: &'static str,
    /// The encryption algorithm (RFC 3329 `ealg`).
    pub ealg: &'static str,
    /// Seconds until the set ends if nothing prolongs it, rounded up.
    pub expires_s: u64,
}

/// A contact that a public identity is registered at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRow {
    /// The private identity.
    pub impi: String,
    /// The public identity.
    pub impu: String,
    /// The contact's URI.
    pub contact: String,
    /// The secure connection that it was registered over: see [`SubscriptionRow::session`].
    pub session: String,
    /// Seconds until it ends if it is not refreshed, rounded up.
    pub expires_s: u64,
    /// The public GRUU, if the UE has asked for one (RFC 5627).
    pub pub_gruu: Option<String>,
}

/// A call over a secure connection: a dialog that an INVITE has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The private identity.
    pub impi: String,
    /// The secure connection that it runs over: see [`SubscriptionRow::session`].
    pub session: String,
    /// The dialog's Call-ID.
    pub call_id: String,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
}

impl Hss {
    /// A subscriber, with the identities as they are now.
    #[must_use]
    pub fn subscriber(&self, user: UserId) -> SubscriberRow {
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let packed = self.identities(user, &mut packed).unwrap_or_default();
        SubscriberRow { impi: impi(self.directory(), user), impus: IdentityRow::list(packed) }
    }
}

/// The private identity of a subscriber.
pub(crate) fn impi(directory: &Directory, user: UserId) -> String {
    let mut name = [0; IMPI_BYTES_MAX];
    let mut writer = Writer::new(&mut name);
    directory.write_impi(user, &mut writer);
    text(writer.as_written())
}

/// What is UTF-8 as it is; what is not, marked.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whole seconds until `at`, rounded up.
pub(crate) fn seconds_until(now: Time, at: Time) -> u64 {
    at.saturating_sub(now).div_ceil(NS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(slab: &Slab<u32>) -> (Vec<u32>, u32) {
        let (mut found, mut pages, mut from) = (Vec::new(), 0, Some(0));
        while let Some(place) = from {
            let page = Page::of_slab(slab, place, |rows, _, value| rows.push(*value));
            assert!(page.rows.len() <= PLACES_MAX as usize);
            found.extend(page.rows);
            pages += 1;
            from = page.next;
        }
        (found, pages)
    }

    #[test]
    fn pages_are_bounded_and_leave_nothing_out() {
        let mut slab = Slab::with_capacity(1000);
        assert_eq!(walk(&slab), (vec![], 1));
        let keys: Vec<Key> = (0..1000).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!(walk(&slab), ((0..1000).collect(), 4));
        for key in keys.iter().filter(|key| key.index % 2 == 0) {
            slab.remove(*key);
        }
        assert_eq!(walk(&slab), ((0..1000).filter(|value| value % 2 == 1).collect(), 4));
    }

    #[test]
    fn a_page_that_ends_with_the_table_is_the_last() {
        let mut slab = Slab::with_capacity(256);
        slab.prefill(256);
        assert_eq!(Page::<u32>::of_slab(&slab, 0, |_, _, _: &u32| ()).next, None);
        assert_eq!(Page::<u32>::of_slab(&slab, u32::MAX, |_, _, _: &u32| ()).next, None);
    }
}
