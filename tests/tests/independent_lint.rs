//! What Assay issues under each policy that ships, judged by a linter that is not ours.

use std::path::PathBuf;

use anyhow::{Context, Result};
use assay_policy::SubjectAltName;
use assay_tests::crl;
use assay_tests::device::{Anchors, Answer, Device, extension};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::linter::Linter;
use assay_tests::query::RENEWAL_REQ;
use openssl::sha::sha256;
use openssl::x509::X509;

/// What every shipped policy takes.
const KEY_BITS: u32 = 3072;
const SAN: &str = "2.5.29.17";

/// A finding that is let stand, and why: the certificate, pkilint's code, the reason. One that is no longer found fails
/// too.
const ARGUED: &[(&str, &str, &str)] = &[(
    "devices, wildcard",
    "pkix.invalid_domain_name_syntax",
    "RFC 5280 section 4.2.1.6 leaves wildcards to others, and RFC 9525 section 6.3 says what they mean; a policy issues \
     one only where its literal text is permitted",
)];

/// A policy of policy/examples and a request that it permits.
struct Shape {
    profile: &'static str,
    subject: &'static str,
    names: &'static [&'static str],
    /// What is added to the file: dates that do not end with the year, and what cannot be played through here.
    changes: &'static str,
}

const SHAPES: [Shape; 4] = [
    Shape {
        profile: "wifi-device",
        subject: "CN=sn-17,OU=Wireless,O=Example GmbH,C=DE",
        names: &["dns:sn-17.wifi.example.com"],
        // Every extension that a profile can ask for.
        changes: "expires = 2045-01-01T00:00:00Z
                  [certificate]
                  policies = ['1.3.6.1.4.1.32473.1']
                  crl_distribution_points = ['http://pki.example.com/ca.crl', 'ldap://pki.example.com/ca']
                  ca_issuers = ['http://pki.example.com/ca.cer']
                  ocsp = ['http://ocsp.example.com']",
    },
    Shape {
        profile: "vpn-gateway",
        subject: "OU=VPN+CN=gw1.example.com,O=Example GmbH",
        names: &["dns:gw1.example.com"],
        changes: "expires = 2045-01-01T00:00:00Z",
    },
    Shape {
        profile: "smime",
        subject: "CN=Jürgen Doe,O=Example GmbH",
        names: &["email:jo@example.com"],
        changes: "expires = 2045-01-01T00:00:00Z
                  [approval]
                  four_eyes = false
                  [algorithms]
                  content_ciphers = ['aes128-cbc', 'aes256-cbc']",
    },
    Shape {
        profile: "tls-server",
        subject: "",
        names: &["dns:www.example.com", "ip:192.0.2.7", "ip:2001:db8::7"],
        changes: "expires = 2045-01-01T00:00:00Z",
    },
];

/// The certificate, DER, by a word for it.
type Named = (String, Vec<u8>);

#[tokio::test]
async fn an_independent_linter_finds_nothing_in_what_is_issued_under_each_shipped_policy()
-> Result<()> {
    let mut installation = Installation::start().await?;
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../policy/examples");
    for Shape {
        profile, changes, ..
    } in &SHAPES
    {
        let file = format!("{profile}.toml");
        let copy = installation.ready().policy_dir.join(&file);
        std::fs::copy(example.join(&file), copy)?;
        installation.write_profile(profile, profile, changes)?;
    }
    installation.add_forms().await?;
    let mut certificates = demo_leaves(&installation).await?;
    for shape in &SHAPES {
        let leaf = example_leaf(&installation, shape).await?;
        certificates.push((shape.profile.to_owned(), leaf));
    }
    judge(&installation, certificates).await
}

#[tokio::test]
async fn an_independent_linter_finds_nothing_under_a_ca_with_an_rsa_key() -> Result<()> {
    let installation = Installation::start_with(&["--ca-key", "rsa3072"]).await?;
    let certificates = demo_leaves(&installation).await?;
    judge(&installation, certificates).await
}

/// Certificates of the demo's own profiles: a first one, its renewal, one of the fleet.
async fn demo_leaves(installation: &Installation) -> Result<Vec<Named>> {
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let subject = "CN=pump-1,O=Example";
    let names = ["dns:pump-1.example.com", "dns:xn--bcher-kva.example"];
    let challenge = installation.challenge(subject, &names).await?;
    let device = Device::new()?;
    let csr = device.csr(subject, Some(&challenge), &[san(&names)?])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let answer = device.post(url, &anchors, &message).await?;
    let first = answer.certificate()?.to_vec();

    let next = Device::new()?;
    let csr = next.csr(subject, None, &[san(&names)?])?;
    let holder = device.holding(&first);
    let message = holder.of_type(&anchors, RENEWAL_REQ, &csr).await?;
    let answer = holder.post(url, &anchors, &message).await?;
    let renewed = answer.certificate()?.to_vec();

    let names = ["dns:*.pump-2.example.com"];
    let subject = "CN=pump-2,O=Example";
    let challenge = installation.challenge(subject, &names).await?;
    let device = Device::new()?;
    let csr = device.csr(subject, Some(&challenge), &[san(&names)?])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let answer = device.post(url, &anchors, &message).await?;
    let wildcard = answer.certificate()?.to_vec();

    installation.add_to_inventory(&["tracker-1"]).await?;
    let challenge = &installation.ready().fleet_challenge;
    let fleet = Device::new()?
        .enrol(
            installation.url("fleet")?,
            &anchors,
            "CN=tracker-1,O=Example",
            challenge,
        )
        .await?;
    Ok(vec![
        ("devices".to_owned(), first),
        ("devices, renewed".to_owned(), renewed),
        ("devices, wildcard".to_owned(), wildcard),
        ("fleet".to_owned(), fleet.certificate()?.to_vec()),
    ])
}

