//! What cannot be saved: as many signatures by the responder's key, asked of the token directly.

use std::sync::Arc;

use assay_hsm::{Hsm, Priority};
use serde::Serialize;

use crate::failure::{OrFail, Outcome};
use crate::installation::Installation;
use crate::settings::Signer;
use crate::token;

/// More operations in flight than those of the most sessions that a worker has.
const QUEUE: usize = 256;

/// The cost of the token.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Floor {
    pub(super) signatures: u64,
    pub(super) sessions: usize,
    pub(super) seconds: f64,
    pub(super) signatures_per_second: f64,
    /// Of the worker, user and system.
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
    let mut signer = Signer::read(installation, None, QUEUE)?;
    signer.hsm.keys.extend(signer.ocsp);
    let sessions = signer.hsm.threads;
    let hsm = Hsm::start(signer.hsm)
        .await
        .or_fail("the token cannot be used")?;
    let data = Arc::new(data);
    let operation = move |hsm: Hsm, number: u64| {
        let data = Arc::clone(&data);
        async move {
            let [of_sha1, of_sha256] = &*data;
            let data = if number.is_multiple_of(2) { of_sha1 } else { of_sha256 };
            let signed = hsm.sign_ocsp("bench", Priority::Normal, data).await;
            signed.or_fail("the token refused an operation").map(drop)
        }
    };
    let what = "signing by the token alone";
    let measured = token::measure(&hsm, sessions, what, signatures, operation).await;
    let token_label = hsm.token_label();
    hsm.shutdown().await;
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
