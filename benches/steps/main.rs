//! Each step of a secure set-up by itself, and the whole: see `benches/README.md`.

#![forbid(unsafe_code)]

mod aka;
mod base;
mod esp;
mod setup;
mod sip;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    sip::benchmarks(&mut criterion);
    aka::benchmarks(&mut criterion);
    esp::benchmarks(&mut criterion);
    base::benchmarks(&mut criterion);
    setup::benchmarks(&mut criterion);
    criterion.final_summary();
}
