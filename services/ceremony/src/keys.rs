//! Keys of the ceremony: one a role and generation, named after both, with a random id.

use assay_pkcs11::{GenerateKey, KeyAlgorithm, KeyRole, KeyUri};
use openssl::pkey::PKey;
use openssl::sha::sha256;

use super::args::KeyArgs;
use super::certificate::Issuer;
use super::certify::CA_FILE;
use super::record::Record;
use super::token::OpenToken;
use super::transcript::KeyEntry;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

/// The log key's public half, relative to the installation.
const LOG_KEY_FILE: &str = "certificates/log-key.pem";
/// Octets of CKA_ID: random, so that two ceremonies on one HSM do not meet.
const ID_OCTETS: usize = 8;

/// A key pair in the token, and its public half.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) role: KeyRole,
    pub(super) uri: KeyUri,
    pub(super) spki_der: Vec<u8>,
}

/// The service's keys with their kinds, in the order in which they are made.
pub(super) fn service_keys(args: &KeyArgs) -> Vec<(KeyRole, KeyAlgorithm)> {
    let mut keys = vec![
        (KeyRole::CaSign, args.ca_key),
        (KeyRole::RaDecrypt, args.ra_key),
        (KeyRole::RaSign, args.ra_key),
        (KeyRole::LogSign, args.log_key),
        // Health is probed every second: the cheapest signature.
        (KeyRole::Probe, KeyAlgorithm::P256),
    ];
    if args.single_ra {
        keys.push((KeyRole::RaSingle, args.ra_key));
    }
    if args.ocsp {
        keys.push((KeyRole::OcspSign, args.ocsp_key));
    }
    keys
}

/// Writes the log key's public half, by which anyone can verify checkpoints, for those who are to pin it.
pub(super) fn write_log_key(key: &Key, installation: &Installation) -> Outcome {
    let pem = PKey::public_key_from_der(&key.spki_der)
        .and_then(|key| key.public_key_to_pem())
        .or_fail("the token's log key is unreadable")?;
    files::create(&installation.path(LOG_KEY_FILE), &pem, files::PUBLIC)
}

/// A key of the transcript, as the token has it.
pub(super) fn read(token: &OpenToken, entry: &KeyEntry) -> Outcome<Key> {
    let role: KeyRole = entry
        .role
        .parse()
        .or_fail("the transcript names an unknown role")?;
    let uri = KeyUri::parse(&entry.uri).or_fail("the transcript's key URI is unreadable")?;
    let spki_der = token.public_key(&uri)?;
    Ok(Key {
        role,
        uri,
        spki_der,
    })
}

pub(super) fn find(keys: &[Key], role: KeyRole) -> Outcome<&Key> {
    keys.iter()
        .find(|key| key.role == role)
        .ok_or_else(|| Failure::failed(format!("the ceremony has no {role} key")))
}

/// The CA's key and what it signs as. The certificate has to be over the key.
pub(super) fn of_ca(token: &OpenToken, record: &Record<'_>) -> Outcome<(Key, Issuer)> {
    let issuer = Issuer::of_certificate(&record.certificate(CA_FILE)?)?;
    let entry = record.ca()?.key(KeyRole::CaSign)?;
    let key = read(token, entry)?;
    if key.spki_der == issuer.spki_der {
        return Ok((key, issuer));
    }
    Err(Failure::failed(format!(
        "{} is not over the token's {} key",
        record.file(CA_FILE),
        entry.label
    ))
    .next("use the directory of the ceremony that made this CA"))
}

/// Generates a key and enters it in the transcript.
pub(super) fn generate(
    token: &OpenToken,
    role: KeyRole,
    algorithm: KeyAlgorithm,
    record: &mut Record<'_>,
) -> Outcome<Key> {
    let label = record.generation.label(role);
    let mut id = [0; ID_OCTETS];
    openssl::rand::rand_bytes(&mut id).or_fail("no random numbers to be had")?;
    let made = token.generate(&GenerateKey {
        role,
        label: label.clone(),
        id: id.to_vec(),
        algorithm,
    })?;
    record.add_key(KeyEntry {
        role: role.to_string(),
        algorithm: algorithm.to_string(),
        label,
        id: hex::encode(id),
        uri: made.uri.to_string(),
        spki_sha256: hex::encode(sha256(&made.spki_der)),
        attributes: made.attributes.into_iter().collect(),
    })?;
    Ok(Key {
        role,
        uri: made.uri,
        spki_der: made.spki_der,
    })
}
