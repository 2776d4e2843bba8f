//! Who takes part in a ladder: the UE with its addresses, and the P-CSCFs.

use super::{Direction, Event, EventKind, UeEvents};

/// As many addresses have a lifeline of their own on either side; what comes from more of them shares the last one.
const SIDE_MAX: usize = 4;

/// The addresses in a ladder, the UE's first, each side in the order of appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Participants {
    ue: Vec<String>,
    peers: Vec<String>,
}

impl Participants {
    /// Those of a capture.
    pub fn of(events: &UeEvents) -> Self {
        let mut participants = Self { ue: Vec::new(), peers: Vec::new() };
        for event in &events.events {
            let Some((ue, peer)) = ends(event) else { continue };
            add(&mut participants.ue, host(ue));
            add(&mut participants.peers, host(peer));
        }
        participants
    }

    /// How many lifelines there are: two at least.
    pub fn len(&self) -> usize {
        self.ue.len().max(1) + self.peers.len().max(1)
    }

    /// Whether the UE or its peers have more than one address.
    pub fn are_several(&self) -> bool {
        self.len() > 2
    }

    /// The head of each lifeline, and the address below it.
    pub fn names(&self, ue: u64) -> Vec<(String, String)> {
        let named = |name: String, addresses: &[String]| {
            let head = |(number, address): (usize, &String)| {
                let several = addresses.len() > 1;
                let name = if several { format!("{name} ({})", number + 1) } else { name.clone() };
                (name, address.clone())
            };
            match addresses {
                [] => vec![(name.clone(), String::new())],
                addresses => addresses.iter().enumerate().map(head).collect(),
            }
        };
        [named(format!("UE {ue}"), &self.ue), named("P-CSCF".to_owned(), &self.peers)].concat()
    }

    /// From which lifeline to which one a datagram goes; from the first to the last where it is none.
    pub fn places(&self, event: &Event) -> (usize, usize) {
        let Some((ue, peer)) = ends(event) else { return (0, self.len() - 1) };
        let ue = place(&self.ue, host(ue));
        let peer = self.ue.len() + place(&self.peers, host(peer));
        match &event.kind {
            EventKind::Datagram { direction: Direction::In, .. } => (peer, ue),
            _ => (ue, peer),
        }
    }
}

/// The UE's end of a datagram, and the other one.
fn ends(event: &Event) -> Option<(&str, &str)> {
    match &event.kind {
        EventKind::Datagram { direction: Direction::Out, source, destination, .. } => {
            Some((source, destination))
        }
        EventKind::Datagram { direction: Direction::In, source, destination, .. } => {
            Some((destination, source))
        }
        _ => None,
    }
}

/// An address without its port.
pub(super) fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn add(addresses: &mut Vec<String>, address: &str) {
    if addresses.len() < SIDE_MAX && addresses.iter().all(|known| known != address) {
        addresses.push(address.to_owned());
    }
}

fn place(addresses: &[String], address: &str) -> usize {
    let found = addresses.iter().position(|known| known == address);
    found.unwrap_or(addresses.len().saturating_sub(1))
}
