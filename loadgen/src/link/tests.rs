use std::net::SocketAddr;
use std::sync::Arc;

use imstorm_base::SocketId;

use super::*;
use crate::population;
use crate::profile::Profile;

/// What is sent comes back at once.
struct Echo(Inbox, Outbox);

impl Io for Echo {
    fn turn(&mut self, _wait_ns: u64) -> io::Result<()> {
        let Self(inbox, outbox) = self;
        inbox.clear();
        outbox.drain(|queued, bytes| {
            let local = queued.source.expect("a UE's address");
            assert!(inbox.push(queued.socket, queued.peer, local, bytes));
        });
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.0, &mut self.1)
    }
}

fn population_of(profile: &str) -> Population {
    let profile = Profile::load(profile, &[]).unwrap();
    let directory = Arc::new(population::directory(&profile).unwrap());
    Population::new(&profile, directory)
}

#[test]
fn each_access_has_its_own_delay_there_and_back() {
    let population = population_of("schemes");
    let clock = Clock::new();
    let echo = Echo(Inbox::new(8, 64), Outbox::new(8, 64));
    let delays = [20.0, 5.0].map(|delay_ms| Link { delay_ms, ..Link::default() });
    let mut links = Links::new(echo, clock, &population, Some(delays), 1);
    let peer = SocketAddr::from(([127, 0, 0, 1], 5060));
    let accesses = [0, population.size()].map(|ue| population.address(ue));
    let began = clock.now();
    for (place, access) in accesses.into_iter().enumerate() {
        let sent = links.parts().1.send(SocketId(0), Some(access), peer, |slot| {
            slot[0] = place as u8;
            Some(0..1)
        });
        assert_eq!(sent, Ok(1));
    }
    let mut came = Vec::new();
    // Bounded: the longest way takes 40 ms.
    for _ in 0..10_000_000 {
        links.turn(0).unwrap();
        let (inbox, _) = links.parts();
        for place in 0..inbox.len() {
            let (received, bytes) = inbox.get_mut(place);
            came.push((bytes[0], received.local, clock.now() - began));
        }
        if came.len() == 2 {
            break;
        }
    }
    let order: Vec<_> = came.iter().map(|(place, local, _)| (*place, *local)).collect();
    assert_eq!(order, [(1, accesses[1]), (0, accesses[0])], "the quicker access first");
    // No earlier than the links let it; how much later is the machine's.
    assert!(came[0].2 >= 10_000_000 && came[1].2 >= 40_000_000, "{came:?}");
}

/// The numbers that come back of so many that are sent at once, in order, and what has happened to them.
fn echoed(link: Option<Link>, seed: u64, sent: u16) -> (Vec<u16>, LinkCounts) {
    let population = population_of("quickstart");
    let echo = Echo(Inbox::new(4 * sent as usize, 64), Outbox::new(2 * sent as usize, 64));
    let mut links = Links::new(echo, Clock::new(), &population, link.map(|it| [it; 2]), seed);
    let peer = SocketAddr::from(([127, 0, 0, 1], 5060));
    for number in 0..sent {
        let queued = links.parts().1.send(SocketId(1), Some(population.address(3)), peer, |slot| {
            slot[..2].copy_from_slice(&number.to_be_bytes());
            Some(0..2)
        });
        assert_eq!(queued, Ok(2));
    }
    // Without a delay a turn takes them there and back.
    links.turn(0).unwrap();
    assert!(!links.is_leaving());
    let (inbox, _) = links.parts();
    let mut came = Vec::new();
    for place in 0..inbox.len() {
        let (received, bytes) = inbox.get_mut(place);
        let ends = (received.socket, received.local, received.peer);
        assert_eq!(ends, (SocketId(1), population.address(3), peer));
        came.push(u16::from_be_bytes(bytes.try_into().unwrap()));
    }
    (came, links.counts())
}

#[test]
fn faults_happen_both_ways_and_follow_from_the_seed() {
    const SENT: u16 = 1_000;
    let link = Link { loss: 0.1, duplication: 0.2, ..Link::default() };
    let (came, counts) = echoed(Some(link), 5, SENT);
    assert!(came.is_sorted(), "nothing is overtaken");
    assert_eq!(came.len() as u64, u64::from(SENT) + counts.doubled - counts.lost);
    // What sets out twice on the way there may do so again on the way back.
    let most = came.chunk_by(|one, other| one == other).map(<[u16]>::len).max();
    assert!(most > Some(2), "{most:?}");
    assert!(counts.lost > 100 && counts.doubled > 200, "{counts:?}");
    assert_eq!(echoed(Some(link), 5, SENT), (came.clone(), counts));
    assert_ne!(echoed(Some(link), 6, SENT).0, came);
}

#[test]
fn a_lost_datagram_never_leaves() {
    let (came, counts) = echoed(Some(Link { loss: 1.0, ..Link::default() }), 1, 10);
    assert_eq!((came.len(), counts.lost), (0, 10), "lost on the way there, so not on the way back");
}

#[test]
fn without_links_the_back_end_is_all_there_is() {
    let (came, counts) = echoed(None, 1, 10);
    assert_eq!((came, counts), ((0..10).collect(), LinkCounts::default()));
}

#[test]
fn what_is_under_way_is_seen_to_leave() {
    let population = population_of("quickstart");
    let echo = Echo(Inbox::new(8, 64), Outbox::new(8, 64));
    let link = Link { delay_ms: 1.0, ..Link::default() };
    let mut links = Links::new(echo, Clock::new(), &population, Some([link; 2]), 1);
    let peer = SocketAddr::from(([127, 0, 0, 1], 5060));
    let send = links.parts().1.send(SocketId(0), Some(population.address(0)), peer, |_| Some(0..1));
    assert_eq!(send, Ok(1));
    assert!(!links.is_leaving(), "it is queued");
    links.turn(0).unwrap();
    let mut turns = 0_u64;
    while links.is_leaving() {
        assert!(turns < 100_000_000, "a millisecond passes");
        turns += 1;
        links.turn(0).unwrap();
    }
    let layer = links.layer.as_ref().unwrap();
    assert!(layer.from_ues.is_empty() && !layer.to_ues.is_empty(), "it has come back");
}