async fn example_leaf(installation: &Installation, shape: &Shape) -> Result<Vec<u8>> {
    let Shape {
        profile,
        subject,
        names,
        changes,
    } = shape;
    installation.add_profile(profile, profile, changes).await?;

    let device = Device::with_key_of(KEY_BITS)?;
    let challenge = if *profile == "vpn-gateway" {
        pinned(installation, profile, &device).await?
    } else {
        let mut arguments = vec!["challenge", "issue", "--profile", profile];
        arguments.extend(["--subject", subject]);
        for name in *names {
            arguments.extend(["--san", name]);
        }
        issue(installation, &arguments).await?
    };
    let anchors = Anchors::of(installation)?;
    let url = installation.url_of(profile)?;
    let csr = device.csr(subject, Some(&challenge), &[san(names)?])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let answer = device.post(&url, &anchors, &message).await?;
    if answer == Answer::Pending {
        approve(installation).await?;
        let ca = X509::from_pem(&std::fs::read(&installation.ready().ca_pem)?)?;
        let poll = device.poll(&anchors, &ca, message.transaction_id()).await?;
        let answer = device.post(&url, &anchors, &poll).await?;
        return Ok(answer.certificate()?.to_vec());
    }
    Ok(answer
        .certificate()
        .with_context(|| (*profile).to_owned())?
        .to_vec())
}

/// Puts the gateway and its key on the inventory; the static challenge of the profile.
async fn pinned(installation: &Installation, profile: &str, device: &Device) -> Result<String> {
    let pin = hex::encode(sha256(&device.spki()?));
    let file = installation.scratch().join("gateways.txt");
    std::fs::write(&file, format!("gw1.example.com\t{pin}\n"))?;
    let file = file.to_string_lossy();
    installation
        .assay(&["inventory", "add", "--profile", profile, "--from", &file])
        .await?
        .succeeded()?;
    let arguments = ["challenge", "issue", "--profile", profile, "--static"];
    issue(installation, &arguments).await
}

async fn issue(installation: &Installation, arguments: &[&str]) -> Result<String> {
    let printed = installation.assay(arguments).await?.succeeded()?.text();
    Ok(printed.trim_end_matches('\n').to_owned())
}

async fn approve(installation: &Installation) -> Result<()> {
    let listed = installation.assay(&["--json", "request", "list"]).await?;
    let listed: serde_json::Value = serde_json::from_slice(&listed.succeeded()?.stdout)?;
    let id = listed.pointer("/0/id").and_then(serde_json::Value::as_str);
    installation
        .assay(&["request", "approve", id.context("nothing waits")?])
        .await?
        .succeeded()?;
    Ok(())
}

fn san(names: &[&str]) -> Result<Vec<u8>> {
    let names: Vec<SubjectAltName> = names
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()?;
    extension(SAN, false, &SubjectAltName::list_to_der(&names)?)
}

/// Of the leaves, of the CAs and RA certificates above and beside them, and of the CRL.
async fn judge(installation: &Installation, leaves: Vec<Named>) -> Result<()> {
    let linter = Linter::installed().await?;
    let ready = installation.ready();
    let mut files = vec![
        ("root".to_owned(), ready.root_pem.clone()),
        ("issuing CA".to_owned(), ready.ca_pem.clone()),
        ("RA, encryption".to_owned(), ready.ra_enc_pem.clone()),
        ("RA, signature".to_owned(), ready.ra_sign_pem.clone()),
    ];
    for (index, (name, der)) in leaves.into_iter().enumerate() {
        let file = installation.scratch().join(format!("leaf-{index}.der"));
        std::fs::write(&file, der)?;
        files.push((name, file));
    }
    let mut found = Vec::new();
    for (name, file) in &files {
        for finding in linter.certificate(file).await? {
            found.push((name.clone(), finding));
        }
    }
    let list = http::get(&crl::url(installation)?).await?;
    let file = installation.scratch().join("ca.crl");
    std::fs::write(&file, &list.body)?;
    for finding in linter.crl(&file).await? {
        found.push(("CRL".to_owned(), finding));
    }

    let argued = |name: &str, code: &str| {
        ARGUED
            .iter()
            .any(|(certificate, known, _)| *certificate == name && *known == code)
    };
    let unargued: Vec<_> = found
        .iter()
        .filter(|(name, finding)| !argued(name, &finding.code))
        .collect();
    assert!(unargued.is_empty(), "{unargued:#?}");
    for (name, code, reason) in ARGUED {
        let judged = files.iter().any(|(known, _)| known == name);
        let seen = found
            .iter()
            .any(|(known, finding)| known == name && finding.code == *code);
        assert!(
            !judged || seen,
            "{name}: {code} is no longer found; take it off the list: {reason}"
        );
    }
    Ok(())
}
