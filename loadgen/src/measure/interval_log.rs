//! latency.hlog: an HDR interval log. A line is the latencies of a procedure or transaction in a second; its tag is the name, as
//! `secure` or `SUBSCRIBE`; `secure.raw` has the latencies from when the procedure began, not from when it was wanted.
//!
//! The format is HdrHistogram's own (V2, deflated), which its log analysers and plotters read. It keeps all buckets, so that adding
//! up the lines gives what was recorded.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::series::{LATENCY_MAX_US, SIGNIFICANT_DIGITS};
use super::{Interval, Procedure, Tally, Transaction};

/// The most bytes of a histogram, inflated: a count takes at most nine, and there are some 30,000 of them.
const INFLATED_BYTES_MAX: u64 = 1 << 20;
/// What stands before the counts of a V2 histogram: cookie, length, offset, digits, lowest, highest and ratio.
const HEADER_BYTES: usize = 40;
/// What stands before a deflated one: cookie and length.
const DEFLATED_HEADER_BYTES: usize = 8;

/// A histogram of a row: its place in the log, and where a [`Tally`] keeps it.
struct Kind {
    /// Behind the row's name in the tag.
    suffix: &'static str,
    of: fn(&Tally) -> &Histogram<u64>,
    of_mut: fn(&mut Tally) -> &mut Histogram<u64>,
}

/// The histograms of each row.
const KINDS: [Kind; 2] = [
    Kind { suffix: "", of: |it| &it.latency_us, of_mut: |it| &mut it.latency_us },
    Kind { suffix: ".raw", of: |it| &it.raw_us, of_mut: |it| &mut it.raw_us },
];

/// An interval log on any writer.
pub struct IntervalLog<W: Write> {
    writer: W,
    serializer: V2DeflateSerializer,
    /// An interval's lines, so that they are written at once: a reader finds whole ones.
    lines: Vec<u8>,
    /// By row and kind: whether there was ever something. Such a row has a line a second from then on.
    seen: Vec<bool>,
    /// What was written so far.
    bytes: u64,
}

/// Why a line holds no histogram of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramError(&'static str);

impl fmt::Display for HistogramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for HistogramError {}

impl<W: Write> IntervalLog<W> {
    /// A new log. `epoch_ns` is the run's start in nanoseconds since 1970.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(writer: W, epoch_ns: u64) -> io::Result<Self> {
        let epoch_s = Duration::from_nanos(epoch_ns).as_secs_f64();
        let mut log = Self {
            writer,
            serializer: V2DeflateSerializer::new(),
            lines: Vec::new(),
            seen: Vec::new(),
            bytes: 0,
        };
        writeln!(log.lines, "#[Histogram log format version 1.3]")?;
        writeln!(log.lines, "#[StartTime: {epoch_s:.3} (seconds since epoch)]")?;
        writeln!(log.lines, "#[BaseTime: {epoch_s:.3} (seconds since epoch)]")?;
        writeln!(log.lines, "#[Latencies are in microseconds from the intended start]")?;
        log.flush()?;
        Ok(log)
    }

    /// Writes an interval, from when to when in nanoseconds from the run's start: a line for each row that has had a latency by then. What
    /// is written is flushed.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&mut self, from_ns: u64, until_ns: u64, interval: &Interval) -> io::Result<()> {
        let start = Duration::from_nanos(from_ns);
        let length = Duration::from_nanos(until_ns.saturating_sub(from_ns));
        self.lines.clear();
        let mut log = IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.lines, &mut self.serializer)?;
        let mut place = 0;
        for (name, tally) in rows(interval) {
            for kind in &KINDS {
                let histogram = (kind.of)(tally);
                if self.seen.len() == place {
                    self.seen.push(false);
                }
                self.seen[place] |= !histogram.is_empty();
                if self.seen[place] {
                    let tag = format!("{name}{}", kind.suffix);
                    log.write_histogram(histogram, start, length, Tag::new(&tag))
                        .map_err(|error| io::Error::other(error.to_string()))?;
                }
                place += 1;
            }
        }
        self.flush()
    }

    /// What was written so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.lines)?;
        self.bytes += self.lines.len() as u64;
        self.writer.flush()
    }
}

