//! Reads a run's logs, a second at a time.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::line::{End, Line, SecondLine};
use super::{INTERVALS_FILE, LATENCY_FILE, RunInfo, RunLog, Second};
use crate::measure::{Interval, read_line};
use crate::profile::ProfileError;

/// The longest line of intervals.jsonl, in bytes: what is longer is none.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// The most bytes of latency.hlog that a second has: every row with every bucket filled takes less.
const SECOND_BYTES_MAX: u64 = 64 << 20;

/// Why logs can't be read.
#[derive(Debug)]
pub enum LogError {
    /// A file can't be opened or read.
    File(PathBuf, io::Error),
    /// A file is there, and is no log of ours.
    NotOurs(PathBuf, String),
    /// The profile that was run is none any more.
    Profile(PathBuf, Box<ProfileError>),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(
                    f,
                    "{}: expected the directory of a run's results: {error} (a run says at its end where they are, by default in imstorm-results/)",
                    path.display()
                )
            }
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotOurs(path, problem) => {
                write!(f, "{}: expected a run's log: {problem}", path.display())
            }
            Self::Profile(path, error) => {
                write!(f, "{}: the profile that was run: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for LogError {}

/// What comes next in a run's logs.
#[derive(Debug)]
pub enum Entry {
    /// A second.
    Second(Box<Second>),
    /// The run's end.
    End(Box<End>),
}

/// Reads a run's logs.
pub struct LogReader {
    /// What was run.
    pub info: RunInfo,
    intervals: BufReader<File>,
    latencies: BufReader<File>,
    /// How far latency.hlog is read.
    hlog_bytes: u64,
    /// Bytes of both files, and those of them that are read.
    bytes: u64,
    bytes_read: u64,
    /// Lines that could not be read, and whether the last one was such: the end of a run that was killed.
    torn: u64,
    is_last_torn: bool,
}

impl LogReader {
    /// Opens the logs in a directory.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let info = RunInfo::read(directory)?;
        let open = |name| {
            let path = directory.join(name);
            let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
            opened.map_err(|error| LogError::File(path, error))
        };
        let (intervals_bytes, intervals) = open(INTERVALS_FILE)?;
        let (latencies_bytes, latencies) = open(LATENCY_FILE)?;
        Ok(Self {
            info,
            intervals: BufReader::new(intervals),
            latencies: BufReader::new(latencies),
            hlog_bytes: 0,
            bytes: intervals_bytes + latencies_bytes,
            bytes_read: 0,
            torn: 0,
            is_last_torn: false,
        })
    }

    /// How many bytes there are, and how many of them are read.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.bytes_read, self.bytes)
    }

    /// How many lines could not be read so far, not counting the last one, at which a killed run ends.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.torn - u64::from(self.is_last_torn)
    }

    /// How many lines could not be read so far.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// What comes next; nothing at the end of the file. A line that can't be read is counted and skipped.
    ///
    /// # Errors
    /// Only those of reading the files: nothing that is in them is one.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = (&mut self.intervals).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if count == 0 {
                return Ok(None);
            }
            self.bytes_read += count as u64;
            // Without its end it is torn, even if what is there can be read.
            let parsed = line.strip_suffix(b"\n").map(serde_json::from_slice);
            let entry = match parsed {
                Some(Ok(Line::End { end })) => Some(Entry::End(end)),
                Some(Ok(Line::Second(second))) => {
                    self.second(*second)?.map(|second| Entry::Second(Box::new(second)))
                }
                None | Some(Err(_)) => None,
            };
            self.is_last_torn = entry.is_none();
            if entry.is_some() {
                return Ok(entry);
            }
            self.torn += 1;
        }
    }

    /// The second of a line, with its latencies; nothing where these are not there.
    fn second(&mut self, line: SecondLine) -> io::Result<Option<Second>> {
        let until = line.hlog_bytes;
        let Some(length) = until.checked_sub(self.hlog_bytes) else { return Ok(None) };
        let mut interval = Interval::of_nothing();
        let mut lines = Vec::new();
        let limit = length.min(SECOND_BYTES_MAX);
        let count = (&mut self.latencies).take(limit).read_to_end(&mut lines)?;
        self.hlog_bytes += count as u64;
        self.bytes_read += count as u64;
        if count as u64 != length {
            return Ok(None);
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if read_line(line, &mut interval).is_err() {
                return Ok(None);
            }
        }
        Ok(line.into_second(interval))
    }
}

/// Reads all logs of a directory; `look` is called after each second.
///
/// # Errors
/// [`LogError`].
pub fn read(directory: &Path, mut look: impl FnMut(&LogReader)) -> Result<RunLog, LogError> {
    let mut reader = LogReader::open(directory)?;
    let profile = reader.info.profile();
    let profile =
        profile.map_err(|error| LogError::Profile(directory.to_owned(), Box::new(error)))?;
    let mut log = RunLog::new(reader.info.clone(), profile);
    loop {
        let entry = reader.next_entry();
        match entry.map_err(|error| LogError::File(directory.to_owned(), error))? {
            Some(Entry::Second(second)) => log.note(&second),
            Some(Entry::End(end)) => log.end(*end),
            None => break,
        }
        look(&reader);
    }
    log.damaged(reader.damaged());
    Ok(log)
}
