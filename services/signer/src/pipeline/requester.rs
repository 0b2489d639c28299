//! Who signed the message: a key that nobody knows, or a certificate of ours.

use assay_scep::{Request, SignerCertificate};
use assay_store::{CertificateRow, CertificateState, Serial};

use super::outer::Means;
use super::rule::SignerRule;
use super::{End, Pipeline};

/// The signer of a pkiMessage, as far as it is known here.
pub(super) enum Requester {
    /// A self-signed or foreign certificate: nothing but the holder of a key.
    Key,
    /// A certificate that was issued here, found in the index, in force; whichever CA the renewal is to be of.
    Issued(Box<CertificateRow>),
}

impl Pipeline {
    /// Who asks for a certificate. A signer's certificate that claims to be of a CA here must be, to the last byte, and in
    /// force; a RenewalReq needs one.
    pub(super) async fn requester(
        &self,
        request: &Request,
        means: Means,
    ) -> Result<Requester, End> {
        let signer = request.signer()?;
        let claims_to_be_ours = self.generations.issues_as(signer.issuer_der());
        if !claims_to_be_ours && means == Means::PkcsReq {
            return Ok(Requester::Key);
        }
        let row = self
            .issued_to(signer)
            .await?
            .ok_or_else(|| SignerRule::RenewalSigner.refusal("another one"))?;
        if !self.is_in_force(&row) {
            let detail = format!("certificate {}, which is not", row.serial);
            return Err(SignerRule::RenewalInForce.refusal(&detail));
        }
        Ok(Requester::Issued(Box::new(row)))
    }

    /// The record of the very certificate that signed the message, in force, for those who ask for what was issued.
    pub(super) async fn holder(&self, request: &Request) -> Result<CertificateRow, End> {
        self.issued_to(request.signer()?)
            .await?
            .filter(|row| self.is_in_force(row))
            .ok_or_else(|| {
                SignerRule::UnknownCertificate.refusal("a signer that holds none in force")
            })
    }

    async fn issued_to(&self, signer: &SignerCertificate) -> Result<Option<CertificateRow>, End> {
        let Ok(serial) = Serial::try_from(signer.serial()) else {
            return Ok(None);
        };
        let row = self.store.find_certificate(serial).await?;
        Ok(row.filter(|row| {
            row.state == CertificateState::Issued && row.der.as_deref() == Some(signer.der())
        }))
    }

    fn is_in_force(&self, row: &CertificateRow) -> bool {
        row.revoked_at.is_none() && row.not_after >= self.recorder.clock.now_seconds()
    }
}
