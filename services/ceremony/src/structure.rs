//! What the keys of a ceremony may sign. It was built here too; a key still signs nothing that was not understood.

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_pkcs11::KeyRole;
use der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::request::CertReqInfo;
use x509_cert::{TbsCertificate, Version};

use crate::certificate::Issuer;
use crate::signature;

/// Accepts a TBSCertificate of this issuer: under a root-sign key of a CA, under a ca-sign key of anyone else.
pub(crate) fn check_certificate(tbs: &[u8], role: KeyRole, issuer: &Issuer) -> Outcome {
    let refuse = |reason: &str| {
        Err(Failure::failed(format!("the {role} key does not sign this")).because(reason))
    };
    let certificate: TbsCertificate = decode_exactly(tbs)?;
    if certificate.version() != Version::V3 {
        return refuse("the certificate is not of version 3");
    }
    if !is(certificate.issuer(), &issuer.subject_der) {
        return refuse("the issuer is not the subject of the signing certificate");
    }
    if *certificate.signature() != signature::algorithm(&issuer.spki_der)? {
        return refuse("the signature algorithm is not that of the signing key");
    }
    let what = "an extension is unreadable or there twice";
    let constraints = certificate
        .get_extension::<BasicConstraints>()
        .or_fail(what)?;
    let usage = certificate.get_extension::<KeyUsage>().or_fail(what)?;
    let is_ca = constraints.is_some_and(|(_, constraints)| constraints.ca);
    let (signs_certificates, signs_lists) = usage.map_or((false, false), |(_, usage)| {
        (usage.key_cert_sign(), usage.crl_sign())
    });
    match role {
        KeyRole::RootSign if is_ca && signs_certificates => Ok(()),
        KeyRole::RootSign => refuse("it is not a CA certificate with keyCertSign"),
        KeyRole::CaSign if is_ca => refuse("basicConstraints makes the subject a CA"),
        KeyRole::CaSign if signs_certificates || signs_lists => {
            refuse("keyUsage allows keyCertSign or cRLSign")
        }
        KeyRole::CaSign => Ok(()),
        KeyRole::RaDecrypt
        | KeyRole::RaSign
        | KeyRole::RaSingle
        | KeyRole::LogSign
        | KeyRole::OcspSign
        | KeyRole::Probe => refuse("keys of this role sign no certificates"),
    }
}

/// Accepts a CertificationRequestInfo for this very key.
pub(crate) fn check_request(info: &[u8], spki_der: &[u8]) -> Outcome {
    let request: CertReqInfo = decode_exactly(info)?;
    if is(&request.public_key, spki_der) {
        return Ok(());
    }
    Err(Failure::failed(
        "the request does not hold the public half of the signing key",
    ))
}

/// Decodes, and refuses what does not encode back to the same bytes: what was understood is then all that is signed.
fn decode_exactly<'a, T: Decode<'a> + Encode>(der: &'a [u8]) -> Outcome<T> {
    T::from_der(der)
        .ok()
        .filter(|value| is(value, der))
        .ok_or_else(|| {
            Failure::failed("the structure is not a DER TBSCertificate or CertificationRequestInfo")
        })
}

fn is(value: &impl Encode, der: &[u8]) -> bool {
    value.to_der().is_ok_and(|encoded| encoded == der)
}
