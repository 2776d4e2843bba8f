//! Writes a run's logs as it goes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::line::{End, Line, SecondLine};
use super::{INTERVALS_FILE, LATENCY_FILE, REPORT_FILE, RUN_FILE, RunInfo, Second};
use crate::measure::IntervalLog;
use crate::page::PAGE_FILE;

/// A run's logs. What it has written is with the kernel when a call returns: it outlives this process.
pub struct LogWriter {
    latencies: IntervalLog<File>,
    intervals: File,
}

impl LogWriter {
    /// New logs in a directory, which is made if it is not there. What another run has left there goes.
    ///
    /// # Errors
    /// A file can't be made or written; which one.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn create(directory: &Path, info: &RunInfo) -> Result<Self, (PathBuf, io::Error)> {
        let at = |name: &str| directory.join(name);
        std::fs::create_dir_all(directory).map_err(|error| (directory.to_owned(), error))?;
        // A report beside logs that it is not of would be taken for theirs.
        for file in [REPORT_FILE, PAGE_FILE] {
            match std::fs::remove_file(at(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err((at(file), error));
                }
                _ => {}
            }
        }
        let intervals = File::create(at(INTERVALS_FILE)).map_err(|it| (at(INTERVALS_FILE), it))?;
        let latencies = File::create(at(LATENCY_FILE))
            .and_then(|file| IntervalLog::new(file, info.epoch_ns))
            .map_err(|error| (at(LATENCY_FILE), error))?;
        std::fs::write(at(RUN_FILE), info.to_json()).map_err(|error| (at(RUN_FILE), error))?;
        Ok(Self { latencies, intervals })
    }

    /// Writes a second: its latencies, then the line that makes them count.
    ///
    /// # Errors
    /// The files'.
    pub fn write(&mut self, second: &Second) -> io::Result<()> {
        self.latencies.write(second.from_ns, second.until_ns, &second.interval)?;
        let line = SecondLine::new(second, self.latencies.bytes());
        self.put(&Line::Second(Box::new(line)))
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// The file's.
    pub fn end(&mut self, end: &End) -> io::Result<()> {
        self.put(&Line::End { end: Box::new(end.clone()) })
    }

    fn put(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.intervals.write_all(&text)?;
        self.intervals.flush()
    }
}
