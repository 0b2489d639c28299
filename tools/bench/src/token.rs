//! The three private-key operations of an enrolment, and nothing else: RA decryption, CA signature, reply signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use assay_hsm::{CaKeys, Digest, KeyTransport, RaKeys, Token};
use clap::Args;
use der::{Decode, Encode};
use openssl::encrypt::Encrypter;
use openssl::rsa::Padding;
use openssl::x509::X509;
use serde::Serialize;
use tokio::task::JoinSet;

use super::cpu;
use super::service::Service;
use super::settings::Signer;
use crate::At;
use crate::failure::{Failure, OrFail, Outcome};
use crate::installation::Installation;
use crate::progress::Progress;

/// Octets of an AES-128 key, what clients send most.
const CONTENT_KEY_OCTETS: usize = 16;
/// In flight for each session: one at work, one waiting, so that no session idles.
const IN_FLIGHT: usize = 2;

#[derive(Debug, Args)]
pub(crate) struct TokenBench {
    #[command(flatten)]
    pub(super) at: At,

    /// Enrolments' worth of operations (three each)
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) enrolments: u64,

    /// Sessions of the HSM service [default: as in hsm.toml]
    #[arg(long)]
    pub(super) threads: Option<usize>,
}

/// The cost of the token.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TokenReport {
    enrolments: u64,
    threads: usize,
    seconds: f64,
    enrolments_per_second: f64,
    /// CPU milliseconds of the HSM service, user and system, for the three operations.
    pub(super) cpu_ms_per_enrolment: f64,
    token_label: String,
}

/// What each round of operations is made from.
struct Material {
    ciphertext: Vec<u8>,
    tbs: Vec<u8>,
    signed_attributes: Vec<u8>,
}

pub(super) async fn run(args: &TokenBench, installation: &Installation) -> Outcome<TokenReport> {
    let queue = 3 * IN_FLIGHT * args.threads.unwrap_or(64);
    let signer = Signer::read(installation)?;
    let material = Arc::new(Material::new(&signer)?);
    let service = Service::start(installation, &signer, args.threads, queue).await?;
    let threads = service.threads;
    let measured = measure(&service, &material, args.enrolments).await;
    let token_label = service.keys.token_label();
    service.stop().await;
    let (seconds, cpu_seconds) = measured?;
    #[allow(clippy::cast_precision_loss, reason = "at most a million")]
    let enrolments = args.enrolments as f64;
    Ok(TokenReport {
        enrolments: args.enrolments,
        threads,
        seconds,
        enrolments_per_second: enrolments / seconds,
        cpu_ms_per_enrolment: cpu_seconds * 1_000.0 / enrolments,
        token_label,
    })
}

/// Wall-clock and CPU seconds.
async fn measure(
    service: &Service,
    material: &Arc<Material>,
    enrolments: u64,
) -> Outcome<(f64, f64)> {
    let keys = &service.keys;
    // The first operations find handles and fill caches.
    one(keys, material).await?;
    let before = cpu::seconds(service.pid)?;
    let start = Instant::now();
    let progress = Arc::new(Progress::new("token operations of enrolments", enrolments));
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..service.threads * IN_FLIGHT {
        let (keys, material) = (keys.clone(), Arc::clone(material));
        let (next, progress) = (Arc::clone(&next), Arc::clone(&progress));
        tasks.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < enrolments {
                one(&keys, &material).await?;
                progress.add(1);
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.or_fail("a part of the benchmark broke off")??;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, cpu::seconds(service.pid)? - before))
}

async fn one(keys: &CaKeys, material: &Material) -> Outcome {
    let what = "the token refused an operation";
    keys.decrypt(
        "bench",
        RaKeys::Pair,
        KeyTransport::Pkcs1v15,
        &material.ciphertext,
    )
    .await
    .or_fail(what)?
    .or_fail(what)?;
    keys.sign_certificate("bench", &material.tbs)
        .await
        .or_fail(what)?;
    keys.sign_reply(
        "bench",
        RaKeys::Pair,
        Digest::Sha256,
        &material.signed_attributes,
    )
    .await
    .or_fail(what)?;
    Ok(())
}

impl Material {
    fn new(signer: &Signer) -> Outcome<Self> {
        let what = "cannot prepare the operations";
        let ra = signer.ra_enc.public_key().or_fail(what)?;
        let mut content_key = [0; CONTENT_KEY_OCTETS];
        openssl::rand::rand_bytes(&mut content_key).or_fail(what)?;
        let mut encrypter = Encrypter::new(&ra).or_fail(what)?;
        encrypter.set_rsa_padding(Padding::PKCS1).or_fail(what)?;
        let mut ciphertext = vec![0; encrypter.encrypt_len(&content_key).or_fail(what)?];
        let length = encrypter
            .encrypt(&content_key, &mut ciphertext)
            .or_fail(what)?;
        ciphertext.truncate(length);
        Ok(Self {
            ciphertext,
            tbs: tbs_of(&signer.ra_enc).or_fail(what)?,
            signed_attributes: signed_attributes()?,
        })
    }
}

/// What the CA signed in the RA's own certificate. A second signature on it is of no use to anyone.
fn tbs_of(certificate: &X509) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let certificate = x509_cert::Certificate::from_der(&certificate.to_der()?)?;
    Ok(certificate.tbs_certificate().to_der()?)
}

/// contentType and messageDigest (RFC 5652, sections 11.1 and 11.2), as a DER SET OF.
fn signed_attributes() -> Outcome<Vec<u8>> {
    const CONTENT_TYPE: &[u8] = &[
        0x30, 0x18, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03, 0x31, 0x0b,
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01,
    ];
    const MESSAGE_DIGEST: &[u8] = &[
        0x30, 0x2f, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04, 0x31, 0x22,
        0x04, 0x20,
    ];
    let mut digest = [0; 32];
    openssl::rand::rand_bytes(&mut digest).or_fail("no random numbers to be had")?;
    let content = [CONTENT_TYPE, MESSAGE_DIGEST, &digest].concat();
    let length = u8::try_from(content.len()).or_fail("the attributes are too long")?;
    Ok([&[0x31, length], content.as_slice()].concat())
}

impl TokenReport {
    pub(super) fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "token         {}, {} sessions",
                self.token_label, self.threads
            ),
            format!(
                "rate          {:.0} enrolments/s ({} in {:.2} s): RA decryption, CA signature, reply signature",
                self.enrolments_per_second, self.enrolments, self.seconds
            ),
            format!(
                "CPU           {:.3} ms an enrolment, of the HSM service",
                self.cpu_ms_per_enrolment
            ),
        ]
    }
}
