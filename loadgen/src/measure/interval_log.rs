//! latency.hlog: an HDR interval log, a line for each procedure and second.
//!
//! The format is HdrHistogram's own (V2, deflated), which its log analysers and plotters read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::{Interval, Procedure};

/// An interval log on any writer.
pub struct IntervalLog<W: Write> {
    writer: W,
    serializer: V2DeflateSerializer,
    /// An interval's lines, so that they are written at once: a reader finds whole ones.
    lines: Vec<u8>,
    /// Where the next interval starts, in nanoseconds from the run's start.
    start_ns: u64,
}

/// An interval log in a file.
pub type IntervalLogFile = IntervalLog<File>;

impl IntervalLogFile {
    /// A new log, in `directory/latency.hlog`.
    ///
    /// `epoch_ns` is the run's start in nanoseconds since 1970.
    ///
    /// # Errors
    /// The file can't be made or written.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn create(directory: &Path, epoch_ns: u64) -> io::Result<Self> {
        Self::new(File::create(directory.join("latency.hlog"))?, epoch_ns)
    }
}

impl<W: Write> IntervalLog<W> {
    /// A new log. `epoch_ns` is the run's start in nanoseconds since 1970.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(mut writer: W, epoch_ns: u64) -> io::Result<Self> {
        let epoch_s = Duration::from_nanos(epoch_ns).as_secs_f64();
        writeln!(writer, "#[Histogram log format version 1.3]")?;
        writeln!(writer, "#[StartTime: {epoch_s:.3} (seconds since epoch)]")?;
        writeln!(writer, "#[BaseTime: {epoch_s:.3} (seconds since epoch)]")?;
        writeln!(writer, "#[Latencies are in microseconds from the intended start]")?;
        writer.flush()?;
        Ok(Self { writer, serializer: V2DeflateSerializer::new(), lines: Vec::new(), start_ns: 0 })
    }

    /// Writes an interval that ends now (nanoseconds from the run's start) and started where the
    /// last one ended: a line for each procedure. What is written is flushed.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&mut self, now_ns: u64, interval: &Interval) -> io::Result<()> {
        let start = Duration::from_nanos(self.start_ns);
        let length = Duration::from_nanos(now_ns.saturating_sub(self.start_ns));
        self.lines.clear();
        let mut log = IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.lines, &mut self.serializer)?;
        for (procedure, tally) in Procedure::ALL.iter().zip(&interval.procedures) {
            let tag = Tag::new(procedure.name());
            log.write_histogram(&tally.latency_us, start, length, tag)
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
        self.start_ns = now_ns;
        self.writer.write_all(&self.lines)?;
        self.writer.flush()
    }
}
