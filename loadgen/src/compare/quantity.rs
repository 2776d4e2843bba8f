//! The numbers of two sides that are compared.

use serde_json::Value;

use super::rules::Unit;
use super::rules::{ROW_RULES, RULES, Rule};
use super::side::{CAPACITY, Run, Side};

/// A number of both sides, once for each run.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// Its path in report.json.
    pub path: String,
    /// The procedure, or the program, that it is of.
    pub of: String,
    /// How it is judged.
    pub rule: &'static Rule,
    /// By side and run: the number; a share for failures.
    pub values: [Vec<f64>; 2],
    /// By side: how many procedures it is of, all runs together: those attempted for failures, those completed for all else.
    pub counts: [u64; 2],
}

/// All that both sides have.
pub(super) fn quantities(sides: [&Side; 2]) -> Vec<Quantity> {
    let mut quantities = Vec::new();
    for name in procedures(sides) {
        for rule in &RULES[..ROW_RULES] {
            let path = format!("procedures.{name}.{}", rule.path);
            quantities.push(of_row(sides, path, &name, rule));
        }
    }
    for rule in &RULES[ROW_RULES..] {
        let of = rule.path.split('.').next().unwrap_or_default();
        let values = sides.map(|side| {
            // Of a search that found nothing, the capacity is none.
            let found_nothing = |run: &Run| {
                let sought = run.report[of].is_object();
                (of == CAPACITY && sought).then_some(0.0)
            };
            let each = side
                .runs
                .iter()
                .map(|run| at(&run.report, rule.path).or_else(|| found_nothing(run)));
            each.collect::<Option<Vec<f64>>>()
        });
        // A target without a control plane says nothing of itself.
        if let [Some(first), Some(second)] = values {
            let path = rule.path.to_owned();
            let counts = [u64::MAX; 2];
            quantities.push(Quantity {
                path,
                of: of.to_owned(),
                rule,
                values: [first, second],
                counts,
            });
        }
    }
    quantities
}

/// The procedures that any run attempted, in the order of reports.
fn procedures(sides: [&Side; 2]) -> Vec<String> {
    let runs = || sides.into_iter().flat_map(|side| &side.runs);
    let is_used = |name: &str| {
        runs().any(|run| run.report["procedures"][name]["attempted"].as_u64() > Some(0))
    };
    let known = crate::measure::Procedure::ALL.iter().map(|it| it.name().to_owned());
    known.filter(|name| is_used(name)).collect()
}

fn of_row(sides: [&Side; 2], path: String, name: &str, rule: &'static Rule) -> Quantity {
    let row = |run: &Run| run.report["procedures"][name].clone();
    let number = |row: &Value, path: &str| at(row, path).unwrap_or(0.0);
    let is_share = rule.unit == Unit::Share;
    let counted = if is_share { "attempted" } else { "completed" };
    let values = sides.map(|side| {
        let each = side.runs.iter().map(row).map(|row| match is_share {
            true => number(&row, "failed") / number(&row, "attempted").max(1.0),
            false => number(&row, rule.path),
        });
        each.collect()
    });
    let counts = sides
        .map(|side| side.runs.iter().map(row).map(|row| row[counted].as_u64().unwrap_or(0)).sum());
    Quantity { path, of: name.to_owned(), rule, values, counts }
}

fn at(json: &Value, path: &str) -> Option<f64> {
    path.split('.').try_fold(json, |json, key| json.get(key))?.as_f64()
}
