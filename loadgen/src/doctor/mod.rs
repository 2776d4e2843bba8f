//! What a machine allows, and what to change on it so that a run of a profile is a measurement.
//!
//! [`Machine`] is what was read and tried; [`findings`](fn@findings) judges it and touches nothing; [`Diagnosis`] is all of it for a person or a program.

mod findings;
mod machine;
mod text;

use serde::Serialize;

use crate::plan::Plan;
use crate::profile::Profile;

pub use findings::findings;
pub use machine::{Machine, Port};

/// What is known of a machine, for a profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The profile's name.
    pub profile: String,
    /// One for each thing that was looked at.
    pub findings: Vec<Finding>,
    /// Whether anything can run here at all.
    pub can_run: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Note,
    /// The profile's run will fail, or be no measurement.
    Problem,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing.
    pub what: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What that means for a run; empty where all is well.
    pub means: String,
    /// The commands that change it.
    pub commands: Vec<Fix>,
    /// Nothing at all can run like this.
    pub blocks: bool,
}

/// A command that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// Only root may do that.
    pub needs_root: bool,
    /// The command.
    pub line: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        let (state, means, commands) = (State::Ok, String::new(), Vec::new());
        Self { what, state, found: found.into(), means, commands, blocks: false }
    }

    fn note(what: &'static str, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { state: State::Note, means: means.into(), ..Self::ok(what, found) }
    }

    fn problem(what: &'static str, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { state: State::Problem, ..Self::note(what, found, means) }
    }

    /// A command for root.
    fn by_root(self, line: impl Into<String>) -> Self {
        self.by(true, line.into())
    }

    /// A command for whoever runs imstorm.
    fn by_user(self, line: impl Into<String>) -> Self {
        self.by(false, line.into())
    }

    fn by(mut self, needs_root: bool, line: String) -> Self {
        self.commands.push(Fix { needs_root, line });
        self
    }

    fn blocking(self) -> Self {
        Self { blocks: true, ..self }
    }
}

impl Diagnosis {
    /// What a machine allows of a profile; `plan` is what that comes to there.
    #[must_use]
    pub fn new(machine: &Machine, profile: &Profile, plan: &Plan) -> Self {
        let findings = findings(machine, profile, plan);
        let can_run = !findings.iter().any(|finding| finding.blocks);
        Self { profile: profile.name.clone(), findings, can_run }
    }

    /// For a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("it is numbers and texts only") + "\n"
    }
}

#[cfg(test)]
mod tests;
