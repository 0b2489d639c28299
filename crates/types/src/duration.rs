//! Durations as people write them in policy and configuration: `90d`, `1h 30m`.
//!
//! Every unit has one exact length: a year has 365 days, and a month has no length at all and is refused.

use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Spellings and nanoseconds of each unit, the longest first. The first spelling is the one that [`text`] writes.
const UNITS: [(&[&str], u64); 8] = [
    (&["y", "yr", "yrs", "year", "years"], 365 * DAY),
    (&["w", "wk", "wks", "week", "weeks"], 7 * DAY),
    (&["d", "day", "days"], DAY),
    (&["h", "hr", "hrs", "hour", "hours"], HOUR),
    (&["m", "min", "mins", "minute", "minutes"], MINUTE),
    (&["s", "sec", "secs", "second", "seconds"], SECOND),
    (&["ms", "msec", "millis"], 1_000_000),
    (&["us", "usec"], 1_000),
];
/// Units that [`text`] writes: a reader need not know how long a year or a week is.
const WRITTEN: [usize; 6] = [2, 3, 4, 5, 6, 7];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is no number where one is needed.
    #[error("a whole number is missing at `{0}`; write a number and a unit, such as 90d or 1h 30m")]
    NoNumber(String),
    /// A number stands alone.
    #[error("the unit of `{0}` is missing; the units are y, w, d, h, m (minutes) and s")]
    NoUnit(String),
    /// A month.
    #[error(
        "`{0}` is a month, which has no fixed length; write days, such as 30d (`m` is minutes)"
    )]
    Month(String),
    /// No unit at all.
    #[error("`{0}` is not a unit; the units are y (365 days), w, d, h, m (minutes) and s")]
    UnknownUnit(String),
    /// `1m 1h`, in which the minute may be meant as a month, or `1d 1d`.
    #[error("the unit `{0}` does not follow a longer one; write each unit once, the longest first")]
    Order(String),
    /// More than 584 years.
    #[error("the duration is too long")]
    TooLong,
}

/// Reads a duration: whole numbers, each with its unit, the longest unit first.
///
/// # Errors
/// Where a unit is missing, unknown, a month, repeated or out of order, or the duration is longer than 584 years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut longest = 0;
    if rest.is_empty() {
        return Err(DurationError::NoNumber(text.to_owned()));
    }
    while !rest.is_empty() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(DurationError::NoNumber(rest.to_owned()));
        }
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        if unit.is_empty() {
            return Err(DurationError::NoUnit(rest.to_owned()));
        }
        let (index, size) = unit_of(unit)?;
        if index < longest {
            return Err(DurationError::Order(unit.to_owned()));
        }
        longest = index + 1;
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(size))
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_nanos(total))
}

/// Writes a duration in days and shorter units, so that [`parse`] reads the same; anything below a microsecond is left out.
#[must_use]
pub fn text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (names, size) in WRITTEN.iter().filter_map(|index| UNITS.get(*index)) {
        let (count, name) = (rest / size, names.first().unwrap_or(&""));
        rest %= size;
        if count > 0 {
            parts.push(format!("{count}{name}"));
        }
    }
    if parts.is_empty() {
        return "0s".to_owned();
    }
    parts.join(" ")
}

fn split(text: &str, is_part: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn unit_of(word: &str) -> Result<(usize, u64), DurationError> {
    let lower = word.to_ascii_lowercase();
    if word == "M" || ["mo", "mon", "month", "months"].contains(&lower.as_str()) {
        return Err(DurationError::Month(word.to_owned()));
    }
    let found = UNITS
        .iter()
        .enumerate()
        .find(|(_, (names, _))| names.contains(&word));
    match found {
        Some((index, (_, size))) => Ok((index, *size)),
        None => Err(DurationError::UnknownUnit(word.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{DurationError as E, parse, text};
    use std::time::Duration;

    const DAY: u64 = 86_400;

    #[test]
    fn every_unit_is_exact() {
        let table = [
            ("1y", 365 * DAY),
            ("2 years", 730 * DAY),
            ("1w", 7 * DAY),
            ("90d", 90 * DAY),
            ("1 day", DAY),
            ("1h", 3_600),
            ("5m", 300),
            ("5min", 300),
            ("30s", 30),
            ("0s", 0),
            ("1h 30m", 5_400),
            ("1h30m", 5_400),
            (" 1y 2w 3d 4h 5m 6s ", 382 * DAY + 4 * 3_600 + 306),
        ];
        for (written, seconds) in table {
            assert_eq!(
                parse(written),
                Ok(Duration::from_secs(seconds)),
                "{written}"
            );
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("7us"), Ok(Duration::from_micros(7)));
    }

    #[test]
    fn a_month_and_anything_ambiguous_is_refused() {
        let word = |word: &str| word.to_owned();
        let table = [
            ("1M", E::Month(word("M"))),
            ("1 month", E::Month(word("month"))),
            ("2months", E::Month(word("months"))),
            ("1y 6mo", E::Month(word("mo"))),
            ("1m 1y", E::Order(word("y"))),
            ("5m 1h", E::Order(word("h"))),
            ("1d 1d", E::Order(word("d"))),
            ("1D", E::UnknownUnit(word("D"))),
            ("1Y", E::UnknownUnit(word("Y"))),
            ("1 fortnight", E::UnknownUnit(word("fortnight"))),
            ("90", E::NoUnit(word("90"))),
            ("0", E::NoUnit(word("0"))),
            ("1.5h", E::NoUnit(word("1.5h"))),
            ("1h 30", E::NoUnit(word("30"))),
            ("", E::NoNumber(word(""))),
            ("-1d", E::NoNumber(word("-1d"))),
            ("d", E::NoNumber(word("d"))),
            ("1h, 5m", E::NoNumber(word(", 5m"))),
            ("585y", E::TooLong),
            ("99999999999999999999s", E::TooLong),
        ];
        for (written, error) in table {
            assert_eq!(parse(written), Err(error), "{written}");
        }
        let told = parse("6M").unwrap_err().to_string();
        assert!(told.contains("write days"), "{told}");
    }

    #[test]
    fn a_written_duration_is_read_as_the_same() {
        for seconds in [0, 1, 90, 3_600, 30 * DAY, 365 * DAY, 366 * DAY + 61] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse(&text(duration)), Ok(duration));
        }
        assert_eq!(text(Duration::from_secs(90 * DAY)), "90d");
        assert_eq!(text(Duration::from_millis(1_250)), "1s 250ms");
    }
}
