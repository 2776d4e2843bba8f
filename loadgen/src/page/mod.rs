//! A run as a page for a person: `report.html`, one file that needs nothing from elsewhere, and the same page live while a run goes.
//!
//! Its figures are report.json's, which is in it whole; what it draws besides comes from the run's log ([`RunLog`]): percentile curves of the
//! histograms ([`curve`]), and what happened over time ([`timeline`]) in so few stretches that the page of a day is no bigger than that of ten minutes.
//! Rust finds the numbers ([`data`]), and the script (`page.js`) draws them; verdict and ladders are there without it.

pub mod curve;
pub mod data;
pub mod escape;
pub mod heat;
mod html;
mod ladders;
pub mod live;
pub mod offered;
pub mod planned;
pub mod series;
pub mod timeline;

use std::io;
use std::path::Path;

use crate::log::RunLog;
use crate::report::Report;
use data::PageData;
use html::Frame;

/// The file with the page.
pub const PAGE_FILE: &str = "report.html";

/// The page of a run that is over. Ladders are those in `directory/captures`.
#[must_use]
pub fn render(log: &RunLog, report: &Report, directory: &Path) -> String {
    // What an earlier run has left in the folder is none of this one's.
    let has_captures = log.last_line().is_some_and(|end| end.captures > 0);
    let flows = if has_captures { ladders::read(directory) } else { String::new() };
    Frame::of_report(report, flows).page(&PageData::new(log, report).to_json())
}

/// Writes `directory/report.html`, in the place of one that may be there: whoever reads finds the old one or the new one.
///
/// # Errors
/// The file can't be made or written.
#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
pub fn write(log: &RunLog, report: &Report, directory: &Path) -> io::Result<()> {
    let (path, new) = (directory.join(PAGE_FILE), directory.join("report.html.new"));
    std::fs::write(&new, render(log, report, directory))?;
    std::fs::rename(&new, &path)
}

#[cfg(test)]
mod tests;
