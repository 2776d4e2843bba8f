//! `imstorm doctor`.

use clap::Args;

use super::{Failure, ProfileArgs, fail, load};
use crate::doctor::{Diagnosis, Machine};
use crate::plan::{Assumptions, Plan};
use crate::run::say;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The profile that is to be run: a file, or the name of a built-in one.
    #[arg(default_value = "quickstart")]
    profile: String,
    /// Replace a value of the profile: a dotted key and a value, e.g. population.size=1000000.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::key_value)]
    set: Vec<(String, String)>,
    /// The engine runs on another machine: its memory is not taken from this one's.
    #[arg(long)]
    target: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Says what this machine allows; 5 only where nothing at all can run.
pub(super) fn doctor(args: &DoctorArgs) -> Result<u8, Failure> {
    let profile = load(&ProfileArgs { profile: args.profile.clone(), set: args.set.clone() })?;
    let machine = Machine::here(&profile);
    let assumptions = Assumptions {
        procedure_s: 0.05,
        memory_bytes: machine.memory_bytes.unwrap_or(0),
        engine_here: !args.target,
    };
    let diagnosis = Diagnosis::new(&machine, &profile, &Plan::new(&profile, assumptions));
    say(&if args.json { diagnosis.to_json() } else { diagnosis.to_text() });
    match diagnosis.can_run {
        true => Ok(0),
        false => fail(5, "nothing can run here: see what blocks it above"),
    }
}
