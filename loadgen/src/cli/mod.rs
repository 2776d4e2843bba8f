//! The command line of `imstorm`.

mod capacity;
mod compare;
mod doctor;
mod exit_codes;
mod explain;
mod interrupts;
mod ladder;
mod output;
mod plan;
mod profiles;
mod report;
mod run;
mod schemes;
mod simulate;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use imstorm_engine::manual::{CompletionsArgs, ManArgs};

use crate::child;
use crate::profile::{self, Profile};
use crate::run::say;

/// The load generator for subscription-based IMS security: emulated UEs that set up secure connections, refresh and leave.
#[derive(Debug, Parser)]
#[command(name = "imstorm", version, after_help = exit_codes::all())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a load profile over real sockets, against an engine of its own or a target.
    #[command(after_help = exit_codes::of_run())]
    Run(run::PlannedRunArgs),
    /// Say what a profile comes to, and what will not fit. Nothing is sent.
    #[command(after_help = exit_codes::of_plan())]
    Plan(plan::PlanArgs),
    /// Find the highest load that a core handles adequately: the profile's [traffic], offered more and more often.
    #[command(after_help = exit_codes::of_capacity())]
    Capacity(run::RunArgs),
    /// Run a load profile over a simulated network, for many seeds.
    #[command(after_help = exit_codes::of_simulate())]
    Simulate(simulate::SimulateArgs),
    /// Compare the schemes for simultaneous registrations over real sockets, with today's registration and with security subscriptions.
    #[command(after_help = exit_codes::of_schemes())]
    Schemes(schemes::SchemesArgs),
    /// Make a run's report from its logs, also of one that was killed; or put the parts of a run together.
    #[command(after_help = exit_codes::of_report())]
    Report(report::ReportArgs),
    /// Hold a run, or several of the same, against another: what is better, worse, or the same within noise.
    #[command(after_help = exit_codes::of_compare())]
    Compare(compare::CompareArgs),
    /// Draw the message flow of a captured UE, or list the captured UEs.
    #[command(after_help = exit_codes::of_show())]
    Ladder(ladder::LadderArgs),
    /// Say why procedures of a run have failed: each cause with an example of an exchange, and what to check.
    #[command(after_help = exit_codes::of_show())]
    Explain(explain::ExplainArgs),
    /// Look at this machine: what it allows, and what to change before a profile is run on it.
    #[command(after_help = exit_codes::of_write())]
    Doctor(doctor::DoctorArgs),
    /// List the profiles that are built in.
    #[command(after_help = exit_codes::of_show())]
    Profiles {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a built-in profile to a file NAME.toml, to start one's own from.
    #[command(after_help = exit_codes::of_write())]
    Init {
        /// The profile's name.
        name: String,
    },
    /// Print the JSON Schema of profiles, for editors that complete and check them.
    #[command(after_help = exit_codes::of_show())]
    Schema {
        /// All fields as a page for readers instead.
        #[arg(long)]
        markdown: bool,
    },
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages.
    Man(ManArgs),
    /// Be the engine of a run: its configuration comes on standard input.
    #[command(name = child::SUBCOMMAND, hide = true)]
    EmbeddedEngine,
}

#[derive(Debug, Args)]
struct ProfileArgs {
    /// A profile's file, or the name of a built-in one.
    profile: String,
    /// Replace a value of the profile: a dotted key and a value, e.g. population.size=300.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

/// What the program does; its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    imstorm_engine::cli::start_log();
    let code = match &cli.command {
        Command::Run(args) => run::run_profile(args),
        Command::Plan(args) => plan::plan(args),
        Command::Capacity(args) => capacity::find_capacity(args),
        Command::Simulate(args) => simulate::simulate(args),
        Command::Schemes(args) => schemes::compare_schemes(args),
        Command::Report(args) => report::report(args),
        Command::Compare(args) => compare::compare(args),
        Command::Ladder(args) => ladder::ladder(args),
        Command::Explain(args) => explain::explain(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Profiles { json } => profiles::list(*json),
        Command::Init { name } => profiles::init(name),
        Command::Schema { markdown } => {
            say(&if *markdown { profile::reference() } else { profile::json_schema() });
            Ok(0)
        }
        Command::Completions(args) => {
            args.write(Cli::command());
            Ok(0)
        }
        Command::Man(args) => {
            args.write(Cli::command()).map(|()| 0).or_else(|error| fail(5, format!("man: {error}")))
        }
        Command::EmbeddedEngine => be_engine(),
    };
    ExitCode::from(code.unwrap_or_else(|failure| {
        eprintln!("imstorm: {}", failure.message);
        failure.code
    }))
}

/// Why the program ends, and with which code.
struct Failure {
    code: u8,
    message: String,
}

fn fail<T>(code: u8, message: impl std::fmt::Display) -> Result<T, Failure> {
    Err(Failure { code, message: format!("{message}") })
}

fn load(args: &ProfileArgs) -> Result<Profile, Failure> {
    Profile::load(&args.profile, &args.set).or_else(|error| fail(2, error))
}

fn be_engine() -> Result<u8, Failure> {
    let config = child::read_config().or_else(|error| fail(5, error))?;
    imstorm_engine::cli::serve_child(&config)
        .map(|()| 0)
        .or_else(|error| fail(5, format!("embedded engine: {error}")))
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_says_what_it_exits_with() {
        use clap::CommandFactory;
        let mut cli = Cli::command();
        for command in cli.get_subcommands_mut().filter(|it| !it.is_hide_set()) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes:\n    0  "), "{}: {help}", command.get_name());
        }
        let help = cli.render_long_help().to_string();
        for code in [0, 1, 2, 3, 4, 5, 130] {
            assert!(help.contains(&format!("\n  {code:>3}  ")), "{code}: {help}");
        }
    }
}
