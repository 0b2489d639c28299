//! The alarm of a profile under which too many challenges fail: somebody guesses, or a device is set up wrongly.

use std::collections::BTreeMap;
use std::time::Duration;

use assay_types::Timestamp;

use super::bucket::{Bucket, Limit};
use crate::metrics;

/// Failed challenges of a profile that raise its alarm: more than this at once or within [`WITHIN_MINUTES`].
pub(super) const THRESHOLD: u64 = 20;
const WITHIN_MINUTES: u64 = 10;
/// How long an alarm lasts after the threshold was last passed: until somebody has looked on the next day.
const LASTS: Duration = Duration::from_secs(86_400);

const FAILURES: Limit = Limit {
    burst: THRESHOLD,
    per_minute: THRESHOLD / WITHIN_MINUTES,
    at_start: THRESHOLD,
};

/// By profile of the policy, so that nothing a stranger sends makes an entry.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<String, Alarm>);

#[derive(Debug)]
struct Alarm {
    bucket: Bucket,
    raised: Option<Raised>,
}

#[derive(Debug)]
struct Raised {
    since: Timestamp,
    last_ms: u64,
}

impl Alarms {
    /// Notes a failed challenge.
    pub(super) fn failed(&mut self, profile: &str, now: Timestamp, now_ms: u64) {
        metrics::challenge_failed(profile);
        let alarm = self.0.entry(profile.to_owned()).or_insert_with(|| Alarm {
            bucket: Bucket::full(FAILURES, now_ms),
            raised: None,
        });
        if alarm.bucket.take(1, now_ms) {
            return;
        }
        match &mut alarm.raised {
            Some(raised) => raised.last_ms = now_ms,
            None => {
                alarm.raised = Some(Raised {
                    since: now,
                    last_ms: now_ms,
                });
                metrics::challenge_alarm(profile, true);
                tracing::warn!(
                    profile,
                    threshold = THRESHOLD,
                    minutes = WITHIN_MINUTES,
                    "too many challenges of a profile fail; `assay audit list --profile` shows which"
                );
            }
        }
    }

    /// The warning for people, the same text as long as the same alarms last; `None` without one.
    pub(super) fn warning(&mut self, now_ms: u64) -> Option<String> {
        let lasts = u64::try_from(LASTS.as_millis()).unwrap_or(u64::MAX);
        self.0.retain(|profile, alarm| {
            let over = |raised: &mut Raised| now_ms.saturating_sub(raised.last_ms) >= lasts;
            if alarm.raised.take_if(over).is_some() {
                metrics::challenge_alarm(profile, false);
                tracing::info!(profile, "the alarm of failed challenges is over");
            }
            alarm.raised.is_some() || !alarm.bucket.is_full(now_ms)
        });
        let raised = self.0.iter().filter_map(|(profile, alarm)| {
            let since = alarm.raised.as_ref()?.since;
            Some(format!("{profile} (since {since})"))
        });
        let profiles: Vec<String> = raised.collect();
        (!profiles.is_empty()).then(|| {
            format!(
                "more than {THRESHOLD} challenges failed within {WITHIN_MINUTES} minutes under {}; somebody may be guessing: look at `assay audit list --profile NAME`, and stop the profile if you do not know the devices",
                profiles.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(7);
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn an_alarm_is_raised_past_the_threshold_and_lasts_a_day() {
        let mut alarms = Alarms::default();
        for _ in 0..THRESHOLD {
            alarms.failed("devices", NOW, 0);
        }
        assert_eq!(alarms.warning(0), None);
        alarms.failed("devices", NOW, 0);
        alarms.failed("fleet", NOW, 0);
        let warning = alarms.warning(0).unwrap();
        assert!(warning.contains("devices") && !warning.contains("fleet"));
        assert_eq!(alarms.warning(DAY_MS - 1), Some(warning));
        assert_eq!(alarms.warning(DAY_MS), None);
        assert!(alarms.0.is_empty());
    }

    #[test]
    fn a_failure_now_and_then_raises_none() {
        let mut alarms = Alarms::default();
        for minute in 0..10_000 {
            alarms.failed("devices", NOW, minute * 60_000);
            assert_eq!(alarms.warning(minute * 60_000), None);
        }
    }
}