fn rows(interval: &Interval) -> impl Iterator<Item = (&'static str, &Tally)> {
    let procedures = Procedure::ALL.iter().map(|it| it.name()).zip(&interval.procedures);
    let transactions = Transaction::ALL.iter().map(|it| it.name()).zip(&interval.transactions);
    procedures.chain(transactions)
}

/// The histogram of a tag in an interval.
fn histogram_mut<'a>(interval: &'a mut Interval, tag: &str) -> Option<&'a mut Histogram<u64>> {
    // The longest suffix first: every tag ends with the empty one.
    let kind = KINDS.iter().rev().find(|kind| tag.ends_with(kind.suffix))?;
    let name = tag.strip_suffix(kind.suffix)?;
    let procedure = Procedure::from_name(name).map(|it| &mut interval.procedures[it as usize]);
    let tally = match procedure {
        Some(tally) => tally,
        None => &mut interval.transactions[Transaction::from_name(name)? as usize],
    };
    Some((kind.of_mut)(tally))
}

/// Reads a line of a log into an interval, which has its latencies then. Comments, and rows of which nothing is known, are passed over.
///
/// # Errors
/// Where it is no line of a log, or its histogram is none of ours.
pub fn read_line(line: &[u8], interval: &mut Interval) -> Result<(), HistogramError> {
    for entry in IntervalLogIterator::new(line) {
        let entry = entry.map_err(|_| HistogramError("no line of an interval log"))?;
        let LogEntry::Interval(entry) = entry else { continue };
        let Some(tag) = entry.tag() else { continue };
        let Some(into) = histogram_mut(interval, tag.as_str()) else { continue };
        let histogram = decode(entry.encoded_histogram())?;
        if histogram.is_empty() {
            continue;
        }
        if into.is_empty() {
            *into = histogram;
        } else {
            into.add(&histogram).map_err(|_| HistogramError("other bounds"))?;
        }
    }
    Ok(())
}

/// A histogram as a line of a log has it.
pub(crate) fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let serialized = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    serialized.expect("a histogram of ours is written to memory");
    STANDARD.encode(bytes)
}

