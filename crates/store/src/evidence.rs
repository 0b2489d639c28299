use assay_types::{Hash, Timestamp};

use crate::{CertificateRow, ChallengeRow, InventoryRow, KeyedHash, PendingRow, Store, StoreError};
use crate::{certificates, challenges, inventory, pending};

/// What a decision on a decrypted request needs to know, asked at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceQuery {
    /// The CA.
    pub ca_id: String,
    /// SHA-256 of the SubjectPublicKeyInfo that signed the pkiMessage.
    pub signer_spki_sha256: Hash,
    /// SHA-256 of the CSR.
    pub csr_digest: Hash,
    /// Since when an equal CSR is a retransmission.
    pub retransmit_since: Timestamp,
    /// Keyed hash of the challenge that came with it.
    pub challenge: Option<KeyedHash>,
    /// Profile and name to look up in the inventory.
    pub inventory: Option<(String, String)>,
}

/// What is known. It may change until the permit, which checks all of it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The certificate that the same key got for an equal CSR since then and that is not revoked, or the open intent for
    /// one: the client lost the reply.
    pub retransmitted: Option<CertificateRow>,
    /// The challenge whose secret has the keyed hash that was asked for.
    pub challenge: Option<ChallengeRow>,
    /// The waiting or approved request of the same key for an equal CSR.
    pub queued: Option<PendingRow>,
    /// As by [`Store::find_inventory`].
    pub inventory: Option<InventoryRow>,
}

impl Store {
    /// Its lookups for one turn of a reader.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn evidence(&self, query: EvidenceQuery) -> Result<Evidence, StoreError> {
        self.read(move |connection| {
            let retransmitted = certificates::find_equal_csr(
                connection,
                &query.ca_id,
                &query.signer_spki_sha256,
                &query.csr_digest,
                query.retransmit_since,
            )?;
            let challenge = match &query.challenge {
                Some(lookup) => challenges::find_by_lookup(connection, lookup)?,
                None => None,
            };
            let inventory = match &query.inventory {
                Some((profile, name)) => inventory::find(connection, profile, name)?,
                None => None,
            };
            let queued = pending::find_equal_csr(
                connection,
                &query.ca_id,
                &query.signer_spki_sha256,
                &query.csr_digest,
            )?;
            Ok(Evidence {
                retransmitted,
                queued,
                challenge,
                inventory,
            })
        })
        .await
    }
}
