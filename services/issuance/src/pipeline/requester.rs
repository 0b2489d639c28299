//! Who signed the message: a key that nobody knows, or a certificate of ours.

use std::time::Duration;

use assay_policy::Profile;
use assay_scep::{Request, SignerCertificate};
use assay_store::{CertificateRow, CertificateState, Store};
use assay_types::{Serial, Timestamp};

use super::End;
use super::enrol::Enrolment;
use super::outer::Means;
use super::rule::SignerRule;

/// The signer of a pkiMessage, as far as it is known here.
pub(super) enum Requester {
    /// A self-signed or foreign certificate: nothing but the holder of a key.
    Key,
    /// A certificate that was issued here, found in the index, in force; whichever CA the renewal is to be of.
    Issued(Box<CertificateRow>),
}

impl Enrolment {
    /// Who asks for a certificate. A signer's certificate that claims to be of a CA here must be, to the last byte, and in
    /// force, or within the grace that the profile gives after its end; a RenewalReq needs one.
    pub(super) async fn requester(
        &self,
        profile: &Profile,
        request: &Request,
        means: Means,
    ) -> Result<Requester, End> {
        let signer = request.signer()?;
        let claims_to_be_ours = self.generations.issues_as(signer.issuer_der());
        if !claims_to_be_ours && means == Means::PkcsReq {
            return Ok(Requester::Key);
        }
        let row = issued_to(&self.store, signer)
            .await?
            .ok_or_else(|| SignerRule::RenewalSigner.refusal("another one"))?;
        let grace = profile
            .renewal()
            .map_or(Duration::ZERO, |renewal| renewal.grace);
        if !may_renew(&row, self.recorder.timestamp(), grace) {
            let detail = format!("certificate {}, which is not", row.serial);
            return Err(SignerRule::RenewalInForce.refusal(&detail));
        }
        Ok(Requester::Issued(Box::new(row)))
    }
}

/// The record of the very certificate that signed a message.
pub(super) async fn issued_to(
    store: &Store,
    signer: &SignerCertificate,
) -> Result<Option<CertificateRow>, End> {
    let Ok(serial) = Serial::try_from(signer.serial()) else {
        return Ok(None);
    };
    let row = store.find_certificate(serial).await?;
    Ok(row.filter(|row| {
        row.state == CertificateState::Issued && row.der.as_deref() == Some(signer.der())
    }))
}

/// Whether a certificate is not revoked, and `now` not later than `grace` after its end.
fn may_renew(row: &CertificateRow, now: Timestamp, grace: Duration) -> bool {
    row.revoked_at.is_none() && row.not_after + grace >= now
}

/// Whether a certificate is neither revoked nor expired at `now`.
pub(super) fn is_in_force(row: &CertificateRow, now: Timestamp) -> bool {
    row.revoked_at.is_none() && row.not_after >= now
}
