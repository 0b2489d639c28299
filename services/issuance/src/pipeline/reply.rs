//! CertReps: signed by the RA key in the token, verified in software, in the algorithms that the request spoke.

use std::time::SystemTime;

use assay_hsm::{OperationError, Token};
use assay_policy::{ContentCipher, KeyTransport as PolicyTransport, Profile};
use assay_scep::{
    Algorithms, Cipher, KeyTransport, MessageSigner, Outcome, ReplyContext, ReplyError, cert_rep,
};
use assay_types::Digest;

use super::reply_recipient::ReplyRecipient;
use super::{End, RequestContext};
use crate::ra::Ra;

/// Why a reply could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error(transparent)]
    Token(#[from] OperationError),
    #[error("the token's signature over the reply does not verify")]
    Signature,
}

/// What `profile` takes at `now` as far as the token can undo it, in the terms of the protocol. Capabilities and refusals
/// both come from here.
pub(crate) fn algorithms(
    profile: &Profile,
    key_transports: &[KeyTransport],
    now: SystemTime,
) -> Algorithms {
    Algorithms {
        digests: profile.message_digests(now),
        ciphers: profile.ciphers(now).into_iter().map(cipher).collect(),
        key_transports: key_transports
            .iter()
            .copied()
            .filter(|transport| profile.key_transports().contains(&listed_as(*transport)))
            .collect(),
        curves: profile.curves().to_vec(),
        renewal: profile.renewal().is_some(),
        next_ca: false,
    }
}

/// Builds the CertRep for the request of `recipient`, signed by the RA that it addressed. The digest and cipher of the
/// request are used where `algorithms` has them, SHA-256 and AES-128-CBC otherwise.
pub(super) async fn build(
    token: &dyn Token,
    algorithms: &Algorithms,
    recipient: ReplyRecipient<'_>,
    outcome: &Outcome,
    context: &RequestContext,
) -> Result<Vec<u8>, ReplyError<SignError>> {
    let ReplyRecipient { request, password } = recipient;
    let mirrored_digest = request
        .digest()
        .filter(|digest| algorithms.digests.contains(digest));
    let mirrored_cipher = request
        .envelope()
        .ok()
        .map(|envelope| envelope.cipher())
        .filter(|cipher| algorithms.ciphers.contains(cipher));
    let reply_context = ReplyContext {
        request,
        ra_certificate: &context.ra.signer,
        digest: mirrored_digest.unwrap_or(Digest::Sha256),
        cipher: mirrored_cipher.unwrap_or(Cipher::Aes128Cbc),
        password,
    };
    let signer = RaSigner {
        token,
        ra: &context.ra,
        request_id: &context.request_id,
    };
    cert_rep(&reply_context, outcome, &signer).await
}

/// A CertRep in the algorithms of the profile at `now`.
pub(super) async fn of(
    profile: &Profile,
    recipient: ReplyRecipient<'_>,
    outcome: &Outcome,
    context: &RequestContext,
    now: SystemTime,
) -> Result<Vec<u8>, End> {
    let token = &*context.generation.token;
    let algorithms = algorithms(profile, token.key_transports(), now);
    build(token, &algorithms, recipient, outcome, context)
        .await
        .map_err(|error| End::deferred(assay_runtime::telemetry::chain(&error)))
}

struct RaSigner<'a> {
    token: &'a dyn Token,
    ra: &'a Ra,
    request_id: &'a str,
}

impl MessageSigner for RaSigner<'_> {
    type Error = SignError;

    async fn sign(
        &self,
        digest: Digest,
        content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let signature = self
            .token
            .sign_cert_rep(
                self.request_id,
                self.ra.keys,
                digest,
                content,
                signed_attributes,
            )
            .await?;
        self.ra
            .reply_verifies(digest.into(), signed_attributes, &signature)
            .then_some(signature)
            .ok_or(SignError::Signature)
    }
}

fn cipher(cipher: ContentCipher) -> Cipher {
    match cipher {
        ContentCipher::TripleDesCbc => Cipher::DesEde3Cbc,
        ContentCipher::Aes128Cbc => Cipher::Aes128Cbc,
        ContentCipher::Aes192Cbc => Cipher::Aes192Cbc,
        ContentCipher::Aes256Cbc => Cipher::Aes256Cbc,
    }
}

/// A profile lists RSAES-OAEP as such; with which hashes is the token's to say.
fn listed_as(transport: KeyTransport) -> PolicyTransport {
    match transport {
        KeyTransport::Pkcs1v15 => PolicyTransport::RsaPkcs1,
        KeyTransport::Oaep { .. } => PolicyTransport::RsaOaep,
    }
}
