//! The configuration files of a fresh installation. Each is written once and is the operator's from then on.

use std::net::SocketAddr;
use std::path::Path;

use assay_runtime::identity::{Identity, Role};

use super::transcript::Transcript;
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::transport::DEFAULT_NAME;

/// Approvals of a version in a fresh installation: four eyes besides the author's.
pub(crate) const APPROVALS: usize = 2;

/// Octets of the key for the challenges' hashes: that of HMAC-SHA-256.
const CHALLENGE_KEY_OCTETS: usize = 32;

/// Where the services listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) enrolment: SocketAddr,
    pub(crate) administration: SocketAddr,
    pub(crate) signer_ops: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) frontend_ops: SocketAddr,
}

impl Default for Addresses {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            enrolment: loopback(7_443),
            administration: loopback(7_444),
            signer_ops: loopback(7_445),
            http: SocketAddr::from(([0, 0, 0, 0], 8_080)),
            frontend_ops: loopback(8_081),
        }
    }
}

/// Writes `signer.toml`, `frontend.toml` and `assay.toml`, but for those that exist.
pub(crate) fn write_settings(
    installation: &Installation,
    transcript: &Transcript,
    addresses: &Addresses,
    approvals: usize,
) -> Outcome {
    for (path, text) in [
        (
            installation.signer_config(),
            signer(transcript, addresses, approvals)?,
        ),
        (installation.frontend_config(), frontend(addresses)?),
        (installation.settings_file(), operator(addresses)?),
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

fn signer(transcript: &Transcript, addresses: &Addresses, approvals: usize) -> Outcome<String> {
    let made = |role: &str| {
        let mut keys = transcript.keys.iter();
        keys.find(|key| key.role == role)
            .map(|key| quoted(&key.uri))
    };
    let key = |role: &str| {
        made(role).ok_or_else(|| Failure::failed(format!("the ceremony made no {role} key")))
    };
    let single_ra = made("ra-single");
    let responder = transcript.keys.iter().find(|key| key.role == "ocsp-sign");
    let environment: Vec<_> = transcript
        .environment
        .iter()
        .map(|(name, value)| format!("{name} = {}", quoted(value)))
        .collect();
    let chain: Vec<_> = transcript
        .certificates
        .iter()
        .map(|certificate| certificate.file.as_str())
        .filter(|file| file.starts_with("certificates/chain-") || *file == "certificates/root.pem")
        .map(quoted)
        .collect();
    Ok(format!(
        "\
# assay-signer. Paths are relative to this file's directory; `assay config check` checks it.

[enrolment]
listen = \"{enrolment}\"
certificate = \"transport/signer.pem\"
private_key = \"transport/signer.key\"
trust_anchors = \"transport/anchors-frontends.pem\"
# Exactly these frontends; an empty list refuses to start.
allow = [{frontends}]

[administration]
listen = \"{administration}\"
certificate = \"transport/signer.pem\"
private_key = \"transport/signer.key\"
trust_anchors = \"transport/anchors-operators.pem\"
# People by what they may do: operators run the service, approvers bring policy into force, auditors read and export.
allow = [{operators}, {approvers}, {auditors}]

[token]
module = {module}
environment = {{ {environment} }}

# PKCS#11 URIs (RFC 7512), one key for each role.
[keys]
ra-decrypt = {ra_decrypt}
ra-sign = {ra_sign}
{ra_single}ca-sign = {ca_sign}
log-sign = {log_sign}
probe = {probe}

[certificates]
ca = \"certificates/ca.pem\"
ra_enc = \"certificates/ra-enc.pem\"
ra_sign = \"certificates/ra-sign.pem\"
{ra_single_certificate}chain = [{chain}]

[state]
path = \"state/signer.db\"
challenge_key = \"secrets/challenge.key\"

[ops]
listen = \"{ops}\"
{ocsp}
# Approvals that a version of the policy needs, of people other than its author. Each person's lines, which
# `assay ceremony approver` prints, stand below; the signer does not start before there are enough.
[policy]
approvals = {approvals}
",
        enrolment = addresses.enrolment,
        administration = addresses.administration,
        frontends = identity(Role::Frontend)?,
        operators = identity(Role::Operator)?,
        approvers = identity(Role::Approver)?,
        auditors = identity(Role::Auditor)?,
        module = quoted(&transcript.module),
        environment = environment.join(", "),
        ra_decrypt = key("ra-decrypt")?,
        ra_sign = key("ra-sign")?,
        ra_single = single_ra
            .as_ref()
            .map_or_else(String::new, |uri| format!("ra-single = {uri}\n")),
        ra_single_certificate = match single_ra {
            Some(_) => "ra_single = \"certificates/ra-single.pem\"\n",
            None => "",
        },
        ca_sign = key("ca-sign")?,
        log_sign = key("log-sign")?,
        probe = key("probe")?,
        chain = chain.join(", "),
        ops = addresses.signer_ops,
        ocsp = responder.map_or_else(String::new, |key| {
            ocsp(&key.uri, "certificates/ocsp.pem")
        }),
    ))
}

/// The table of the responder, with an empty line before it.
pub(super) fn ocsp(key: &str, certificate: &str) -> String {
    format!(
        "
# OCSP, for profiles that name the frontend's /ocsp in `ocsp`. `assay ceremony ocsp` renews the certificate.
[ocsp]
key = {}
certificate = {}
",
        quoted(key),
        quoted(certificate)
    )
}

fn frontend(addresses: &Addresses) -> Outcome<String> {
    Ok(format!(
        "\
# assay-frontend. Paths are relative to this file's directory; `assay config check` checks it.

[http]
listen = \"{http}\"

[signer]
address = \"{enrolment}\"
identity = {signer}
certificate = \"transport/frontend.pem\"
private_key = \"transport/frontend.key\"
trust_anchors = \"transport/anchors-signers.pem\"

[ops]
listen = \"{ops}\"
",
        http = addresses.http,
        enrolment = addresses.enrolment,
        signer = identity(Role::Signer)?,
        ops = addresses.frontend_ops,
    ))
}

fn operator(addresses: &Addresses) -> Outcome<String> {
    Ok(format!(
        "\
# assay, the operator's side. Paths are relative to this file's directory.

scep_url = \"http://{http}/scep\"

[administration]
address = \"{administration}\"
identity = {signer}
certificate = \"transport/operator.pem\"
private_key = \"transport/operator.key\"
trust_anchors = \"transport/anchors-signers.pem\"
",
        http = reachable(addresses.http),
        administration = addresses.administration,
        signer = identity(Role::Signer)?,
    ))
}

/// Listening everywhere, it is reached here at loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    }
}

fn identity(role: Role) -> Outcome<String> {
    let identity = Identity::new(role, DEFAULT_NAME).or_fail("no identity")?;
    Ok(quoted(&identity.to_string()))
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Sets `key` of `[section]` in the text of a configuration file, and leaves every other line as it is.
pub(crate) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut current = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            current = name.to_owned();
        }
        let is_key = line
            .split_once('=')
            .is_some_and(|(name, _)| name.trim() == key);
        lines.push(if is_key && current == section {
            format!("{key} = {}", quoted(value))
        } else {
            line.to_owned()
        });
    }
    lines.join("\n") + "\n"
}

/// Rewrites values of a configuration file of our own.
pub(crate) fn edit(path: &Path, changes: &[(&str, &str, &str)]) -> Outcome {
    let mut text = files::read_text(path)?;
    for (section, key, value) in changes {
        text = set(&text, section, key, value);
    }
    files::replace(path, text.as_bytes(), files::PUBLIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_set_and_the_rest_is_left() {
        let text = "# note\n[a]\nlisten = \"1\"\n[b]\nlisten = \"2\" # kept\n";
        assert_eq!(
            set(text, "a", "listen", "9"),
            "# note\n[a]\nlisten = \"9\"\n[b]\nlisten = \"2\" # kept\n"
        );
    }

    #[test]
    fn the_operators_settings_are_read_back() {
        let text = operator(&Addresses::default()).unwrap();
        let settings: crate::installation::Settings = toml::from_str(&text).unwrap();
        assert_eq!(settings.administration.address, "127.0.0.1:7444");
        assert_eq!(
            settings.profile_url("devices"),
            "http://127.0.0.1:8080/scep/devices"
        );
    }
}
