//! What came in an envelope and is secret is kept nowhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use assay_scep::client::{EnvelopeParts, PkiMessageBuilder};
use assay_scep::{Cipher, KeyTransport};
use assay_tests::device::{Anchors, Device};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::wait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::rsa::Padding;
use openssl::symm;
use openssl::x509::X509;

use crate::kept;

/// Posts a CSR in an envelope whose content key is known.
async fn post_with_key(
    device: &Device,
    anchors: &Anchors,
    url: &str,
    csr: &[u8],
    key: &[u8; 16],
) -> Result<()> {
    let ra = X509::from_der(&anchors.ra_enc)?.public_key()?.rsa()?;
    let mut encrypted = vec![0; usize::try_from(ra.size())?];
    let length = ra.public_encrypt(key, &mut encrypted, Padding::PKCS1)?;
    encrypted.truncate(length);
    let iv = [7; 16];
    let ciphertext = symm::encrypt(symm::Cipher::aes_128_cbc(), key, Some(&iv), csr)?;
    let envelope = EnvelopeParts {
        recipient: &anchors.ra_enc,
        key_transport: KeyTransport::Pkcs1v15,
        encrypted_key: &encrypted,
        cipher: Cipher::Aes128Cbc,
        iv: &iv,
        ciphertext: &ciphertext,
    };
    let envelope = envelope.to_der().context("no envelope")?;
    let nonce = openssl::sha::sha256(csr);
    let transaction = hex::encode(nonce);
    let builder = PkiMessageBuilder::new(
        device.certificate(),
        &anchors.ra_enc,
        &transaction,
        &nonce[..16],
    );
    let message = builder.build_around(Some(&envelope), device).await?;
    let response = http::post(url, &message).await?;
    ensure!(response.status == 200, "{}", response.text());
    Ok(())
}

#[tokio::test]
async fn no_challenge_pin_or_content_key_is_kept_anywhere() -> Result<()> {
    const KEY: [u8; 16] = *b"content-key-4711";
    let mut installation = Installation::start().await?;
    let anchors = Anchors::of(&installation)?;
    let approval = "ticket = 'LIFE-9'\n[approval]\nexpires = '1h'\n";
    installation
        .add_profile("approved", "devices", approval)
        .await?;
    let dir = installation.ready().dir.clone();
    let before = kept(&dir)?.len();
    let mut secrets = vec![
        String::from_utf8(KEY.to_vec())?,
        "unknown-challenge-4711".to_owned(),
        std::fs::read_to_string(installation.path("token/user.pin"))?
            .trim()
            .to_owned(),
    ];
    // Issued, queued, refused for its name, refused for its challenge.
    for (profile, bound, asked) in [
        ("devices", Some("CN=a,O=Example"), "CN=a,O=Example"),
        ("approved", Some("CN=b,O=Example"), "CN=b,O=Example"),
        ("devices", Some("CN=c,O=Example"), "CN=d,O=Example"),
        ("devices", None, "CN=e,O=Example"),
    ] {
        let challenge = match bound {
            Some(subject) => installation.challenge_of(profile, subject).await?,
            None => "unknown-challenge-4711".to_owned(),
        };
        let device = Device::new()?;
        let csr = device.csr(asked, Some(&challenge), &[])?;
        let url = installation.url_of(profile)?;
        post_with_key(&device, &anchors, &url, &csr, &KEY).await?;
        secrets.push(challenge);
    }
    assert_eq!(
        kept(&dir)?.len(),
        before + 3,
        "of what was issued, queued and refused"
    );

    let scratch = installation.scratch().to_owned();
    let export = scratch.join("export");
    let out = export.to_str().context("a path is not UTF-8")?;
    let made = wait::until("an export of all that", wait::REACTION, async || {
        let ran = installation
            .assay(&["export", "--out", out])
            .await?
            .succeeded()?;
        let text = std::fs::read_to_string(export.join("evidence/000.jsonl"))?;
        let whole = text.lines().count() == before + 3;
        if !whole {
            std::fs::remove_dir_all(&export)?;
        }
        Ok(whole.then_some(ran))
    })
    .await?;
    assert!(!secrets.iter().any(|secret| made.all().contains(secret)));

    // While it runs, so that the WAL is looked at, and after its end.
    for running in [true, false] {
        if !running {
            installation.stop().await?;
        }
        let mut files = files(&dir, &scratch)?;
        files.extend(below(&export)?);
        assert!(
            files
                .iter()
                .any(|(_, content)| holds_any(content, "CN=a,O=Example")),
            "what may be kept is found"
        );
        for (name, content) in &files {
            let secret = secrets.iter().position(|secret| holds_any(content, secret));
            assert_eq!(secret, None, "a secret is in {}", name.display());
        }
    }
    Ok(())
}

type File = (PathBuf, Vec<u8>);

/// The state and all that was logged and printed.
fn files(dir: &Path, scratch: &Path) -> Result<Vec<File>> {
    let output = scratch.join("demo.output");
    let mut files: Vec<File> = vec![(output.clone(), std::fs::read(output)?)];
    for folder in ["state", "log", "hsm"] {
        files.extend(below(&dir.join(folder))?);
    }
    Ok(files)
}

/// What an auditor takes home.
fn below(dir: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(below(&path)?);
        } else if path.is_file() {
            let mut content = std::fs::read(&path)?;
            // The state's reserve is zeros.
            let end = content.iter().rposition(|byte| *byte != 0);
            content.truncate(end.map_or(0, |last| last + 1));
            files.push((path, content));
        }
    }
    Ok(files)
}

/// As it is, in hex, and in base64 at each alignment.
fn holds_any(content: &[u8], text: &str) -> bool {
    let base64 = (0..3).map(|shift| {
        let shifted = STANDARD.encode(format!("{}{text}", &"xxx"[..shift]));
        // Both ends depend on the neighbours.
        shifted[4..shifted.len() - 4].to_owned()
    });
    [text.to_owned(), hex::encode(text)]
        .into_iter()
        .chain(base64)
        .any(|form| {
            content
                .windows(form.len())
                .any(|window| window == form.as_bytes())
        })
}
