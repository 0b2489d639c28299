//! What GetNextCACert answers (RFC 8894 section 4.7.1): signed once for each list that a profile may have, not for each
//! question.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use assay_hsm::{OperationError, Token};
use assay_policy::Quirks;
use assay_scep::{Digest, MessageSigner, NextCaError, next_ca_certificates};
use openssl::hash::MessageDigest;

use super::{Generations, Next, Stage};
use crate::generation::Generation;
use crate::ra::Ra;

/// The signed bodies, by whether an RA of one key answers the profile.
#[derive(Default)]
pub(super) struct NextCa {
    bodies: RwLock<BTreeMap<bool, Vec<u8>>>,
}

/// Why it is not signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error(transparent)]
    Token(#[from] OperationError),
    #[error("the token's signature over the next certificates does not verify")]
    Signature,
}

impl Generations {
    /// The body of GetNextCACert for a profile with these exceptions; `None` unless devices are to be told, and until it is
    /// signed.
    pub fn next_ca(&self, stage: Stage, quirks: Quirks) -> Option<Vec<u8>> {
        let next = self.next.as_ref().filter(|_| stage == Stage::Announced)?;
        let bodies = next.announcement.bodies.read();
        let bodies = bodies.unwrap_or_else(PoisonError::into_inner);
        bodies.get(&quirks.single_ra).cloned()
    }
}

impl Next {
    /// Whether every body is signed.
    pub(super) fn is_signed(&self) -> bool {
        let bodies = self.announcement.bodies.read();
        let bodies = bodies.unwrap_or_else(PoisonError::into_inner);
        bodies.len() == VARIANTS.len()
    }

    /// Signs what is not signed yet, by the present RA.
    pub(super) async fn sign(&self, present: &Generation) -> Result<(), NextCaError<SignError>> {
        for single_ra in VARIANTS {
            let quirks = Quirks {
                single_ra,
                ..Quirks::default()
            };
            let ra = present.ca.ra(quirks);
            let signer = RaSigner {
                token: &*present.token,
                ra,
            };
            let list = self.ca().ca_certificates(quirks);
            let body = next_ca_certificates(&list, &ra.signer, &signer).await?;
            let bodies = self.announcement.bodies.write();
            let mut bodies = bodies.unwrap_or_else(PoisonError::into_inner);
            bodies.insert(single_ra, body);
        }
        Ok(())
    }
}

/// With and without an RA of one key.
const VARIANTS: [bool; 2] = [false, true];

struct RaSigner<'a> {
    token: &'a dyn Token,
    ra: &'a Ra,
}

impl MessageSigner for RaSigner<'_> {
    type Error = SignError;

    async fn sign(
        &self,
        _digest: Digest,
        content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let signature = self
            .token
            .sign_next_ca(self.ra.keys, content, signed_attributes)
            .await?;
        self.ra
            .reply_verifies(MessageDigest::sha256(), signed_attributes, &signature)
            .then_some(signature)
            .ok_or(SignError::Signature)
    }
}
