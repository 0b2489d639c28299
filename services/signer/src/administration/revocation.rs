//! Revocation, hold and release: durable first, then on a new CRL and in a new OCSP response at once.

mod import;

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_audit::{Draft, Event};
use assay_issuance::Generation;
use assay_proto::v1::{
    GetCrlReply, GetCrlRequest, ReleaseCertificateReply, ReleaseCertificateRequest,
    RevokeCertificateReply, RevokeCertificateRequest,
};
use assay_store::{
    CrlReason, LineageRevocation, LineageRevoked, ReleaseOutcome, RevokeOutcome, Successors,
};
use assay_types::Serial;

use super::error::AdminError;
use super::{AdministrationService, wire};

/// Revokes for good, or holds with the reason `certificate-hold`; with its successors if that is asked for. A certificate that
/// comes with the request and is not known is imported.
pub(super) async fn revoke(
    service: &AdministrationService,
    actor: &str,
    request: RevokeCertificateRequest,
) -> Result<RevokeCertificateReply, AdminError> {
    let done = record(service, actor, request).await;
    let imported = done.as_ref().is_ok_and(|reply| reply.imported);
    // Also where an earlier call did it and was not answered.
    let covered = service.cover("revoke_certificate", imported).await;
    let done = done?;
    covered.map(|()| done)
}

async fn record(
    service: &AdministrationService,
    actor: &str,
    request: RevokeCertificateRequest,
) -> Result<RevokeCertificateReply, AdminError> {
    let RevokeCertificateRequest {
        serial,
        reason,
        certificate,
        with_successors,
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
            // The signer never had it, so that nobody could renew it.
            ..RevokeCertificateReply::default()
        });
    }
    let at = service.recorder.timestamp();
    let draft = drafts(service, actor, &parsed, reason);
    let revocation = LineageRevocation {
        serial: parsed.clone(),
        reason,
        at,
    };
    let store = &service.store;
    let revoked = if with_successors {
        store.revoke_lineage(revocation.clone(), draft).await?
    } else {
        let draft = draft(&parsed, false);
        // The record says the date that the CRL has.
        let at = draft.moment.wall_ms.seconds();
        LineageRevoked {
            outcome: store
                .revoke(parsed.clone(), reason, at, vec![draft])
                .await?,
            successors: Successors::default(),
        }
    };
    let changed = match revoked.outcome {
        RevokeOutcome::Revoked => true,
        RevokeOutcome::AlreadyRevoked => false,
        RevokeOutcome::NotFound => return Err(not_found(&serial)),
        RevokeOutcome::NotIssued => {
            return Err(AdminError::WrongState(format!(
                "{serial} was never issued; what was given up counts as revoked and is on the CRL"
            )));
        }
    };
    let done = revoked.successors.certificates;
    let crl_number = show_all(service, parsed, changed, &done).await?;
    let live = store.live_successors(revocation).await?;
    let serials = |successors: Vec<(Serial, String)>| {
        let serials = successors.into_iter().map(|(serial, _)| serial.to_string());
        serials.collect()
    };
    Ok(RevokeCertificateReply {
        changed,
        crl_number,
        imported: false,
        revoked_successors: serials(done),
        live_successors: serials(live.certificates),
        more_live_successors: live.more,
    })
}

/// The record of each certificate that is revoked or held, as one of the successors of `serial` or as that one.
fn drafts(
    service: &AdministrationService,
    actor: &str,
    serial: &Serial,
    reason: CrlReason,
) -> impl Fn(&Serial, bool) -> Draft + Send + 'static {
    let recorder = Arc::clone(&service.recorder);
    let policy_hash = service.policies.active().model_hash();
    let (actor, first) = (actor.to_owned(), serial.to_string());
    move |serial, is_successor| {
        let successor_of = is_successor.then(|| first.as_str().into());
        let (actor, serial) = (actor.as_str().into(), serial.to_string().into());
        let event = if reason == CrlReason::CertificateHold {
            Event::CertificateHeld {
                actor,
                serial,
                successor_of,
            }
        } else {
            Event::CertificateRevoked {
                actor,
                serial,
                reason: reason.as_str().into(),
                successor_of,
            }
        };
        recorder.draft(policy_hash, event)
    }
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
    // Not by its row, whose content on disk may be damaged.
    let ca_id = service.store.ca_of(parsed).await?;
    let ca_id = ca_id.ok_or_else(|| not_found(&serial))?;
    let latest = service.generations.of(&ca_id);
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
    let Some(generation) = issuer_of(service, serial.clone()).await? else {
        return Ok(0);
    };
    if !changed && !generation.has_unpublished() {
        return Ok(latest_number(generation));
    }
    let policy_hash = service.policies.active().model_hash();
    let shown = generation
        .show_changes(vec![serial.clone()], policy_hash)
        .await;
    shown.map_err(|why| AdminError::Unpublished { serial, why })
}

/// As [`show`], for a certificate and successors of it: a new list of each CA that has to list one of them.
async fn show_all(
    service: &AdministrationService,
    serial: Serial,
    changed: bool,
    successors: &[(Serial, String)],
) -> Result<u64, AdminError> {
    let own = issuer_of(service, serial.clone()).await?;
    let mut by_ca: BTreeMap<&str, Vec<Serial>> = BTreeMap::new();
    for (successor, ca_id) in successors {
        by_ca.entry(ca_id).or_default().push(successor.clone());
    }
    let policy_hash = service.policies.active().model_hash();
    let mut number = None;
    for (ca_id, mut serials) in by_ca {
        let Some(generation) = service.generations.of(ca_id) else {
            continue;
        };
        let is_own = own.is_some_and(|own| std::ptr::eq(own, &**generation));
        if is_own {
            serials.insert(0, serial.clone());
        }
        let shown = generation.show_changes(serials, policy_hash).await;
        let shown = shown.map_err(|why| AdminError::Unpublished {
            serial: serial.clone(),
            why,
        })?;
        number = number.or(is_own.then_some(shown));
    }
    match number {
        Some(number) => Ok(number),
        None => show(service, serial, changed).await,
    }
}

/// The CA that lists the certificate; `None` for one of a rollover that is finished.
async fn issuer_of(
    service: &AdministrationService,
    serial: Serial,
) -> Result<Option<&Generation>, AdminError> {
    let ca_id = service.store.ca_of(serial).await?;
    let found = ca_id.and_then(|ca_id| service.generations.of(&ca_id));
    Ok(found.map(|found| &**found))
}

fn latest_number(of: &Generation) -> u64 {
    of.latest_crl().map_or(0, |latest| latest.number)
}

fn not_found(serial: &str) -> AdminError {
    AdminError::NotFound(format!(
        "no certificate has the serial {serial}; `assay cert list` shows them"
    ))
}
