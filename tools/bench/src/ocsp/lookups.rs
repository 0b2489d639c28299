//! Relying parties: the status of one certificate after the other, asked of the frontend and verified.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use assay_types::CertIdHash;
use openssl::rand::rand_bytes;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::http::Http;
use super::party::{Party, Said};
use crate::failure::{OrFail, Outcome};
use crate::report::Latency;

/// Between two questions: a part of what a frontend asks the signer for (500 new serials a second).
const INTERVAL: Duration = Duration::from_millis(10);

/// Who asks, and whom.
pub(super) struct Requester {
    pub(super) http: Http,
    pub(super) url: String,
    pub(super) party: Party,
    pub(super) serials: Arc<Vec<Vec<u8>>>,
}

/// The questions, while they are asked.
pub(super) struct Lookups {
    seen: Arc<Mutex<Seen>>,
    /// Whether every certificate has its response: from here on each answer has to be one.
    all_signed: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// The answers so far.
#[derive(Default)]
pub(super) struct Seen {
    answers: Vec<(Instant, Duration)>,
    good: u64,
    /// Before all were signed.
    not_yet: u64,
    ended: u64,
    wrong: u64,
    first_fault: Option<String>,
    /// ResponseData, one for each hash algorithm.
    pub(super) data: [Vec<u8>; 2],
}

/// The counts, which tell of faults as well.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Answers {
    pub(super) asked: u64,
    /// Verified, good, and holding when they came.
    pub(super) good: u64,
    /// tryLater before all were signed.
    pub(super) not_signed_yet: u64,
    pub(super) ended: u64,
    pub(super) wrong: u64,
    pub(super) first_fault: Option<String>,
}

impl Lookups {
    pub(super) fn start(requester: Requester) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let all_signed = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(ask(requester, Arc::clone(&seen), Arc::clone(&all_signed)));
        Self {
            seen,
            all_signed,
            task,
        }
    }

    pub(super) fn all_are_signed(&self) {
        self.all_signed.store(true, Ordering::Relaxed);
    }

    /// Latency of the answers between two moments.
    pub(super) fn latency(&self, from: Instant, to: Instant) -> (usize, Latency) {
        let seen = lock(&self.seen);
        let within: Vec<Duration> = seen
            .answers
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .map(|(_, took)| *took)
            .collect();
        (within.len(), Latency::of(within))
    }

    /// Ends the questions.
    pub(super) fn stop(self) -> (Answers, [Vec<u8>; 2]) {
        self.task.abort();
        let seen = std::mem::take(&mut *lock(&self.seen));
        let answers = Answers {
            asked: seen.good + seen.not_yet + seen.ended + seen.wrong,
            good: seen.good,
            not_signed_yet: seen.not_yet,
            ended: seen.ended,
            wrong: seen.wrong,
            first_fault: seen.first_fault,
        };
        (answers, seen.data)
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(requester: Requester, seen: Arc<Mutex<Seen>>, all_signed: Arc<AtomicBool>) {
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hash = CertIdHash::Sha1;
    loop {
        interval.tick().await;
        hash = match hash {
            CertIdHash::Sha1 => CertIdHash::Sha256,
            CertIdHash::Sha256 => CertIdHash::Sha1,
        };
        let begin = Instant::now();
        let late = all_signed.load(Ordering::Relaxed);
        match requester.one(hash).await {
            Ok((took, said)) => lock(&seen).note(begin, took, hash, said, late),
            Err(failure) => lock(&seen).fault(failure.to_string()),
        }
    }
}

impl Requester {
    /// Any of the certificates.
    async fn one(&self, hash: CertIdHash) -> Outcome<(Duration, Said)> {
        let mut random = [0; size_of::<u64>()];
        rand_bytes(&mut random).or_fail("no random numbers to be had")?;
        let count = self.serials.len().max(1) as u64;
        let place = usize::try_from(u64::from_be_bytes(random) % count).unwrap_or_default();
        let serial = self.serials.get(place).map_or(&[][..], Vec::as_slice);
        let request = self.party.request(hash, serial)?;
        let begin = Instant::now();
        let answer = self.http.ask(&self.url, request).await?;
        let took = begin.elapsed();
        let now = SystemTime::now();
        Ok((took, self.party.read(hash, serial, &answer, now)))
    }
}

impl Seen {
    fn note(
        &mut self,
        at: Instant,
        took: Duration,
        hash: CertIdHash,
        said: Said,
        all_signed: bool,
    ) {
        self.answers.push((at, took));
        match said {
            Said::Good(data) => {
                self.good += 1;
                let [of_sha1, of_sha256] = &mut self.data;
                *match hash {
                    CertIdHash::Sha1 => of_sha1,
                    CertIdHash::Sha256 => of_sha256,
                } = data;
            }
            Said::TryLater if !all_signed => self.not_yet += 1,
            Said::TryLater => self.fault("tryLater after all were signed".to_owned()),
            Said::Ended(by) => {
                self.ended += 1;
                let what = format!("a response that had ended {by} s before");
                self.first_fault.get_or_insert(what);
            }
            Said::Wrong(why) => self.fault(why.to_owned()),
        }
    }

    fn fault(&mut self, what: String) {
        self.wrong += 1;
        self.first_fault.get_or_insert(what);
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
