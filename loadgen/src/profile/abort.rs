//! The early end of a run that has failed already.

use schemars::JsonSchema;
use serde::Deserialize;

use super::validate::{Fault, require};

/// When a run ends early, as a threshold is broken for good. What is under way then still has `limits.drain_s`; the run's verdict is FAIL.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Abort {
    /// Whether it does; `imstorm run --abort-on-threshold` turns it on too. Looked at once a second are the thresholds with an upper bound (`<`, `<=`, `==`)
    /// on a number that never falls, as counts and the longest latency (`== 0` failures), and with `<` or `<=` on other latencies. All else can come right
    /// until the end, and is judged there.
    pub on_threshold: bool,
    /// Nothing is looked at before, in seconds from the run's start.
    pub after_s: f64,
    /// Latencies but for the longest could come down again: they are looked at when so many of the procedure have begun.
    pub attempts_min: u64,
}

impl Default for Abort {
    fn default() -> Self {
        Self { on_threshold: false, after_s: 0.0, attempts_min: 1_000 }
    }
}

impl Abort {
    /// Whether every value can be used.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let possible = (0.0..=1e9).contains(&self.after_s);
        require(possible, "abort.after_s", "seconds from 0 to 1e9", self.after_s)?;
        let possible = self.attempts_min >= 1;
        require(possible, "abort.attempts_min", "at least 1", self.attempts_min)
    }
}

#[cfg(test)]
mod tests {
    use crate::profile::Profile;

    #[test]
    fn times_and_counts_have_their_bounds() {
        let parse = |rules: &str| {
            let text = format!(
                "name = \"p\"\n[population]\nsize = 1\n[arrivals]\nrate_per_s = 1\n[abort]\n{rules}"
            );
            Profile::parse("p.toml", &text, &[])
        };
        let profile = parse("on_threshold = true\nafter_s = 5\nattempts_min = 100").unwrap();
        assert!(profile.abort.on_threshold && profile.abort.attempts_min == 100);
        assert!(!parse("").unwrap().abort.on_threshold, "only if asked");
        for (rules, expected) in [
            ("after_s = -1", "expected seconds from 0 to 1e9, got -1"),
            ("attempts_min = 0", "expected at least 1, got 0"),
        ] {
            let error = parse(rules).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
