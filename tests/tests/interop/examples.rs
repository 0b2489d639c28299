//! Each policy of policy/examples, under which every client enrols that the first line of its file names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use assay_tests::device::{self, Device};
use assay_tests::installation::{Installation, pem};
use assay_tests::strongswan::{self, Anchors};
use assay_tests::tool::run;
use openssl::sha::sha256;
use openssl::x509::X509;

use crate::certmonger;

/// Exit code of `assay enrol` while a request waits.
const PENDING: i32 = 5;
/// What every example takes.
const KEY_BITS: u32 = 4096;
/// Dates that do not end with the year, and one operator, as the demo has one.
const DATES: &str = "expires = 2045-01-01T00:00:00Z";
const ONE_OPERATOR: &str = "expires = 2045-01-01T00:00:00Z\n[approval]\nfour_eyes = false";

/// A policy of policy/examples and a request that it permits.
struct Example {
    profile: &'static str,
    /// RFC 4514.
    subject: &'static str,
    /// The same in the order of the certificate, as strongSwan and certmonger take it.
    in_order: &'static str,
    names: &'static [&'static str],
    changes: &'static str,
}

const EXAMPLES: [Example; 4] = [
    Example {
        profile: "wifi-device",
        subject: "CN=sn-17,OU=Wireless,O=Example GmbH,C=DE",
        in_order: "C=DE,O=Example GmbH,OU=Wireless,CN=sn-17",
        names: &["dns:sn-17.wifi.example.com"],
        changes: DATES,
    },
    Example {
        profile: "vpn-gateway",
        subject: "OU=VPN+CN=gw1.example.com,O=Example GmbH",
        in_order: "",
        names: &["dns:gw1.example.com"],
        changes: DATES,
    },
    Example {
        profile: "smime",
        subject: "CN=Jürgen Doe,O=Example GmbH",
        in_order: "",
        names: &["email:jo@example.com"],
        changes: ONE_OPERATOR,
    },
    Example {
        profile: "tls-server",
        subject: "",
        in_order: "",
        names: &["dns:www.example.com", "ip:192.0.2.7"],
        changes: DATES,
    },
];

/// `shapes` enrols a router as its description says: no such client can be installed.
const ELSEWHERE: &str = "cisco-router";

#[tokio::test]
async fn each_client_enrols_under_each_example_that_names_it() -> Result<()> {
    let mut installation = Installation::start_with(&["--ca-key", "rsa3072"]).await?;
    assert_eq!(
        shipped()?,
        EXAMPLES
            .iter()
            .map(|example| example.profile)
            .chain([ELSEWHERE])
            .map(str::to_owned)
            .collect()
    );
    for example in &EXAMPLES {
        let file = format!("{}.toml", example.profile);
        let copy = installation.ready().policy_dir.join(&file);
        std::fs::copy(folder().join(&file), copy)?;
        installation.write_profile(example.profile, example.profile, example.changes)?;
    }
    installation.add_forms().await?;
    for example in &EXAMPLES {
        let profile = example.profile;
        installation
            .add_profile(profile, profile, example.changes)
            .await?;
    }
    for example in &EXAMPLES {
        for client in claimed(example.profile)? {
            let what = format!("{client} under {}", example.profile);
            let enrolled = match client.as_str() {
                "strongSwan" => by_strongswan(&installation, example).await,
                "certmonger" => by_certmonger(&installation, example).await,
                "assay" => by_assay(&installation, example).await,
                "other clients" => by_pinned_key(&installation, example).await,
                _ => anyhow::bail!("no test of {what}"),
            };
            let certificate = enrolled.with_context(|| what.clone())?;
            let certificate = X509::from_der(&pem(&certificate).context(what.clone())?)?;
            let ca = X509::from_der(&pem(&installation.ready().ca_pem)?)?;
            assert!(certificate.verify(ca.public_key()?.as_ref())?, "{what}");
        }
    }
    Ok(())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../policy/examples")
}

fn shipped() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        let stem = path.file_stem().context("a file has a name")?;
        names.insert(stem.to_string_lossy().into_owned());
    }
    Ok(names)
}

/// The clients of a first line such as `# For strongSwan, certmonger: gateways.`
fn claimed(profile: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(folder().join(format!("{profile}.toml")))?;
    let first = text.lines().next().and_then(|line| {
        let (clients, _) = line.strip_prefix("# For ")?.split_once(": ")?;
        Some(clients.split(", ").map(str::to_owned).collect())
    });
    first.with_context(|| format!("{profile}.toml names no clients in its first line"))
}

