//! Who signed the message: a key that nobody knows, or a certificate of ours.

use assay_scep::{FailInfo, MessageType, Request, SignerCertificate};
use assay_store::{CertificateRow, CertificateState, Serial};

use super::{End, Pipeline};

/// The signer of a pkiMessage, as far as this CA knows it.
pub(super) enum Requester {
    /// A self-signed or foreign certificate: nothing but the holder of a key.
    Key,
    /// A certificate that this CA issued, found in the index, in force.
    Issued(Box<CertificateRow>),
}

impl Pipeline {
    /// The issued record of the message's signer, where its certificate says that this CA issued it. A certificate that
    /// says so and is not ours to the last byte, or is not in force, is no requester at all.
    pub(super) async fn requester(
        &self,
        request: &Request,
        message_type: MessageType,
    ) -> Result<Requester, End> {
        let signer = request.signer()?;
        if signer.issuer_der() != self.authority.issuer.subject_der {
            return match message_type {
                MessageType::RenewalReq => Err(refuse(
                    "REN:signer",
                    "a RenewalReq is signed by a certificate of this CA",
                )),
                MessageType::PkcsReq
                | MessageType::CertPoll
                | MessageType::GetCert
                | MessageType::GetCrl
                | MessageType::CertRep => Ok(Requester::Key),
            };
        }
        let row = self.issued(signer).await?;
        let now = self.recorder.clock.now_seconds();
        if row.not_after < now {
            return Err(refuse(
                "REN:expired",
                "the signer's certificate has expired",
            ));
        }
        if row.revoked_at.is_some() {
            return Err(refuse(
                "REN:revoked",
                "the signer's certificate is revoked or on hold",
            ));
        }
        Ok(Requester::Issued(Box::new(row)))
    }

    async fn issued(&self, signer: &SignerCertificate) -> Result<CertificateRow, End> {
        let unknown = || {
            refuse(
                "REN:unknown",
                "this CA did not issue the signer's certificate",
            )
        };
        let serial = Serial::try_from(signer.serial()).map_err(|_| unknown())?;
        self.store
            .find_certificate(serial)
            .await?
            .filter(|row| {
                row.state == CertificateState::Issued && row.der.as_deref() == Some(signer.der())
            })
            .ok_or_else(unknown)
    }
}

fn refuse(rule: &str, detail: &str) -> End {
    End::refused(FailInfo::BadRequest, rule, detail)
}
