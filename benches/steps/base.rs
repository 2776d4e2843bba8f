//! The tables that every message goes through, small enough for the cache and too big for it.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use imstorm_base::{Handle, HashSeed, Index, Key, Random, Slab, Strings, Timers};

const SIZES: [usize; 3] = [10_000, 1_000_000, 4_000_000];
const NS_PER_S: u64 = 1_000_000_000;
/// Of a record: two cache lines.
type Record = [u64; 16];
/// A dialog's strings take about so many bytes.
const STRING: [u8; 200] = [b's'; 200];

pub fn benchmarks(criterion: &mut Criterion) {
    for size in SIZES {
        slab(&mut criterion.benchmark_group(format!("base/Slab of {size}")), size);
        index(&mut criterion.benchmark_group(format!("base/Index of {size}")), size);
        strings(&mut criterion.benchmark_group(format!("base/Strings, {size} of 200 B")), size);
        timers(&mut criterion.benchmark_group(format!("base/Timers, {size} armed")), size);
    }
    let hash = HashSeed::new(1);
    let mut group = criterion.benchmark_group("base/HashSeed");
    group.bench_function("Call-ID", |bencher| {
        bencher.iter(|| hash.hash(black_box(b"8f3a61c2-000004d2-1@127.16.4.210")));
    });
    group.finish();
}

/// The places of a table in an order that no prefetcher guesses, again and again.
struct Walk {
    order: Vec<usize>,
    at: usize,
}

impl Walk {
    fn new(size: usize) -> Walk {
        let mut order: Vec<usize> = (0..size).collect();
        let mut random = Random::new(1);
        for last in (1..size).rev() {
            order.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
        }
        Walk { order, at: 0 }
    }

    fn next(&mut self) -> usize {
        self.at = if self.at + 1 == self.order.len() { 0 } else { self.at + 1 };
        self.order[self.at]
    }
}

fn slab(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    // Made when the first benchmark runs: a filter may leave all of them out.
    let make = || {
        let mut slab = Slab::with_capacity(size);
        let insert = |number| slab.insert([number as u64; 16]).expect("room");
        let keys: Vec<Key> = (0..size).map(insert).collect();
        (slab, keys, Walk::new(size))
    };
    let mut state: Option<(Slab<Record>, Vec<Key>, Walk)> = None;
    group.bench_function("get", |bencher| {
        let (slab, keys, walk) = state.get_or_insert_with(make);
        bencher.iter(|| slab.get(keys[walk.next()]).expect("it is there")[0]);
    });
    group.bench_function("remove and insert", |bencher| {
        let (slab, keys, walk) = state.get_or_insert_with(make);
        bencher.iter(|| {
            let place = walk.next();
            let record = slab.remove(keys[place]).expect("it is there");
            keys[place] = slab.insert(record).expect("room");
        });
    });
}

fn index(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let hash = HashSeed::new(1);
    let make = || {
        let mut index = Index::with_capacity(size);
        for number in 0..size {
            index.insert(hash.hash_u64(number as u64), number as u32).expect("room");
        }
        (index, Walk::new(size))
    };
    let mut state: Option<(Index, Walk)> = None;
    group.bench_function("find", |bencher| {
        let (index, walk) = state.get_or_insert_with(make);
        bencher.iter(|| {
            let number = walk.next();
            let found = index.find(hash.hash_u64(number as u64), |value| value == number as u32);
            found.expect("it is there")
        });
    });
    group.bench_function("find nothing", |bencher| {
        let (index, walk) = state.get_or_insert_with(make);
        bencher.iter(|| {
            let number = (size + walk.next()) as u64;
            assert!(index.find(hash.hash_u64(number), |_| false).is_none());
        });
    });
    group.bench_function("remove and insert", |bencher| {
        let (index, walk) = state.get_or_insert_with(make);
        bencher.iter(|| {
            let number = walk.next();
            let hash = hash.hash_u64(number as u64);
            let value = index.remove(hash, |value| value == number as u32).expect("it is there");
            index.insert(hash, value).expect("room");
        });
    });
}

fn strings(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let make = || {
        // Slots are of size classes: half as much again is enough.
        let mut strings = Strings::with_capacity(size * STRING.len() * 3 / 2);
        let handles = (0..size).map(|_| strings.store(&STRING).expect("room")).collect();
        (strings, handles, Walk::new(size))
    };
    let mut state: Option<(Strings, Vec<Handle>, Walk)> = None;
    group.bench_function("get", |bencher| {
        let (strings, handles, walk) = state.get_or_insert_with(make);
        bencher.iter(|| strings.get(&handles[walk.next()])[0]);
    });
    group.bench_function("release and store", |bencher| {
        let (strings, handles, walk) = state.get_or_insert_with(make);
        bencher.iter(|| {
            let place = walk.next();
            strings.release(std::mem::take(&mut handles[place]));
            handles[place] = strings.store(black_box(&STRING)).expect("room");
        });
    });
}

/// Timers that last 128 s, as timer J does: each iteration is the time in which one fires, and arms
/// another. Those of one known duration wait in a queue, others in a wheel.
fn timers(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let duration = 128 * NS_PER_S;
    let between = duration / size as u64;
    let make = |durations: &[u64]| {
        let mut timers = Timers::new(durations);
        for number in 0..size as u64 {
            timers.arm(number * between, duration, number as u32);
        }
        (timers, duration - between)
    };
    for (name, durations) in [("queue", &[duration][..]), ("wheel", &[])] {
        let mut state: Option<(Timers<u32>, u64)> = None;
        group.bench_function(format!("{name}: fire and arm"), |bencher| {
            let (timers, now) = state.get_or_insert_with(|| make(durations));
            bencher.iter(|| {
                *now += between;
                while let Some(value) = timers.poll(*now) {
                    timers.arm(*now, duration, value);
                }
            });
        });
    }
}
