//! Every private-key operation is the token's, and the token may go and come back.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::{Installation, pem, set};
use assay_tests::process::Service;
use assay_tests::tiers::Tiers;
use assay_tests::tool::{command, run};
use assay_tests::trace::{self, Trace};
use assay_tests::{http, installation, wait};
use openssl::ecdsa::EcdsaSig;
use openssl::pkey::{Id, PKey};
use openssl::x509::X509;
use tokio::process::Command;

/// Folders of an installation with private keys in files: of the tiers' mutual TLS, of the demo's own devices, and of the
/// people whom the demo makes up to approve its policy.
const SOFTWARE_KEYS: [&str; 3] = ["transport", "devices", "approvers"];

/// The keys of the service, by the labels that the ceremony gives them.
const SERVICE_KEYS: [&str; 5] = ["ra-decrypt", "ra-sign", "ca-sign", "log-sign", "probe"];

#[tokio::test]
async fn decryption_and_both_signatures_went_through_the_token() -> Result<()> {
    let mut installation = Installation::start().await?;
    let challenge = installation.challenge("CN=sensor-1,O=Example", &[]).await?;
    installation.stop().await?;
    let log = spy_on(&installation)?;
    let tiers = Tiers::start(&installation).await?;
    let anchors = Anchors::of(&installation)?;
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&anchors, &csr).await?;

    let reply = http::post(&tiers.url("devices"), &message.bytes)
        .await?
        .body;
    let answer = device.read(&anchors, &message, &reply).await?;
    let certificate = answer.certificate()?;

    let trace = Trace::read(&log)?;
    let signatures: Vec<&[u8]> = trace
        .of("C_Sign")
        .filter_map(|call| call.buffer("pSignature"))
        .collect();
    let by_the_ca = token_signature(certificate)?;
    assert!(
        signatures.contains(&by_the_ca.as_slice()),
        "the token made no such CA signature"
    );
    let by_the_ra = signatures
        .iter()
        .filter(|signature| contains(&reply, signature))
        .count();
    assert_eq!(by_the_ra, 1, "the token signed the CertRep once");
    let decrypted = trace
        .of("C_Decrypt")
        .filter_map(|call| call.buffer("pEncryptedData"))
        .filter(|ciphertext| contains(&message.bytes, ciphertext))
        .count();
    assert!(decrypted > 0, "the token decrypted no key of this message");
    Ok(())
}

#[tokio::test]
async fn no_file_holds_a_private_key_of_the_ca_or_the_ra() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let public: Vec<Vec<u8>> = ["ca.pem", "ra-enc.pem", "ra-sign.pem", "root.pem"]
        .into_iter()
        .map(|name| pem(&dir.join("certificates").join(name)))
        .map(|der| Ok(X509::from_der(&der?)?.public_key()?.public_key_to_der()?))
        .collect::<Result<_>>()?;
    let mut keys = 0;
    for file in files(dir)? {
        let content = std::fs::read(&file)?;
        for key in private_keys(&content) {
            keys += 1;
            assert!(
                !public.contains(&key.public_key_to_der()?),
                "{}",
                file.display()
            );
            let expected = SOFTWARE_KEYS
                .iter()
                .any(|folder| file.starts_with(dir.join(folder)));
            assert!(expected, "{} holds a private key", file.display());
        }
    }
    assert!(
        keys >= 3,
        "the search finds the keys that are there, {keys} of them"
    );
    Ok(())
}

#[tokio::test]
async fn the_tokens_keys_were_made_in_it_and_never_leave_it() -> Result<()> {
    let installation = Installation::start().await?;
    let pin = std::fs::read_to_string(installation.path("token/user.pin"))?;
    let slot = slot(&installation).await?;
    let mut list = pkcs11_tool(&installation)?;
    list.args(["--slot", &slot, "--login", "--pin", pin.trim()]);
    list.args(["--list-objects", "--type", "privkey"]);
    let listed = run(&mut list, &[]).await?.succeeded()?.text();
    for label in SERVICE_KEYS {
        assert!(listed.contains(label), "{label} is missing: {listed}");
    }
    for object in listed.split("Private Key Object").skip(1) {
        let access = object
            .lines()
            .find(|line| line.contains("Access:"))
            .context("no access flags")?;
        for flag in [
            "sensitive",
            "always sensitive",
            "never extractable",
            "local",
        ] {
            assert!(access.contains(flag), "{flag}: {object}");
        }
        let usage = object
            .lines()
            .find(|line| line.contains("Usage:"))
            .context("no usage flags")?;
        let usages = usage
            .split_once(':')
            .map(|(_, usages)| usages.split(',').count());
        assert_eq!(usages, Some(1), "one usage a key: {object}");
    }
    Ok(())
}

