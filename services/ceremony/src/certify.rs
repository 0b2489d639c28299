//! The certificates that a CA key of the ceremony signs: the RA certificates, and the responder's. The same for every generation, under a
//! root of our own and under an offline one.

use assay_pkcs11::KeyRole;
use assay_policy::Dn;

use super::certificate::{self, Issuer, Kind, Template};
use super::keys::{Key, find};
use super::ocsp;
use super::record::Record;
use super::signature;
use super::token::OpenToken;
use assay_console::failure::Outcome;

/// The issuing CA's certificate among those of its generation.
pub(super) const CA_FILE: &str = "ca.pem";

/// The RA certificates by role: what each is for, and its file.
pub(super) const RA: [(KeyRole, Kind, &str); 3] = [
    (KeyRole::RaDecrypt, Kind::RaEncryption, "ra-enc.pem"),
    (KeyRole::RaSign, Kind::RaSignature, "ra-sign.pem"),
    (KeyRole::RaSingle, Kind::RaSingle, "ra-single.pem"),
];

/// Certifies the RA keys that there are, and a responder's where there is one.
pub(super) fn certify_ra(
    service: &OpenToken,
    service_keys: &[Key],
    ca_der: &[u8],
    subject: &Dn,
    days: u32,
    record: &mut Record<'_>,
) -> Outcome {
    let ca = find(service_keys, KeyRole::CaSign)?;
    let issuer = Issuer::of_certificate(ca_der)?;
    let subject_der = certificate::name(subject)?;
    for (role, kind, file) in RA {
        let key = match find(service_keys, role) {
            Err(_) if role == KeyRole::RaSingle => continue,
            found => found?,
        };
        let template = Template {
            kind,
            subject_der: &subject_der,
            spki_der: &key.spki_der,
            issuer: &issuer,
            days,
        };
        let der = sign(service, ca, KeyRole::CaSign, &template)?;
        record.add_certificate(file, &der)?;
    }
    if find(service_keys, KeyRole::OcspSign).is_ok() {
        let subject = ocsp::subject(record.generation)?;
        ocsp::certify(service, service_keys, ca_der, &subject, ocsp::DAYS, record)?;
    }
    Ok(())
}

/// Builds, signs in the token, verifies in software.
pub(super) fn sign(
    token: &OpenToken,
    key: &Key,
    role: KeyRole,
    template: &Template<'_>,
) -> Outcome<Vec<u8>> {
    let tbs = template.tbs()?;
    let signature = token.sign_certificate(&key.uri, role, template.issuer, &tbs)?;
    let der = signature::assemble(&tbs, &key.spki_der, &signature)?;
    signature::verify(&der, &key.spki_der)?;
    Ok(der)
}
