//! Every CA that issues here, or ever did.

use assay_store::StoreError;

use super::AdministrationService;

/// Of each CA its certificate and those above it, DER: the present one first, the others in the order in which they came.
pub(super) async fn present_first(
    service: &AdministrationService,
) -> Result<Vec<Vec<Vec<u8>>>, StoreError> {
    let approved = service.policies.active().approves_next_ca();
    let generations = &service.generations;
    let stage = generations.stage(approved, service.recorder.now());
    let present = generations.current(stage).ca();
    let kept = service.store.issuers().await?.into_iter();
    let others = kept.map(|ca| ca.certificates).filter(|certificates| {
        certificates.first().map(Vec::as_slice) != Some(present.certificate())
    });
    Ok(std::iter::once(present.issuers()).chain(others).collect())
}
