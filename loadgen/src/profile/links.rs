//! What the links between UEs and their P-CSCFs do to datagrams over real sockets.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Profile;
use super::validate::{Fault, part, require};

/// The longest one-way delay, in milliseconds.
const DELAY_MS_MAX: f64 = 1_000.0;

/// A link, alike each way. The same profile and run's seed draw the same losses, copies and delays in the same order; which datagram
/// each of them meets depends on which came first.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// The one-way delay, in milliseconds, from 0 to 1,000.
    pub delay_ms: f64,
    /// How much the delay varies evenly to either side, in milliseconds, from 0 to `delay_ms`. Where datagrams follow each other more
    /// closely, one may overtake another.
    pub jitter_ms: f64,
    /// The probability that a datagram is lost, from 0 to 1.
    pub loss: f64,
    /// The probability that one that is not lost arrives twice, from 0 to 1; the copy has a delay of its own.
    pub duplication: f64,
}

impl Profile {
    /// The link of each access, where there is more than the sockets' own; a comparison has delays.
    pub(crate) fn links(&self) -> Option<[Link; 2]> {
        if let Some(delay_ms) = self.schemes.as_ref().and_then(|it| it.delay_ms) {
            return Some(delay_ms.map(|delay_ms| Link { delay_ms, ..Link::default() }));
        }
        match self.links[..] {
            [] => None,
            [all] => Some([all; 2]),
            [first, second, ..] => Some([first, second]),
        }
    }
}

/// Checks the links of a profile.
pub(super) fn validate(profile: &Profile) -> Result<(), Fault> {
    let (links, accesses) = (&profile.links, profile.population.accesses);
    let possible = links.len() <= accesses as usize;
    let expected = format!("at most {accesses}, a link for each of population.accesses");
    require(possible, "links", &expected, links.len())?;
    let is_alone = links.is_empty() || profile.schemes.is_none();
    require(is_alone, "links", "none, as a comparison has schemes.delay_ms", links.len())?;
    for (place, link) in links.iter().enumerate() {
        let field = |name: &str| format!("links.{place}.{name}");
        let (delay_ms, jitter_ms) = (link.delay_ms, link.jitter_ms);
        let possible = (0.0..=DELAY_MS_MAX).contains(&delay_ms);
        require(possible, &field("delay_ms"), "milliseconds, from 0 to 1000", delay_ms)?;
        let possible = (0.0..=delay_ms).contains(&jitter_ms);
        let expected = format!("milliseconds, from 0 to delay_ms, {delay_ms}");
        require(possible, &field("jitter_ms"), &expected, jitter_ms)?;
        part(&field("loss"), link.loss)?;
        part(&field("duplication"), link.duplication)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ProfileError;

    fn parse(accesses: u32, links: &str) -> Result<Profile, ProfileError> {
        let text = format!(
            "name = \"p\"\nlinks = {links}\n[population]\nsize = 1\naccesses = {accesses}\n[arrivals]\nrate_per_s = 1\n"
        );
        Profile::parse("p.toml", &text, &[])
    }

    #[test]
    fn each_access_has_its_own_or_all_have_the_same() {
        let fast = Link { delay_ms: 5.0, ..Link::default() };
        let slow = Link { delay_ms: 20.0, jitter_ms: 2.5, loss: 0.01, duplication: 0.25 };
        let said = "{ delay_ms = 20, jitter_ms = 2.5, loss = 0.01, duplication = 0.25 }";
        assert_eq!(parse(1, &format!("[{said}]")).unwrap().links(), Some([slow; 2]));
        assert_eq!(parse(2, &format!("[{said}]")).unwrap().links(), Some([slow; 2]));
        let two = parse(2, &format!("[{said}, {{ delay_ms = 5 }}]")).unwrap();
        assert_eq!(two.links(), Some([slow, fast]));
        assert_eq!(parse(2, "[]").unwrap().links(), None);
    }

    #[test]
    fn a_comparison_has_its_delays_and_no_other_links() {
        let with = |key: &str, value: &str| {
            Profile::load("schemes", &[(key.to_owned(), value.to_owned())])
        };
        let expected = [40.0, 10.5].map(|delay_ms| Link { delay_ms, ..Link::default() });
        assert_eq!(with("schemes.delay_ms", "[40.0, 10.5]").unwrap().links(), Some(expected));
        let error = with("links", "[{ delay_ms = 5 }]").unwrap_err().to_string();
        assert!(error.contains("links: expected none, as a comparison has"), "{error}");
    }

    #[test]
    fn what_is_no_link_is_said_with_its_place() {
        for (accesses, links, expected) in [
            (1, "[{}, {}]", "p.toml:2:9: links: expected at most 1"),
            (1, "[{ delay_ms = 1001 }]", "p.toml:2:23: links.0.delay_ms: expected milliseconds"),
            (2, "[{}, { delay_ms = -1 }]", "p.toml:2:27: links.1.delay_ms: expected milliseconds"),
            (1, "[{ delay_ms = nan }]", "links.0.delay_ms: expected milliseconds, from 0 to 1000"),
            (1, "[{ jitter_ms = 1 }]", "links.0.jitter_ms: expected milliseconds, from 0 to"),
            (1, "[{ loss = 1.5 }]", "links.0.loss: expected a number from 0 to 1, got 1.5"),
            (1, "[{ duplication = -0.5 }]", "links.0.duplication: expected a number from 0 to 1"),
            (1, "[{ reordering = 0.5 }]", "unknown field `reordering`"),
        ] {
            let error = parse(accesses, links).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("^"), "{links}: {error}");
        }
    }
}
