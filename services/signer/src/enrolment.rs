//! The Enrolment service: what a frontend may call.

mod ocsp;

use std::sync::Arc;
use std::time::SystemTime;

use assay_issuance::{
    Answer, Generation, Generations, Issuance, Ocsp, Pipeline, Policies, Received, Recorder, Stage,
};
use assay_policy::Profile;
use assay_proto::v1::enrolment_server::Enrolment;
use assay_proto::v1::ocsp_response_reply::Outcome as OcspOutcome;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_proto::v1::{
    Busy, Malformed, OcspIssuer, OcspResponseReply, OcspResponseRequest, OcspUnknown,
    PkiOperationReply, PkiOperationRequest, ProfileInfo, PublicFile, PublicInfoReply,
    PublicInfoRequest, UnknownProfile,
};
use assay_runtime::drain::Shutdown;
use assay_runtime::mtls;
use assay_scep::Algorithms;
use assay_types::Hash;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::metrics;

/// Longest request id that is carried on; a frontend makes them of 16 characters.
const REQUEST_ID_CHARS: usize = 64;

/// A CA certificate does not change under its name.
const CA_MAX_AGE_SECONDS: u32 = 86_400;
/// A revocation is to be seen within this by whoever asks through an HTTP cache.
const CRL_MAX_AGE_SECONDS: u32 = 300;

/// What frontends may call.
pub struct EnrolmentService {
    pipeline: Arc<Pipeline>,
    public: Public,
    shutdown: Shutdown,
}

impl EnrolmentService {
    pub(crate) fn new(issuance: &Issuance) -> Self {
        let parts = issuance.parts();
        Self {
            pipeline: Arc::clone(issuance.pipeline()),
            public: Public {
                generations: Arc::clone(&parts.generations),
                policies: Arc::clone(&parts.policies),
                recorder: Arc::clone(&parts.recorder),
            },
            shutdown: issuance.shutdown().clone(),
        }
    }
}

/// What is told to everybody.
struct Public {
    generations: Arc<Generations>,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn pki_operation(
        &self,
        request: Request<PkiOperationRequest>,
    ) -> Result<Response<PkiOperationReply>, Status> {
        let at = Instant::now();
        let frontend = mtls::caller(&request)?;
        // The client address is for the frontend's own log: nothing here may depend on it.
        let PkiOperationRequest {
            pki_message,
            profile,
            request_id,
            client_address: _,
        } = request.into_inner();
        let received = Received {
            frontend,
            profile,
            request_id: printable(&request_id),
            pki_message,
            at,
        };
        // A task of its own: a frontend that hangs up must not leave a request without its terminal record.
        let pipeline = Arc::clone(&self.pipeline);
        let answer = self
            .shutdown
            .spawn(async move { pipeline.answer(received).await })
            .await
            .map_err(|_| Status::internal("the request was lost"))?;
        let outcome = to_outcome(answer);
        metrics::request_took(at, label(&outcome));
        Ok(Response::new(PkiOperationReply {
            outcome: Some(outcome),
        }))
    }

    async fn public_info(
        &self,
        request: Request<PublicInfoRequest>,
    ) -> Result<Response<PublicInfoReply>, Status> {
        let PublicInfoRequest { known_revision } = request.into_inner();
        self.public
            .info(&known_revision)
            .map(Response::new)
            .map_err(|error| Status::internal(error.to_string()))
    }

    async fn ocsp_response(
        &self,
        request: Request<OcspResponseRequest>,
    ) -> Result<Response<OcspResponseReply>, Status> {
        let frontend = mtls::caller(&request)?;
        let request = request.into_inner();
        let outcome = self.public.ocsp_answer(frontend.name(), &request).await;
        metrics::ocsp_lookup(match &outcome {
            OcspOutcome::Signed(_) => "signed",
            OcspOutcome::Unknown(_) => "unknown",
            OcspOutcome::Waiting(_) => "waiting",
            OcspOutcome::Busy(_) => "busy",
        });
        Ok(Response::new(OcspResponseReply {
            outcome: Some(outcome),
        }))
    }
}

impl Public {
    /// By the responder of the CA that is asked about.
    async fn ocsp_answer(&self, frontend: &str, request: &OcspResponseRequest) -> OcspOutcome {
        let OcspResponseRequest { issuer, serial } = request;
        if let Some(issuer) = issuer.as_ref().and_then(ocsp::issuer) {
            for responder in self.responders() {
                if let Some(answer) = responder.answer(frontend, &issuer, serial).await {
                    return ocsp::outcome(answer);
                }
            }
        }
        OcspOutcome::Unknown(OcspUnknown {})
    }

    fn responders(&self) -> impl Iterator<Item = &Ocsp> {
        let all = self.generations.all();
        all.filter_map(|generation| generation.ocsp())
    }

    /// For frontends, which refuse by themselves what is of another CA.
    fn ocsp_issuers(&self) -> Vec<OcspIssuer> {
        let issuers = self.responders().flat_map(Ocsp::issuers);
        issuers.map(ocsp::told).collect()
    }

