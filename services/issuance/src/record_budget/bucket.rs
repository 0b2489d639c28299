//! A token bucket on a clock that its caller reads, so that tests set the time.

/// The size of a bucket, and its gain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) burst: u64,
    pub(super) per_minute: u64,
    /// Its content at a start that follows the last record at once.
    pub(super) at_start: u64,
}

/// Parts of a token, so that what is gained in a millisecond is a whole number of them.
const PARTS: u64 = 60_000;

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    limit: Limit,
    parts: u64,
    filled_ms: u64,
}

impl Limit {
    /// The most that is taken within a day, beginning with a full bucket.
    pub(super) const fn per_day(self) -> u64 {
        self.burst + self.per_minute * 24 * 60
    }
}

impl Bucket {
    pub(super) fn full(limit: Limit, now_ms: u64) -> Self {
        Self {
            limit,
            parts: limit.burst.saturating_mul(PARTS),
            filled_ms: now_ms,
        }
    }

    /// As it would be if it had been empty `quiet_ms` ago, but with no less than what each start gets.
    pub(super) fn after(limit: Limit, quiet_ms: u64, now_ms: u64) -> Self {
        let mut bucket = Self {
            limit,
            parts: 0,
            filled_ms: now_ms,
        };
        bucket.gain(quiet_ms);
        let at_start = limit.at_start.min(limit.burst).saturating_mul(PARTS);
        bucket.parts = bucket.parts.max(at_start);
        bucket
    }

    /// Whether it holds `tokens`; they are taken.
    pub(super) fn take(&mut self, tokens: u64, now_ms: u64) -> bool {
        self.fill(now_ms);
        let left = self.parts.checked_sub(tokens.saturating_mul(PARTS));
        self.parts = left.unwrap_or(self.parts);
        left.is_some()
    }

    pub(super) fn is_full(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.parts == self.limit.burst.saturating_mul(PARTS)
    }

    fn fill(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        self.gain(passed);
    }

    fn gain(&mut self, passed_ms: u64) {
        let gained = passed_ms.saturating_mul(self.limit.per_minute);
        let most = self.limit.burst.saturating_mul(PARTS);
        self.parts = self.parts.saturating_add(gained).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        burst: 10,
        per_minute: 6,
        at_start: 2,
    };

    fn taken(bucket: &mut Bucket, now_ms: u64) -> usize {
        (0..100).filter(|_| bucket.take(1, now_ms)).count()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::full(LIMIT, 1_000);
        assert_eq!(taken(&mut bucket, 1_000), 10);
        assert_eq!(taken(&mut bucket, 10_999), 0);
        assert_eq!(taken(&mut bucket, 11_000), 1);
        assert!(!bucket.is_full(100_000));
        assert_eq!(taken(&mut bucket, 10_000_000), 10);
        assert_eq!(taken(&mut bucket, 0), 0, "a time before gives nothing");
    }

    #[test]
    fn a_start_gets_what_the_time_without_records_is_worth() {
        assert_eq!(taken(&mut Bucket::after(LIMIT, 0, 5), 5), 2);
        assert_eq!(taken(&mut Bucket::after(LIMIT, 40_000, 5), 5), 4);
        assert_eq!(taken(&mut Bucket::after(LIMIT, u64::MAX, 5), 5), 10);
    }
}
