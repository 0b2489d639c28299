//! A CA from its keys to the certificates that it signs, those of the RA and of the responder: the same for every
//! generation, under a root of our own and under an offline one.

use assay_pkcs11::{KeyAlgorithm, KeyRole};
use assay_policy::Dn;

use super::certificate::{self, Issuer, Kind, Template};
use super::generation::Generation;
use super::keys::{self, Key, find};
use super::record::Record;
use super::root::Root;
use super::token::OpenToken;
use super::transcript::State;
use super::{csr, layout, ocsp, signature};
use assay_console::failure::Outcome;
use assay_console::progress::Progress;

/// The issuing CA's certificate among those of its generation.
pub(super) const CA_FILE: &str = "ca.pem";

/// The RA certificates by role: what each is for, and its file.
pub(super) const RA: [(KeyRole, Kind, &str); 3] = [
    (KeyRole::RaDecrypt, Kind::RaEncryption, "ra-enc.pem"),
    (KeyRole::RaSign, Kind::RaSignature, "ra-sign.pem"),
    (KeyRole::RaSingle, Kind::RaSingle, "ra-single.pem"),
];

/// The CA that is asked for; the transcript has what is to be known of its RA.
pub(super) struct Wanted<'a> {
    pub(super) keys: &'a [(KeyRole, KeyAlgorithm)],
    pub(super) subject: &'a Dn,
    pub(super) days: u32,
}

/// Makes the keys, and the certificates under the root; without one, the request for an offline root.
pub(super) fn make_ca(
    service: &OpenToken,
    root: Option<&Root>,
    wanted: &Wanted<'_>,
    record: &mut Record<'_>,
) -> Outcome {
    record.make_dir()?;
    let progress = Progress::new("making keys", wanted.keys.len() as u64);
    let mut service_keys = Vec::new();
    for (role, algorithm) in wanted.keys {
        let key = keys::generate(service, *role, *algorithm, record)?;
        if *role == KeyRole::LogSign {
            keys::write_log_key(&key, record.installation)?;
        }
        service_keys.push(key);
        progress.add(1);
    }
    drop(progress);
    let ca = find(&service_keys, KeyRole::CaSign)?;
    let subject = certificate::name(wanted.subject)?;
    let Some(root) = root else {
        csr::write(service, ca, &subject, record)?;
        return record.set_state(State::AwaitsCaCertificate);
    };
    let ca_der = root.certify(ca, &subject, wanted.days)?;
    record.add_certificate(CA_FILE, &ca_der)?;
    complete(
        service,
        &service_keys,
        &Issuer::of_certificate(&ca_der)?,
        record,
    )
}

/// Certifies the RA keys that there are, and a responder's where there is one: the end of a generation's ceremony.
pub(super) fn complete(
    service: &OpenToken,
    service_keys: &[Key],
    issuer: &Issuer,
    record: &mut Record<'_>,
) -> Outcome {
    let key = find(service_keys, KeyRole::CaSign)?;
    let ca = record.ca()?;
    let (subject_der, days) = (certificate::name(&ca.ra_subject()?)?, ca.ra_days);
    for (role, kind, file) in RA {
        let ra = match find(service_keys, role) {
            Err(_) if role == KeyRole::RaSingle => continue,
            found => found?,
        };
        let template = Template {
            kind,
            subject_der: &subject_der,
            spki_der: &ra.spki_der,
            issuer,
            days,
        };
        let der = sign(service, key, KeyRole::CaSign, &template)?;
        record.add_certificate(file, &der)?;
    }
    if let Ok(responder) = find(service_keys, KeyRole::OcspSign) {
        let subject = ocsp::subject(record.generation)?;
        ocsp::certify(
            service,
            key,
            issuer,
            responder,
            &subject,
            ocsp::DAYS,
            record,
        )?;
    }
    if record.generation == Generation::FIRST {
        layout::write_challenge_key(record.installation)?;
    }
    record.set_state(State::Complete)
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
