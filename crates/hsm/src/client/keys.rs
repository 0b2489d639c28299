//! The keys of one CA behind the connection.

use std::pin::Pin;

use assay_types::Hash;
use tokio::sync::watch;

use super::config::CaCertificates;
use super::error::{OperationError, StartError};
use super::health::Health;
use super::hsm::Hsm;
use super::job::{Priority, Reply};
use super::runs::Run;
use super::token::{BadCiphertext, Operation, Plaintext, Token};
use crate::wire::{self, CaInfo, Fingerprint, LogKey, Octets, Welcome};
use crate::{Digest, KeyTransport, RaKeys, SignatureAlgorithm};

/// The keys of one CA and its RA, and of the log, in the HSM service.
#[derive(Clone, Debug)]
pub struct CaKeys {
    hsm: Hsm,
    info: CaInfo,
}

impl CaKeys {
    pub(super) fn new(hsm: Hsm, info: CaInfo) -> Self {
        Self { hsm, info }
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
    fn decrypt<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        transport: KeyTransport,
        ciphertext: &'a [u8],
    ) -> Operation<'a, Result<Plaintext, BadCiphertext>> {
        let operation = wire::Operation::Decrypt {
            ca: self.info.certificate,
            ra,
            transport,
            ciphertext: Octets(ciphertext),
        };
        Box::pin(async move {
            match self
                .hsm
                .call(request_id, Priority::Normal, operation)
                .await?
            {
                Reply::Plaintext(plaintext) => Ok(Ok(Plaintext::new(plaintext))),
                Reply::BadCiphertext => Ok(Err(BadCiphertext)),
                Reply::Signature(_) => Err(OperationError::ServiceLost),
            }
        })
    }

    fn sign_reply<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let operation = wire::Operation::SignReply {
            ca: self.info.certificate,
            ra,
            digest,
            signed_attributes: Octets(signed_attributes),
        };
        Box::pin(self.hsm.sign(request_id, Priority::Normal, operation))
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
        note_text: &'a str,
        leaves: &'a [Hash],
    ) -> Operation<'a, Vec<u8>> {
        Box::pin(async move {
            let leaves: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
            let operation = wire::Operation::SignCheckpoint {
                text: Octets(note_text.as_bytes()),
                leaves: Octets(&leaves),
            };
            self.hsm
                .sign("checkpoint", Priority::Normal, operation)
                .await
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
