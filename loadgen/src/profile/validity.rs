//! When a run says nothing of its target, because its generator was the limit.

use schemars::JsonSchema;
use serde::Deserialize;

use super::validate::{Fault, require};

/// The rules by which a run is invalid. What is laxer than the default is said wherever the run's result is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Validity {
    /// So many milliseconds after its intended time a start is late, from 0 to 60,000.
    pub late_ms: f64,
    /// The share of the starts that may be late, from 0 to 1.
    pub late_share_max: f64,
    /// 99 of 100 starts come at most so many milliseconds after their intended times; nothing: no limit.
    pub lateness_p99_ms_max: Option<f64>,
    /// 99 of 100 datagrams wait at most so many milliseconds in the generator's sockets; nothing: no limit. With `arrivals.grain_ms` they wait up to
    /// so long by intent.
    pub socket_wait_p99_ms_max: Option<f64>,
    /// Datagrams that the kernel may drop at the generator's sockets.
    pub socket_drops_max: u64,
    /// Packets that the machine may drop before any socket, whoever they are for; nothing: no limit.
    pub softnet_drops_max: Option<u64>,
    /// The share of its busiest second that the generator's thread may run, from 0 to 1; nothing: no limit.
    pub generator_cpu_share_max: Option<f64>,
    /// What it means that engine and generator share a core.
    pub shared_core: SharedCore,
    /// Procedures that were intended and may never be started; nothing: no limit.
    pub skipped_starts_max: Option<u64>,
}

/// What it means that engine and generator share a core. Latencies are marked unusable either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SharedCore {
    /// The run counts; it is said.
    #[default]
    Warn,
    /// The run is invalid.
    Invalid,
}

impl Default for Validity {
    fn default() -> Self {
        Self {
            late_ms: 10.0,
            late_share_max: 0.05,
            lateness_p99_ms_max: None,
            socket_wait_p99_ms_max: None,
            socket_drops_max: 0,
            softnet_drops_max: None,
            generator_cpu_share_max: None,
            shared_core: SharedCore::Warn,
            skipped_starts_max: None,
        }
    }
}

impl Validity {
    /// The rules that are laxer than the default, in words.
    #[must_use]
    pub fn loosened(&self) -> Vec<String> {
        let usual = Self::default();
        let mut loosened = Vec::new();
        let mut compare = |field: &str, value: f64, usual: f64| {
            if value > usual {
                loosened.push(format!("{field} = {value} (default {usual})"));
            }
        };
        compare("late_ms", self.late_ms, usual.late_ms);
        compare("late_share_max", self.late_share_max, usual.late_share_max);
        compare("socket_drops_max", self.socket_drops_max as f64, usual.socket_drops_max as f64);
        loosened
    }

    /// Whether every value can be used.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let times = [
            ("validity.late_ms", Some(self.late_ms)),
            ("validity.lateness_p99_ms_max", self.lateness_p99_ms_max),
            ("validity.socket_wait_p99_ms_max", self.socket_wait_p99_ms_max),
        ];
        for (field, ms) in times {
            let Some(ms) = ms else { continue };
            require((0.0..=60_000.0).contains(&ms), field, "milliseconds from 0 to 60000", ms)?;
        }
        let shares = [
            ("validity.late_share_max", Some(self.late_share_max)),
            ("validity.generator_cpu_share_max", self.generator_cpu_share_max),
        ];
        for (field, share) in shares {
            let Some(share) = share else { continue };
            require((0.0..=1.0).contains(&share), field, "a share from 0 to 1", share)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, ProfileError};

    fn parse(rules: &str) -> Result<Profile, ProfileError> {
        let text =
            format!("name = \"p\"\n[population]\nsize = 1\n[arrivals]\nrate_per_s = 1\n{rules}");
        Profile::parse("p.toml", &text, &[])
    }

    #[test]
    fn a_profile_says_all_of_them_or_none() {
        assert_eq!(parse("").unwrap().validity, Validity::default());
        let rules = "[validity]\nlate_ms = 2\nlate_share_max = 0.01\nlateness_p99_ms_max = 1.5\nsocket_wait_p99_ms_max = 3\n\
                     socket_drops_max = 7\nsoftnet_drops_max = 0\ngenerator_cpu_share_max = 0.9\nshared_core = \"invalid\"\n\
                     skipped_starts_max = 0\n";
        let expected = Validity {
            late_ms: 2.0,
            late_share_max: 0.01,
            lateness_p99_ms_max: Some(1.5),
            socket_wait_p99_ms_max: Some(3.0),
            socket_drops_max: 7,
            softnet_drops_max: Some(0),
            generator_cpu_share_max: Some(0.9),
            shared_core: SharedCore::Invalid,
            skipped_starts_max: Some(0),
        };
        assert_eq!(parse(rules).unwrap().validity, expected);
    }

    #[test]
    fn what_is_no_rule_is_said_with_its_place() {
        for (rule, expected) in [
            ("late_ms = -1", "milliseconds from 0 to 60000"),
            ("late_ms = nan", "milliseconds from 0 to 60000"),
            ("lateness_p99_ms_max = 60001", "milliseconds from 0 to 60000"),
            ("socket_wait_p99_ms_max = inf", "milliseconds from 0 to 60000"),
            ("late_share_max = 1.1", "a share from 0 to 1"),
            ("generator_cpu_share_max = -0.1", "a share from 0 to 1"),
            ("shared_core = \"fail\"", "unknown variant `fail`"),
            ("socket_drops = 1", "unknown field `socket_drops`"),
        ] {
            let error = parse(&format!("[validity]\n{rule}\n")).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("p.toml:7:"), "{rule}: {error}");
        }
    }

    #[test]
    fn only_what_is_laxer_is_said() {
        let of =
            |rules: &str| parse(&format!("[validity]\n{rules}\n")).unwrap().validity.loosened();
        assert!(Validity::default().loosened().is_empty());
        assert!(of("late_ms = 5\nlate_share_max = 0\nshared_core = \"invalid\"").is_empty());
        let said = of("late_ms = 20\nlate_share_max = 0.5\nsocket_drops_max = 3");
        let expected = [
            "late_ms = 20 (default 10)",
            "late_share_max = 0.5 (default 0.05)",
            "socket_drops_max = 3 (default 0)",
        ];
        assert_eq!(said, expected);
    }
}
