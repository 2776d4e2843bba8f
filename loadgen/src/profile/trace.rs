//! Files of recorded starts: a line each, seconds from the beginning, and where several procedures are offered behind a comma which one.

use std::path::Path;

use imstorm_base::time::Time;

use super::Profile;
use super::validate::Fault;
use crate::measure::Procedure;

/// The longest file that is read, in bytes: about a hundred million starts.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// When, and which procedure.
type Line = (Time, Option<Procedure>);

/// A year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// Reads the recorded starts that a profile names.
pub(super) fn read_all(profile: &mut Profile) -> Result<(), Fault> {
    let fault = |field: &str, message: String| Fault { field: field.to_owned(), message };
    if let Some(path) = &profile.arrivals.trace {
        let lines = read(path).map_err(|message| fault("arrivals.trace", message))?;
        if let Some((number, _)) = (1..).zip(&lines).find(|(_, (_, procedure))| procedure.is_some())
        {
            let message = format!("{}:{number}: expected seconds alone", path.display());
            return Err(fault("arrivals.trace", message));
        }
        profile.arrivals.trace_ns = Some(lines.into_iter().map(|(at, _)| at).collect());
    }
    let Some(traffic) = &mut profile.traffic else { return Ok(()) };
    let Some(path) = &traffic.trace else { return Ok(()) };
    let lines = read(path).map_err(|message| fault("traffic.trace", message))?;
    let procedures: Vec<Procedure> = traffic.procedures().collect();
    let only = (procedures.len() == 1).then(|| procedures[0]);
    for (number, (at, procedure)) in (1..).zip(lines) {
        let procedure = procedure.or(only).filter(|procedure| procedures.contains(procedure));
        let Some(procedure) = procedure else {
            let names: Vec<_> = procedures.iter().map(|procedure| procedure.name()).collect();
            let expected = names.join(", ");
            let message = format!(
                "{}:{number}: expected seconds, a comma and a procedure of traffic.mix ({expected})",
                path.display()
            );
            return Err(fault("traffic.trace", message));
        };
        traffic.recorded.entry(procedure).or_default().push(at);
    }
    Ok(())
}

/// The lines of a file. Empty ones and those that begin with `#` are none.
#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
fn read(path: &Path) -> Result<Vec<Line>, String> {
    let file = path.display();
    let wrong = |error: std::io::Error| format!("{file}: can't be read: {error}");
    let length = std::fs::metadata(path).map_err(wrong)?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{file}: expected at most {FILE_BYTES_MAX} bytes, got {length}"));
    }
    let text = std::fs::read_to_string(path).map_err(wrong)?;
    parse(&text).map_err(|(number, problem)| format!("{file}:{number}: {problem}"))
}

/// The lines of a text, or the number of one that is wrong, and what is wrong with it.
fn parse(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines = Vec::new();
    let mut before = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (seconds, procedure) = match line.split_once(',') {
            Some((seconds, procedure)) => (seconds.trim(), Some(procedure.trim())),
            None => (line, None),
        };
        let at_s: f64 =
            seconds.parse().ok().filter(|at_s| (0.0..=SECONDS_MAX).contains(at_s)).ok_or_else(
                || (number, format!("expected seconds, from 0 to a year's, got `{seconds}`")),
            )?;
        let procedure = procedure.map(|name| {
            let problem = || (number, format!("there is no procedure `{name}`"));
            Procedure::from_name(name).ok_or_else(problem)
        });
        let at = (at_s * 1e9) as Time;
        if at < before {
            return Err((
                number,
                format!("expected starts in order, got {at_s} s behind a later one"),
            ));
        }
        before = at;
        lines.push((at, procedure.transpose()?));
    }
    if lines.is_empty() {
        return Err((1, "expected at least one start, got none".to_owned()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_starts_are_seconds_and_procedures() {
        let text = "# from a capture\n0\n0.25,refresh\n\n 0.25 , message \n";
        let expected = vec![
            (0, None),
            (250_000_000, Some(Procedure::Refresh)),
            (250_000_000, Some(Procedure::Message)),
        ];
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, number, problem) in [
            ("", 1, "at least one"),
            ("0\nsoon\n", 2, "`soon`"),
            ("-1\n", 1, "`-1`"),
            ("nan\n", 1, "`nan`"),
            ("1\n\n0.5\n", 3, "in order"),
            ("0,dance\n", 1, "`dance`"),
        ] {
            let (line, message) = parse(text).unwrap_err();
            assert_eq!(line, number, "{text}");
            assert!(message.contains(problem), "{message}");
        }
    }
}
