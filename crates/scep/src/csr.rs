//! PKCS#10 CertificationRequest (RFC 2986), read strictly: it was decrypted, so that nobody but its sender is asked to
//! follow an odd encoding.

mod attributes;

use der::asn1::ObjectIdentifier;
use thiserror::Error;
use zeroize::Zeroizing;

use self::attributes::Attributes;
pub use self::attributes::RequestedExtension;
use crate::{
    Curve, Digest, Limits, Secret, SignerCertificate,
    asn1::{
        ber,
        read::{Element, Fields},
        tag, write,
    },
    cms::algorithm::{AlgorithmIdentifier, SignatureScheme},
    key::PublicKey,
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
    /// Whole encodings of the attributes other than challengePassword.
    public_attributes: Vec<u8>,
    /// AlgorithmIdentifier, whole encoding.
    signature_algorithm: Vec<u8>,
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
    #[error(
        "the signature algorithm is to be RSASSA-PKCS1-v1_5, RSASSA-PSS or ECDSA with SHA-1 or SHA-2"
    )]
    SignatureAlgorithm,
    /// The key is none that signatures are verified with.
    #[error("the key is to be RSA of 1024 to 8192 bits, or a point on P-256, P-384 or P-521")]
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
            public_attributes: attributes.public,
            digest: scheme.digest().ok_or(CsrError::SignatureAlgorithm)?,
            signature_algorithm: parts.signature_algorithm_der.to_vec(),
            scheme,
            signature: parts.signature.to_vec(),
        })
    }

    /// Verifies the signature with the key inside: whoever asks holds the private key.
    ///
    /// # Errors
    /// [`CsrError::Key`], [`CsrError::ProofOfPossession`].
    pub fn verify_proof_of_possession(&self) -> Result<(), CsrError> {
        let key = PublicKey::from_spki(&self.spki).map_err(|_| CsrError::Key)?;
        let verified = key.verify(self.scheme, self.digest, &self.info, &self.signature);
        verified.then_some(()).ok_or(CsrError::ProofOfPossession)
    }

    /// The curve of the key; `None` for an RSA key, and for one that nothing is verified with.
    #[must_use]
    pub fn curve(&self) -> Option<Curve> {
        PublicKey::from_spki(&self.spki).ok()?.curve()
    }

    /// Whether the key is the one of the certificate that signed the message (RFC 8894 §2.3): the same algorithm and
    /// the same key bits on the same curve, whether an RSA key's parameters are NULL or absent.
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

    /// The CSR with its challengePassword left out, to be stored and shown; the same bytes where there is none. The
    /// signature is still the one over the whole CSR, so that it does not verify any more where an attribute went.
    #[must_use]
    pub fn without_challenge(&self) -> Vec<u8> {
        if self.challenge_password.is_none() {
            return self.der.to_vec();
        }
        let info = write::sequence(&[
            &write::small_integer(0),
            &self.subject,
            &self.spki,
            &write::context(0, &[&self.public_attributes]),
        ]);
        let signature = write::bit_string(&self.signature);
        write::sequence(&[&info, &self.signature_algorithm, &signature])
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

    /// Extensions asked for, in their order.
    #[must_use]
    pub fn extensions(&self) -> &[RequestedExtension] {
        &self.extensions
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
    signature_algorithm_der: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn parse(der: &'a [u8]) -> Option<Self> {
        let mut request = Element::only(der, tag::SEQUENCE)?.fields();
        let info = request.take(tag::SEQUENCE)?;
        let signature_algorithm_der = request.take(tag::SEQUENCE)?.der;
        let signature_algorithm =
            AlgorithmIdentifier::take(&mut Fields::new(signature_algorithm_der))?;
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
            signature_algorithm_der,
            signature,
        })
    }
}

/// What tells one key from another.
#[derive(PartialEq, Eq)]
struct KeyBits<'a> {
    algorithm: ObjectIdentifier,
    /// Other than NULL, whole encoding.
    parameters: Option<&'a [u8]>,
    bits: &'a [u8],
}

/// The key of a SubjectPublicKeyInfo.
fn key_bits(spki: &[u8]) -> Option<KeyBits<'_>> {
    let mut fields = Element::only(spki, tag::SEQUENCE)?.fields();
    let algorithm = AlgorithmIdentifier::take(&mut fields)?;
    let bits = fields.take(tag::BIT_STRING)?.bit_string()?;
    fields.finish()?;
    Some(KeyBits {
        algorithm: algorithm.oid,
        parameters: algorithm.parameters_der(),
        bits,
    })
}
