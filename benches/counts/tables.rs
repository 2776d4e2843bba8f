//! The tables that every message goes through.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};
use imstorm_base::{HashSeed, Index, Key, Slab, Timers};

const SIZE: usize = 10_000;
/// What is done at once, so that a call's own cost does not count.
const TIMES: usize = 100;
const DURATION_NS: u64 = 128_000_000_000;

type Record = [u64; 16];

fn slab() -> (Slab<Record>, Vec<Key>) {
    let mut slab = Slab::with_capacity(SIZE);
    let keys = (0..SIZE).map(|number| slab.insert([number as u64; 16]).expect("room")).collect();
    (slab, keys)
}

#[library_benchmark(setup = slab)]
#[bench::insert_get_remove()]
fn slab_of_records((mut slab, mut keys): (Slab<Record>, Vec<Key>)) -> (Slab<Record>, Vec<Key>) {
    for key in keys.iter_mut().step_by(SIZE / TIMES) {
        black_box(slab.get(*key).expect("it is there")[0]);
        let record = slab.remove(*key).expect("it is there");
        *key = slab.insert(record).expect("room");
    }
    (slab, keys)
}

fn index() -> Index {
    let (mut index, hash) = (Index::with_capacity(SIZE), HashSeed::new(1));
    for number in 0..SIZE {
        index.insert(hash.hash_u64(number as u64), number as u32).expect("room");
    }
    index
}

#[library_benchmark(setup = index)]
#[bench::find_remove_insert()]
fn index_of_numbers(mut index: Index) -> Index {
    let hash = HashSeed::new(1);
    for number in (0..SIZE).step_by(SIZE / TIMES) {
        let (hash, number) = (hash.hash_u64(number as u64), number as u32);
        black_box(index.find(hash, |value| value == number).expect("it is there"));
        let value = index.remove(hash, |value| value == number).expect("it is there");
        index.insert(hash, value).expect("room");
    }
    index
}

const BETWEEN_NS: u64 = DURATION_NS / SIZE as u64;

fn timers(durations: &[u64]) -> Timers<u32> {
    let mut timers = Timers::new(durations);
    for number in 0..SIZE as u64 {
        timers.arm(number * BETWEEN_NS, DURATION_NS, number as u32);
    }
    timers
}

#[library_benchmark(setup = timers)]
#[bench::queue(&[DURATION_NS])]
#[bench::wheel(&[])]
fn timers_fire_and_arm(mut timers: Timers<u32>) -> Timers<u32> {
    let mut now = DURATION_NS - BETWEEN_NS;
    for _ in 0..TIMES {
        now += BETWEEN_NS;
        while let Some(value) = timers.poll(now) {
            timers.arm(now, DURATION_NS, value);
        }
    }
    timers
}

library_benchmark_group!(
    name = tables,
    benchmarks = [slab_of_records, index_of_numbers, timers_fire_and_arm]
);
