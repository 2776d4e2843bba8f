//! Verdicts as JUnit XML, which build servers read: a suite for each kind of question, a case for each condition.
//!
//! What is written keeps to what Jenkins, GitLab and the readers of GitHub have in common: `testsuites`, `testsuite`, `testcase`, and in a case at most one of
//! `failure`, `error` and `skipped`, whose text repeats what its attribute `message` says, as some readers show only the one and some only the other. A
//! condition that did not hold is a failure; where nothing was measured, or the measurement is none, it is an error.

mod comparison;
mod run;

use std::io;
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

pub use comparison::of_comparison;
pub use run::of_run;

/// Suites of one run or comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Junit {
    /// What was run.
    pub name: String,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// The suites.
    pub suites: Vec<Suite>,
}

/// Conditions of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// The conditions.
    pub cases: Vec<Case>,
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What was asked.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The numbers behind it; may be empty.
    pub said: String,
}

/// What came of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Held,
    /// It did not hold: why.
    Failed(String),
    /// Nothing is known: why.
    Unknown(String),
    /// It was not looked at: why.
    Skipped(String),
}

impl Outcome {
    /// The element in a case, with what it says.
    fn element(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Held => None,
            Self::Failed(why) => Some(("failure", why)),
            Self::Unknown(why) => Some(("error", why)),
            Self::Skipped(why) => Some(("skipped", why)),
        }
    }
}

impl Junit {
    /// The file's text.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        self.put(&mut writer).expect("writing to memory");
        let mut text = String::from_utf8(writer.into_inner()).expect("it is made of text");
        text.push('\n');
        text
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The file's.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.to_xml())
    }

    fn put(&self, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let cases = || self.suites.iter().flat_map(|suite| &suite.cases);
        let time = format!("{:.3}", self.duration_s);
        let [tests, failures, errors, _] = counts(cases());
        writer
            .create_element("testsuites")
            .with_attribute(("name", clean(&self.name).as_str()))
            .with_attribute(("tests", tests.as_str()))
            .with_attribute(("failures", failures.as_str()))
            .with_attribute(("errors", errors.as_str()))
            .with_attribute(("time", time.as_str()))
            .write_inner_content(|writer| {
                self.suites.iter().try_for_each(|suite| self.put_suite(writer, suite))
            })?;
        Ok(())
    }

    fn put_suite(&self, writer: &mut Writer<Vec<u8>>, suite: &Suite) -> io::Result<()> {
        let [tests, failures, errors, skipped] = counts(suite.cases.iter());
        let class = format!("{}.{}", clean(&self.name), suite.name);
        writer
            .create_element("testsuite")
            .with_attribute(("name", suite.name))
            .with_attribute(("tests", tests.as_str()))
            .with_attribute(("failures", failures.as_str()))
            .with_attribute(("errors", errors.as_str()))
            .with_attribute(("skipped", skipped.as_str()))
            .with_attribute(("time", "0"))
            .write_inner_content(|writer| {
                suite.cases.iter().try_for_each(|case| put_case(writer, case, &class))
            })?;
        Ok(())
    }
}

fn put_case(writer: &mut Writer<Vec<u8>>, case: &Case, class: &str) -> io::Result<()> {
    let name = clean(&case.name);
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", name.as_str()))
        .with_attribute(("classname", class))
        .with_attribute(("time", "0"));
    element.write_inner_content(|writer| {
        if let Some((element, why)) = case.outcome.element() {
            let why = clean(why);
            writer
                .create_element(element)
                .with_attribute(("message", why.as_str()))
                .write_text_content(BytesText::new(&why))?;
        }
        if !case.said.is_empty() {
            let said = clean(&case.said);
            writer.create_element("system-out").write_text_content(BytesText::new(&said))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// All cases, those that failed, are unknown, and were skipped.
fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> [String; 4] {
    let mut counts = [0_usize; 4];
    for case in cases {
        counts[0] += 1;
        match case.outcome {
            Outcome::Held => {}
            Outcome::Failed(_) => counts[1] += 1,
            Outcome::Unknown(_) => counts[2] += 1,
            Outcome::Skipped(_) => counts[3] += 1,
        }
    }
    counts.map(|count| count.to_string())
}

/// Without the characters that XML 1.0 can't have at all (section 2.2).
fn clean(text: &str) -> String {
    let allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|it| if allowed(it) { it } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests;
