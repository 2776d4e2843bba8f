//! `imstorm plan`.

use clap::Args;

use super::{Failure, ProfileArgs, fail, load};
use crate::part::Part;
use crate::plan::{Assumptions, Plan};
use crate::population;
use crate::run::say;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// The engine runs on another machine: its memory is not taken from this one's.
    #[arg(long)]
    target: bool,
    /// Part K of N of the run.
    #[arg(long, value_name = "K/N", default_value_t = Part::WHOLE, hide_default_value = true)]
    part: Part,
    /// How long a procedure is taken to last that has no delay limit, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    procedure_ms: f64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Says what a profile comes to; 1 where something will not fit.
pub(super) fn plan(args: &PlanArgs) -> Result<u8, Failure> {
    let mut profile = load(&args.profile)?;
    profile.part = args.part;
    if !(args.procedure_ms > 0.0 && args.procedure_ms.is_finite()) {
        return fail(2, format!("--procedure-ms: expected more than 0, got {}", args.procedure_ms));
    }
    population::directory(&profile).or_else(|error| fail(2, error))?;
    let memory_bytes = imstorm_uring::process::memory_free().or_else(|error| fail(5, error))?;
    let assumptions = Assumptions {
        procedure_s: args.procedure_ms / 1e3,
        memory_bytes,
        engine_here: !args.target,
    };
    let plan = Plan::new(&profile, assumptions);
    say(&if args.json { plan.to_json() } else { plan.to_text() });
    Ok(u8::from(!plan.misfits.is_empty()))
}
