//! Which exceptions of its profile a request needs: counted, recorded, and kept with the device.

use assay_hsm::RaKeys;
use assay_policy::{ContentCipher, Facts, Profile, Quirk};
use assay_scep::{Cipher, Envelope, Request};

use crate::ra::Ra;

/// What the message itself needs.
pub(super) fn of_message(request: &Request, envelope: &Envelope) -> impl Iterator<Item = Quirk> {
    let digest = request.digest();
    let digest = digest.and_then(Quirk::of_digest);
    digest
        .into_iter()
        .chain(Quirk::of_cipher(cipher(envelope.cipher())))
}

/// What a message needs that is enveloped to this RA.
pub(super) fn of_recipient(ra: &Ra) -> Option<Quirk> {
    match ra.keys {
        RaKeys::Pair => None,
        RaKeys::Single => Some(Quirk::SingleRa),
    }
}

/// What a certificate needs: for an approved request the first message's and the CSR's hash too, as policy judges them
/// again, and what the profile changes of the certificate and its CertRep.
pub(super) fn of_issue(profile: &Profile, facts: &Facts) -> impl Iterator<Item = Quirk> + use<> {
    let digests = [facts.message_digest, facts.csr_digest];
    let in_force = profile.quirks_at(facts.now);
    let changes = [Quirk::ChainInReply, Quirk::NotBeforeSkew];
    digests.into_iter().filter_map(Quirk::of_digest).chain(
        changes
            .into_iter()
            .filter(move |quirk| in_force.has(*quirk)),
    )
}

fn cipher(cipher: Cipher) -> ContentCipher {
    match cipher {
        Cipher::DesEde3Cbc => ContentCipher::TripleDesCbc,
        Cipher::Aes128Cbc => ContentCipher::Aes128Cbc,
        Cipher::Aes192Cbc => ContentCipher::Aes192Cbc,
        Cipher::Aes256Cbc => ContentCipher::Aes256Cbc,
    }
}
