//! A CA at work: its keys in the token, its certificates, the lists and responses that it signs.

use std::sync::Arc;
use std::time::SystemTime;

use assay_hsm::{Health, StartError, Token};
use assay_policy::Profile;
use assay_runtime::telemetry;
use assay_scep::Algorithms;
use assay_store::{CrlRow, Store};
use assay_types::{Hash, Serial};

use crate::app::StartFailure;
use crate::issuing_ca::{IssuingCa, RaState};
use crate::ocsp::Ocsp;
use crate::pipeline;
use crate::recorder::Recorder;
use crate::revocation::Revocation;
use crate::settings::{CrlConfig, GenerationSettings};

/// Responses that are signed before an operator is answered; the schedule signs the others next.
const OCSP_AT_ONCE: usize = 16;

/// Which of the CAs, in `/readyz` and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Next,
}

impl Place {
    /// The value of a metric's label `ca`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Next => "next",
        }
    }

    /// The name of a part in `/readyz`, of the two that there are.
    pub(crate) fn component(self, names: [&'static str; 2]) -> &'static str {
        let [first, next] = names;
        match self {
            Self::First => first,
            Self::Next => next,
        }
    }
}

/// The HSM service has no form for what a profile could issue.
#[derive(Debug, thiserror::Error)]
#[error(
    "profile `{profile}` is not covered for the {ca} CA: {reason}; add a form to hsm.toml on the HSM host \
     (`assay policy forms` prints one), then restart assay-hsm and assay-signer"
)]
pub(crate) struct UncoveredProfile {
    profile: String,
    ca: &'static str,
    reason: String,
}

/// One CA with its RA. A signer has one, or two while the second takes over from the first.
pub struct Generation {
    pub(crate) place: Place,
    pub(crate) ca: Arc<IssuingCa>,
    /// Its keys.
    pub(crate) token: Arc<dyn Token>,
    pub(crate) revocation: Revocation,
    pub(crate) ocsp: Option<Arc<Ocsp>>,
}

impl Generation {
    /// Opens its keys by `open`, which compares them with their certificates.
    ///
    /// # Errors
    /// Whatever makes its start unsafe.
    pub(crate) async fn start(
        settings: GenerationSettings,
        place: Place,
        open: &impl AsyncFn(&GenerationSettings) -> Result<Arc<dyn Token>, StartError>,
        crl: CrlConfig,
        ra: RaState,
        store: &Store,
        recorder: &Arc<Recorder>,
    ) -> Result<Self, StartFailure> {
        let token = open(&settings).await?;
        let ca = Arc::new(IssuingCa::new(
            settings.certificates,
            token.ca_signature_algorithm(),
            ra,
            recorder.now(),
        )?);
        let (store, recorder) = (store.clone(), Arc::clone(recorder));
        let ocsp = match settings.ocsp {
            Some(responder) => {
                let (token, store) = (Arc::clone(&token), store.clone());
                let recorder = Arc::clone(&recorder);
                let ocsp = Ocsp::start(token, store, &ca, place, recorder, responder);
                Some(Arc::new(ocsp.await?))
            }
            None => None,
        };
        let (of, keys) = (Arc::clone(&ca), Arc::clone(&token));
        Ok(Self {
            revocation: Revocation::load(keys, store, of, place, recorder, crl).await?,
            place,
            ca,
            token,
            ocsp,
        })
    }

    /// Whether it is the CA that was there first.
    pub fn is_first(&self) -> bool {
        self.place == Place::First
    }

    /// The CA.
    pub fn ca(&self) -> &IssuingCa {
        &self.ca
    }

    /// Whether a certificate is that of the CA, of its RA or of its responder, DER.
    pub(crate) fn has_as_its_own(&self, certificate: &[u8]) -> bool {
        let responder = self.ocsp.as_ref().map(|ocsp| ocsp.certificate());
        self.ca.certificate == certificate
            || self.ca.all_ra().contains(&certificate)
            || responder == Some(certificate)
    }

    /// Its responder, where there is one.
    pub fn ocsp(&self) -> Option<&Ocsp> {
        self.ocsp.as_deref()
    }

    /// Whether the HSM service signs all that `profile` could issue.
    ///
    /// # Errors
    /// [`UncoveredProfile`] where no form of this CA covers it.
    pub(crate) fn cover(&self, profile: &Profile) -> Result<(), UncoveredProfile> {
        let covered = self.token.covers(&profile.demand());
        covered.map_err(|uncovered| UncoveredProfile {
            profile: profile.name().to_string(),
            ca: self.place.label(),
            reason: uncovered.to_string(),
        })
    }

    /// How the token is.
    pub fn health(&self) -> Health {
        self.token.health().borrow().clone()
    }

    /// What `profile` takes of this CA at `now`, in the terms of the protocol.
    pub fn algorithms(&self, profile: &Profile, now: SystemTime) -> Algorithms {
        pipeline::algorithms(profile, self.token.key_transports(), now)
    }

    /// The latest CRL; `None` only until the first is signed.
    pub fn latest_crl(&self) -> Option<Arc<CrlRow>> {
        self.revocation.latest()
    }

    /// Has changes of the status of these certificates, which are durable, shown at once: by one new list, whose number is returned,
    /// and then by new responses, as the HSM service signs none that the last list does not agree with.
    ///
    /// # Errors
    /// No list can be signed now, for the reason that is returned. The schedule signs both as soon as it can.
    pub async fn show_changes(
        &self,
        serials: Vec<Serial>,
        policy_hash: Option<Hash>,
    ) -> Result<u64, String> {
        match self.revocation.issue(policy_hash).await {
            Ok(number) => {
                if let Some(ocsp) = &self.ocsp {
                    for serial in serials.into_iter().take(OCSP_AT_ONCE) {
                        ocsp.renew(serial).await;
                    }
                }
                Ok(number)
            }
            Err(error) => {
                let error = telemetry::chain(&*error);
                tracing::error!(error, "no CRL for a revocation yet");
                self.revocation.want();
                Err(error)
            }
        }
    }

    /// Whether a change of a status is on no CRL yet.
    pub fn has_unpublished(&self) -> bool {
        self.revocation.is_wanted()
    }
}
