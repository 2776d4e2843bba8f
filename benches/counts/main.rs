//! Instructions of portable paths, counted by valgrind: the same on every run and machine with the same compiler, so that a
//! change of a few per cent is seen where times would not show it. `../gate` compares them with what `baseline.json` has.

#![allow(missing_docs, reason = "gungraun's macros make public items")]
#![allow(clippy::needless_pass_by_value, reason = "gungraun's setups give values")]

#[path = "aka.rs"]
mod aka_paths;
#[path = "esp.rs"]
mod esp_paths;
#[path = "sip.rs"]
mod sip_paths;
#[path = "tables.rs"]
mod tables_paths;
#[path = "whole.rs"]
mod whole_paths;

use aka_paths::aka;
use esp_paths::esp;
use sip_paths::sip;
use tables_paths::tables;
use whole_paths::whole;

use gungraun::{Callgrind, LibraryBenchmarkConfig, main};

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [sip, aka, esp, tables, whole]
);
