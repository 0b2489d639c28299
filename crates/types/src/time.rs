use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time in whole seconds since 1970-01-01T00:00:00Z, without leap seconds. Displays as RFC 3339 in UTC and
/// serialises as the number of seconds.
///
/// Arithmetic saturates: a sum is never before its terms.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 9999-12-31T23:59:59Z, the last second that RFC 3339, RFC 5280 and HTTP dates can express.
    pub const LAST: Self = Self(253_402_300_799);

    /// Before every other time.
    pub const MIN: Self = Self(i64::MIN);

    /// After every other time.
    pub const MAX: Self = Self(i64::MAX);

    /// The time this many seconds after 1970-01-01T00:00:00Z, or before it where the number is negative.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was at this time; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let seconds = self.0.saturating_sub(earlier.0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }

    /// How far this time and `other` are apart.
    #[must_use]
    pub fn abs_diff(self, other: Self) -> Duration {
        Duration::from_secs(self.0.abs_diff(other.0))
    }

    /// Seconds from `earlier` to this time; negative where `earlier` is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since 1970-01-01T00:00:00Z; zero for times before.
    #[must_use]
    pub fn since_epoch(self) -> Duration {
        self.since(Self::default())
    }
}

/// Fractions of a second are dropped.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(duration)))
    }
}

/// Fractions of a second are dropped.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_seconds(duration)))
    }
}

/// Drops fractions of a second. Times before 1970 become 1970-01-01T00:00:00Z.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(whole_seconds(
            time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        ))
    }
}

/// Times before 1970 become 1970-01-01T00:00:00Z, times after 9999 [`Timestamp::LAST`].
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + time.min(Timestamp::LAST).since_epoch()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds((*self).into()).fmt(f)
    }
}

/// A point in time in milliseconds since 1970-01-01T00:00:00Z, without leap seconds, as the clock of the log counts.
/// Displays as RFC 3339 in UTC and serialises as the number of milliseconds.
///
/// Arithmetic saturates.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TimestampMillis(i64);

impl TimestampMillis {
    /// After every other time.
    pub const MAX: Self = Self(i64::MAX);

    /// The time this many milliseconds after 1970-01-01T00:00:00Z, or before it where the number is negative.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The second that it lies in.
    #[must_use]
    pub const fn seconds(self) -> Timestamp {
        Timestamp(self.0.div_euclid(1_000))
    }

    /// How far this time and `other` are apart.
    #[must_use]
    pub fn abs_diff(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// How long ago `earlier` was at this time; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }
}

/// Fractions of a millisecond are dropped.
impl Add<Duration> for TimestampMillis {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }
}

/// Fractions of a millisecond are dropped.
impl Sub<Duration> for TimestampMillis {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(duration)))
    }
}

/// The first millisecond of the second.
impl From<Timestamp> for TimestampMillis {
    fn from(time: Timestamp) -> Self {
        Self(time.0.saturating_mul(1_000))
    }
}

/// Drops fractions of a millisecond. Times before 1970 become 1970-01-01T00:00:00Z.
impl From<SystemTime> for TimestampMillis {
    fn from(time: SystemTime) -> Self {
        Self(whole_millis(
            time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        ))
    }
}

/// Times before 1970 become 1970-01-01T00:00:00Z, times after 9999 the last millisecond of that year.
impl From<TimestampMillis> for SystemTime {
    fn from(time: TimestampMillis) -> Self {
        let last = TimestampMillis::from(Timestamp::LAST) + Duration::from_millis(999);
        UNIX_EPOCH + time.min(last).since(TimestampMillis::default())
    }
}

impl fmt::Display for TimestampMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis((*self).into()).fmt(f)
    }
}

#[cfg(feature = "rusqlite")]
impl rusqlite::ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

#[cfg(feature = "rusqlite")]
impl rusqlite::types::FromSql for Timestamp {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

#[cfg(feature = "rusqlite")]
impl rusqlite::ToSql for TimestampMillis {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

#[cfg(feature = "rusqlite")]
impl rusqlite::types::FromSql for TimestampMillis {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    #[test]
    fn a_time_survives_the_way_through_the_system_time_without_its_fraction() {
        let exact = UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        assert_eq!(Timestamp::from(exact), NOW);
        let whole = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(SystemTime::from(NOW), whole);
    }

    #[test]
    fn what_no_other_form_can_express_becomes_the_nearest_time() {
        let before = Timestamp::from_seconds(-5);
        assert_eq!(SystemTime::from(before), UNIX_EPOCH);
        assert_eq!(
            Timestamp::from(UNIX_EPOCH - Duration::from_secs(5)),
            Timestamp::default()
        );
        assert_eq!(before.to_string(), "1970-01-01T00:00:00Z");
        let last = Timestamp::from_seconds(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from(SystemTime::from(last)), Timestamp::LAST);
    }

    #[test]
    fn arithmetic_saturates() {
        let long = Duration::from_secs(u64::MAX);
        assert_eq!((NOW + long).seconds(), i64::MAX);
        let earliest = Timestamp::from_seconds(i64::MIN);
        assert_eq!(earliest - long, earliest);
        assert_eq!(NOW.since(NOW + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(
            NOW.since(NOW - Duration::from_secs(7)),
            Duration::from_secs(7)
        );
        assert_eq!(
            NOW.since(earliest),
            Duration::from_secs(i64::MAX.unsigned_abs())
        );
    }

    #[test]
    fn it_displays_as_rfc_3339() {
        assert_eq!(NOW.to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn milliseconds_survive_the_way_through_the_system_time_and_lie_in_their_second() {
        let exact = TimestampMillis::from_millis(1_700_000_000_999);
        assert_eq!(TimestampMillis::from(SystemTime::from(exact)), exact);
        assert_eq!(exact.seconds(), NOW);
        assert_eq!(exact.to_string(), "2023-11-14T22:13:20.999Z");
        assert_eq!(
            TimestampMillis::from(NOW) + Duration::from_millis(999),
            exact
        );
        assert_eq!(exact.since(NOW.into()), Duration::from_millis(999));
        assert_eq!(exact - Duration::from_millis(999), NOW.into());
        assert_eq!(
            TimestampMillis::from_millis(-1).seconds(),
            Timestamp::from_seconds(-1)
        );
        let last = TimestampMillis::from_millis(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(TimestampMillis::from(Timestamp::MAX), last);
    }

    #[test]
    fn it_serialises_as_its_number() {
        assert_eq!(serde_json::to_string(&NOW).unwrap(), "1700000000");
        assert_eq!(
            serde_json::from_str::<Timestamp>("1700000000").unwrap(),
            NOW
        );
        let exact = TimestampMillis::from_millis(5);
        assert_eq!(serde_json::to_string(&exact).unwrap(), "5");
        assert_eq!(serde_json::from_str::<TimestampMillis>("5").unwrap(), exact);
    }
}
