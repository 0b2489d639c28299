//! PKCS#10 CertificationRequest (RFC 2986), read strictly: it was decrypted, so that nobody but its sender is asked to
//! follow an odd encoding.

mod attributes;

use der::asn1::ObjectIdentifier;
use thiserror::Error;
use zeroize::Zeroizing;

use self::attributes::Attributes;
pub use self::attributes::RequestedExtension;
use crate::{
    Digest, Limits, Secret, SignerCertificate,
    asn1::{
        ber, oid,
        read::{Element, Fields},
        tag, write,
    },
    cms::algorithm::{AlgorithmIdentifier, SignatureScheme},
    rsa::RsaKey,
};

/// A CSR in parts. Its whole encoding holds the challengePassword and is wiped on drop.
#[derive(Clone)]
pub struct Csr {
    der: Zeroizing<Vec<u8>>,
    /// CertificationRequestInfo, whole encoding: what is signed.
    info: Zeroizing<Vec<u8>>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    challenge_password: Option<Secret>,
    extensions: Vec<RequestedExtension>,
    unknown_attributes: usize,
    scheme: SignatureScheme,
    digest: Digest,
    signature: Vec<u8>,
}

/// Why a CSR is not taken. Met after decryption: the client is never told one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CsrError {
    /// Not DER, or past a budget.
    #[error("the CSR is to be DER, in bounds, with nothing after it")]
    Encoding,
    /// Not a CertificationRequest.
    #[error("the {0} is not as RFC 2986 defines it")]
    Structure(&'static str),
    /// An attribute comes twice.
    #[error("each attribute is to come once")]
    DuplicateAttribute,
    /// An extension is asked for twice.
    #[error("each extension is to be asked for once")]
    DuplicateExtension,
    /// challengePassword is no string, or too long.
    #[error("challengePassword is to be one DirectoryString or IA5String in bounds")]
    ChallengePassword,
    /// The signature algorithm is none that is verified.
    #[error("the signature algorithm is to be RSASSA-PKCS1-v1_5 or RSASSA-PSS with SHA-1 or SHA-2")]
    SignatureAlgorithm,
    /// The key is none that signatures are verified with.
    #[error("the key is to be RSA of 1024 to 8192 bits")]
    Key,
    /// The signature is not the key's.
    #[error("the signature does not verify with the key inside")]
    ProofOfPossession,
}

impl Csr {
    /// Reads a DER CSR. An extension request may stand under either of its two object identifiers.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn parse(der: &[u8], limits: &Limits) -> Result<Csr, CsrError> {
        let canonical = ber::normalise(der, limits).map_err(|_| CsrError::Encoding)?;
        if *canonical != *der {
            return Err(CsrError::Encoding);
        }
        let parts = Parts::parse(der).ok_or(CsrError::Structure("CertificationRequest"))?;
        let attributes = Attributes::parse(parts.attributes, limits)?;
        let scheme = SignatureScheme::from_identifier(&parts.signature_algorithm)
            .ok_or(CsrError::SignatureAlgorithm)?;
        Ok(Csr {
            der: Zeroizing::new(der.to_vec()),
            info: Zeroizing::new(parts.info.to_vec()),
            subject: parts.subject.to_vec(),
            spki: parts.spki.to_vec(),
            challenge_password: attributes.challenge_password,
            extensions: attributes.extensions,
            unknown_attributes: attributes.unknown,
            digest: scheme.digest().ok_or(CsrError::SignatureAlgorithm)?,
            scheme,
            signature: parts.signature.to_vec(),
        })
    }

    /// Verifies the signature with the key inside: whoever asks holds the private key.
    ///
    /// # Errors
    /// [`CsrError::Key`], [`CsrError::ProofOfPossession`].
    pub fn verify_proof_of_possession(&self) -> Result<(), CsrError> {
        let key = RsaKey::from_spki(&self.spki).map_err(|_| CsrError::Key)?;
        let verified = key.verify(self.scheme, self.digest, &self.info, &self.signature);
        verified.then_some(()).ok_or(CsrError::ProofOfPossession)
    }

    /// Whether the key is the one of the certificate that signed the message (RFC 8894 §2.3): the same algorithm and
    /// the same key bits, whether parameters are NULL or absent.
    #[must_use]
    pub fn has_key_of(&self, signer: &SignerCertificate) -> bool {
        let own = key_bits(&self.spki);
        own.is_some() && own == key_bits(signer.spki_der())
    }

    /// The whole CSR.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Subject Name, DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// Digest of the CSR's own signature.
    #[must_use]
    pub fn signature_digest(&self) -> Digest {
        self.digest
    }

    /// challengePassword (RFC 2985 §5.4.1).
    #[must_use]
    pub fn challenge_password(&self) -> Option<&Secret> {
        self.challenge_password.as_ref()
    }

    /// The CSR without its challengePassword, for whoever keeps it: the same bytes where there is none. The signature
    /// is left as it is, and is not the key's over what remains.
    #[must_use]
    pub fn without_challenge(&self) -> Vec<u8> {
        if self.challenge_password.is_none() {
            return self.der.to_vec();
        }
        remove_challenge(&self.der).unwrap_or_default()
    }

    /// Extensions asked for, in their order.
    #[must_use]
    pub fn extensions(&self) -> &[RequestedExtension] {
        &self.extensions
    }

    /// How many attributes are neither of the two that are read.
    #[must_use]
    pub fn unknown_attributes(&self) -> usize {
        self.unknown_attributes
    }
}

