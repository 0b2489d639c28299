//! SCEP clients that we did not write enrol at the real processes, and OpenSSL and GnuTLS judge what they got.

mod certmonger;
mod examples;
mod scepclient;
mod strongswan;

use std::path::Path;

use anyhow::{Context, Result};
use assay_tests::certificate::Judges;
use assay_tests::installation::{Installation, pem};
use openssl::x509::X509;

/// What `devices.toml` says of every certificate, in OpenSSL's words, in the order of the certificate.
const DEVICE_EXTENSIONS: [(&str, &str); 3] = [
    ("X509v3 Basic Constraints: critical", "CA:FALSE"),
    (
        "X509v3 Key Usage: critical",
        "Digital Signature, Key Encipherment",
    ),
    (
        "X509v3 Extended Key Usage:",
        "TLS Web Client Authentication",
    ),
];

/// Key identifiers: their values come from the keys.
const KEY_IDENTIFIERS: [&str; 2] = [
    "X509v3 Authority Key Identifier:",
    "X509v3 Subject Key Identifier:",
];

/// Both judges accept the certificate, and it carries exactly what the policy says and nothing else.
async fn hold_to_policy(
    installation: &Installation,
    certificate: &Path,
    common_name: &str,
    dns_names: &[&str],
) -> Result<()> {
    let judges = Judges::of(installation);
    judges.accept(certificate).await?;
    let found = judges.describe(certificate).await?;
    assert_eq!(
        found.subject,
        format!("CN=UTF8STRING:{common_name},O=UTF8STRING:Example")
    );

    for name in KEY_IDENTIFIERS {
        assert!(
            found.extension(name).is_some(),
            "{name} is missing: {found:?}"
        );
    }
    let names: Vec<String> = dns_names.iter().map(|name| format!("DNS:{name}")).collect();
    let names = names.join(", ");
    let scep = installation.url("devices")?;
    let root = scep
        .strip_suffix("/scep/devices")
        .context(scep.to_owned())?;
    let ca = X509::from_der(&pem(&installation.ready().ca_pem)?)?;
    let ca = ca.subject_key_id().context("no key identifier")?;
    let ca = hex::encode(ca.as_slice());
    let crl = format!("Full Name:URI:{root}/crl/{ca}.crl");
    let issuer = format!("CA Issuers - URI:{root}/aia/{ca}.cer");
    let mut expected: Vec<(&str, &str)> = DEVICE_EXTENSIONS.to_vec();
    expected.push(("X509v3 CRL Distribution Points:", &crl));
    expected.push(("Authority Information Access:", &issuer));
    if !dns_names.is_empty() {
        expected.push(("X509v3 Subject Alternative Name:", &names));
    }
    let mut rest: Vec<(&str, &str)> = found
        .extensions
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !KEY_IDENTIFIERS.contains(name))
        .collect();
    expected.sort_unstable();
    rest.sort_unstable();
    assert_eq!(rest, expected);
    Ok(())
}
