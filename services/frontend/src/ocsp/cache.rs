//! Responses of late, within a bound, kept so that they survive the signer's absence until they end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_ocsp::CertId;

use super::answer::Status;

/// Octets of responses that are remembered: some eight thousand of them. Past it those not asked for longest go.
const MAX_OCTETS: usize = 8 << 20;
/// Octets of an entry beside its response.
const ENTRY_OCTETS: usize = 512;
/// A response is asked for again after this, so that a new status shows: 8,000 of them are 800 questions a second at most.
pub(super) const FRESH: Duration = Duration::from_secs(10);
/// After a question without an answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of a certificate.
pub(super) enum Known {
    Fresh(Arc<Status>),
    /// To be asked for again, by this caller alone; what is at hand holds if there is no answer.
    Stale(Arc<Status>),
    Nothing,
}

struct Entry {
    status: Arc<Status>,
    asked: Instant,
}

/// In two halves: when the young one is full, the old one is forgotten whole, so that nothing is ever searched for what to
/// forget.
#[derive(Default)]
pub(super) struct Cache {
    young: HashMap<CertId, Entry>,
    old: HashMap<CertId, Entry>,
    young_octets: usize,
}

impl Cache {
    pub(super) fn find(&mut self, id: &CertId, now: Instant) -> Known {
        if let Some(entry) = self.old.remove(id) {
            self.insert(id.clone(), entry);
        }
        let Some(entry) = self.young.get_mut(id) else {
            return Known::Nothing;
        };
        if now.saturating_duration_since(entry.asked) < FRESH {
            return Known::Fresh(Arc::clone(&entry.status));
        }
        // Others continue with what is there while one asks.
        entry.asked = now;
        Known::Stale(Arc::clone(&entry.status))
    }

    pub(super) fn keep(&mut self, id: CertId, status: Arc<Status>, now: Instant) {
        self.forget(&id);
        self.insert(id, Entry { status, asked: now });
    }

    pub(super) fn forget(&mut self, id: &CertId) {
        if let Some(entry) = self.young.remove(id) {
            self.young_octets = self.young_octets.saturating_sub(octets(&entry.status));
        }
        self.old.remove(id);
    }

    /// The question about it had no answer: the next one comes sooner.
    pub(super) fn unanswered(&mut self, id: &CertId, now: Instant) {
        if let Some(entry) = self.young.get_mut(id) {
            entry.asked = now.checked_sub(FRESH - AGAIN).unwrap_or(now);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn insert(&mut self, id: CertId, entry: Entry) {
        let more = octets(&entry.status);
        if self.young_octets + more > MAX_OCTETS / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_octets = 0;
        }
        self.young_octets += more;
        self.young.insert(id, entry);
    }
}

fn octets(status: &Status) -> usize {
    status.len() + ENTRY_OCTETS
}

#[cfg(test)]
mod tests {
    use assay_ocsp::Issuer;
    use assay_proto::v1::OcspSigned;
    use assay_types::CertIdHash;
    use assay_types::Timestamp;

    use super::*;

    fn status(octets: usize) -> Arc<Status> {
        let signed = OcspSigned {
            response: vec![0x30; octets],
            this_update: Some(Timestamp::from_seconds(1_700_000_000).into()),
            next_update: Some(Timestamp::from_seconds(1_700_000_060).into()),
            max_age_seconds: 300,
        };
        Arc::new(Status::try_from(signed).unwrap())
    }

    fn key(number: u32) -> CertId {
        CertId {
            issuer: Issuer {
                hash: CertIdHash::Sha1,
                name_hash: vec![1; 20],
                key_hash: vec![2; 20],
            },
            serial: number.to_be_bytes().to_vec(),
        }
    }

    #[test]
    fn one_asks_again_while_the_others_go_on_with_what_is_there() {
        let mut cache = Cache::default();
        let start = Instant::now();
        cache.keep(key(1), status(10), start);
        assert!(matches!(cache.find(&key(1), start), Known::Fresh(_)));
        let later = start + FRESH;
        assert!(matches!(cache.find(&key(1), later), Known::Stale(_)));
        assert!(matches!(cache.find(&key(1), later), Known::Fresh(_)));
        cache.unanswered(&key(1), later);
        assert!(matches!(cache.find(&key(1), later), Known::Fresh(_)));
        let again = later + AGAIN;
        assert!(matches!(cache.find(&key(1), again), Known::Stale(_)));
        cache.forget(&key(1));
        assert!(matches!(cache.find(&key(1), again), Known::Nothing));
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_asked_for() {
        let mut cache = Cache::default();
        let now = Instant::now();
        let one = status(1_000);
        let most = MAX_OCTETS / octets(&one);
        for number in 0..u32::try_from(3 * most).unwrap() {
            cache.keep(key(number), Arc::clone(&one), now);
            assert!(matches!(cache.find(&key(0), now), Known::Fresh(_)));
            assert!(cache.len() <= most);
        }
        assert!(matches!(cache.find(&key(1), now), Known::Nothing));
    }
}