impl std::fmt::Debug for Csr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Csr")
            .field("octets", &self.der.len())
            .finish_non_exhaustive()
    }
}

/// Borrowed parts of a CertificationRequest.
struct Parts<'a> {
    info: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
    attributes: Fields<'a>,
    signature_algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn parse(der: &'a [u8]) -> Option<Self> {
        let mut request = Element::only(der, tag::SEQUENCE)?.fields();
        let info = request.take(tag::SEQUENCE)?;
        let signature_algorithm = AlgorithmIdentifier::take(&mut request)?;
        let signature = request.take(tag::BIT_STRING)?.bit_string()?;
        request.finish()?;

        let mut fields = info.fields();
        let version = fields.take(tag::INTEGER)?;
        let subject = fields.take(tag::SEQUENCE)?.der;
        let spki = fields.take(tag::SEQUENCE)?.der;
        // Not OPTIONAL in RFC 2986, and yet left out by some.
        let attributes = fields
            .take_if(tag::context_constructed(0))
            .map_or(Fields::new(&[]), |set| set.fields());
        fields.finish()?;
        (version.content == [0]).then_some(Parts {
            info: info.der,
            subject,
            spki,
            attributes,
            signature_algorithm,
            signature,
        })
    }
}

/// `None` never, for what [`Csr::parse`] took.
fn remove_challenge(der: &[u8]) -> Option<Vec<u8>> {
    let mut request = Element::only(der, tag::SEQUENCE)?.fields();
    let mut info = request.take(tag::SEQUENCE)?.fields();
    let mut parts = Vec::new();
    while !info.is_empty() {
        let part = info.any()?;
        if part.tag != tag::context_constructed(0) {
            parts.push(part.der.to_vec());
            continue;
        }
        let mut set = part.fields();
        let mut kept: Vec<&[u8]> = Vec::new();
        while !set.is_empty() {
            let attribute = set.take(tag::SEQUENCE)?;
            if attribute.fields().take(tag::OBJECT_IDENTIFIER)?.oid()? != oid::CHALLENGE_PASSWORD {
                kept.push(attribute.der);
            }
        }
        parts.push(write::context(0, &kept));
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let mut whole = vec![write::sequence(&parts)];
    while !request.is_empty() {
        whole.push(request.any()?.der.to_vec());
    }
    let whole: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
    Some(write::sequence(&whole))
}

/// Algorithm and key bits of a SubjectPublicKeyInfo.
fn key_bits(spki: &[u8]) -> Option<(ObjectIdentifier, &[u8])> {
    let mut fields = Element::only(spki, tag::SEQUENCE)?.fields();
    let algorithm = AlgorithmIdentifier::take(&mut fields)?;
    let bits = fields.take(tag::BIT_STRING)?.bit_string()?;
    fields.finish()?;
    Some((algorithm.oid, bits))
}