#[tokio::test]
async fn the_signer_is_no_worker_of_its_token() -> Result<()> {
    // The argument by which it once started itself as the process that held the keys.
    let mut command = Command::new(installation::binary("assay-signer")?);
    let ran = run(command.arg("hsm-worker"), &[]).await?.failed()?;
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(ran.stdout.is_empty(), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_goes_away_and_comes_back_needs_no_restart() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let tiers = Tiers::start(&installation).await?;
    let signer = tiers.signer()?;
    let challenge = installation.challenge("CN=sensor-1,O=Example", &[]).await?;
    let anchors = Anchors::of(&installation)?;
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let (here, away) = (
        installation.path("token/tokens"),
        installation.path("token/away"),
    );

    std::fs::rename(&here, &away)?;
    let cause = wait::until("readiness falls", wait::REACTION, async || {
        let answer = tiers.readiness().await?;
        Ok((answer.status == 503).then(|| answer.text()))
    })
    .await?;
    assert!(cause.contains("token"), "the cause is named: {cause}");
    let refused = http::post(&tiers.url("devices"), &message.bytes).await?;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());

    std::fs::rename(&away, &here)?;
    tiers.until_ready().await?;
    assert_eq!(tiers.signer()?, signer);
    // What was put off had spent nothing.
    device
        .post(&tiers.url("devices"), &anchors, &message)
        .await?
        .certificate()?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_and_said_in_one_line() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let log = spy_on(&installation)?;
    let pin_file = installation.path("token/user.pin");
    let pin = std::fs::read(&pin_file)?;
    std::fs::write(&pin_file, "000000")?;

    let start = async || {
        let (_program, command) = installation::service(&installation.ready().dir, "hsm")?;
        Service::spawn(&mut command.into(), "hsm", installation.scratch())?
            .ended()
            .await
    };
    let (status, printed) = start().await?;
    let (again, twice) = start().await?;
    assert!(!again.success());
    assert!(twice.contains("refused this PIN before"), "{twice}");

    assert!(!status.success());
    let said: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains("PIN"))
        .collect();
    assert!(!said.is_empty(), "{printed}");
    assert!(
        !printed.contains("000000"),
        "the PIN is not repeated: {printed}"
    );
    let tried = Trace::read(&log)?.count("C_Login");
    assert_eq!(tried, 1, "{printed}");

    std::fs::write(&pin_file, pin)?;
    Tiers::start(&installation).await?.until_ready().await
}

/// The slot of the service token, in hex: pkcs11-tool itself takes a label for a prefix, and the root's token has a
/// longer one.
async fn slot(installation: &Installation) -> Result<String> {
    let mut list = pkcs11_tool(installation)?;
    let listed = run(list.arg("--list-token-slots"), &[])
        .await?
        .succeeded()?
        .text();
    let label = &installation.ready().token_label;
    let is_ours = |line: &str| {
        line.split_once("token label")
            .is_some_and(|(_, rest)| rest.trim_start_matches([' ', ':']) == label)
    };
    let ours = listed
        .split("Slot ")
        .find(|slot| slot.lines().any(is_ours))
        .context("no such token")?;
    let (_, id) = ours.split_once('(').context("a slot without an id")?;
    Ok(id.split(')').next().unwrap_or_default().to_owned())
}

fn pkcs11_tool(installation: &Installation) -> Result<Command> {
    let mut tool = command("pkcs11-tool", "opensc")?;
    tool.env("SOFTHSM2_CONF", installation.path("token/softhsm2.conf"));
    tool.arg("--module")
        .arg(&installation.ready().pkcs11_module);
    Ok(tool)
}

/// Puts pkcs11-spy between the HSM service and the token, and leaves one session so that calls do not interleave.
fn spy_on(installation: &Installation) -> Result<PathBuf> {
    let config = installation.path("hsm.toml");
    let log = installation.path("hsm/pkcs11-spy.log");
    let module = installation
        .ready()
        .pkcs11_module
        .to_string_lossy()
        .into_owned();
    set(
        &config,
        &["module", "path"],
        trace::module()?.to_string_lossy().into_owned(),
    )?;
    set(&config, &["threads"], 1)?;
    set(&config, &["module", "environment", "PKCS11SPY"], module)?;
    set(
        &config,
        &["module", "environment", "PKCS11SPY_OUTPUT"],
        log.to_string_lossy().into_owned(),
    )?;
    Ok(log)
}

/// A certificate's signature as PKCS#11 returns it: for ECDSA r and s, padded to the curve's length (PKCS#11 6.3.1).
fn token_signature(certificate: &[u8]) -> Result<Vec<u8>> {
    const P256_OCTETS: i32 = 32;
    let signature = X509::from_der(certificate)?.signature().as_slice().to_vec();
    let Ok(ecdsa) = EcdsaSig::from_der(&signature) else {
        return Ok(signature);
    };
    let r = ecdsa.r().to_vec_padded(P256_OCTETS)?;
    Ok([r, ecdsa.s().to_vec_padded(P256_OCTETS)?].concat())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// All private keys in a file: PEM blocks, or the whole of it as DER.
fn private_keys(content: &[u8]) -> Vec<PKey<openssl::pkey::Private>> {
    const BEGIN: &str = "-----BEGIN ";
    let text = String::from_utf8_lossy(content);
    let blocks = text
        .split(BEGIN)
        .skip(1)
        .map(|block| format!("{BEGIN}{block}"));
    let from_pem = blocks.filter_map(|block| PKey::private_key_from_pem(block.as_bytes()).ok());
    from_pem
        .chain(PKey::private_key_from_der(content))
        .filter(|key| key.id() != Id::HMAC)
        .collect()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_type()?.is_file() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}
