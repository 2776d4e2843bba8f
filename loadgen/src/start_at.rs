//! When a run is to start, as its user writes it, so that generators that need not talk begin together.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::value::Datetime;

/// The longest that a start may be away, in seconds: a day more than a week. What is later is a mistake.
const AWAY_S_MAX: u64 = 8 * 86_400;
/// So long after its time a start is still one: whoever is later has missed it.
const MISSED: Duration = Duration::from_secs(1);

/// A time: seconds from now, or on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StartAt {
    /// So long after the program was started.
    In(Duration),
    /// Since 1970.
    At(Duration),
}

/// Why a text is no time to start at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAtError {
    /// It is none of the forms that there are.
    Form(String),
    /// It is over.
    Past(Duration),
    /// It is too far away.
    Far(Duration),
}

impl fmt::Display for StartAtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(got) => write!(
                f,
                "expected a time such as 2026-11-23T05:30:00Z, +30 (seconds from now) or \
                 1795411800 (seconds since 1970), got {got}"
            ),
            Self::Past(by) => write!(
                f,
                "the time to start at was {:.1} s ago: expected one to come, such as +30 for 30 s from now",
                by.as_secs_f64()
            ),
            Self::Far(by) => {
                write!(f, "the time to start at is {} s away, more than {AWAY_S_MAX}", by.as_secs())
            }
        }
    }
}

impl std::error::Error for StartAtError {}

impl StartAt {
    /// The time on the wall clock, in nanoseconds since 1970, for a program that was started `now`.
    ///
    /// # Errors
    /// Where it is over, or too far away.
    pub fn epoch_ns(self, now: SystemTime) -> Result<u64, StartAtError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = match self {
            Self::In(after) => now.saturating_add(after),
            Self::At(at) => at,
        };
        if at + MISSED < now {
            return Err(StartAtError::Past(now - at));
        }
        let away = at.saturating_sub(now);
        if away.as_secs() > AWAY_S_MAX {
            return Err(StartAtError::Far(away));
        }
        Ok(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl FromStr for StartAt {
    type Err = StartAtError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || StartAtError::Form(text.to_owned());
        let seconds = |text: &str| {
            let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let value = text.parse::<f64>().ok().filter(|_| is_number);
            value.and_then(|value| Duration::try_from_secs_f64(value).ok())
        };
        if let Some(rest) = text.strip_prefix('+') {
            return seconds(rest).map(Self::In).ok_or_else(error);
        }
        if let Some(at) = seconds(text) {
            return Ok(Self::At(at));
        }
        let time = text.parse::<Datetime>().ok().and_then(|time| since_1970(&time));
        time.map(Self::At).ok_or_else(error)
    }
}

/// Since 1970, of a full date and time with its offset (RFC 3339).
fn since_1970(time: &Datetime) -> Option<Duration> {
    let (date, clock) = (time.date?, time.time?);
    let offset_min = match time.offset? {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let second = clock.second.map_or(0, i64::from);
    let minutes = (days * 24 + i64::from(clock.hour)) * 60 + i64::from(clock.minute) - offset_min;
    let seconds = u64::try_from(minutes * 60 + second).ok()?;
    Some(Duration::new(seconds, clock.nanosecond.unwrap_or(0)))
}

/// The days-from-civil algorithm over eras of 400 years, which begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_each_form() {
        let at = |text: &str| text.parse::<StartAt>();
        assert_eq!(at("+30"), Ok(StartAt::In(Duration::from_secs(30))));
        assert_eq!(at("+0.5"), Ok(StartAt::In(Duration::from_millis(500))));
        for text in [
            "1795325869",
            "2026-11-22T05:37:49Z",
            "2026-11-22T06:37:49+01:00",
            "2026-11-21T23:37:49-06:00",
        ] {
            assert_eq!(at(text), Ok(StartAt::At(Duration::from_secs(1_795_325_869))), "{text}");
        }
        let leap = at("2000-02-29T00:00:00.25Z");
        assert_eq!(leap, Ok(StartAt::At(Duration::from_millis(951_782_400_250))));
        for bad in
            ["", "now", "+", "+x", "-5", "+-5", "2026-11-22", "2026-11-22T05:37:49", "1e9", "nan"]
        {
            assert_eq!(at(bad), Err(StartAtError::Form(bad.to_owned())));
        }
    }

    #[test]
    fn what_is_over_or_too_far_is_refused() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds| StartAt::At(Duration::from_secs(seconds)).epoch_ns(now);
        assert_eq!(at(1_000_010), Ok(1_000_010_000_000_000));
        assert_eq!(at(999_999), Ok(999_999_000_000_000), "just now");
        assert_eq!(at(999_990), Err(StartAtError::Past(Duration::from_secs(10))));
        assert!(matches!(at(2_000_000), Err(StartAtError::Far(_))));
        let soon = StartAt::In(Duration::from_secs(5)).epoch_ns(now);
        assert_eq!(soon, Ok(1_000_005_000_000_000));
    }
}
