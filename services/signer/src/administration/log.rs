//! The log's own proofs: checkpoints, consistency, cosignatures, receipts.

use assay_audit::note::{Note, Signature};
use assay_audit::tree::verify_inclusion;
use assay_audit::{Receipt, Record};
use assay_proto::v1::{
    AddCosignatureReply, AddCosignatureRequest, GetCheckpointReply, GetCheckpointRequest,
    GetReceiptReply, GetReceiptRequest, ProveConsistencyReply, ProveConsistencyRequest,
};
use assay_store::CheckpointRow;
use assay_types::Timestamp;

use super::error::AdminError;
use super::{AdministrationService, wire};

/// The latest signed checkpoint with its cosignatures.
pub(super) async fn checkpoint(
    service: &AdministrationService,
    _actor: &str,
    request: GetCheckpointRequest,
) -> Result<GetCheckpointReply, AdminError> {
    let GetCheckpointRequest {} = request;
    let newest = service.store.latest_checkpoint().await?;
    let note = newest.as_ref().map(whole).transpose()?;
    Ok(GetCheckpointReply {
        note: note.map(|note| note.to_string()).unwrap_or_default(),
    })
}

/// Consistency of two sizes of the log.
pub(super) async fn consistency(
    service: &AdministrationService,
    _actor: &str,
    request: ProveConsistencyRequest,
) -> Result<ProveConsistencyReply, AdminError> {
    let ProveConsistencyRequest { from_size, to_size } = request;
    let signed = signed_size(service).await?;
    if from_size == 0 || from_size > to_size || to_size > signed {
        return Err(AdminError::Invalid(format!(
            "no proof from size {from_size} to {to_size}: the first must be 1 or more, the second at least the first and at most {signed}, the size of the newest checkpoint"
        )));
    }
    let store = &service.store;
    let proof = store.consistency_proof(from_size, to_size).await?;
    Ok(ProveConsistencyReply {
        hashes: proof.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
    })
}

/// A witness's cosignature.
pub(super) async fn cosign(
    service: &AdministrationService,
    actor: &str,
    request: AddCosignatureRequest,
) -> Result<AddCosignatureReply, AdminError> {
    let AddCosignatureRequest { size, line } = request;
    let signature: Signature = line
        .parse()
        .map_err(|error| AdminError::Invalid(format!("the line: {error}")))?;
    let witness = service
        .log
        .witnesses()
        .iter()
        .find(|witness| signature.is_by(witness))
        .ok_or_else(|| {
            AdminError::Invalid(format!(
                "no key of `{}` with that id is among audit.witnesses of the signer; pin its verifier key there first",
                signature.name()
            ))
        })?;
    let gone = || {
        AdminError::NotFound(format!(
            "no checkpoint of size {size} is kept; cosign the latest one"
        ))
    };
    let store = &service.store;
    let row = store.checkpoint(size).await?.ok_or_else(gone)?;
    let time = witness
        .verify_line(own(&row)?.text(), &signature)
        .map_err(|error| {
            AdminError::Invalid(format!(
                "the cosignature of `{}` on the checkpoint of size {size}: {error}",
                witness.name()
            ))
        })?;
    let cosignatures = store
        .add_cosignature(size, witness.name().to_owned(), signature.to_string())
        .await?
        .ok_or_else(gone)?;
    tracing::info!(
        size,
        witness = witness.name(),
        time = time.map(Timestamp::seconds),
        actor,
        "cosigned"
    );
    Ok(AddCosignatureReply { cosignatures })
}

/// Proof that a certificate is in the log, under the newest checkpoint that a witness cosigned, else under the newest.
pub(super) async fn receipt(
    service: &AdministrationService,
    _actor: &str,
    request: GetReceiptRequest,
) -> Result<GetReceiptReply, AdminError> {
    let GetReceiptRequest { serial } = request;
    let parsed = wire::required_serial(&serial)?;
    let store = &service.store;
    let row = store.issued_record(&parsed).await?.ok_or_else(|| {
        AdminError::NotFound(format!(
            "no certificate with the serial {serial} was issued; `assay cert list` lists them"
        ))
    })?;
    let sequence = row.sequence;
    let cosigned = store.latest_cosigned_checkpoint(sequence).await?;
    let checkpoint = match cosigned {
        Some(cosigned) => Some(cosigned),
        None => store.latest_checkpoint().await?,
    };
    let checkpoint = checkpoint
        .filter(|newest| newest.checkpoint.size >= sequence)
        .ok_or_else(|| {
            AdminError::WrongState(format!(
                "record {sequence} of the certificate {serial} is not under a checkpoint yet; ask again after audit.checkpoint_interval"
            ))
        })?;
    let size = checkpoint.checkpoint.size;
    let (index, leaf) = (sequence - 1, row.leaf_hash);
    let proof = store.inclusion_proof(index, size).await?;
    // Nobody shall carry home what will not hold.
    verify_inclusion(&leaf, index, size, &proof, &checkpoint.checkpoint.root).map_err(damaged)?;
    let record = Record::from_canonical(&row.record).map_err(damaged)?;
    let receipt = Receipt::new(&whole(&checkpoint)?, record, proof);
    Ok(GetReceiptReply {
        receipt: receipt.to_canonical().map_err(damaged)?,
    })
}

async fn signed_size(service: &AdministrationService) -> Result<u64, AdminError> {
    let newest = service.store.latest_checkpoint().await?;
    Ok(newest.map_or(0, |newest| newest.checkpoint.size))
}

/// The note as the log signed it.
fn own(row: &CheckpointRow) -> Result<Note, AdminError> {
    row.checkpoint.note.parse().map_err(damaged)
}

/// The note with the cosignatures under the log's own signature.
pub(super) fn whole(row: &CheckpointRow) -> Result<Note, AdminError> {
    let own = own(row)?;
    let mut signatures = own.signatures().to_vec();
    for line in &row.cosignatures {
        signatures.push(line.parse().map_err(damaged)?);
    }
    Note::new(own.text(), signatures).map_err(damaged)
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> AdminError {
    AdminError::Damaged(Box::new(error))
}
