//! Batches of packets between many pairs of sets, against one packet at a time.

use crate::tests::pair_of;
use crate::*;
use proptest::prelude::*;

/// The room of a packet: what the tests put into one memory.
const SLOT: usize = 2048 + 192;

/// What becomes of a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    /// It comes twice.
    Twice,
    /// One of its bytes is another.
    Damaged(usize),
    /// So many bytes are missing.
    Short(usize),
}

#[derive(Clone, Debug)]
struct Message {
    pair: usize,
    is_long_way: bool,
    payload: Vec<u8>,
    fate: Fate,
}

const PAIRS: usize = 16;

fn any_message() -> impl Strategy<Value = Message> {
    let fate = prop_oneof![
        8 => Just(Fate::Whole),
        1 => Just(Fate::Twice),
        1 => (0..2048usize).prop_map(Fate::Damaged),
        1 => (1..60usize).prop_map(Fate::Short),
    ];
    let payload = proptest::collection::vec(any::<u8>(), 0..2000);
    (0..PAIRS, any::<bool>(), payload, fate)
        .prop_map(|(pair, is_long_way, payload, fate)| Message { pair, is_long_way, payload, fate })
}

/// Pairs of all suites and modes, each with keys of its own.
fn pairs() -> Vec<(SaSet, SaSet)> {
    (0..PAIRS)
        .map(|n| {
            let mode = if n / 4 % 2 == 0 { Mode::UdpTunnel } else { Mode::Transport };
            pair_of(Suite::ALL[n % 4], mode, n / 8 % 2 == 1, &[n as u8; 16], &[!n as u8; 16])
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_batch_does_as_one_after_the_other(
        messages in proptest::collection::vec(any_message(), 0..=BATCH_MAX / 2),
    ) {
        for lanes in Lanes::available() {
            let (mut ones, mut many) = (pairs(), pairs());
            let (mut seals, mut opens) = (SealBatch::new(lanes), OpenBatch::new(lanes));
            let mut memory = vec![0xee; SLOT * messages.len()];
            let mut expected = Vec::new();
            let mut ranges = Vec::new();
            for (place, message) in messages.iter().enumerate() {
                let port =
                    if message.is_long_way { LocalPort::Server } else { LocalPort::Client };
                let payload = HEADROOM..HEADROOM + message.payload.len();
                let slot = &mut memory[place * SLOT..(place + 1) * SLOT];
                slot[payload.clone()].copy_from_slice(&message.payload);
                let mut alone = slot.to_vec();
                let len = payload.len();
                let one = &mut ones[message.pair].0;
                let range = one.seal(port, &mut alone, HEADROOM, len, place as u64).unwrap();
                expected.push(alone[range.clone()].to_vec());
                let start = place * SLOT;
                let set = &mut many[message.pair].0;
                let later =
                    set.seal_later(port, &mut seals, slot, start, payload, place as u64).unwrap();
                prop_assert_eq!(&later, &range);
                ranges.push(start + range.start..start + range.end);
            }
            prop_assert_eq!(seals.seal_all(&mut memory), messages.len());
            prop_assert!(seals.is_empty());
            for (range, expected) in ranges.iter().zip(&expected) {
                prop_assert!(memory[range.clone()] == expected[..], "{:?}", lanes);
            }

            // What comes, and how it is opened: one after the other, and together.
            let mut arrivals: Vec<(usize, Vec<u8>)> = Vec::new();
            for (place, packet) in expected.into_iter().enumerate() {
                let mut packet = packet;
                match messages[place].fate {
                    Fate::Damaged(at) => {
                        let at = at % packet.len();
                        packet[at] ^= 0x40;
                    }
                    Fate::Short(by) => packet.truncate(packet.len().saturating_sub(by)),
                    Fate::Twice => arrivals.push((place, packet.clone())),
                    Fate::Whole => {}
                }
                arrivals.push((place, packet));
            }
            let mut memory = Vec::new();
            let mut tickets = Vec::new();
            let port_of = |place: usize| {
                if messages[place].is_long_way { LocalPort::Client } else { LocalPort::Server }
            };
            for (place, packet) in &arrivals {
                let start = memory.len();
                memory.extend(packet);
                let set = &many[messages[*place].pair].1;
                let ticket = set.open_later(port_of(*place), &mut opens, packet, start);
                tickets.push((start..start + packet.len(), ticket));
            }
            opens.run(&mut memory);
            for ((place, mut alone), (range, ticket)) in arrivals.into_iter().zip(tickets) {
                let port = port_of(place);
                let pair = messages[place].pair;
                let expected = ones[pair].1.open(port, &mut alone);
                let packet = &mut memory[range];
                let set = &mut many[pair].1;
                let opened = match ticket {
                    Some(ticket) => set.open_now(port, &opens, ticket, packet),
                    None => set.open(port, packet),
                };
                prop_assert_eq!(&opened, &expected, "{:?}", lanes);
                if let Ok(range) = opened {
                    prop_assert!(packet[range.clone()] == alone[range], "{:?}", lanes);
                }
            }
            for (one, many) in ones.iter().zip(&many) {
                for port in [LocalPort::Client, LocalPort::Server] {
                    prop_assert_eq!(one.1.inbound(port), many.1.inbound(port));
                    prop_assert_eq!(one.0.outbound(port), many.0.outbound(port));
                }
            }
        }
    }
}

#[test]
fn a_packet_is_sealed_under_the_keys_that_its_set_had() {
    for lanes in Lanes::available() {
        let mut seals = SealBatch::new(lanes);
        let mut memory = vec![0; 4 * SLOT];
        let mut receivers = Vec::new();
        for (place, slot) in memory.chunks_exact_mut(SLOT).enumerate() {
            let key = [place as u8; 16];
            let (mut ue, pcscf) = pair_of(Suite::ALL[0], Mode::UdpTunnel, false, &key, &key);
            slot[HEADROOM..HEADROOM + 3].copy_from_slice(b"BYE");
            let payload = HEADROOM..HEADROOM + 3;
            let start = place * SLOT;
            let range =
                ue.seal_later(LocalPort::Client, &mut seals, slot, start, payload, 0).unwrap();
            receivers.push((pcscf, start + range.start..start + range.end));
            // The UE's set is gone here.
        }
        assert_eq!((seals.len(), seals.is_full()), (4, false));
        assert_eq!(seals.seal_all(&mut memory), 4);
        for (mut pcscf, range) in receivers {
            let packet = &mut memory[range];
            let payload = pcscf.open(LocalPort::Server, packet).unwrap();
            assert_eq!(&packet[payload], b"BYE");
        }
    }
}

#[test]
fn a_batch_is_bounded() {
    let (mut ue, pcscf) = pair_of(Suite::ALL[0], Mode::UdpTunnel, false, &[1; 16], &[2; 16]);
    let mut seals = SealBatch::new(Lanes::detect());
    let mut memory = vec![0; 256 * BATCH_MAX];
    let mut ranges = Vec::new();
    for (place, slot) in memory.chunks_exact_mut(256).enumerate() {
        assert!(!seals.is_full());
        let payload = HEADROOM..HEADROOM + 10;
        let start = 256 * place;
        let range = ue.seal_later(LocalPort::Client, &mut seals, slot, start, payload, 0).unwrap();
        ranges.push(start + range.start..start + range.end);
    }
    assert!(seals.is_full());
    assert_eq!(seals.seal_all(&mut memory), BATCH_MAX);

    let mut opens = OpenBatch::new(Lanes::detect());
    for range in &ranges {
        let packet = &memory[range.clone()];
        assert!(pcscf.open_later(LocalPort::Server, &mut opens, packet, range.start).is_some());
    }
    let packet = &memory[ranges[0].clone()];
    assert_eq!(pcscf.open_later(LocalPort::Server, &mut opens, packet, 0), None, "no room");
    opens.clear();
    assert!(pcscf.open_later(LocalPort::Server, &mut opens, packet, 0).is_some());
}
