//! The three private-key operations of an enrolment, and nothing else: RA decryption, CA signature, reply signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use assay_hsm::{CaKeys, Digest, KeyTransport, RaKeys, Token};
use clap::Args;
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode, Tag};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::EcKey;
use openssl::encrypt::Encrypter;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::{Padding, Rsa};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use serde::Serialize;
use tokio::task::JoinSet;
use x509_cert::attr::Attribute;

use super::cpu;
use super::service::Service;
use super::settings::Signer;
use crate::At;
use crate::failure::{Failure, OrFail, Outcome};
use crate::installation::Installation;
use crate::progress::Progress;

/// Octets of an AES-128 key, what clients send most.
const CONTENT_KEY_OCTETS: u8 = 16;
/// Octets of a serial number.
const SERIAL: usize = 16;
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
    /// Where its serial number is.
    serial: usize,
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
    let what = "the HSM service refused an operation";
    keys.unwrap_key(
        "bench",
        RaKeys::Pair,
        KeyTransport::Pkcs1v15,
        CONTENT_KEY_OCTETS,
        &material.ciphertext,
    )
    .await
    .or_fail(what)?;
    let tbs = material.tbs()?;
    keys.sign_certificate("bench", &tbs).await.or_fail(what)?;
    keys.sign_cert_rep(
        "bench",
        RaKeys::Pair,
        Digest::Sha256,
        &[],
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
        let mut content_key = vec![0; CONTENT_KEY_OCTETS.into()];
        openssl::rand::rand_bytes(&mut content_key).or_fail(what)?;
        let mut encrypter = Encrypter::new(&ra).or_fail(what)?;
        encrypter.set_rsa_padding(Padding::PKCS1).or_fail(what)?;
        let mut ciphertext = vec![0; encrypter.encrypt_len(&content_key).or_fail(what)?];
        let length = encrypter
            .encrypt(&content_key, &mut ciphertext)
            .or_fail(what)?;
        ciphertext.truncate(length);
        let tbs = template(signer).or_fail(what)?;
        let serial = tbs.windows(SERIAL).position(|octets| octets == TEMPLATE);
        Ok(Self {
            ciphertext,
            serial: serial.ok_or_else(|| Failure::failed(what))?,
            tbs,
            signed_attributes: failure().or_fail(what)?,
        })
    }

    /// A certificate that was not signed before.
    fn tbs(&self) -> Outcome<Vec<u8>> {
        let what = "cannot prepare a certificate";
        let mut serial = [0; SERIAL];
        openssl::rand::rand_bytes(&mut serial).or_fail(what)?;
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        let mut tbs = self.tbs.clone();
        let place = tbs.get_mut(self.serial..self.serial + SERIAL);
        place
            .ok_or_else(|| Failure::failed(what))?
            .copy_from_slice(&serial);
        Ok(tbs)
    }
}

type Prepared = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

/// The serial number of the template.
const TEMPLATE: [u8; SERIAL] = [0x5a; SERIAL];

/// The TBSCertificate of a device that the CA could have issued now.
fn template(signer: &Signer) -> Prepared {
    let ca = X509::from_der(&signer.ca)?;
    let ca_key = ca.public_key()?;
    let device = PKey::from_rsa(Rsa::generate(2_048)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "bench")?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*BigNum::from_slice(&TEMPLATE)?.to_asn1_integer()?)?;
    builder.set_issuer_name(ca.subject_name())?;
    builder.set_subject_name(&name.build())?;
    builder.set_pubkey(&device)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(20)?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?;
    let context = builder.x509v3_context(Some(&ca), None);
    let subject = SubjectKeyIdentifier::new().build(&context)?;
    let authority = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
    builder.append_extension(subject)?;
    builder.append_extension(authority)?;
    // The algorithm is the CA's, the signature nobody's.
    let other = match ca_key.ec_key() {
        Ok(key) => PKey::from_ec_key(EcKey::generate(key.group())?)?,
        Err(_) => device,
    };
    let digest = match other.bits() {
        384 => MessageDigest::sha384(),
        _ => MessageDigest::sha256(),
    };
    builder.sign(&other, digest)?;
    let certificate = x509_cert::Certificate::from_der(&builder.build().to_der()?)?;
    Ok(certificate.tbs_certificate().to_der()?)
}

/// The signed attributes of a CertRep without content that refuses (RFC 8894, section 3.3.2.2).
fn failure() -> Prepared {
    let text = |text: &str| Any::new(Tag::PrintableString, text.as_bytes());
    let octets = |octets: &[u8]| Any::new(Tag::OctetString, octets);
    let id_data = ObjectIdentifier::new("1.2.840.113549.1.7.1")?;
    let mut attributes = SetOfVec::new();
    for (oid, value) in [
        ("1.2.840.113549.1.9.3", Any::encode_from(&id_data)?),
        ("1.2.840.113549.1.9.4", octets(&openssl::sha::sha256(&[]))?),
        ("2.16.840.1.113733.1.9.2", text("3")?),
        ("2.16.840.1.113733.1.9.3", text("2")?),
        ("2.16.840.1.113733.1.9.4", text("2")?),
        ("2.16.840.1.113733.1.9.5", octets(&[1; 16])?),
        ("2.16.840.1.113733.1.9.6", octets(&[2; 16])?),
        ("2.16.840.1.113733.1.9.7", text("bench")?),
    ] {
        let oid = ObjectIdentifier::new(oid)?;
        let values = SetOfVec::from_iter([value])?;
        attributes.insert(Attribute { oid, values })?;
    }
    Ok(attributes.to_der()?)
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
