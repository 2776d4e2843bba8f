//! health.jsonl: what the generator knows of itself, a line of JSON for each second, on the disk as soon as it is known.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Health;

/// The file's name.
const NAME: &str = "health.jsonl";

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it ended, in seconds from the run's start.
    pub until_s: f64,
    /// What it was like.
    #[serde(flatten)]
    pub health: Health,
}

/// Writes the file.
#[derive(Debug)]
pub struct HealthLog {
    file: File,
}

/// Why the file can't be read.
#[derive(Debug)]
pub enum HealthLogError {
    /// It is not there, or the disk fails.
    Io(io::Error),
    /// A line, counted from 1, that is no second.
    Line(usize, serde_json::Error),
}

impl fmt::Display for HealthLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{NAME}: {error}"),
            Self::Line(line, error) => write!(f, "{NAME}:{line}: {error}"),
        }
    }
}

impl std::error::Error for HealthLogError {}

impl HealthLog {
    /// A new log, in `directory/health.jsonl`.
    ///
    /// # Errors
    /// The file can't be made.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn create(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(directory.join(NAME))? })
    }

    /// Writes a second, with one system call: who reads meanwhile finds whole lines.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&mut self, second: &Second) -> io::Result<()> {
        let mut line = serde_json::to_vec(second)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// The sum of the seconds in `directory/health.jsonl`, and when the last one ended. A last line that was cut off by a sudden end is left out.
///
/// # Errors
/// [`HealthLogError`].
#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
pub fn read(directory: &Path) -> Result<Second, HealthLogError> {
    let file = File::open(directory.join(NAME)).map_err(HealthLogError::Io)?;
    let mut reader = BufReader::new(file);
    let mut sum = Second { until_s: 0.0, health: Health::default() };
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let count = reader.read_line(&mut text).map_err(HealthLogError::Io)?;
        if count == 0 || !text.ends_with('\n') {
            break;
        }
        let second: Second =
            serde_json::from_str(&text).map_err(|error| HealthLogError::Line(line, error))?;
        sum.until_s = second.until_s;
        sum.health.merge(&second.health);
    }
    Ok(sum)
}
