//! A CA at work: its keys in the token, its certificates, the lists and responses that it signs.

use std::sync::Arc;

use assay_hsm::{HsmConfig, StartError, Token};
use assay_store::Store;

use crate::app::StartFailure;
use crate::config::CrlConfig;
use crate::issuing_ca::{IssuingCa, RaState};
use crate::ocsp::Ocsp;
use crate::recorder::Recorder;
use crate::revocation::Revocation;
use crate::settings::GenerationSettings;

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

/// One CA with its RA. A signer has one, or two while the second takes over from the first.
pub(crate) struct Generation {
    pub(crate) place: Place,
    pub(crate) ca: Arc<IssuingCa>,
    /// Workers of its own, which hold its keys and no other CA's.
    pub(crate) hsm: Arc<dyn Token>,
    pub(crate) revocation: Revocation,
    pub(crate) ocsp: Option<Arc<Ocsp>>,
}

impl Generation {
    /// Opens its token by `open`, which proves keys and certificates.
    ///
    /// # Errors
    /// Whatever makes its start unsafe.
    pub(crate) async fn start(
        settings: GenerationSettings,
        place: Place,
        open: &impl AsyncFn(HsmConfig) -> Result<Arc<dyn Token>, StartError>,
        crl: CrlConfig,
        ra: RaState,
        store: &Store,
        recorder: &Arc<Recorder>,
    ) -> Result<Self, StartFailure> {
        let hsm = open(settings.hsm).await?;
        let ca = Arc::new(IssuingCa::new(
            settings.certificates,
            settings.ca_key_id,
            hsm.ca_signature_algorithm(),
            ra,
            recorder.now(),
        )?);
        let (store, recorder) = (store.clone(), Arc::clone(recorder));
        let ocsp = match settings.ocsp {
            Some(responder) => {
                let (hsm, store) = (Arc::clone(&hsm), store.clone());
                let recorder = Arc::clone(&recorder);
                let ocsp = Ocsp::start(hsm, store, &ca, place, recorder, responder);
                Some(Arc::new(ocsp.await?))
            }
            None => None,
        };
        let (of, keys) = (Arc::clone(&ca), Arc::clone(&hsm));
        Ok(Self {
            revocation: Revocation::load(keys, store, of, place, recorder, crl).await?,
            place,
            ca,
            hsm,
            ocsp,
        })
    }
}
