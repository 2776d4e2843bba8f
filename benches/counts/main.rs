//! Instructions of portable paths, counted by valgrind: the same on every run and machine with the same compiler, so that a
//! change of a few per cent is seen where times would not show it. `../gate` compares them with what `baseline.json` has.

#![allow(missing_docs, reason = "gungraun's macros make public items")]
#![allow(clippy::needless_pass_by_value, reason = "gungraun's setups give values")]

mod aka;
mod esp;
mod sip;
mod tables;
mod whole;

use gungraun::{Callgrind, LibraryBenchmarkConfig, main};

main!(
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = [sip::group, aka::group, esp::group, tables::group, whole::group]
);
