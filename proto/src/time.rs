use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use assay_types::TimestampMillis;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS: u32 = 1_000_000_000;

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
    fn check(self) -> Result<Self, NoTime> {
        let nanos = u32::try_from(self.nanos).is_ok_and(|nanos| nanos < NANOS);
        if nanos && (0..=assay_types::Timestamp::LAST.seconds()).contains(&self.seconds) {
            Ok(self)
        } else {
            Err(NoTime(self))
        }
    }
}

impl From<assay_types::Timestamp> for Timestamp {
    fn from(time: assay_types::Timestamp) -> Self {
        Self {
            seconds: time.seconds(),
            nanos: 0,
        }
    }
}

impl From<SystemTime> for Timestamp {
    /// Whole seconds; 1970 for what is before.
    fn from(time: SystemTime) -> Self {
        assay_types::Timestamp::from(time).into()
    }
}

impl TryFrom<Timestamp> for assay_types::Timestamp {
    type Error = NoTime;

    /// Drops fractions of a second.
    fn try_from(time: Timestamp) -> Result<Self, NoTime> {
        Ok(Self::from_seconds(time.check()?.seconds))
    }
}

impl TryFrom<Timestamp> for TimestampMillis {
    type Error = NoTime;

    /// Drops fractions of a millisecond.
    fn try_from(time: Timestamp) -> Result<Self, NoTime> {
        SystemTime::try_from(time).map(Self::from)
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

    fn at(seconds: i64) -> Timestamp {
        assay_types::Timestamp::from_seconds(seconds).into()
    }

    #[test]
    fn a_time_prints_as_rfc_3339_and_is_read_back() {
        let time = at(1_700_000_000);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20Z");
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        let time = Timestamp {
            seconds: 1_700_000_000,
            nanos: 250_000_000,
        };
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.250000000Z");
        assert_eq!(
            TimestampMillis::try_from(time),
            Ok(TimestampMillis::from_millis(1_700_000_000_250))
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let last = assay_types::Timestamp::LAST;
        let wrong = [
            at(-1),
            at(last.seconds() + 1),
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
            assert_eq!(assay_types::Timestamp::try_from(time), Err(NoTime(time)));
            assert_eq!(TimestampMillis::try_from(time), Err(NoTime(time)));
            assert!(
                time.to_string()
                    .ends_with("is not a time from 1970 to 9999")
            );
        }
        assert_eq!(
            assay_types::Timestamp::try_from(at(0)),
            Ok(assay_types::Timestamp::default())
        );
        assert_eq!(
            assay_types::Timestamp::try_from(Timestamp::from(last)),
            Ok(last)
        );
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
