//! The Enrolment service: what a frontend may call.

mod files;
mod ocsp;

use std::sync::Arc;
use std::time::SystemTime;

use assay_issuance::{
    Answer, Generations, Issuance, Ocsp, Pipeline, Policies, Received, Recorder, Stage,
};
use assay_policy::{Profile, ProfileName};
use assay_proto::v1::enrolment_server::Enrolment;
use assay_proto::v1::ocsp_response_reply::Outcome as OcspOutcome;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_proto::v1::{
    Busy, FileContentRequest, Malformed, OcspIssuer, OcspResponseReply, OcspResponseRequest,
    OcspUnknown, PkiOperationReply, PkiOperationRequest, ProfileInfo, PublicInfoReply,
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
/// The part that is kept of a name that no profile can have.
const FOREIGN_PROFILE_CHARS: usize = 32;

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
            profile: profile_name(profile),
            request_id: printable(&request_id, REQUEST_ID_CHARS),
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

    type FileContentStream = files::Parts;

    async fn file_content(
        &self,
        request: Request<FileContentRequest>,
    ) -> Result<Response<files::Parts>, Status> {
        let FileContentRequest { sha256 } = request.into_inner();
        files::content(&self.public.generations, &sha256)
            .map(Response::new)
            .ok_or_else(|| {
                Status::not_found("there is no such file any more; ask for PublicInfo again")
            })
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
            files: files::all(&self.generations),
            ocsp_issuers,
        })
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

/// The name of a profile, or the beginning of what cannot be one, which neither log nor record holds in full.
fn profile_name(profile: String) -> String {
    if profile.is_empty() || ProfileName::parse(&profile).is_some() {
        return profile;
    }
    let mut short = printable(&profile, FOREIGN_PROFILE_CHARS);
    // In no profile's name, so that the rest is not taken for one.
    short.push('…');
    short
}

/// Keeps a log line a line of bounded length, whatever a frontend sends.
fn printable(text: &str, chars: usize) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(chars)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_profile_name_is_cut_and_names_no_profile() {
        assert_eq!(profile_name("devices".to_owned()), "devices");
        assert_eq!(profile_name(String::new()), "");
        let long = profile_name("a".repeat(100_000));
        assert_eq!(long.chars().count(), FOREIGN_PROFILE_CHARS + 1);
        for foreign in [long.as_str(), &profile_name("devices\n".to_owned())] {
            assert!(ProfileName::parse(foreign).is_none(), "{foreign}");
            assert!(!foreign.contains('\n'));
        }
    }
}
