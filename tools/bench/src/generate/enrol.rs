//! Devices that enrol at a signer in this process, through all of its pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assay_policy::{Dn, StringEncoding};
use assay_proto::v1::administration_server::Administration;
use assay_proto::v1::enrolment_server::Enrolment;
use assay_proto::v1::pki_operation_reply::Outcome as Answer;
use assay_proto::v1::{ChallengeItem, IssueChallengesRequest, PkiOperationRequest};
use assay_runtime::identity::{Identity, Role};
use assay_runtime::mtls::Peer;
use assay_scep::client::{CertRep, PkiMessageBuilder, assemble_csr, new_csr_info};
use assay_scep::{Digest, Limits, Nonce, PkiStatus};
use assay_scep_client::{DeviceKey, KeyType, transient_certificate};
use assay_signer::{EnrolmentService, Signer};
use tokio::task::JoinSet;
use tonic::Request;

use crate::failure::{Failure, OrFail, Outcome};
use crate::load::subjects;
use crate::progress::Progress;

/// The profile, which is that of the demo: a challenge for each device.
const PROFILE: &str = "devices";
/// Keys that the devices share: making one takes longer than a hundred enrolments.
const KEYS: usize = 8;
/// Of a device's key.
const BITS: u32 = 2_048;
/// Requests at work, so that commits are shared; a signer takes 64 by default.
const AT_WORK: usize = 48;
/// Where this process calls the signer from.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

/// A key, and the certificate that its messages are signed under.
struct Device {
    key: DeviceKey,
    spki: Vec<u8>,
    certificate: Vec<u8>,
}

/// Enrols so many devices, `batch` at a time between two rounds of the signer's scheduled work. Requests are enveloped to
/// `ra`, DER. `pass` is called with the size of each batch once nothing of it is at work any more.
pub(crate) async fn enrol(
    signer: &Signer,
    ra: &[u8],
    certificates: u32,
    batch: usize,
    pass: impl Fn(usize),
) -> Outcome {
    let certificates = usize::try_from(certificates).unwrap_or(usize::MAX);
    let devices = (0..KEYS.min(certificates)).map(|_| Device::new());
    let devices: Arc<[Device]> = devices.collect::<Outcome<_>>()?;
    let ra: Arc<[u8]> = ra.into();
    let progress = Arc::new(Progress::new("enrolling", certificates as u64));
    for subjects in subjects(certificates)?.chunks(batch) {
        let challenges = challenges(signer, subjects).await?;
        let queue: Vec<_> = subjects.iter().cloned().zip(challenges).collect();
        let (queue, next) = (Arc::new(queue), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_WORK.min(queue.len()) {
            let enrolment = Arc::clone(signer.enrolment());
            let (devices, ra) = (Arc::clone(&devices), Arc::clone(&ra));
            let (queue, next) = (Arc::clone(&queue), Arc::clone(&next));
            let progress = Arc::clone(&progress);
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let device = devices.get(number % devices.len().max(1));
                    let (Some((subject, challenge)), Some(device)) = (queue.get(number), device)
                    else {
                        return Ok::<_, Failure>(());
                    };
                    let message = device.request(subject, challenge, &ra).await?;
                    post(&enrolment, message).await?;
                    progress.add(1);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.or_fail("an enrolment broke off")??;
        }
        pass(queue.len());
        signer.issuance().tend().await.map_err(|error| {
            Failure::failed(format!("the signer's scheduled work failed: {error}"))
        })?;
    }
    Ok(())
}

/// A call by somebody who was authenticated.
pub(super) fn by<T>(role: Role, message: T) -> Outcome<Request<T>> {
    let mut request = Request::new(message);
    let identity = Identity::new(role, "generator").or_fail("an identity")?;
    let peer = Peer::authenticated(identity, ADDRESS.into());
    request.extensions_mut().insert(peer);
    Ok(request)
}

async fn challenges(signer: &Signer, subjects: &[String]) -> Outcome<Vec<String>> {
    let items = subjects.iter().map(|subject| ChallengeItem {
        subject: subject.clone(),
        sans: Vec::new(),
    });
    let request = IssueChallengesRequest {
        profile: PROFILE.to_owned(),
        items: items.collect(),
        ttl: None,
        static_challenge: false,
    };
    let request = by(Role::Operator, request)?;
    let issued = signer.administration().issue_challenges(request).await;
    let issued = issued.or_fail("challenges cannot be issued")?.into_inner();
    let challenges = issued.challenges.into_iter();
    Ok(challenges.map(|issued| issued.challenge).collect())
}

async fn post(enrolment: &EnrolmentService, pki_message: Vec<u8>) -> Outcome {
    let reply = answer(enrolment, pki_message).await?;
    if reply.status() == PkiStatus::Success {
        return Ok(());
    }
    let (reason, rule) = (reply.fail_info(), reply.fail_info_text());
    Err(Failure::failed(format!(
        "a request was refused: {reason:?}, {rule:?}"
    )))
}

/// The CertRep to a message.
pub(super) async fn answer(enrolment: &EnrolmentService, pki_message: Vec<u8>) -> Outcome<CertRep> {
    let request = PkiOperationRequest {
        pki_message,
        profile: PROFILE.to_owned(),
        request_id: String::new(),
        client_address: String::new(),
    };
    let reply = enrolment.pki_operation(by(Role::Frontend, request)?).await;
    let answer = reply.or_fail("a request failed")?.into_inner().outcome;
    let Some(Answer::CertRep(reply)) = answer else {
        return Err(Failure::failed(format!(
            "a request got no CertRep: {answer:?}"
        )));
    };
    CertRep::parse(&reply, &Limits::default()).or_fail("a CertRep is unreadable")
}

impl Device {
    fn new() -> Outcome<Self> {
        let what = "a device's key cannot be made";
        let key = DeviceKey::generate(KeyType::Rsa(BITS)).or_fail(what)?;
        let spki = key.spki_der().or_fail(what)?;
        let subject = name("CN=transient")?;
        Ok(Self {
            certificate: transient_certificate(&key, &subject, &spki).or_fail(what)?,
            key,
            spki,
        })
    }

    /// A PKCSReq, in a transaction of its own.
    async fn request(&self, subject: &str, challenge: &str, ra: &[u8]) -> Outcome<Vec<u8>> {
        let what = "cannot build a request";
        let info = new_csr_info(&name(subject)?, &self.spki, Some(challenge), &[]);
        let signature = self.key.sign(Digest::Sha256, &info).or_fail(what)?;
        let csr = assemble_csr(&info, Digest::Sha256, &signature);
        let nonce = Nonce::random().or_fail(what)?;
        let transaction_id = hex::encode(nonce.as_bytes());
        PkiMessageBuilder::new(&self.certificate, ra, &transaction_id, nonce.as_bytes())
            .build(&csr, &self.key)
            .await
            .or_fail(what)
    }
}

fn name(subject: &str) -> Outcome<Vec<u8>> {
    let what = "the name of a device";
    let name = Dn::parse_rfc4514(subject).or_fail(what)?;
    name.to_der(StringEncoding::Utf8).or_fail(what)
}
