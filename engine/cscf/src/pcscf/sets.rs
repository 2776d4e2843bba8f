//! Sets of four security associations: made from a challenge's keys, found by their SPIs, and dropped when their time is over.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_esp::{
    Datagram, LocalPort, OpenBatch, OpenTicket, SaSet, SecurityParameters, classify, prefetch,
};
use imstorm_sip::Message;

use super::agreement::{ClientOffer, ServerSide};
use super::connection::{SecuritySet, Stage};
use super::{AWAIT_AUTH_NS, MODE, Pcscf, PcscfAlarm, SPI_GENERATIONS, SPI_MIN};
use crate::event::Context;
use crate::look::Look;

impl Pcscf {
    /// Makes the four security associations that wait for the UE's answer.
    pub(super) fn temporary_set(
        &mut self,
        ctx: &mut Context<'_>,
        connection_key: Key,
        message: &Message<'_>,
    ) -> Option<Key> {
        let challenge = message.www_authenticate().ok()??;
        let (ik, ck) = (hex_key(challenge.ik?)?, hex_key(challenge.ck?)?);
        let connection = self.connections.get_mut(connection_key)?;
        let offer = self.agreeing.get(connection.agreeing?)?.offer?;
        let ue_ip = connection.ue_ip;
        let live = connection.live.and_then(|live| self.sets.get(live));
        // A re-authentication's set goes where the live one does, until its own first packet shows another way.
        let outer = live.map(|set| set.outer);
        let live = live.map(|set| set.server().port_pc);
        let (place, spi_ps, spi_pc) = self.free_place(&offer)?;
        let first = self.config.port_pc;
        let server = ServerSide {
            spi_pc,
            spi_ps,
            port_pc: if live == Some(first) { first + 1 } else { first },
            port_ps: self.config.port_ps,
        };
        let parameters = SecurityParameters {
            spi_uc: offer.spi_uc,
            spi_us: offer.spi_us,
            port_uc: offer.port_uc,
            port_us: offer.port_us,
            spi_pc,
            spi_ps,
            port_pc: server.port_pc,
            port_ps: server.port_ps,
            ue_ip,
            pcscf_ip: self.config.unprotected.ip(),
            suite: offer.suite,
            mode: MODE,
        };
        parameters.validate().ok()?;
        let set = SecuritySet {
            sa: SaSet::for_pcscf(&parameters, &ck, &ik),
            connection: connection_key,
            outer: outer.unwrap_or(SocketAddr::new(ue_ip, self.config.ue_esp_port).into()),
            expires_at: ctx.now + AWAIT_AUTH_NS,
            look: Look::default(),
        };
        let key = self.sets.insert(set).ok()?;
        assert!(key == place, "the key that was promised");
        // A UE that authenticates again has left the set before the last one: eight security associations are the most.
        let connection = self.connections.get_mut(connection_key).expect("found above");
        if let Some(drained) = connection.draining.take() {
            self.sets.remove(drained);
        }
        self.look_at_set(ctx, key);
        let connection = self.connections.get_mut(connection_key).expect("found above");
        connection.temporary = Some(key);
        if let Some(agreeing) = connection.agreeing.and_then(|key| self.agreeing.get_mut(key)) {
            agreeing.client = (offer.fingerprint, offer.text);
        }
        if connection.stage == Stage::SettingUp {
            connection.expires_at = ctx.now + AWAIT_AUTH_NS;
        }
        Some(key)
    }

    /// The next place for a set, with its SPIs: none of them may be one of the UE's (TS 33.203 clause 7.2).
    fn free_place(&mut self, offer: &ClientOffer) -> Option<(Key, u32, u32)> {
        for _ in 0..SPI_GENERATIONS {
            let place = self.sets.vacant_key()?;
            let (spi_ps, spi_pc) = self.spis(place);
            let collides =
                [offer.spi_uc, offer.spi_us].iter().any(|spi| [spi_ps, spi_pc].contains(spi));
            if !collides {
                return Some((place, spi_ps, spi_pc));
            }
            self.sets.skip_vacant();
        }
        None
    }

    pub(super) fn live_set(&self, connection: Key) -> Option<Key> {
        self.connections.get(connection).and_then(|connection| connection.live)
    }

