//! What the P-CSCF keeps for one secure connection of a UE: the connection itself, and a set of four security associations for
//! each authentication that is in force or under way.

use std::net::{IpAddr, SocketAddr};

use imstorm_base::PackedAddress;
use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::{Handle, Strings};
use imstorm_base::time::Time;
use imstorm_esp::{LocalPort, SaSet};
use imstorm_sip::body::{reginfo, secinfo};
use imstorm_sip::{Message, Method};

use super::agreement::{ClientOffer, ServerSide};
use super::transaction::{Purpose, Transaction};
use crate::look::Look;

/// How far a connection is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The first SUBSCRIBE is under way, or its challenge has gone to the UE.
    SettingUp,
    /// The UE is authenticated; the connection carries requests.
    Live,
    /// The subscription is over. What is under way still ends; nothing new begins.
    Ending,
}

/// What a connection rests on: the kind of request that made it, and that prolongs and ends it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A subscription to the `security` event package.
    Subscription,
    /// A registration with AKA, as in today's IMS (TS 24.229 clause 5.2.2).
    Registration,
}

impl Basis {
    /// Of a request that may make a connection.
    pub fn of(request: &Message<'_>) -> Self {
        match request.method() {
            Method::Register => Self::Registration,
            _ => Self::Subscription,
        }
    }

    /// The event package that the P-CSCF subscribes to, and the type of its bodies.
    pub fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::Subscription => ("security", secinfo::CONTENT_TYPE),
            Self::Registration => ("reg", reginfo::CONTENT_TYPE),
        }
    }
}

// One for each UE: 48 of links (sets, side tables), 40 of strings' handles, 40 of what it is found by and compared with, 40 of the P-CSCF's own
// subscription, 24 of times, 17 and 20 of addresses.
const _: () = assert!(Slab::<Connection>::PLACE_BYTES <= 224);
// One for each UE, and two while it authenticates anew: 168 of the security associations themselves, 20 of where packets go.
const _: () = assert!(Slab::<SecuritySet>::PLACE_BYTES <= 224);

/// A secure connection, from the first SUBSCRIBE to the last message on its security associations.
#[derive(Debug)]
pub struct Connection {
    pub basis: Basis,
    pub stage: Stage,
    /// The private identity, as in Authorization; without security associations the public identity, as it was registered.
    pub impi: Handle,
    /// Of (private identity, UE address), or of the private identity where sets belong to that alone: at most [`super::SETS_MAX`] connections share it.
    pub access: u64,
    /// Of the Call-ID of the security dialog, or of the last REGISTER.
    pub call_id: u64,
    /// The UE's address, the inner one of all its sets.
    pub ue_ip: IpAddr,
    /// An [`OpenAccess`], where there are no security associations.
    pub open: Option<Key>,
    /// The highest CSeq that the UE has used in the security dialog, or with that Call-ID.
    pub cseq: u32,
    /// Transactions that are not completed.
    pub pending: Pending,
    /// An [`Agreeing`], while a set-up or a challenge is under way.
    pub agreeing: Option<Key>,
    /// The set that carries requests.
    pub live: Option<Key>,
    /// The set of a challenge that is not answered successfully yet.
    pub temporary: Option<Key>,
    /// The set that was live before the last re-authentication, until nothing of it is under way.
    pub draining: Option<Key>,
    /// Of the notifier's tag in the security dialog.
    pub to_tag: u64,
    /// The S-CSCF's Mw address, from the Contact of its 200 as notifier, or from its Service-Route as registrar: requests in the dialog go
    /// there and nowhere else.
    pub notifier: Option<PackedAddress>,
    /// The URI that requests outside dialogs go through, from the last 200 (the paper's section 3.1).
    pub service_route: Handle,
    /// The service route before, whose requests may still be under way.
    pub earlier_route: Handle,
    /// How long the earlier one is taken.
    pub earlier_until: Time,
    /// Requests that wait until the identities are known.
    pub held: u8,
    /// The connection's lifetime as last granted, on the clock.
    pub expires_at: Time,
    /// The lifetime that the UE was last granted, in seconds.
    pub granted_s: u32,
    /// Where its UE has deregistered: how long the security associations stay for the answer to that, should it get lost. Else 0.
    pub answers_until: Time,
    /// The P-CSCF's own subscription to what the connection rests on.
    pub own: Own,
    /// The UE's authorised identities, a packed list, from the P-CSCF's own subscription, or from the registration's 200.
    pub identities: Handle,
    /// They are known: `identities` is what the S-CSCF says, even if it is empty.
    pub knows_identities: bool,
}

