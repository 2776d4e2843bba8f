//! What the page's script draws: the report as it is in report.json, and what the run's log has beside it.

use serde::Serialize;

use super::curve::Curves;
use super::planned::Planned;
use super::series::Series;
use crate::log::{RunInfo, RunLog};
use crate::measure::Procedure;
use crate::report::{Report, Rows, Verdict};

/// The page's data.
#[derive(Debug, Serialize)]
pub struct PageData<'a> {
    /// The run goes on: this is what is known so far.
    pub running: bool,
    /// The verdict in a sentence.
    pub reason: String,
    /// report.json.
    pub report: &'a Report,
    /// run.json.
    pub run: &'a RunInfo,
    /// Of each procedure that has latencies.
    pub curves: Rows<Curves>,
    /// What happened over time.
    pub series: Series,
    /// The plan beside it; nothing while the run goes on.
    pub plan: Option<Planned>,
}

impl<'a> PageData<'a> {
    /// Of a run that is over.
    #[must_use]
    pub fn new(log: &'a RunLog, report: &'a Report) -> Self {
        Self { plan: Planned::new(log, report), ..Self::so_far(log, report, false) }
    }

    /// Of a run that goes on, if it does.
    #[must_use]
    pub fn so_far(log: &'a RunLog, report: &'a Report, running: bool) -> Self {
        let of = |procedure: &Procedure| {
            let curves = Curves::of(&log.measurements().procedure(*procedure));
            (!curves.corrected.is_empty()).then(|| (procedure.name().to_owned(), curves))
        };
        Self {
            running,
            reason: report.reason(),
            report,
            run: &log.info,
            curves: Rows(Procedure::ALL.iter().filter_map(of).collect()),
            series: Series::new(log.timeline(), log.profile(), report),
            plan: None,
        }
    }

    /// The data as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it is numbers and names only")
    }
}

/// The report of a run that goes on: that it is not over yet is no fault of it.
#[must_use]
pub fn report_so_far(log: &RunLog) -> Report {
    let mut report = log.report();
    if log.last_line().is_none() && !report.invalid_reasons.is_empty() {
        // The first one says that the log breaks off.
        report.invalid_reasons.remove(0);
        if report.invalid_reasons.is_empty() {
            let held = report.thresholds.iter().all(|it| it.held);
            report.verdict = if held { Verdict::Pass } else { Verdict::Fail };
        }
    }
    report
}
