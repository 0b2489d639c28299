use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 can express.
const LAST_SECOND: i64 = 253_402_300_799;
const NANOS: u32 = 1_000_000_000;
const NANOS_PER_MILLI: i32 = 1_000_000;

/// `google.protobuf.Timestamp`. Prints as RFC 3339 text in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Unix seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of the second, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Not a moment from 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} s and {} ns after 1970 is not a time from 1970 to 9999", .0.seconds, .0.nanos)]
pub struct NoTime(Timestamp);

impl Timestamp {
    /// The moment of these Unix seconds.
    pub fn at(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Unix seconds; parts of a second are cut off.
    ///
    /// # Errors
    /// Where it is before 1970 or after 9999, or the nanoseconds are more than a second.
    pub fn unix_seconds(self) -> Result<i64, NoTime> {
        self.check().map(|time| time.seconds)
    }

    /// Milliseconds since the Unix epoch; smaller parts are cut off.
    ///
    /// # Errors
    /// As for [`Self::unix_seconds`].
    pub fn unix_ms(self) -> Result<i64, NoTime> {
        let Self { seconds, nanos } = self.check()?;
        Ok(seconds * 1_000 + i64::from(nanos / NANOS_PER_MILLI))
    }

    fn check(self) -> Result<Self, NoTime> {
        let nanos = u32::try_from(self.nanos).is_ok_and(|nanos| nanos < NANOS);
        if nanos && (0..=LAST_SECOND).contains(&self.seconds) {
            Ok(self)
        } else {
            Err(NoTime(self))
        }
    }
}

impl From<SystemTime> for Timestamp {
    /// Whole seconds; 1970 for what is before.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

impl TryFrom<Timestamp> for SystemTime {
    type Error = NoTime;

    fn try_from(time: Timestamp) -> Result<Self, NoTime> {
        let Timestamp { seconds, nanos } = time.check()?;
        let (seconds, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
        Ok(UNIX_EPOCH + std::time::Duration::new(seconds, nanos))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SystemTime::try_from(*self) {
            Ok(time) => humantime::format_rfc3339(time).fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(time.into())
    }
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of the second, with the sign of the seconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Negative, or with nanoseconds that are more than a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} s and {} ns is not a duration of 0 or more", .0.seconds, .0.nanos)]
pub struct NoDuration(Duration);

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanos: duration.subsec_nanos().cast_signed(),
        }
    }
}

impl TryFrom<Duration> for std::time::Duration {
    type Error = NoDuration;

    fn try_from(duration: Duration) -> Result<Self, NoDuration> {
        let wrong = NoDuration(duration);
        let seconds = u64::try_from(duration.seconds).map_err(|_| wrong)?;
        let nanos = u32::try_from(duration.nanos).map_err(|_| wrong)?;
        if nanos >= NANOS {
            return Err(wrong);
        }
        Ok(Self::new(seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    #[test]
    fn a_time_prints_as_rfc_3339_and_is_read_back() {
        let time = Timestamp::at(1_700_000_000);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20Z");
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        let time = Timestamp {
            seconds: 1_700_000_000,
            nanos: 250_000_000,
        };
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.250000000Z");
        assert_eq!(time.unix_ms(), Ok(1_700_000_000_250));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong = [
            Timestamp::at(-1),
            Timestamp::at(LAST_SECOND + 1),
            Timestamp {
                seconds: 1,
                nanos: 1_000_000_000,
            },
            Timestamp {
                seconds: 1,
                nanos: -1,
            },
        ];
        for time in wrong {
            assert_eq!(time.unix_seconds(), Err(NoTime(time)));
            assert_eq!(time.unix_ms(), Err(NoTime(time)));
            assert!(
                time.to_string()
                    .ends_with("is not a time from 1970 to 9999")
            );
        }
        assert_eq!(Timestamp::at(0).unix_seconds(), Ok(0));
        assert_eq!(Timestamp::at(LAST_SECOND).unix_seconds(), Ok(LAST_SECOND));
    }

    #[test]
    fn a_negative_duration_is_refused() {
        let hour = std::time::Duration::from_secs(3_600);
        assert_eq!(
            std::time::Duration::try_from(Duration::from(hour)),
            Ok(hour)
        );
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let wrong = Duration { seconds, nanos };
            let refused = std::time::Duration::try_from(wrong);
            assert_eq!(refused, Err(NoDuration(wrong)));
        }
    }
}
