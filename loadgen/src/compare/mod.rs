//! Two runs of one profile side by side, or two sets of repeats: what got better, worse, or is the same within noise.
//!
//! What is compared, and by how much it may differ, stands in one table ([`rules::RULES`]).

mod json;
mod judge;
mod quantity;
mod rules;
mod side;
mod table;

use std::fmt;

pub use judge::{Finding, Judged};
pub use quantity::Quantity;
pub use rules::{RULES, Rule, Tolerance, ToleranceError};
pub use side::{Side, SideError};

/// The outcome of a comparison.
#[derive(Debug, Clone)]
pub struct Compared {
    /// What was compared, in the order of reports.
    pub findings: Vec<Finding>,
    /// How the first side and the second are called.
    pub names: [String; 2],
    /// Runs of each side.
    pub runs: [usize; 2],
    /// Why the second can't be said to be as good, whatever its numbers: runs that are INVALID, or FAIL where the first passes.
    pub objections: Vec<String>,
    /// What is to be known of the numbers.
    pub remarks: Vec<String>,
}

/// Why there is no comparison.
#[derive(Debug)]
pub enum CompareError {
    /// A report can't be read.
    Side(SideError),
    /// Two runs did not do the same: in what they differ.
    Differ(String, String, String),
    /// A tolerance is for nothing that there is.
    Tolerance(ToleranceError),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Side(error) => error.fmt(f),
            Self::Differ(one, other, what) => write!(
                f,
                "{one} and {other} are not comparable: {what} (--force compares them all the same)"
            ),
            Self::Tolerance(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CompareError {}

/// Compares two sides. With `is_forced` also runs of other profiles are.
///
/// # Errors
/// [`CompareError`].
pub fn compare(
    sides: [&Side; 2],
    tolerances: &[Tolerance],
    is_forced: bool,
) -> Result<Compared, CompareError> {
    let mut remarks = Vec::new();
    if let Err((one, other, what)) = Side::all_did_the_same(sides) {
        if !is_forced {
            return Err(CompareError::Differ(one, other, what));
        }
        remarks.push(format!("{one} and {other} did not do the same: {what}"));
    }
    remarks.extend(side::by_hand(sides));
    let latency_counts = sides.iter().all(|side| side.is_latency_usable());
    if !latency_counts {
        remarks.push(
            "latencies are not judged: engine and generator shared a core in one of the runs"
                .to_owned(),
        );
    }
    let mut quantities = quantity::quantities(sides);
    if sides.iter().all(|side| side.seeks_capacity()) {
        // What was offered else is what the search happened to try.
        quantities.retain(|quantity| quantity.path.starts_with(side::CAPACITY));
        remarks.push("of runs that look for the capacity only that is compared".to_owned());
    }
    for tolerance in tolerances {
        if !quantities.iter().any(|quantity| tolerance.is_for(&quantity.path)) {
            let known = quantities.iter().map(|quantity| quantity.path.clone()).collect();
            let error = ToleranceError::NoSuchPath(tolerance.path.clone(), known);
            return Err(CompareError::Tolerance(error));
        }
    }
    let findings = quantities.into_iter().map(|quantity| {
        // The last one counts, so that a special one may follow a general one.
        let own = tolerances.iter().rev().find(|it| it.is_for(&quantity.path));
        judge::judge(quantity, own.map(|it| it.share), latency_counts)
    });
    Ok(Compared {
        findings: findings.collect(),
        names: sides.map(|side| side.name.clone()),
        runs: sides.map(|side| side.runs.len()),
        objections: side::objections(sides),
        remarks,
    })
}

impl Compared {
    /// What the program exits with: 0 where the second side is as good or better, 1 where it is worse or no measurement.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.objections.is_empty() || self.has(Judged::Worse))
    }

    /// Whether anything was judged so.
    #[must_use]
    pub fn has(&self, judged: Judged) -> bool {
        self.findings.iter().any(|finding| finding.judged == judged)
    }

    /// For a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        table::text(self)
    }

    /// As Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        table::markdown(self)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::text(self)
    }

    /// The result in a line.
    #[must_use]
    pub fn conclusion(&self) -> String {
        if !self.objections.is_empty() {
            return format!("WORSE: {}", self.objections.join("; "));
        }
        let count = |judged| self.findings.iter().filter(|it| it.judged == judged).count();
        let (worse, better) = (count(Judged::Worse), count(Judged::Better));
        match (worse, better) {
            (0, 0) => "SAME within noise".to_owned(),
            (0, _) => format!("BETTER in {better}, worse in none"),
            _ => format!("WORSE in {worse}, better in {better}"),
        }
    }
}

#[cfg(test)]
mod tests;
