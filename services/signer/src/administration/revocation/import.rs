//! A certificate that the journal of the HSM service knows and the store does not. It comes from an operator's hands, so
//! everything that is written of it is read from the certificate, after the signature of a CA here was verified.

use assay_audit::Event;
use assay_issuance::OwnCertificate;
use assay_store::{CrlReason, ImportOutcome, NewImport};
use assay_types::{Hash, Serial};

use super::super::AdministrationService;
use super::super::error::AdminError;

/// Imports and revokes the certificate; false if the store knows it, and nothing was done.
pub(super) async fn revoke(
    service: &AdministrationService,
    actor: &str,
    serial: &Serial,
    reason: CrlReason,
    certificate: Vec<u8>,
) -> Result<bool, AdminError> {
    if reason == CrlReason::CertificateHold {
        return Err(AdminError::Invalid(
            "a certificate from the journal cannot be put on hold, as nobody decided to issue it; revoke it with another reason"
                .to_owned(),
        ));
    }
    let own = service
        .generations
        .own_certificate(certificate)
        .map_err(|error| AdminError::Invalid(error.to_string()))?;
    if own.serial != *serial {
        return Err(AdminError::Invalid(format!(
            "the certificate has the serial {}, not {serial}",
            own.serial
        )));
    }
    let now = service.recorder.timestamp();
    if own.not_after < now {
        return Err(AdminError::WrongState(format!(
            "{serial} expired at {}; a CRL lists no expired certificate, so there is nothing to revoke",
            own.not_after
        )));
    }
    let policy_hash = service.policies.active().model_hash();
    let [imported, revoked] =
        events(actor, &own, reason).map(|event| service.recorder.draft(policy_hash, event));
    // The record tells the date that the CRL has.
    let at = revoked.moment.wall_ms.seconds();
    let audit = vec![imported, revoked];
    let ca_id = own.ca_id.clone();
    let imported = service
        .store
        .import_revoked(new(own), reason, at, audit)
        .await?;
    match imported {
        ImportOutcome::Imported => Ok(true),
        ImportOutcome::Known { ca_id: known } if known == ca_id => Ok(false),
        ImportOutcome::Known { .. } => Err(AdminError::WrongState(format!(
            "the store has a certificate of another CA with the serial {serial}, so that this one cannot be imported"
        ))),
    }
}

fn events(actor: &str, own: &OwnCertificate, reason: CrlReason) -> [Event; 2] {
    let serial = own.serial.to_string();
    [
        Event::CertificateImported {
            actor: actor.into(),
            serial: serial.as_str().into(),
            subject: own.subject.as_str().into(),
            not_after: own.not_after,
            tbs_digest: own.tbs_digest,
            certificate_sha256: Hash::of(&own.der),
        },
        Event::CertificateRevoked {
            actor: actor.into(),
            serial: serial.into(),
            reason: reason.as_str().into(),
            successor_of: None,
        },
    ]
}

fn new(own: OwnCertificate) -> NewImport {
    let OwnCertificate {
        serial,
        ca_id,
        subject,
        sans,
        not_before,
        not_after,
        tbs_digest,
        der,
    } = own;
    NewImport {
        serial,
        ca_id,
        subject,
        sans,
        not_before,
        not_after,
        tbs_digest,
        der,
    }
}