/// What a connection has only while it agrees on a set: until the first one is live, and again when the UE authenticates anew.
#[derive(Debug)]
pub struct Agreeing {
    /// Of (private identity, UE address, Call-ID): the key of a set-up that is under way.
    pub setup: u64,
    /// The UE's newest Security-Client, for the challenge that is expected.
    pub offer: Option<ClientOffer>,
    /// Of the Security-Client that asked for the set of the challenge that is not answered yet: its parameters, and its text.
    pub client: (u64, u64),
}

/// Where a UE is reached without security associations.
#[derive(Copy, Clone, Debug)]
pub struct OpenAccess {
    /// Where its REGISTERs come from.
    pub source: SocketAddr,
    /// Where requests for it go: its Contact.
    pub contact: SocketAddr,
    /// When the connection's lifetime is looked after next.
    pub look: Look,
}

/// How many transactions of a connection are not completed. What others send to a UE must not keep it from asking, so each has a
/// count of its own.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Requests of the UE, and the P-CSCF's own.
    pub asked: u16,
    /// Requests for the UE.
    pub told: u16,
    /// Of those for the UE, INVITEs.
    pub calls: u16,
}

impl Pending {
    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self.asked == 0 && self.told == 0
    }

    /// Counts a transaction that begins.
    pub fn begin(&mut self, transaction: &Transaction) {
        self.count(transaction, |count| count + 1);
    }

    /// Counts a transaction that is completed.
    pub fn end(&mut self, transaction: &Transaction) {
        self.count(transaction, |count| count - 1);
    }

    fn count(&mut self, transaction: &Transaction, step: impl Fn(u16) -> u16) {
        match transaction.purpose {
            Purpose::ToUe | Purpose::Notify { .. } => {
                self.told = step(self.told);
                if transaction.invite().is_some() {
                    self.calls = step(self.calls);
                }
            }
            _ => self.asked = step(self.asked),
        }
    }
}

/// The P-CSCF's own subscription (the paper's section 3.1, "Impact of security event package on P-CSCF").
#[derive(Debug, Default)]
pub struct Own {
    pub state: OwnState,
    /// Makes the dialog's names ones that nobody can guess.
    pub secret: u64,
    /// The dialog's strings once the notifier has accepted; until then the URI that is asked.
    pub dialog: Handle,
    pub has_dialog: bool,
    /// CSeq of the last SUBSCRIBE.
    pub cseq: u32,
    /// CSeq of the last NOTIFY that was taken.
    pub notify_cseq: u32,
    /// The lifetime that it should have, in seconds.
    pub asked_s: u32,
    /// The lifetime that the last SUBSCRIBE asked for, in seconds.
    pub sent_s: u32,
    /// Attempts of the running SUBSCRIBE that have failed.
    pub failures: u8,
}

/// How far the P-CSCF's own subscription is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnState {
    /// Not begun.
    #[default]
    None,
    /// A SUBSCRIBE is under way.
    Asking,
    /// The notifier has accepted it.
    Active,
    /// A SUBSCRIBE with Expires 0 is under way.
    Leaving,
    /// It is over.
    Over,
}

/// A set of four security associations, as the P-CSCF holds it.
#[derive(Debug)]
pub struct SecuritySet {
    pub sa: SaSet,
    pub connection: Key,
    /// Where ESP for the UE goes: the source of the last packet that passed integrity and replay check; until there is one, the
    /// UE's address and the usual port.
    pub outer: PackedAddress,
    /// When the set ends if nothing prolongs it.
    pub expires_at: Time,
    /// When it is looked after next.
    pub look: Look,
}

impl SecuritySet {
    /// The P-CSCF's side of it, as Security-Server shows it.
    pub fn server(&self) -> ServerSide {
        ServerSide {
            spi_pc: self.sa.inbound(LocalPort::Client).spi(),
            spi_ps: self.sa.inbound(LocalPort::Server).spi(),
            port_pc: self.sa.selectors(LocalPort::Client).local_port,
            port_ps: self.sa.selectors(LocalPort::Server).local_port,
        }
    }

    /// The UE's contact, which is where these associations lead: its address and its protected server port.
    pub fn ue_contact(&self, connection: &Connection) -> SocketAddr {
        let port_us = self.sa.selectors(LocalPort::Client).remote_port;
        SocketAddr::new(connection.ue_ip, port_us)
    }
}

impl Connection {
    /// The set on which the P-CSCF sends to the UE. A NOTIFY may overtake the 200 that makes the new set the live one.
    pub fn sending_set(&self) -> Option<Key> {
        self.live.or(self.temporary)
    }

    /// Gives the strings back.
    pub fn release(self, strings: &mut Strings) {
        strings.release(self.impi);
        strings.release(self.own.dialog);
        strings.release(self.identities);
        strings.release(self.service_route);
        strings.release(self.earlier_route);
    }
}
