//! The keys of one CA behind the connection.

use std::pin::Pin;

use assay_shape::{Demand, Forms, Uncovered};
use assay_types::{Hash, Serial};
use tokio::sync::watch;

use super::config::CaCertificates;
use super::error::{OperationError, StartError};
use super::health::Health;
use super::hsm::Hsm;
use super::job::{Priority, Reply};
use super::runs::Run;
use super::token::{ContentKey, Operation, SignedCheckpoint, Token};
use crate::wire::{self, CaInfo, Fingerprint, LogKey, Octets, Welcome};
use crate::{Digest, KeyTransport, RaKeys, SignatureAlgorithm};

/// The keys of one CA and its RA, and of the log, in the HSM service.
#[derive(Clone, Debug)]
pub struct CaKeys {
    hsm: Hsm,
    info: CaInfo,
    forms: Forms,
}

/// Request ids of operations that no request caused.
const CHECKPOINT: &str = "checkpoint";
/// The request id of questions about the journal.
const RECOVERY: &str = "recovery";
const NEXT_CA: &str = "next-ca";

impl CaKeys {
    pub(super) fn new(hsm: Hsm, info: CaInfo) -> Result<Self, StartError> {
        let forms = Forms::new(info.forms.clone())?;
        Ok(Self { hsm, info, forms })
    }

    /// The CA of the service that has these certificates.
    pub(super) fn find<'a>(
        welcome: &'a Welcome,
        certificates: &CaCertificates<'_>,
    ) -> Result<&'a CaInfo, StartError> {
        let wanted = fingerprint(certificates.ca);
        let info = welcome.cas.iter().find(|info| info.certificate == wanted);
        let info = info.ok_or_else(|| StartError::UnknownCa {
            wanted: shown(&wanted),
            found: welcome
                .cas
                .iter()
                .map(|info| shown(&info.certificate))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let ocsp = info.ocsp.as_ref().map(|(fingerprint, _)| fingerprint);
        for (key, ours, theirs) in [
            (
                "ra-decrypt",
                Some(certificates.ra_decrypt),
                Some(&info.ra_decrypt),
            ),
            ("ra-sign", Some(certificates.ra_sign), Some(&info.ra_sign)),
            ("ra-single", certificates.ra_single, info.ra_single.as_ref()),
            ("ocsp-sign", certificates.ocsp, ocsp),
        ] {
            let Some(ours) = ours.map(fingerprint) else {
                // What is not used here may be there.
                continue;
            };
            if theirs != Some(&ours) {
                return Err(StartError::OtherCertificate {
                    key,
                    wanted: shown(&ours),
                    found: theirs.map_or("none".to_owned(), shown),
                });
            }
        }
        Ok(info)
    }
}

fn fingerprint(certificate: &[u8]) -> Fingerprint {
    *Hash::of(certificate).as_bytes()
}

fn shown(fingerprint: &Fingerprint) -> String {
    Hash::from(*fingerprint).to_string()
}

