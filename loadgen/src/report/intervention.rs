//! What somebody did to a run that went on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rounded;

/// What was done, and when. The steps of a load have their planned rates beside it, as the profile has them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// In seconds from the run's start.
    pub at_s: f64,
    /// Of a run that is put together: to which part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Nothing more was offered: all that was to come was put off.
    Pause,
    /// The pause was over. What came later was intended for so much later, so that no latency has the pause in it.
    Resume,
    /// From then on so much was offered.
    Rate {
        /// In percent of the profile's rates.
        percent: u32,
    },
}

/// What was done to a run of so many seconds, in words; nothing where nothing was.
#[must_use]
pub fn in_words(interventions: &[Intervention], duration_s: f64) -> Option<String> {
    let (mut pauses, mut paused_s) = (0, 0.0);
    // By part.
    let mut since = BTreeMap::new();
    let mut rates = Vec::new();
    for Intervention { at_s, part, action } in interventions {
        match action {
            Action::Pause => {
                pauses += 1;
                since.insert(*part, *at_s);
            }
            Action::Resume => paused_s += since.remove(part).map_or(0.0, |since| at_s - since),
            Action::Rate { percent } => rates.push(*percent),
        }
    }
    paused_s += since.values().map(|since| (duration_s - since).max(0.0)).sum::<f64>();
    let mut words = Vec::new();
    if pauses > 0 {
        let times = if pauses == 1 { String::new() } else { format!(" in {pauses} pauses") };
        words.push(format!("paused for {:.1} s{times}", rounded(paused_s)));
    }
    if let (Some(least), Some(most)) = (rates.iter().min(), rates.iter().max()) {
        words.push(match least == most {
            true => format!("its rate set to {least}%"),
            false => format!("its rate changed between {least}% and {most}%"),
        });
    }
    (!words.is_empty()).then(|| format!("by hand: {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_s: f64, action: Action) -> Intervention {
        Intervention { at_s, part: None, action }
    }

    #[test]
    fn what_was_done_is_said_in_words() {
        let rate = |percent| Action::Rate { percent };
        assert_eq!(in_words(&[], 10.0), None);
        let pause = [at(1.0, Action::Pause), at(3.5, Action::Resume)];
        assert_eq!(in_words(&pause, 10.0).unwrap(), "by hand: paused for 2.5 s");
        let open = [pause[0], pause[1], at(8.0, Action::Pause), at(8.0, rate(110))];
        assert_eq!(
            in_words(&open, 10.0).unwrap(),
            "by hand: paused for 4.5 s in 2 pauses, its rate set to 110%"
        );
        let rates = [at(1.0, rate(110)), at(2.0, rate(90))];
        assert_eq!(
            in_words(&rates, 10.0).unwrap(),
            "by hand: its rate changed between 90% and 110%"
        );
    }

    #[test]
    fn they_are_written_flat_and_read_back() {
        let done = [at(1.5, Action::Pause), at(2.0, Action::Rate { percent: 110 })];
        let json = serde_json::to_string(&done).unwrap();
        assert_eq!(
            json,
            r#"[{"at_s":1.5,"action":"pause"},{"at_s":2.0,"action":"rate","percent":110}]"#
        );
        assert_eq!(serde_json::from_str::<Vec<Intervention>>(&json).unwrap(), done);
    }
}
