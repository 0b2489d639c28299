//! Requests built beforehand, sent over several connections, judged afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use assay_policy::{Dn, StringEncoding};
use assay_proto::v1::{ChallengeItem, IssueChallengesRequest};
use assay_scep_client::{
    self as client, CaCertificates, DeviceKey, EnrolmentRequest, Prepared, Url, Verdict,
};
use hyper::body::Bytes;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::failure::{Failure, OrFail, Outcome};
use crate::progress::Progress;
use crate::server;

/// Challenges issued in one call.
const CHALLENGE_BATCH: usize = 1_000;
/// Random octets that keep the names of one run from those of another.
const RUN_OCTETS: usize = 4;

/// A request with the key that will read its reply.
pub(super) struct Loaded {
    pub(super) prepared: Prepared,
    pub(super) key: DeviceKey,
}

/// The outcome of one request.
pub(super) struct Sent {
    pub(super) index: usize,
    pub(super) latency: Duration,
    pub(super) reply: client::Result<Bytes>,
}

/// Issues a challenge for each key and builds the requests, on all cores.
pub(super) async fn prepare(
    admin: &mut Admin,
    profile: &str,
    keys: Vec<DeviceKey>,
    ca: &CaCertificates,
) -> Outcome<Vec<Loaded>> {
    let subjects = subjects(keys.len())?;
    let mut challenges = Vec::with_capacity(keys.len());
    for batch in subjects.chunks(CHALLENGE_BATCH) {
        let request = IssueChallengesRequest {
            profile: profile.to_owned(),
            items: batch
                .iter()
                .map(|subject| ChallengeItem {
                    subject: subject.clone(),
                    sans: Vec::new(),
                })
                .collect(),
            ttl: None,
            static_challenge: false,
        };
        let issued = admin.issue_challenges(request).await?;
        challenges.extend(issued.into_iter().map(|issued| issued.challenge));
    }
    build(keys, subjects, challenges, ca).await
}

/// As many names as asked for, of no other run.
pub(super) fn subjects(count: usize) -> Outcome<Vec<String>> {
    let mut run = [0; RUN_OCTETS];
    openssl::rand::rand_bytes(&mut run).or_fail("no random numbers to be had")?;
    let run = hex::encode(run);
    Ok((0..count)
        .map(|n| format!("CN=bench-{run}-{n},O=Example"))
        .collect())
}

/// Builds a request for each key, on all cores.
pub(super) async fn build(
    keys: Vec<DeviceKey>,
    subjects: Vec<String>,
    challenges: Vec<String>,
    ca: &CaCertificates,
) -> Outcome<Vec<Loaded>> {
    let progress = Arc::new(Progress::new("building requests", keys.len() as u64));
    let recipient: Arc<[u8]> = ca.encryption.clone().into();
    let mut tasks = JoinSet::new();
    for (index, ((key, subject), challenge)) in
        keys.into_iter().zip(subjects).zip(challenges).enumerate()
    {
        let (progress, recipient) = (Arc::clone(&progress), Arc::clone(&recipient));
        tasks.spawn(async move {
            let wanted = EnrolmentRequest {
                subject: Dn::parse_rfc4514(&subject)
                    .or_fail("the benchmark's own subject")?
                    .to_der(StringEncoding::Utf8)
                    .or_fail("the benchmark's own subject")?,
                subject_alt_names: None,
                challenge,
            };
            let prepared = Prepared::new(&wanted, &key, &recipient)
                .await
                .or_fail("cannot build a request")?;
            progress.add(1);
            Ok::<_, Failure>((index, Loaded { prepared, key }))
        });
    }
    let mut loaded = Vec::new();
    while let Some(built) = tasks.join_next().await {
        loaded.push(built.or_fail("building a request broke off")??);
    }
    loaded.sort_by_key(|(index, _)| *index);
    Ok(loaded.into_iter().map(|(_, loaded)| loaded).collect())
}

/// Sends each request once, the next as soon as a connection is free. Returns what came, and how long all took.
pub(super) async fn send(
    url: &Url,
    loaded: &Arc<Vec<Loaded>>,
    connections: usize,
) -> Outcome<(Vec<Sent>, Duration)> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(server::connect(url).await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let progress = Arc::new(Progress::new("enrolling", loaded.len() as u64));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let (next, loaded, progress) =
            (Arc::clone(&next), Arc::clone(loaded), Arc::clone(&progress));
        let url = url.clone();
        tasks.spawn(async move {
            let mut sent = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = loaded.get(index) else {
                    return sent;
                };
                let start = Instant::now();
                let reply = connection.post(request.prepared.message.clone()).await;
                let failed = reply.is_err();
                sent.push(Sent {
                    index,
                    latency: start.elapsed(),
                    reply,
                });
                progress.add(1);
                // What failed may have taken the connection with it.
                if failed && let Ok(again) = server::connect(&url).await {
                    connection = again;
                }
            }
        });
    }
    let mut all = Vec::with_capacity(loaded.len());
    while let Some(sent) = tasks.join_next().await {
        all.extend(sent.or_fail("a connection's task broke off")?);
    }
    Ok((all, start.elapsed()))
}

/// The failures among the replies: each must hold a certificate over the right key.
pub(super) async fn judge(sent: Vec<Sent>, loaded: &[Loaded], ca: &CaCertificates) -> Vec<Failure> {
    let progress = Progress::new("verifying replies", sent.len() as u64);
    let mut failures = Vec::new();
    for Sent { index, reply, .. } in sent {
        let Some(request) = loaded.get(index) else {
            continue;
        };
        let verdict = match reply {
            Ok(reply) => request.prepared.read_reply(&reply, ca, &request.key).await,
            Err(error) => Err(error),
        };
        let issued = verdict.and_then(Verdict::issued);
        if let Err(failure) = issued.or_fail("a request failed") {
            failures.push(failure);
        }
        progress.add(1);
    }
    failures
}
