//! Opener the envelope: RSA unwrap in the token, CSR, proof of possession, and the key that signed the message.
//!
//! All failures here are one: anybody can re-sign a captured envelope, so telling them apart would be an oracle
//! (SECURITY.md). What to do about it in time and bytes is `refuse.rs`.

use std::sync::Arc;

use assay_hsm::{OperationError, RaKeys, Token};
use assay_policy::Profile;
use assay_scep::{
    Csr, Decryptor, Envelope, KeyTransport, Limits, Request, SignerCertificate, Undecipherable,
};
use assay_types::Hash;
use zeroize::Zeroizing;

use super::decoy::{Decoy, NoDecoy};
use super::requester::Requester;
use super::{End, RequestContext};
use crate::admission::Admission;
use crate::app::Parts;

/// A CSR whose sender holds the key, with the certificate that the reply will be enveloped to.
pub(super) struct Opened {
    pub(super) csr: Csr,
    pub(super) csr_sha256: Hash,
    pub(super) signer: SignerCertificate,
}

/// Opens envelopes; a request that does not open is charged to its frontend.
pub(super) struct Opener {
    decoy: Decoy,
    admission: Arc<Admission>,
    message_limits: Limits,
}

impl Opener {
    pub(super) fn new(parts: &Parts) -> Result<Self, NoDecoy> {
        Ok(Self {
            decoy: Decoy::new(&*parts.random)?,
            admission: Arc::clone(&parts.admission),
            message_limits: Limits::default(),
        })
    }

    /// On a first enrolment the CSR's key is the signer's; a renewal may bring a new key.
    pub(super) async fn open(
        &self,
        profile: &Profile,
        request: &Request,
        envelope: &Envelope,
        requester: &Requester,
        context: &RequestContext,
    ) -> Result<Opened, End> {
        let signer = request.signer()?.clone();
        let bound_to = match requester {
            Requester::Key => Some(&signer),
            Requester::Issued(_) => None,
        };
        let content = self.unwrap(envelope, context).await?;
        let content = content.as_ref().ok().map(|content| content.as_slice());
        let csr = self
            .decoy
            .prove(content, bound_to, profile.curves(), &self.message_limits)
            .ok_or(End::Undecipherable);
        if csr.is_err() {
            self.admission.undecipherable(&context.peer);
        }
        let csr = csr?;
        Ok(Opened {
            csr_sha256: Hash::of(csr.der()),
            csr,
            signer,
        })
    }

    /// The content of the envelope. The inner failure has no cause.
    pub(super) async fn unwrap(
        &self,
        envelope: &Envelope,
        context: &RequestContext,
    ) -> Result<Result<Zeroizing<Vec<u8>>, Undecipherable>, End> {
        let key = RaKey {
            token: &*context.generation.token,
            keys: context.ra.keys,
            request_id: &context.request_id,
        };
        Ok(envelope.open(&key, &context.ra.recipient).await?)
    }
}

/// The RA decryption key in the HSM service.
struct RaKey<'a> {
    token: &'a dyn Token,
    keys: RaKeys,
    request_id: &'a str,
}

impl Decryptor for RaKey<'_> {
    type Error = OperationError;

    async fn decrypt(
        &self,
        transport: KeyTransport,
        length: usize,
        encrypted_key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, OperationError> {
        // No cipher has a longer key; another length is refused.
        let length = u8::try_from(length).unwrap_or_default();
        let key = self
            .token
            .unwrap_key(self.request_id, self.keys, transport, length, encrypted_key)
            .await?;
        Ok(Some(key.into_inner()))
    }
}
