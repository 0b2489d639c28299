//! What cannot be saved: as many signatures by the responder's key, asked of the token directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use assay_hsm::{Priority, Token};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cpu;
use crate::failure::{Failure, OrFail, Outcome};
use crate::installation::Installation;
use crate::progress::Progress;
use crate::service::Service;
use crate::settings::Signer;

/// In flight for each session: one at work, one waiting, so that no session idles.
const IN_FLIGHT: usize = 2;
/// More than that at the most sessions that a service has.
const QUEUE: usize = 256;

/// The cost of the token.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Floor {
    pub(super) signatures: u64,
    pub(super) sessions: usize,
    pub(super) seconds: f64,
    pub(super) signatures_per_second: f64,
    /// Of the HSM service, user and system.
    pub(super) cpu_seconds: f64,
    pub(super) cpu_us_per_signature: f64,
    pub(super) token_label: String,
}

/// Signs what the responder signed, over and over: `data` are ResponseDatas of the run.
pub(super) async fn measure(
    installation: &Installation,
    data: [Vec<u8>; 2],
    signatures: u64,
) -> Outcome<Floor> {
    let signer = Signer::read(installation)?;
    let service = Service::start(installation, &signer, None, QUEUE).await?;
    let sessions = service.threads;
    let measured = sign(&service, Arc::new(data), signatures).await;
    let token_label = service.keys.token_label();
    service.stop().await;
    let (seconds, cpu_seconds) = measured?;
    #[allow(clippy::cast_precision_loss, reason = "at most a few millions")]
    let count = signatures as f64;
    Ok(Floor {
        signatures,
        sessions,
        seconds,
        signatures_per_second: count / seconds,
        cpu_seconds,
        cpu_us_per_signature: cpu_seconds * 1e6 / count,
        token_label,
    })
}

/// Wall-clock and CPU seconds.
async fn sign(service: &Service, data: Arc<[Vec<u8>; 2]>, signatures: u64) -> Outcome<(f64, f64)> {
    let before = cpu::seconds(service.pid)?;
    let start = Instant::now();
    let progress = Arc::new(Progress::new("signing by the token alone", signatures));
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..service.threads * IN_FLIGHT {
        let (keys, data) = (service.keys.clone(), Arc::clone(&data));
        let (next, progress) = (Arc::clone(&next), Arc::clone(&progress));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= signatures {
                    return Ok::<_, Failure>(());
                }
                let [of_sha1, of_sha256] = &*data;
                let data = if number.is_multiple_of(2) {
                    of_sha1
                } else {
                    of_sha256
                };
                keys.sign_ocsp("bench", Priority::Normal, data)
                    .await
                    .or_fail("the token refused an operation")?;
                progress.add(1);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.or_fail("a part of the benchmark broke off")??;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, cpu::seconds(service.pid)? - before))
}
