//! Detached CMS signatures (RFC 5652) over the bytes of a proposal, as smart cards and `openssl cms` make them.
//!
//! The verification itself is OpenSSL's, with pinned certificates and no other. Before it the structure is held to one
//! form, in which every byte is either signed, compared or the signature.

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5911, rfc5912};
use der::{Decode, Encode, Tagged};
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::stack::Stack;
use openssl::x509::{X509, X509Ref};

use super::approvers::Approver;

/// Largest signature: room for a certificate beside it.
const MAX_SIGNATURE: usize = 16 * 1024;

/// A digest, and the signature algorithms that may come with it.
const ALGORITHMS: [(ObjectIdentifier, [ObjectIdentifier; 3]); 3] = [
    (
        rfc5912::ID_SHA_256,
        [
            rfc5912::RSA_ENCRYPTION,
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            rfc5912::ECDSA_WITH_SHA_256,
        ],
    ),
    (
        rfc5912::ID_SHA_384,
        [
            rfc5912::RSA_ENCRYPTION,
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            rfc5912::ECDSA_WITH_SHA_384,
        ],
    ),
    (
        rfc5912::ID_SHA_512,
        [
            rfc5912::RSA_ENCRYPTION,
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
            rfc5912::ECDSA_WITH_SHA_512,
        ],
    ),
];

/// Why a file is no signature that could count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than any signature.
    #[error("longer than {} KiB", MAX_SIGNATURE / 1024)]
    TooLarge,
    /// Not a DER SignedData, or bytes follow it.
    #[error("not one DER CMS SignedData (`openssl cms -sign -binary -outform DER`): {0}")]
    Structure(String),
    /// It carries the content.
    #[error("it carries what it signs; it must be detached")]
    Attached,
    /// Not exactly one SignerInfo.
    #[error("it has {0} signers; a signature is of one person")]
    Signers(usize),
    /// SHA-1 or something nobody asked for.
    #[error(
        "signed with an algorithm other than RSA (PKCS #1 v1.5) or ECDSA with SHA-256, SHA-384 or SHA-512"
    )]
    Algorithm,
    /// Something that no signature covers.
    #[error("it carries {0}, which nobody signed; sign with -nocerts")]
    Unsigned(&'static str),
    /// No pinned certificate made it over these bytes.
    #[error("made by no pinned key over exactly this text")]
    Nobody,
    /// OpenSSL failed.
    #[error("OpenSSL failed: {0}")]
    OpenSsl(String),
}

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key is another one.
    #[error("the private key is not that of the certificate")]
    OtherKey,
    /// OpenSSL failed.
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
}

/// Signs the bytes of a proposal; the same as `openssl cms -sign -binary -nocerts -md sha256 -outform DER`.
///
/// # Errors
/// [`SignError`].
pub fn sign(
    proposal: &[u8],
    certificate: &X509Ref,
    key: &PKeyRef<Private>,
) -> Result<Vec<u8>, SignError> {
    if !certificate.public_key()?.public_eq(key) {
        return Err(SignError::OtherKey);
    }
    let options = CMSOptions::DETACHED | CMSOptions::BINARY | CMSOptions::CMS_NOCERTS;
    let signed = CmsContentInfo::sign::<Private>(
        Some(certificate),
        Some(key),
        None,
        Some(proposal),
        options,
    )?;
    Ok(signed.to_der()?)
}

/// Which of the pinned made this signature over these bytes.
pub(super) fn signer<'a>(
    der: &[u8],
    proposal: &[u8],
    pinned: &'a [Approver],
) -> Result<&'a Approver, SignatureError> {
    let signed = one_form(der)?;
    for approver in pinned {
        if verifies(der, proposal, &approver.x509)? {
            names_its_signer(&signed, approver)?;
            return carries_nothing_else(&signed, approver).map(|()| approver);
        }
    }
    Err(SignatureError::Nobody)
}