impl Token for CaKeys {
    fn unwrap_key<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        transport: KeyTransport,
        length: u8,
        ciphertext: &'a [u8],
    ) -> Operation<'a, ContentKey> {
        let operation = wire::Operation::UnwrapKey {
            ca: self.info.certificate,
            ra,
            transport,
            length,
            ciphertext: Octets(ciphertext),
        };
        Box::pin(async move {
            match self
                .hsm
                .call(request_id, Priority::Normal, operation)
                .await?
            {
                Reply::Key(key) => Ok(ContentKey::new(key)),
                Reply::Signature(_) | Reply::Checkpoint(_) | Reply::Journalled(_) => {
                    Err(OperationError::ServiceLost)
                }
            }
        })
    }

    fn sign_cert_rep<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        content: &'a [u8],
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let operation = wire::Operation::SignCertRep {
            ca: self.info.certificate,
            ra,
            digest,
            content: Octets(content),
            signed_attributes: Octets(signed_attributes),
        };
        Box::pin(self.hsm.sign(request_id, Priority::Normal, operation))
    }

    fn sign_next_ca<'a>(
        &'a self,
        ra: RaKeys,
        content: &'a [u8],
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let operation = wire::Operation::SignNextCa {
            ca: self.info.certificate,
            ra,
            content: Octets(content),
            signed_attributes: Octets(signed_attributes),
        };
        Box::pin(self.hsm.sign(NEXT_CA, Priority::Normal, operation))
    }

    fn sign_certificate<'a>(
        &'a self,
        request_id: &'a str,
        tbs: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let operation = wire::Operation::SignCertificate {
            ca: self.info.certificate,
            tbs: Octets(tbs),
        };
        Box::pin(self.hsm.sign(request_id, Priority::Normal, operation))
    }

    fn sign_crl<'a>(&'a self, request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>> {
        let operation = wire::Operation::SignCrl {
            ca: self.info.certificate,
            tbs: Octets(tbs),
        };
        Box::pin(self.hsm.sign(request_id, Priority::Normal, operation))
    }

    fn sign_checkpoint<'a>(
        &'a self,
        size: u64,
        root: Hash,
        leaves: &'a [Hash],
    ) -> Operation<'a, SignedCheckpoint> {
        Box::pin(async move {
            let leaves: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
            let operation = wire::Operation::SignCheckpoint {
                size,
                root: *root.as_bytes(),
                leaves: Octets(&leaves),
            };
            match self
                .hsm
                .call(CHECKPOINT, Priority::Normal, operation)
                .await?
            {
                Reply::Checkpoint(signed) => {
                    self.hsm.has_signed(size);
                    Ok(signed)
                }
                Reply::Key(_) | Reply::Signature(_) | Reply::Journalled(_) => {
                    Err(OperationError::ServiceLost)
                }
            }
        })
    }

    fn is_journalled<'a>(&'a self, serial: &'a Serial) -> Operation<'a, bool> {
        Box::pin(async move {
            let operation = wire::Operation::IsJournalled {
                ca: self.info.certificate,
                serial: Octets(serial.as_bytes()),
            };
            match self.hsm.call(RECOVERY, Priority::Normal, operation).await? {
                Reply::Journalled(is_journalled) => Ok(is_journalled),
                Reply::Key(_) | Reply::Signature(_) | Reply::Checkpoint(_) => {
                    Err(OperationError::ServiceLost)
                }
            }
        })
    }

    fn sign_ocsp<'a>(
        &'a self,
        request_id: &'a str,
        priority: Priority,
        response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let operation = wire::Operation::SignOcsp {
            ca: self.info.certificate,
            response_data: Octets(response_data),
        };
        Box::pin(self.hsm.sign(request_id, priority, operation))
    }

    fn covers(&self, demand: &Demand) -> Result<(), Uncovered> {
        self.forms.covers(demand).map(|_| ())
    }

    fn journal(&self) -> Option<Hash> {
        Some(Hash::from(self.hsm.welcome().journal.identity))
    }

    fn log_key(&self) -> Option<&LogKey> {
        self.hsm.welcome().log.as_ref().map(|log| &log.key)
    }

    fn ca_signature_algorithm(&self) -> SignatureAlgorithm {
        self.info.signature
    }

    fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.info.ocsp.map(|(_, algorithm)| algorithm)
    }

    fn key_transports(&self) -> &[KeyTransport] {
        &self.info.key_transports
    }

    fn runs(&self) -> Vec<Run> {
        self.hsm.runs().of(&self.info.certificate)
    }

    fn forget_runs(&self, ids: &[u64]) {
        self.hsm.runs().forget(ids);
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.hsm.health()
    }

    fn queue_depth(&self) -> usize {
        self.hsm.queue_depth()
    }

    fn token_label(&self) -> String {
        self.hsm.welcome().token_label.clone()
    }

    fn token_serial(&self) -> String {
        self.hsm.welcome().token_serial.clone()
    }

    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.hsm.shutdown())
    }
}