async fn challenge(installation: &Installation, example: &Example) -> Result<String> {
    let mut arguments = vec!["challenge", "issue", "--profile", example.profile];
    arguments.extend(["--subject", example.subject]);
    for name in example.names {
        arguments.extend(["--san", name]);
    }
    issue(installation, &arguments).await
}

async fn issue(installation: &Installation, arguments: &[&str]) -> Result<String> {
    let printed = installation.assay(arguments).await?.succeeded()?.text();
    Ok(printed.trim_end_matches('\n').to_owned())
}

async fn by_strongswan(installation: &Installation, example: &Example) -> Result<PathBuf> {
    let folder = installation.scratch();
    let url = installation.url_of(example.profile)?;
    let anchors = Anchors::fetch(&folder.join("strongswan"), &url).await?;
    let key = folder.join("strongswan.key");
    strongswan::generate_key(&key).await?;
    let challenge = challenge(installation, example).await?;
    let root = &installation.ready().root_pem;
    let mut enrol = anchors.enrol(&url, &key, example.in_order, root)?;
    enrol.args(["--password", &challenge]);
    for name in dns_names(example) {
        enrol.args(["--san", name]);
    }
    let certificate = folder.join("strongswan.pem");
    std::fs::write(
        &certificate,
        run(&mut enrol, &[]).await?.succeeded()?.stdout,
    )?;
    Ok(certificate)
}

async fn by_certmonger(installation: &Installation, example: &Example) -> Result<PathBuf> {
    let challenge = challenge(installation, example).await?;
    let options: Vec<String> = dns_names(example)
        .map(|name| format!("-D {name}"))
        .collect();
    let ran = certmonger::daemon_then(
        installation,
        example.profile,
        example.in_order,
        &challenge,
        &options.join(" "),
        "",
    )
    .await?;
    assert!(ran.all().contains("status: MONITORING"), "{}", ran.all());
    Ok(installation.scratch().join("certmonger/device.pem"))
}

/// `assay enrol`, and where the request waits, an operator's approval and `--resume`.
async fn by_assay(installation: &Installation, example: &Example) -> Result<PathBuf> {
    let file = |ending: &str| {
        let name = format!("assay-{}.{ending}", example.profile);
        installation.scratch().join(name)
    };
    let (key, certificate) = (file("key"), file("pem"));
    let challenge = challenge(installation, example).await?;
    let bits = KEY_BITS.to_string();
    let (key, written) = (key.to_string_lossy(), certificate.to_string_lossy());
    let mut arguments = vec!["enrol", "--profile", example.profile, "--bits", &bits];
    arguments.extend(["--subject", example.subject, "--challenge", &challenge]);
    arguments.extend(["--key", &key, "--cert", &written]);
    for name in example.names {
        arguments.extend(["--san", name]);
    }
    let ran = installation.assay(&arguments).await?;
    if ran.status.code() != Some(PENDING) {
        ran.succeeded()?;
        return Ok(certificate);
    }
    let listed = issue(installation, &["--json", "request", "list"]).await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let id = listed.pointer("/0/id").and_then(serde_json::Value::as_str);
    let id = id.context("nothing waits")?;
    issue(installation, &["request", "approve", id]).await?;
    let pending = file("pending");
    issue(
        installation,
        &["enrol", "--resume", &pending.to_string_lossy()],
    )
    .await?;
    Ok(certificate)
}

/// A client whose key is pinned in the inventory before it asks.
async fn by_pinned_key(installation: &Installation, example: &Example) -> Result<PathBuf> {
    let device = Device::with_key_of(KEY_BITS)?;
    let pin = hex::encode(sha256(&device.spki()?));
    let list = installation.scratch().join("pinned.txt");
    std::fs::write(&list, format!("gw1.example.com\t{pin}\n"))?;
    let list = list.to_string_lossy();
    let profile = example.profile;
    let add = ["inventory", "add", "--profile", profile, "--from", &list];
    issue(installation, &add).await?;
    let arguments = ["challenge", "issue", "--profile", profile, "--static"];
    let challenge = issue(installation, &arguments).await?;

    let anchors = device::Anchors::of(installation)?;
    let names: Vec<&str> = dns_names(example).collect();
    let names = device::dns_names(&names)?;
    let csr = device.csr(example.subject, Some(&challenge), &[names])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let url = installation.url_of(profile)?;
    let answer = device.post(&url, &anchors, &message).await?;
    let certificate = installation.scratch().join("pinned.pem");
    let issued = X509::from_der(answer.certificate()?)?;
    std::fs::write(&certificate, issued.to_pem()?)?;
    Ok(certificate)
}

fn dns_names(example: &Example) -> impl Iterator<Item = &'static str> {
    example
        .names
        .iter()
        .filter_map(|name| name.strip_prefix("dns:"))
}
