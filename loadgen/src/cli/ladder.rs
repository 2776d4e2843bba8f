//! `imstorm ladder`.

use std::path::{Path, PathBuf};

use clap::Args;
use imstorm_engine::suggest;

use super::{Failure, fail};
use crate::measure::Procedure;
use crate::recorder::{self, CaptureFolder, CaptureSummary, Drawing, Selection, UeEvents};
use crate::run::say;

#[derive(Debug, Args)]
pub(super) struct LadderArgs {
    /// The directory of a run's results.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The UE's number; without it the captured UEs are listed, with what happened to them.
    #[arg(long, value_name = "N")]
    ue: Option<u64>,
    /// Show only what procedures of these names are made of, e.g. secure,call_setup.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = procedure, requires = "ue")]
    procedure: Vec<Procedure>,
    /// Show only what happened from then on, in seconds from the run's start.
    #[arg(long, value_name = "SECONDS", requires = "ue")]
    from: Option<f64>,
    /// Show only what happened until then, in seconds from the run's start.
    #[arg(long, value_name = "SECONDS", requires = "ue")]
    to: Option<f64>,
    /// Print the messages whole.
    #[arg(long, requires = "ue", conflicts_with_all = ["svg", "json"])]
    full: bool,
    /// Draw it to a file, as SVG for a browser or a document.
    #[arg(long, value_name = "FILE", requires = "ue", conflicts_with = "json")]
    svg: Option<PathBuf>,
    /// As JSON, with the messages whole.
    #[arg(long)]
    json: bool,
}

pub(super) fn ladder(args: &LadderArgs) -> Result<u8, Failure> {
    let folder = CaptureFolder::open(&args.directory).or_else(|error| fail(2, error))?;
    let Some(ue) = args.ue else { return list(args, &folder) };
    let events = folder.read(ue).or_else(|error| fail(2, error))?;
    let selection =
        Selection { procedures: args.procedure.clone(), from_s: args.from, to_s: args.to };
    let selected = selection.of(&events);
    if selected.events.is_empty() && !args.json {
        return fail(2, nothing_selected(&args.directory, &events));
    }
    if let Some(path) = &args.svg {
        let drawing = Drawing { id: &format!("ue-{ue}"), alone: true, links: false };
        return std::fs::write(path, recorder::svg(&selected, &drawing))
            .map(|()| say(&format!("{}\n", path.display())))
            .map(|()| 0)
            .or_else(|error| fail(5, format!("--svg {}: {error}", path.display())));
    }
    say(&match (args.json, args.full) {
        (true, _) => selected.to_json(),
        (false, true) => recorder::full(&selected),
        (false, false) => recorder::ladder(&selected),
    });
    Ok(0)
}

/// What there would have been.
fn nothing_selected(directory: &Path, events: &UeEvents) -> String {
    let summary = CaptureSummary::of(events);
    format!(
        "nothing of UE {ue} is of these procedures and of this time: it has {} messages from {:.3} s to {:.3} s; all of them: imstorm ladder {} --ue {ue}",
        summary.messages,
        summary.from_s,
        summary.to_s,
        directory.display(),
        ue = summary.ue,
    )
}

fn list(args: &LadderArgs, folder: &CaptureFolder) -> Result<u8, Failure> {
    let read = folder.ues().iter().map(|ue| folder.read(*ue).map(|it| CaptureSummary::of(&it)));
    let summaries: Vec<_> = read.collect::<Result<_, _>>().or_else(|error| fail(2, error))?;
    say(&if args.json { as_json(&summaries) } else { table(&args.directory, &summaries) });
    Ok(0)
}

fn as_json(summaries: &[CaptureSummary]) -> String {
    let json = serde_json::to_string_pretty(summaries).expect("it is numbers and texts only");
    json + "\n"
}

fn table(directory: &Path, summaries: &[CaptureSummary]) -> String {
    let directory = directory.display();
    let Some(first) = summaries.first() else {
        return "no UE was captured: none failed, or the run was made with --capture none\n\
            to capture UEs whatever becomes of them: imstorm run PROFILE --capture 0,1\n"
            .to_owned();
    };
    let mut text =
        format!("{:>8} {:>9} {:>10} {:>10}  what happened\n", "UE", "messages", "from s", "to s");
    for it in summaries {
        text.push_str(&format!(
            "{:>8} {:>9} {:>10.3} {:>10.3}  {}\n",
            it.ue,
            it.messages,
            it.from_s,
            it.to_s,
            it.outcome()
        ));
    }
    let example = summaries.iter().find(|it| !it.failures.is_empty()).unwrap_or(first);
    text.push_str(&format!(
        "\nthe messages of one: imstorm ladder {directory} --ue {}\n",
        example.ue
    ));
    if !example.failures.is_empty() {
        text.push_str(&format!("why they failed:     imstorm explain {directory}\n"));
    }
    text
}

fn procedure(text: &str) -> Result<Procedure, String> {
    let text = text.trim();
    Procedure::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Procedure::ALL.iter().map(|procedure| procedure.name()).collect();
        format!(
            "there is no such procedure{}; there are {}",
            suggest::did_you_mean(text, &names),
            names.join(", ")
        )
    })
}
