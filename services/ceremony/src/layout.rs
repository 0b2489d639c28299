//! The configuration files of a fresh installation. Each is written once and is the operator's from then on.

use assay_pkcs11::KeyRole;
use assay_runtime::identity::{Identity, Role};
use openssl::sha::sha256;
use openssl::x509::X509;

use super::certify::{CA_FILE, RA};
use super::generation::Generation;
use super::hsm_toml::{self, Users};
use super::record::read_certificate;
use super::transcript::{Ca, Transcript};
use crate::transport::DEFAULT_NAME;
use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

/// Approvals of a version in a fresh installation: four eyes besides the author's.
pub(crate) const APPROVALS: usize = 2;

/// Octets of the CA key's digest in the name of a log.
const CA_DIGEST: usize = 8;

/// Octets of the key for the challenges' hashes: that of HMAC-SHA-256.
const CHALLENGE_KEY_OCTETS: usize = 32;

/// Writes `hsm.toml`, `signer.toml`, `frontend.toml` and `assay.toml`, but for those that exist.
pub(crate) fn write_settings(
    installation: &Installation,
    transcript: &Transcript,
    approvals: usize,
    users: &Users,
) -> Outcome {
    for (path, text) in [
        (
            installation.hsm_config(),
            hsm_toml::first(installation, transcript, users)?,
        ),
        (
            installation.signer_config(),
            signer(installation, transcript, approvals, users)?,
        ),
        (installation.frontend_config(), frontend()?),
        (installation.settings_file(), operator()?),
    ] {
        if !path.exists() {
            files::create(&path, text.as_bytes(), files::PUBLIC)?;
        }
    }
    Ok(())
}

/// Makes the key of the challenges' hashes, unless it is there.
pub(super) fn write_challenge_key(installation: &Installation) -> Outcome {
    let path = installation.path("secrets/challenge.key");
    if path.exists() {
        return Ok(());
    }
    files::make_dir(&installation.path("secrets"))?;
    files::make_dir(&installation.path("state"))?;
    let mut key = [0; CHALLENGE_KEY_OCTETS];
    openssl::rand::rand_bytes(&mut key).or_fail("no random numbers to be had")?;
    files::create(&path, &key, files::SECRET)
}

fn signer(
    installation: &Installation,
    transcript: &Transcript,
    approvals: usize,
    users: &Users,
) -> Outcome<String> {
    let ca = transcript.ca(Generation::FIRST)?;
    let responder = ca.find_key(KeyRole::OcspSign);
    Ok(format!(
        "\
# assay-signer. Paths are relative to this file's directory; `assay config check --signer FILE` checks it.

[enrolment]
listen = \"127.0.0.1:7443\"
certificate = \"transport/signer.pem\"
private_key = \"transport/signer.key\"
trust_anchors = \"transport/anchors-frontends.pem\"
# Exactly these frontends; an empty list refuses to start.
allow = [{frontends}]

[administration]
listen = \"127.0.0.1:7444\"
certificate = \"transport/signer.pem\"
private_key = \"transport/signer.key\"
trust_anchors = \"transport/anchors-operators.pem\"
# People by what they may do: operators run the service, approvers bring policy into force, auditors read and export.
allow = [{operators}, {approvers}, {auditors}]

# The HSM service, which holds the PIN and the keys of these certificates.
{hsm}
[certificates]
{certificates}
[state]
path = \"state/signer.db\"
challenge_key = \"secrets/challenge.key\"

[ops]
listen = \"127.0.0.1:7445\"
{ocsp}
# The log keeps this name for good; hsm.toml says the same.
[audit]
origin = {origin}

# Approvals that a version of the policy needs, of people other than its author. Each person's lines, which
# `assay-ceremony approver` prints, stand below; the signer does not start before there are enough.
[policy]
approvals = {approvals}
",
        frontends = identity(Role::Frontend)?,
        operators = identity(Role::Operator)?,
        approvers = identity(Role::Approver)?,
        auditors = identity(Role::Auditor)?,
        hsm = users.signer_table(),
        certificates = certificates(ca),
        ocsp = responder.map_or_else(String::new, |_| ocsp("certificates/ocsp.pem")),
        origin = quoted(&origin(installation)?),
    ))
}

/// The name of the log: the signer's, and a digest of the key of its first CA.
pub(super) fn origin(installation: &Installation) -> Outcome<String> {
    let ca = read_certificate(&installation.path(Generation::FIRST.file(CA_FILE)))?;
    origin_of(DEFAULT_NAME, &ca)
}

/// The same for a signer of this name.
pub(super) fn origin_of(signer: &str, ca: &X509) -> Outcome<String> {
    let spki = ca
        .public_key()
        .and_then(|key| key.public_key_to_der())
        .or_fail("the log's name cannot be determined")?;
    let digest = sha256(&spki);
    let (digest, _) = digest.split_at(CA_DIGEST);
    Ok(format!("assay/{signer}/{}", hex::encode(digest)))
}

/// The files of a CA and its RA, a line for each.
pub(super) fn certificates(ca: &Ca) -> String {
    let line = |key: &str, file: &str| format!("{key} = {}\n", quoted(&ca.generation.file(file)));
    let mut lines = line("ca", CA_FILE);
    for (role, _, file) in RA {
        if ca.find_key(role).is_some() {
            lines += &line(&file.replace('-', "_").replace(".pem", ""), file);
        }
    }
    let chain: Vec<_> = ca.chain().iter().map(|file| quoted(file)).collect();
    lines + &format!("chain = [{}]\n", chain.join(", "))
}

/// The table of the responder, with an empty line before it.
pub(super) fn ocsp(certificate: &str) -> String {
    format!(
        "
# OCSP, for profiles that name the frontend's /ocsp in `ocsp`. `assay-ceremony ocsp` renews the certificate.
[ocsp]
certificate = {}
",
        quoted(certificate)
    )
}

fn frontend() -> Outcome<String> {
    Ok(format!(
        "\
# assay-frontend. Paths are relative to this file's directory; `assay config check --frontend FILE` checks it.

[http]
listen = \"0.0.0.0:8080\"

[signer]
address = \"127.0.0.1:7443\"
identity = {signer}
certificate = \"transport/frontend.pem\"
private_key = \"transport/frontend.key\"
trust_anchors = \"transport/anchors-signers.pem\"

[ops]
listen = \"127.0.0.1:8081\"
",
        signer = identity(Role::Signer)?,
    ))
}

fn operator() -> Outcome<String> {
    Ok(format!(
        "\
# assay, the operator's side. Paths are relative to this file's directory.

scep_url = \"http://127.0.0.1:8080/scep\"

[administration]
address = \"127.0.0.1:7444\"
identity = {signer}
certificate = \"transport/operator.pem\"
private_key = \"transport/operator.key\"
trust_anchors = \"transport/anchors-signers.pem\"
",
        signer = identity(Role::Signer)?,
    ))
}

fn identity(role: Role) -> Outcome<String> {
    let identity = Identity::new(role, DEFAULT_NAME).or_fail("no identity")?;
    Ok(quoted(&identity.to_string()))
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_settings_are_read_back() {
        let text = operator().unwrap();
        let settings: assay_operator::installation::Settings = toml::from_str(&text).unwrap();
        assert_eq!(settings.administration.address, "127.0.0.1:7444");
        assert_eq!(
            settings.profile_url("devices"),
            "http://127.0.0.1:8080/scep/devices"
        );
    }
}