/// A histogram with the bounds that all have here, or one in which nothing is.
pub(crate) fn decode(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let deflated = STANDARD.decode(text).map_err(|_| HistogramError("no base64"))?;
    let deflated = deflated.get(DEFLATED_HEADER_BYTES..).ok_or(HistogramError("too short"))?;
    let mut bytes = Vec::new();
    ZlibDecoder::new(deflated)
        .take(INFLATED_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|_| HistogramError("can't be inflated"))?;
    // Looked at first, as it claims the memory that its header wants.
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(HistogramError("too short"))?;
    let number =
        |at: usize| header[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (length, digits) = (number(0) & 0xffff_ffff, number(8) & 0xffff_ffff);
    let highest = number(24);
    let fits = length == (bytes.len() - HEADER_BYTES) as u64
        && digits == u64::from(SIGNIFICANT_DIGITS)
        && number(16) == 1;
    if !fits || highest > LATENCY_MAX_US {
        return Err(HistogramError("other bounds"));
    }
    let histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut &bytes[..])
        .map_err(|_| HistogramError("no histogram"))?;
    if highest != LATENCY_MAX_US && !histogram.is_empty() {
        return Err(HistogramError("other bounds"));
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Measurements, Start};
    use proptest::prelude::*;

    /// What is read back of what was written.
    fn read(log: &[u8]) -> Measurements {
        let mut read = Measurements::of_nothing();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            let mut interval = Interval::of_nothing();
            read_line(line, &mut interval).unwrap();
            read.add(&interval);
        }
        read
    }

    fn buckets(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
        histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
    }

    proptest! {
        /// Split among any number of logs, each in any number of intervals, and added up again.
        #[test]
        fn what_is_split_and_merged_is_the_whole_bucket_by_bucket(
            values in prop::collection::vec((1_u64..700_000_000_000, 0_usize..2, any::<bool>()), 0..200),
        ) {
            let mut whole = Measurements::new();
            let mut parts = [Measurements::new(), Measurements::new()];
            let mut logs = [Vec::new(), Vec::new()];
            {
                let mut logs = logs.each_mut().map(|log| IntervalLog::new(log, 0).unwrap());
                for (value, part, ends_interval) in values {
                    whole.completed(Procedure::Secure, Start::default(), value);
                    parts[part].completed(Procedure::Secure, Start::default(), value);
                    whole.transaction_completed(Transaction::Invite, value / 2);
                    parts[part].transaction_completed(Transaction::Invite, value / 2);
                    if ends_interval {
                        logs[part].write(0, 1, &parts[part].interval()).unwrap();
                    }
                }
                for (part, log) in parts.iter_mut().zip(&mut logs) {
                    log.write(0, 1, &part.interval()).unwrap();
                }
            }
            let mut merged = read(&logs[0]);
            merged.merge(&read(&logs[1]));
            let pairs = [
                (whole.procedure(Procedure::Secure), merged.procedure(Procedure::Secure)),
                (whole.transaction(Transaction::Invite), merged.transaction(Transaction::Invite)),
            ];
            for (whole, merged) in pairs {
                prop_assert_eq!(buckets(&whole.latency_us), buckets(&merged.latency_us));
                prop_assert_eq!(whole.latency(), merged.latency());
            }
        }

        #[test]
        fn any_bytes_are_a_line_or_an_error(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_line(&line, &mut Interval::of_nothing());
        }

        #[test]
        fn a_line_with_a_byte_changed_is_a_line_or_an_error(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut measurements = Measurements::new();
            measurements.completed(Procedure::Secure, Start::default(), 5_000_000);
            let mut log = Vec::new();
            IntervalLog::new(&mut log, 0).unwrap().write(0, 1, &measurements.interval()).unwrap();
            let place = at.index(log.len());
            log[place] = byte;
            let mut interval = Interval::of_nothing();
            if log.split_inclusive(|byte| *byte == b'\n').all(|line| read_line(line, &mut interval).is_ok()) {
                // Whatever it says, it can be added.
                Measurements::new().add(&interval);
            }
        }
    }

    #[test]
    fn a_histogram_that_claims_more_than_ours_have_is_refused() {
        let wide = Histogram::<u64>::new_with_bounds(1, 1 << 40, 3).unwrap();
        let fine = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX_US, 5).unwrap();
        for mut histogram in [wide, fine] {
            histogram.record(77).unwrap();
            let mut line = Vec::new();
            let mut serializer = V2DeflateSerializer::new();
            let log = IntervalLogWriterBuilder::new();
            let mut log = log.begin_log_with(&mut line, &mut serializer).unwrap();
            let second = Duration::from_secs(1);
            log.write_histogram(&histogram, second, second, Tag::new("secure")).unwrap();
            let result = read_line(&line, &mut Interval::of_nothing());
            assert_eq!(result, Err(HistogramError("other bounds")));
        }
    }

    #[test]
    fn a_row_has_a_line_a_second_from_its_first_latency_on() {
        let mut measurements = Measurements::new();
        let mut file = Vec::new();
        let mut log = IntervalLog::new(&mut file, 1_700_000_000_250_000_000).unwrap();
        measurements.completed(Procedure::Secure, Start::default(), 10_000_000);
        log.write(0, 1_000_000_000, &measurements.interval()).unwrap();
        measurements.transaction_completed(Transaction::Subscribe, 30_000_000);
        log.write(1_000_000_000, 2_500_000_000, &measurements.interval()).unwrap();
        let bytes = log.bytes();
        assert_eq!(bytes, file.len() as u64);
        let text = String::from_utf8(file).unwrap();
        let starts = text.lines().map(|line| line.rsplitn(3, ',').last().unwrap().to_owned());
        let starts: Vec<String> = starts.filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "Tag=secure,0.000,1.000",
            "Tag=secure.raw,0.000,1.000",
            "Tag=secure,1.000,1.500",
            "Tag=secure.raw,1.000,1.500",
            "Tag=SUBSCRIBE,1.000,1.500",
        ];
        assert_eq!(starts, expected, "{text}");
    }
}
