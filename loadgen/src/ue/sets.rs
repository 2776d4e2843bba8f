//! The sets of four security associations that UEs hold: one in force, and at times another one.

use imstorm_base::slab::Key;
use imstorm_esp::{LocalPort, Selectors, Traffic};
use imstorm_sip::Writer;

use super::place::Place;
use super::server::{SERVER_BYTES_MAX, Server};
use super::{UeSet, client_port};
use crate::generator::Generator;

impl Generator {
    /// The UE's set in force.
    pub(crate) fn set_of(&self, ue: u32) -> Option<Key> {
        self.ues[ue as usize].set.key(&self.sets)
    }

    /// The UE's other set.
    pub(crate) fn other_set_of(&self, ue: u32) -> Option<Key> {
        self.ues[ue as usize].other_set.key(&self.sets)
    }

    /// The set of a UE that an SPI of its own is of.
    pub(crate) fn set_of_spi(&self, ue: u32, spi: u32) -> Option<Key> {
        let state = &self.ues[ue as usize];
        let keys = [state.set, state.other_set].into_iter().filter_map(|set| set.key(&self.sets));
        let is_of = |key| self.sets.get(key).is_some_and(|set| set.sa.port_of_spi(spi).is_some());
        keys.into_iter().find(|key| is_of(*key))
    }

    /// The traffic of the associations of one of a UE's sets that belong to one of its ports.
    pub(crate) fn traffic(&self, ue: u32, set: &UeSet, port: LocalPort) -> Traffic {
        let (local_port, remote_port) = match port {
            LocalPort::Client => (client_port(&self.settings.ports_uc, set.offer), set.port_ps),
            LocalPort::Server => (self.settings.port_us, set.port_pc),
        };
        let local_ip = self.population.address(ue);
        let remote_ip = self.population.pcscf_past(ue, set.pcscf_turn).ip();
        let selectors = Selectors { local_ip, remote_ip, local_port, remote_port };
        Traffic { port, selectors, mode: self.settings.mode }
    }

    /// The number of the offer that the UE's other set was made from, if it has one.
    pub(super) fn offer_of_other_set(&self, ue: u32) -> Option<u32> {
        let set = self.sets.get(self.other_set_of(ue)?)?;
        Some(u32::from(set.offer))
    }

    /// The UE's security associations in force go.
    pub(crate) fn drop_set(&mut self, ue: u32) {
        let place = self.ues[ue as usize].set.take();
        self.remove_set(place);
    }

    /// The UE's other security associations go.
    pub(crate) fn drop_other_set(&mut self, ue: u32) {
        let state = &mut self.ues[ue as usize];
        state.is_next = false;
        let place = state.other_set.take();
        self.remove_set(place);
    }

    fn remove_set(&mut self, place: Place) {
        let removed = place.key(&self.sets).and_then(|key| self.sets.remove(key));
        if let Some(Server::Text(text)) = removed.map(|set| set.server) {
            self.strings.release(text);
        }
    }

    /// What Security-Verify says of a set, written into `text`; empty where there is no set.
    pub(super) fn write_server<'a>(
        &self,
        set: Place,
        text: &'a mut [u8; SERVER_BYTES_MAX],
    ) -> &'a [u8] {
        let mut writer = Writer::new(&mut text[..]);
        if let Some(set) = set.key(&self.sets).and_then(|key| self.sets.get(key)) {
            self.servers.write(set, &self.strings, &mut writer);
        }
        let len = writer.len();
        &text[..len]
    }
}
