//! Sends the causes in random order and notes the time of each reply.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use assay_scep_client::{CaCertificates, Url};
use hyper::header::CONNECTION;
use openssl::rand::rand_bytes;
use tokio::task::JoinSet;

use super::RefusalsBench;
use super::cause::Cause;
use super::forge::Attempts;
use super::shape::{Shape, shape};
use crate::failure::{Failure, OrFail, Outcome};
use crate::progress::Progress;
use crate::server;

/// Rounds that are sent and not noted: the first requests find handles, fill caches and open connections.
const WARM_UP: usize = 4;

/// The observations for each cause.
#[derive(Default)]
pub(super) struct Seen {
    /// From the first octet of the request to the last of the reply.
    pub(super) milliseconds: Vec<f64>,
    /// How often each shape came.
    pub(super) shapes: BTreeMap<Shape, usize>,
}

pub(super) type Observed = BTreeMap<Cause, Seen>;

/// One connection's requests, with what it saw.
struct Sender {
    url: Url,
    ca: CaCertificates,
    attempts: Arc<Attempts>,
    schedule: Arc<Vec<(usize, Cause)>>,
    next: Arc<AtomicUsize>,
    progress: Arc<Progress>,
}

pub(super) async fn send(
    url: &Url,
    attempts: &Arc<Attempts>,
    ca: &CaCertificates,
    args: &RefusalsBench,
) -> Outcome<Observed> {
    let rounds = WARM_UP + usize::try_from(args.repetitions).unwrap_or(usize::MAX);
    let schedule = Arc::new(schedule(attempts.keys().copied().collect(), rounds)?);
    let progress = Arc::new(Progress::new("sending requests", schedule.len() as u64));
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..args.connections {
        let sender = Sender {
            url: url.clone(),
            ca: ca.clone(),
            attempts: Arc::clone(attempts),
            schedule: Arc::clone(&schedule),
            next: Arc::clone(&next),
            progress: Arc::clone(&progress),
        };
        tasks.spawn(sender.run());
    }
    let mut all = Observed::new();
    while let Some(seen) = tasks.join_next().await {
        for (cause, seen) in seen.or_fail("a connection's task broke off")?? {
            let of_cause = all.entry(cause).or_default();
            of_cause.milliseconds.extend(seen.milliseconds);
            for (shape, count) in seen.shapes {
                *of_cause.shapes.entry(shape).or_default() += count;
            }
        }
    }
    Ok(all)
}

/// Each round has each cause once, in an order of its own: what changes slowly touches all of them alike.
fn schedule(mut causes: Vec<Cause>, rounds: usize) -> Outcome<Vec<(usize, Cause)>> {
    let mut schedule = Vec::with_capacity(rounds * causes.len());
    let mut random = vec![0; causes.len()];
    for round in 0..rounds {
        rand_bytes(&mut random).or_fail("no random numbers to be had")?;
        // Fisher and Yates; a handful of causes, so that the bias of the remainder is nothing.
        for (place, octet) in random.iter().enumerate().skip(1) {
            causes.swap(place, usize::from(*octet) % (place + 1));
        }
        schedule.extend(causes.iter().map(|cause| (round, *cause)));
    }
    Ok(schedule)
}

impl Sender {
    async fn run(self) -> Outcome<Observed> {
        let mut connection = server::connect(&self.url).await?;
        let mut observed = Observed::new();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((round, cause)) = self.schedule.get(place).copied() else {
                return Ok(observed);
            };
            let attempt = self
                .attempts
                .get(&cause)
                .and_then(|pool| pool.get(round % pool.len()))
                .ok_or_else(|| Failure::failed("a cause without a request"))?;
            let begin = Instant::now();
            let (head, body) = connection
                .post_whole(attempt.message.clone())
                .await
                .or_fail("a request was not answered")?;
            let took = begin.elapsed();
            let shape = shape(&head, &body, attempt, &self.ca)?;
            if round >= WARM_UP {
                let seen = observed.entry(cause).or_default();
                seen.milliseconds.push(took.as_secs_f64() * 1_000.0);
                *seen.shapes.entry(shape).or_default() += 1;
            }
            if head.headers.contains_key(CONNECTION) {
                connection = server::connect(&self.url).await?;
            }
            self.progress.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_round_has_every_cause_once_and_rounds_differ() {
        let schedule = schedule(Cause::value_variants().to_vec(), 50).unwrap();
        let rounds: Vec<Vec<Cause>> = schedule
            .chunks(Cause::value_variants().len())
            .map(|round| round.iter().map(|(_, cause)| *cause).collect())
            .collect();
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, Cause::value_variants());
        }
        assert!(rounds.iter().any(|round| round != &rounds[0]));
    }
}
