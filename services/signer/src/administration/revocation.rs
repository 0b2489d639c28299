//! Revocation, hold and release: durable first, then on a new CRL and in a new OCSP response at once.

mod import;

use assay_audit::Event;
use assay_issuance::Generation;
use assay_proto::v1::{
    GetCrlReply, GetCrlRequest, ReleaseCertificateReply, ReleaseCertificateRequest,
    RevokeCertificateReply, RevokeCertificateRequest,
};
use assay_store::{CrlReason, ReleaseOutcome, RevokeOutcome};
use assay_types::Serial;

use super::error::AdminError;
use super::{AdministrationService, wire};

/// Revokes for good, or holds with the reason `certificate-hold`. A certificate that comes with the request and is not
/// known is imported.
pub(super) async fn revoke(
    service: &AdministrationService,
    actor: &str,
    request: RevokeCertificateRequest,
) -> Result<RevokeCertificateReply, AdminError> {
    let RevokeCertificateRequest {
        serial,
        reason,
        certificate,
    } = request;
    let parsed = wire::required_serial(&serial)?;
    let reason = wire::crl_reason(reason)?;
    if !certificate.is_empty()
        && import::revoke(service, actor, &parsed, reason, certificate).await?
    {
        return Ok(RevokeCertificateReply {
            changed: true,
            crl_number: show(service, parsed, true).await?,
            imported: true,
        });
    }
    let event = if reason == CrlReason::CertificateHold {
        Event::CertificateHeld {
            actor: actor.into(),
            serial: parsed.to_string().into(),
        }
    } else {
        Event::CertificateRevoked {
            actor: actor.into(),
            serial: parsed.to_string().into(),
            reason: reason.as_str().into(),
        }
    };
    let draft = service
        .recorder
        .draft(service.policies.active().model_hash(), event);
    // The record tells the date that the CRL has.
    let at = draft.moment.wall_ms.seconds();
    let changed = match service
        .store
        .revoke(parsed.clone(), reason, at, vec![draft])
        .await?
    {
        RevokeOutcome::Revoked => true,
        RevokeOutcome::AlreadyRevoked => false,
        RevokeOutcome::NotFound => return Err(not_found(&serial)),
        RevokeOutcome::NotIssued => {
            return Err(AdminError::WrongState(format!(
                "{serial} was never issued; what was given up counts as revoked and is on the CRL"
            )));
        }
    };
    Ok(RevokeCertificateReply {
        changed,
        crl_number: show(service, parsed, changed).await?,
        imported: false,
    })
}

/// Ends a hold.
pub(super) async fn release(
    service: &AdministrationService,
    actor: &str,
    request: ReleaseCertificateRequest,
) -> Result<ReleaseCertificateReply, AdminError> {
    let ReleaseCertificateRequest { serial } = request;
    let parsed = wire::required_serial(&serial)?;
    let event = Event::CertificateReleased {
        actor: actor.into(),
        serial: parsed.to_string().into(),
    };
    let draft = service
        .recorder
        .draft(service.policies.active().model_hash(), event);
    match service.store.release(parsed.clone(), vec![draft]).await? {
        ReleaseOutcome::Released => {}
        ReleaseOutcome::NotHeld => {
            return Err(AdminError::WrongState(format!(
                "{serial} is not on hold; what was revoked for good stays revoked"
            )));
        }
        ReleaseOutcome::NotFound => return Err(not_found(&serial)),
    }
    Ok(ReleaseCertificateReply {
        crl_number: show(service, parsed, true).await?,
    })
}

/// The newest CRL of the CA of a certificate.
pub(super) async fn crl(
    service: &AdministrationService,
    _actor: &str,
    request: GetCrlRequest,
) -> Result<GetCrlReply, AdminError> {
    let GetCrlRequest { serial } = request;
    let parsed = wire::required_serial(&serial)?;
    let row = service.store.find_certificate(parsed).await?;
    let row = row.ok_or_else(|| not_found(&serial))?;
    let latest = service.generations.of(&row.ca_id);
    let latest = latest.and_then(|found| found.latest_crl());
    let latest = latest.ok_or_else(|| {
        AdminError::NotFound(format!(
            "the CA of {serial} is not in signer.toml any more, or has signed no CRL"
        ))
    })?;
    Ok(GetCrlReply {
        crl: latest.der.clone(),
    })
}

/// Has the change shown at once, also one of an earlier call that is on no list yet; the number of a list that shows it.
async fn show(
    service: &AdministrationService,
    serial: Serial,
    changed: bool,
) -> Result<u64, AdminError> {
    let Some(generation) = issuer_of(service, serial.clone()).await else {
        return Ok(0);
    };
    if !changed && !generation.has_unpublished() {
        return Ok(latest_number(generation));
    }
    let policy_hash = service.policies.active().model_hash();
    let shown = generation.show_change(serial.clone(), policy_hash).await;
    shown.map_err(|why| AdminError::Unpublished { serial, why })
}

/// The CA that lists the certificate; `None` for one of a rollover that is finished.
async fn issuer_of(service: &AdministrationService, serial: Serial) -> Option<&Generation> {
    let row = service.store.find_certificate(serial).await;
    let row = row
        .inspect_err(|error| tracing::error!(%error, "no CRL for a revocation yet"))
        .ok()??;
    service.generations.of(&row.ca_id).map(|found| &**found)
}

fn latest_number(of: &Generation) -> u64 {
    of.latest_crl().map_or(0, |latest| latest.number)
}

fn not_found(serial: &str) -> AdminError {
    AdminError::NotFound(format!(
        "no certificate has the serial {serial}; `assay cert list` shows them"
    ))
}