    /// Capabilities and CA certificates by profile: from the same values that requests are held to.
    fn info(
        &self,
        known_revision: &str,
    ) -> Result<PublicInfoReply, assay_scep::CertificateListError> {
        let in_force = self.policies.active();
        let now = self.recorder.now();
        let stage = self.generations.stage(in_force.approves_next_ca(), now);
        let profiles = in_force
            .profiles()
            .map(|profile| self.profile_info(profile, stage, now))
            .collect::<Result<Vec<_>, _>>()?;
        let mut hasher = openssl::sha::Sha256::new();
        hasher.update(in_force.model_hash().unwrap_or(Hash::ZERO).as_bytes());
        // An exception may end while the policy stays.
        for profile in &profiles {
            hasher.update(profile.capabilities.as_bytes());
            hasher.update(&profile.ca_certificates);
            hasher.update(&profile.next_ca_certificates);
        }
        for generation in self.generations.all() {
            hasher.update(generation.ca().certificate());
            if let Some(crl) = generation.latest_crl() {
                hasher.update(crl.sha256.as_bytes());
            }
        }
        let ocsp_issuers = self.ocsp_issuers();
        for issuer in &ocsp_issuers {
            hasher.update(&issuer.name_hash);
            hasher.update(&issuer.key_hash);
        }
        let revision = hex::encode(hasher.finish());
        if revision == known_revision {
            return Ok(PublicInfoReply {
                revision,
                profiles: Vec::new(),
                files: Vec::new(),
                ocsp_issuers: Vec::new(),
            });
        }
        Ok(PublicInfoReply {
            revision,
            profiles,
            files: self.files(),
            ocsp_issuers,
        })
    }

    /// What relying parties fetch, under the paths that profiles name in crl_distribution_points and ca_issuers: by the key
    /// identifier of the CA, which `{ca}` stands for there, and as `ca` of the one that was first.
    fn files(&self) -> Vec<PublicFile> {
        let all = self.generations.all();
        all.flat_map(|generation| files_of(generation)).collect()
    }

    fn profile_info(
        &self,
        profile: &Profile,
        stage: Stage,
        now: SystemTime,
    ) -> Result<ProfileInfo, assay_scep::CertificateListError> {
        let (generations, quirks) = (&self.generations, profile.quirks_at(now));
        let current = generations.current(stage);
        let list = current.ca().ca_certificates(quirks);
        let (ca_certificates, content_type) = assay_scep::ca_certificates(&list)?;
        let next = generations.next_ca(stage, quirks);
        let algorithms = Algorithms {
            next_ca: next.is_some(),
            ..current.algorithms(profile, now)
        };
        Ok(ProfileInfo {
            profile: profile.name().to_string(),
            capabilities: assay_scep::capabilities(&algorithms),
            ca_certificates,
            ca_certificates_type: content_type.to_owned(),
            is_default: profile.is_default(),
            next_ca_certificates: next.unwrap_or_default(),
        })
    }
}

fn files_of(generation: &Generation) -> Vec<PublicFile> {
    let ca = generation.ca();
    let name = hex::encode(&ca.issuer().key_identifier);
    let further_paths = |plain: &str| {
        if generation.is_first() {
            vec![plain.to_owned()]
        } else {
            Vec::new()
        }
    };
    let mut files = vec![PublicFile {
        path: format!("aia/{name}.cer"),
        content_type: "application/pkix-cert".to_owned(),
        content: ca.certificate().to_vec(),
        max_age_seconds: CA_MAX_AGE_SECONDS,
        last_modified: Some(ca.issuer().not_before.into()),
        further_paths: further_paths("aia/ca.cer"),
    }];
    files.extend(generation.latest_crl().map(|crl| PublicFile {
        path: format!("crl/{name}.crl"),
        content_type: "application/pkix-crl".to_owned(),
        content: crl.der.clone(),
        max_age_seconds: CRL_MAX_AGE_SECONDS,
        last_modified: Some(crl.this_update.into()),
        further_paths: further_paths("crl/ca.crl"),
    }));
    files
}

fn to_outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::CertRep(der) => Outcome::CertRep(der),
        Answer::Malformed(reason) => Outcome::Malformed(Malformed { reason }),
        Answer::UnknownProfile => Outcome::UnknownProfile(UnknownProfile {}),
        Answer::Busy {
            retry_after_seconds,
        } => Outcome::Busy(Busy {
            retry_after_seconds,
        }),
    }
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::CertRep(_) => "cert-rep",
        Outcome::Malformed(_) => "malformed",
        Outcome::Busy(_) => "busy",
        Outcome::UnknownProfile(_) => "unknown-profile",
    }
}

/// Keeps a log line a line, whatever a frontend sends.
fn printable(request_id: &str) -> String {
    request_id
        .chars()
        .filter(char::is_ascii_graphic)
        .take(REQUEST_ID_CHARS)
        .collect()
}
