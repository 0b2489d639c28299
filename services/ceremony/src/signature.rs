//! What the token signed, put together and verified, and what its keys sign with.

use assay_pkcs11::SignatureAlgorithm;
use const_oid::{ObjectIdentifier, db::rfc5912};
use der::asn1::{Any, BitString};
use der::{Decode, Encode, Sequence};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509PurposeId, X509StoreContext};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use assay_console::failure::{Failure, OrFail, Outcome};

/// Certificate (RFC 5280, section 4.1) and CertificationRequest (RFC 2986, section 4.2) alike.
#[derive(Sequence)]
struct Signed {
    tbs: Any,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Puts the token's signature to a TBSCertificate, or to a CertificationRequestInfo, which has the same frame.
pub(super) fn assemble(tbs: &[u8], signer_spki: &[u8], signature: &[u8]) -> Outcome<Vec<u8>> {
    let what = "cannot assemble what was signed";
    Signed {
        tbs: Any::from_der(tbs).or_fail(what)?,
        signature_algorithm: algorithm(signer_spki)?,
        signature: BitString::from_bytes(signature).or_fail(what)?,
    }
    .to_der()
    .or_fail(what)
}

/// Nothing leaves the ceremony that its issuer's public key does not verify.
pub(super) fn verify(der: &[u8], issuer_spki: &[u8]) -> Outcome {
    let what = "cannot verify the certificate";
    let key = PKey::public_key_from_der(issuer_spki).or_fail(what)?;
    let certificate = X509::from_der(der).or_fail(what)?;
    if certificate.verify(&key).or_fail(what)? {
        return Ok(());
    }
    Err(Failure::failed("the token's signature does not verify")
        .next("do not use this token; qualify it first"))
}

/// What keeps a certificate from verifying under these anchors, if anything does.
pub(super) fn chain_fault(
    certificate: &X509,
    between: &[X509],
    anchors: &[X509],
    purpose: Option<X509PurposeId>,
) -> Result<Option<&'static str>, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for anchor in anchors {
        store.add_cert(anchor.clone())?;
    }
    if let Some(purpose) = purpose {
        store.set_purpose(purpose)?;
    }
    let mut untrusted = Stack::new()?;
    for certificate in between {
        untrusted.push(certificate.clone())?;
    }
    X509StoreContext::new()?.init(&store.build(), certificate, &untrusted, |context| {
        let good = context.verify_cert()?;
        Ok((!good).then(|| context.error().error_string()))
    })
}

/// What a key of this kind signs with; the token makes the same choice.
pub(super) fn algorithm(spki_der: &[u8]) -> Outcome<AlgorithmIdentifierOwned> {
    let spki =
        SubjectPublicKeyInfoOwned::from_der(spki_der).or_fail("the public key is unreadable")?;
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let algorithm = match (spki.algorithm.oid, curve) {
        (rfc5912::RSA_ENCRYPTION, _) => SignatureAlgorithm::Sha256WithRsa,
        (rfc5912::ID_EC_PUBLIC_KEY, Some(rfc5912::SECP_256_R_1)) => {
            SignatureAlgorithm::EcdsaWithSha256
        }
        (rfc5912::ID_EC_PUBLIC_KEY, Some(rfc5912::SECP_384_R_1)) => {
            SignatureAlgorithm::EcdsaWithSha384
        }
        (other, _) => {
            return Err(
                Failure::failed(format!("a CA key of type {other} is not supported"))
                    .next("choose rsa2048, rsa3072, rsa4096, p256 or p384"),
            );
        }
    };
    AlgorithmIdentifierOwned::from_der(algorithm.to_der())
        .or_fail("the signature algorithm is unreadable")
}
