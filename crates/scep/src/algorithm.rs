//! The algorithms of a message, and the one value that says which of them a profile takes.

use assay_types::{Curve, Digest, KeyTransport};
use openssl::symm;

/// Content-encryption algorithm of an envelope. Single DES and RC2 are never accepted and so not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cipher {
    /// Triple DES: only where a profile allows it.
    DesEde3Cbc,
    /// AES-128-CBC, which every SCEP implementation has (RFC 8894 §2.9).
    Aes128Cbc,
    /// AES-192-CBC.
    Aes192Cbc,
    /// AES-256-CBC.
    Aes256Cbc,
}

impl Cipher {
    /// Every cipher that can be spoken of.
    pub const ALL: [Cipher; 4] = [
        Cipher::DesEde3Cbc,
        Cipher::Aes128Cbc,
        Cipher::Aes192Cbc,
        Cipher::Aes256Cbc,
    ];

    /// Octets of the content-encryption key.
    #[must_use]
    pub fn key_length(self) -> usize {
        match self {
            Cipher::DesEde3Cbc | Cipher::Aes192Cbc => 24,
            Cipher::Aes128Cbc => 16,
            Cipher::Aes256Cbc => 32,
        }
    }

    /// Octets of a block and of the IV.
    #[must_use]
    pub fn block_length(self) -> usize {
        match self {
            Cipher::DesEde3Cbc => 8,
            Cipher::Aes128Cbc | Cipher::Aes192Cbc | Cipher::Aes256Cbc => 16,
        }
    }

    pub(crate) fn openssl(self) -> symm::Cipher {
        match self {
            Cipher::DesEde3Cbc => symm::Cipher::des_ede3_cbc(),
            Cipher::Aes128Cbc => symm::Cipher::aes_128_cbc(),
            Cipher::Aes192Cbc => symm::Cipher::aes_192_cbc(),
            Cipher::Aes256Cbc => symm::Cipher::aes_256_cbc(),
        }
    }
}

/// What a profile takes. GetCACaps is derived from it and requests are held to it, so that the two cannot differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Algorithms {
    /// Digests of the message's signature.
    pub digests: Vec<Digest>,
    /// Content encryption of the envelope.
    pub ciphers: Vec<Cipher>,
    /// Key transport that the RA's token can undo.
    pub key_transports: Vec<KeyTransport>,
    /// Curves of requesters' keys; with none of them requesters have RSA keys alone.
    pub curves: Vec<Curve>,
    /// RenewalReq is served.
    pub renewal: bool,
    /// GetNextCACert is served.
    pub next_ca: bool,
}

impl Default for Algorithms {
    /// SHA-2, AES and RSA keys; OAEP with SHA-1 alone, the only one that every PKCS#11 token has.
    fn default() -> Self {
        Algorithms {
            digests: vec![Digest::Sha256, Digest::Sha384, Digest::Sha512],
            ciphers: vec![Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc],
            key_transports: vec![
                KeyTransport::Pkcs1v15,
                KeyTransport::Oaep {
                    digest: Digest::Sha1,
                    mgf: Digest::Sha1,
                },
            ],
            curves: Vec::new(),
            renewal: false,
            next_ca: false,
        }
    }
}

/// The body of GetCACaps (RFC 8894 §3.5.2): a keyword a line, LF, no blank line.
#[must_use]
pub fn capabilities(algorithms: &Algorithms) -> String {
    let aes = algorithms.ciphers.contains(&Cipher::Aes128Cbc);
    let digest = |digest| algorithms.digests.contains(&digest);
    let keywords = [
        ("AES", aes),
        ("DES3", algorithms.ciphers.contains(&Cipher::DesEde3Cbc)),
        ("SHA-1", digest(Digest::Sha1)),
        ("SHA-256", digest(Digest::Sha256)),
        ("SHA-384", digest(Digest::Sha384)),
        ("SHA-512", digest(Digest::Sha512)),
        ("Renewal", algorithms.renewal),
        ("GetNextCACert", algorithms.next_ca),
        ("POSTPKIOperation", true),
        // It implies AES, POST and SHA-256.
        ("SCEPStandard", aes && digest(Digest::Sha256)),
    ];
    keywords
        .into_iter()
        .filter(|(_, enforced)| *enforced)
        .map(|(keyword, _)| format!("{keyword}\n"))
        .collect()
}
