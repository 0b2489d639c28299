//! Intents that this run could not finish: when to try again, and the certificate that is signed already.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_types::Serial;

/// From a failure to the next attempt; doubled with each further one.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest wait, so that an intent is finished within a minute of the end of an outage.
pub(super) const MAX_WAIT_MS: u64 = 60_000;

/// By serial number. An entry is made for an open intent and goes when that is closed, so that there are no more of them
/// than open intents.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Serial, Attempt>>);

#[derive(Debug, Default)]
struct Attempt {
    signed: Signed,
    failures: u32,
    next_ms: u64,
}

/// Whether the HSM service signed.
#[derive(Debug, Default, Clone)]
pub(super) enum Signed {
    /// It did not, or its answer was lost: it gives the same signature to the same TBS.
    #[default]
    Unknown,
    /// The certificate is not in the store yet.
    Certificate(Vec<u8>),
    /// Its signature does not verify, and would not if it were asked for once more.
    Unfit,
}

impl Attempts {
    pub(super) fn is_due(&self, serial: &Serial, now_ms: u64) -> bool {
        let all = self.all();
        all.get(serial)
            .is_none_or(|attempt| attempt.next_ms <= now_ms)
    }

    pub(super) fn signed(&self, serial: &Serial) -> Signed {
        let all = self.all();
        all.get(serial)
            .map_or(Signed::Unknown, |attempt| attempt.signed.clone())
    }

    pub(super) fn set_signed(&self, serial: &Serial, signed: Signed) {
        self.all().entry(serial.clone()).or_default().signed = signed;
    }

    pub(super) fn failed(&self, serial: &Serial, now_ms: u64) {
        let mut all = self.all();
        let attempt = all.entry(serial.clone()).or_default();
        let doubled = FIRST_WAIT_MS.checked_shl(attempt.failures);
        let wait = doubled.map_or(MAX_WAIT_MS, |doubled| doubled.min(MAX_WAIT_MS));
        attempt.next_ms = now_ms.saturating_add(wait);
        // More would not change the wait.
        attempt.failures = attempt.failures.saturating_add(1).min(u64::BITS - 1);
    }

    pub(super) fn closed(&self, serial: &Serial) {
        self.all().remove(serial);
    }

    /// The token is there again: nothing waits any longer.
    pub(super) fn all_due(&self) {
        for attempt in self.all().values_mut() {
            attempt.next_ms = 0;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Serial, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let attempts = Attempts::default();
        let serial = Serial::try_from(&[1_u8][..]).unwrap();
        assert!(attempts.is_due(&serial, 0));
        let mut now = 0;
        for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            attempts.failed(&serial, now);
            assert!(!attempts.is_due(&serial, now + wait - 1));
            now += wait;
            assert!(attempts.is_due(&serial, now));
        }
        for _ in 0..100 {
            attempts.failed(&serial, now);
        }
        assert!(attempts.is_due(&serial, now + MAX_WAIT_MS));
        attempts.failed(&serial, now);
        attempts.all_due();
        assert!(attempts.is_due(&serial, now));
        attempts.closed(&serial);
        assert!(attempts.all().is_empty());
    }
}