fn one_form(der: &[u8]) -> Result<SignedData, SignatureError> {
    let structure = |error: der::Error| SignatureError::Structure(error.to_string());
    if der.len() > MAX_SIGNATURE {
        return Err(SignatureError::TooLarge);
    }
    let outer = ContentInfo::from_der(der).map_err(structure)?;
    if outer.content_type != rfc5911::ID_SIGNED_DATA {
        let other = format!("content type {}", outer.content_type);
        return Err(SignatureError::Structure(other));
    }
    let signed: SignedData = outer.content.decode_as().map_err(structure)?;
    // What a lenient reader would take as well is not of this form.
    let again = ContentInfo {
        content_type: outer.content_type,
        content: der::Any::encode_from(&signed).map_err(structure)?,
    };
    if again.to_der().map_err(structure)? != der {
        return Err(SignatureError::Structure("not canonical".to_owned()));
    }
    if signed.encap_content_info.econtent_type != rfc5911::ID_DATA {
        return Err(SignatureError::Structure("it signs no data".to_owned()));
    }
    if signed.encap_content_info.econtent.is_some() {
        return Err(SignatureError::Attached);
    }
    let [signer] = signed.signer_infos.0.as_slice() else {
        return Err(SignatureError::Signers(signed.signer_infos.0.len()));
    };
    // RFC 5652 sections 5.1 and 5.3.
    let version = match signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V1,
        SignerIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V3,
    };
    if signer.version != version || signed.version != version {
        return Err(SignatureError::Structure("wrong version".to_owned()));
    }
    strong(&signed, signer)?;
    if signed.crls.is_some() {
        return Err(SignatureError::Unsigned("CRLs"));
    }
    if signer.unsigned_attrs.is_some() {
        return Err(SignatureError::Unsigned("unsigned attributes"));
    }
    if signer.signed_attrs.is_none() {
        return Err(SignatureError::Structure("no signed attributes".to_owned()));
    }
    Ok(signed)
}

fn strong(signed: &SignedData, signer: &SignerInfo) -> Result<(), SignatureError> {
    let allowed = ALGORITHMS
        .iter()
        .find(|(digest, _)| *digest == signer.digest_alg.oid)
        .is_some_and(|(_, signatures)| signatures.contains(&signer.signature_algorithm.oid));
    let named = signed.digest_algorithms.as_slice();
    let plain = [&signer.digest_alg, &signer.signature_algorithm]
        .into_iter()
        .all(|algorithm| algorithm.parameters.as_ref().is_none_or(is_null));
    if !allowed || !plain || named != [signer.digest_alg.clone()] {
        return Err(SignatureError::Algorithm);
    }
    Ok(())
}

fn is_null(parameters: &der::Any) -> bool {
    parameters.tag() == der::Tag::Null && parameters.value().is_empty()
}

/// No signature covers the name of the signer, and OpenSSL compares names without regard to case and spaces, so it has to be
/// the one in the pinned certificate byte for byte.
fn names_its_signer(signed: &SignedData, signer: &Approver) -> Result<(), SignatureError> {
    let pinned = signer.x509.issuer_name().to_der();
    let pinned = pinned.map_err(|error| SignatureError::OpenSsl(error.to_string()))?;
    let is_exact = signed.signer_infos.0.iter().all(|info| match &info.sid {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            named.issuer.to_der().is_ok_and(|named| named == pinned)
        }
        SignerIdentifier::SubjectKeyIdentifier(_) => true,
    });
    if is_exact {
        Ok(())
    } else {
        let why = "it names its signer in another form than the pinned certificate does";
        Err(SignatureError::Structure(why.to_owned()))
    }
}

/// A certificate beside the signature changes nothing, so it may only be the signer's own.
fn carries_nothing_else(signed: &SignedData, signer: &Approver) -> Result<(), SignatureError> {
    let carried = signed.certificates.as_ref().map(|set| set.0.as_slice());
    let own = |choice: &CertificateChoices| {
        matches!(choice, CertificateChoices::Certificate(certificate)
            if certificate.to_der().is_ok_and(|der| der == signer.certificate))
    };
    match carried {
        None => Ok(()),
        Some([only]) if own(only) => Ok(()),
        Some(_) => Err(SignatureError::Unsigned(
            "a certificate other than the pinned one",
        )),
    }
}

fn verifies(der: &[u8], proposal: &[u8], pinned: &X509) -> Result<bool, SignatureError> {
    let failed = |error: ErrorStack| SignatureError::OpenSsl(error.to_string());
    let mut only = Stack::new().map_err(failed)?;
    only.push(pinned.clone()).map_err(failed)?;
    // Read afresh for each: OpenSSL remembers which certificate it took for a signer.
    let mut signed = CmsContentInfo::from_der(der)
        .map_err(|error| SignatureError::Structure(error.to_string()))?;
    let options = CMSOptions::NOINTERN
        | CMSOptions::NO_SIGNER_CERT_VERIFY
        | CMSOptions::BINARY
        | CMSOptions::DETACHED;
    Ok(signed
        .verify(Some(&only), None, Some(proposal), None, options)
        .is_ok())
}

/// Whether CMS of this release's OpenSSL signs with keys of this kind, and none is weak.
pub(super) fn usable(key: &PKey<openssl::pkey::Public>) -> bool {
    const LEAST_RSA_BITS: u32 = 2_048;
    use openssl::nid::Nid;
    if let Ok(rsa) = key.rsa() {
        return rsa.size() * 8 >= LEAST_RSA_BITS;
    }
    key.ec_key().is_ok_and(|key| {
        matches!(
            key.group().curve_name(),
            Some(Nid::X9_62_PRIME256V1 | Nid::SECP384R1)
        )
    })
}