    /// Has a set looked after when its lifetime ends.
    pub(super) fn look_at_set(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(set) = self.sets.get_mut(key) else { return };
        if let Some(after_ns) = set.look.before(ctx.now, set.expires_at) {
            self.arm(ctx, after_ns, PcscfAlarm::Set(key));
        }
    }

    /// A set's alarm: its lifetime is over, unless it was prolonged since the alarm was set.
    pub(super) fn set_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(set) = self.sets.get(key) else { return };
        if !set.look.is_now(ctx.now) {
            return;
        }
        if set.expires_at > ctx.now {
            return self.look_at_set(ctx, key);
        }
        let connection_key = set.connection;
        let Some(connection) = self.connections.get_mut(connection_key) else { return };
        if connection.temporary == Some(key) {
            connection.temporary = None;
            self.sets.remove(key);
            return;
        }
        if connection.draining == Some(key) {
            connection.draining = None;
            self.sets.remove(key);
            return;
        }
        ctx.counters.connections_expired += 1;
        self.drop_connection(ctx, connection_key);
    }

    /// The SPIs of the set at this place: (spi_ps, spi_pc). An SPI leads back to its set without a look-up, and to its shard
    /// by its remainder.
    fn spis(&self, place: Key) -> (u32, u32) {
        let sets = u32::try_from(self.sets.capacity()).unwrap_or(u32::MAX);
        let number = (place.generation() % SPI_GENERATIONS) * sets + place.index;
        let spi = |which: u32| {
            self.spi_base() + (2 * number + which) * self.config.shards + self.config.shard
        };
        (spi(0), spi(1))
    }

    fn spi_base(&self) -> u32 {
        SPI_MIN.next_multiple_of(self.config.shards)
    }

    /// The set that an SPI names, and the port of ours that it is for.
    pub(super) fn set_of_spi(&self, spi: u32) -> Option<(Key, LocalPort)> {
        let (place, generation, port) = self.place_of_spi(spi)?;
        let key = self.sets.key_at(place)?;
        (key.generation() % SPI_GENERATIONS == generation).then_some((key, port))
    }

    /// Where the set would be that an SPI names: place and generation.
    fn place_of_spi(&self, spi: u32) -> Option<(u32, u32, LocalPort)> {
        let number = spi.checked_sub(self.spi_base())?;
        if number % self.config.shards != self.config.shard {
            return None;
        }
        let number = number / self.config.shards;
        // There are none at all where access is not protected.
        let sets = u32::try_from(self.sets.capacity()).ok().filter(|sets| *sets > 0)?;
        let (place, generation) = ((number / 2) % sets, number / 2 / sets);
        let port = if number.is_multiple_of(2) { LocalPort::Server } else { LocalPort::Client };
        Some((place, generation, port))
    }

    /// Asks for the memory of the set that a datagram on the ESP port names, ahead of its use.
    pub fn fetch_ahead(&self, datagram: &[u8]) {
        if let Datagram::Esp(spi) = classify(datagram)
            && let Some((place, ..)) = self.place_of_spi(spi)
            && let Some(place) = self.sets.place(place)
        {
            prefetch(place);
        }
    }

    /// Has a datagram on the ESP port opened together with others, those of `batch`, ahead of its turn, which comes with
    /// [`Pcscf::esp`]. It begins at `start` of the memory in which they are. Nothing if it is to be opened on its own, or is to be
    /// refused.
    pub fn open_ahead(
        &self,
        batch: &mut OpenBatch,
        datagram: &[u8],
        start: usize,
    ) -> Option<Opening> {
        let Datagram::Esp(spi) = classify(datagram) else { return None };
        let (key, port) = self.set_of_spi(spi)?;
        let set = self.sets.get(key)?;
        if let Some(place) = self.connections.place(set.connection.index) {
            prefetch(place);
        }
        let ticket = set.sa.open_later(port, batch, datagram, start)?;
        Some(Opening { set: key, ticket })
    }
}

/// A datagram that is opened ahead of its turn.
#[derive(Copy, Clone, Debug)]
pub struct Opening {
    /// Its set at that time: if its turn comes and the set is gone, then so is what opened it.
    pub(super) set: Key,
    pub(super) ticket: OpenTicket,
}

/// IK or CK from WWW-Authenticate: 32 hex digits.
fn hex_key(text: &[u8]) -> Option<[u8; 16]> {
    (text.len() == 32).then_some(())?;
    let mut key = [0; 16];
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}
