//! A witness under other hands, as real processes: it cosigns a log that grows, never one that contradicts what it saw, and
//! no kill makes it forget. What it and the log signed holds for programs of others, and for receipts offline.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use assay_audit::note::{Algorithm, Note, Signature, VerifierKey, cosigned};
use assay_audit::tree::{Frontier, Nodes, consistency_proof};
use assay_audit::{Checkpoint, Hash};
use assay_tests::device::{Anchors, Device};
use assay_tests::http::{self, Response};
use assay_tests::installation::{Installation, binary, set};
use assay_tests::process::Service;
use assay_tests::tool::{self, Ran};
use assay_tests::wait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

const WITNESS: &str = "witness.example.org/a";

/// `assay` without an installation.
async fn assay(arguments: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary("assay")?);
    command
        .current_dir(std::env::temp_dir())
        .env_remove("ASSAY_DIR")
        .args(arguments);
    tool::run(&mut command, &[]).await
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

/// The witness's key and memory, over all its runs.
struct Witness {
    dir: TempDir,
    vkey: String,
    service: Option<Service>,
    runs: usize,
}

impl Witness {
    async fn new() -> Result<Self> {
        let dir = TempDir::with_prefix("assay-witness-")?;
        let key = dir.path().join("key");
        let made = assay(&["witness", "key", "--name", WITNESS, "--out", text(&key)?]).await?;
        Ok(Self {
            vkey: made.succeeded()?.text().trim().to_owned(),
            dir,
            service: None,
            runs: 0,
        })
    }

    fn key_file(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// Starts it, on another port each time, and returns its URL.
    async fn start(&mut self, log: &str) -> Result<String> {
        self.runs += 1;
        let name = format!("witness-{}", self.runs);
        let mut command = Command::new(binary("assay")?);
        command
            .args(["witness", "--listen", "127.0.0.1:0", "--log", log])
            .arg("--key")
            .arg(self.key_file())
            .arg("--state")
            .arg(self.dir.path().join("state"));
        let service = Service::spawn(&mut command, &name, self.dir.path())?;
        let url = wait::until("a witness that listens", wait::REACTION, async || {
            let printed = service.printed();
            let url = printed
                .split([' ', ','])
                .find(|word| word.starts_with("http://") && printed.contains("knows checkpoints"));
            Ok(url.map(str::to_owned))
        })
        .await
        .with_context(|| service.printed())?;
        self.service = Some(service);
        Ok(url)
    }

    async fn kill(&mut self) -> Result<()> {
        let service = self.service.take().context("the witness is not running")?;
        service.kill().await
    }
}

/// A log of this test's own: a key, and leaves of which there can be two versions.
struct Log {
    private: PKey<Private>,
    key: VerifierKey,
    leaves: Vec<Hash>,
}

impl Nodes for &Log {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let leaves = self.leaves.chunks(1 << level);
        let nth = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(root(leaves.into_iter().nth(nth).unwrap_or_default()))
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.root()
}

impl Log {
    fn new(origin: &str) -> Result<Self> {
        let private = PKey::generate_ed25519()?;
        let public = private.raw_public_key()?;
        Ok(Self {
            key: VerifierKey::ed25519(origin, Algorithm::Ed25519, &public)?,
            private,
            leaves: (0..100_u8).map(|n| Hash::of_leaf(&[n])).collect(),
        })
    }

    /// The same key over a tree that differs from record `from` on.
    fn forked(&self, from: usize) -> Self {
        let leaf = |(n, leaf): (usize, &Hash)| {
            if n < from {
                *leaf
            } else {
                Hash::of_leaf(leaf.as_bytes())
            }
        };
        Self {
            private: self.private.clone(),
            key: self.key.clone(),
            leaves: self.leaves.iter().enumerate().map(leaf).collect(),
        }
    }

    fn note(&self, size: u64) -> Result<Note> {
        let leaves = self.leaves.get(..usize::try_from(size)?);
        let checkpoint = Checkpoint {
            origin: self.key.name().to_owned(),
            size,
            root: root(leaves.context("the log has fewer leaves")?),
        };
        let text = checkpoint.to_string();
        let octets =
            Signer::new_without_digest(&self.private)?.sign_oneshot_to_vec(text.as_bytes())?;
        Ok(Note::new(&text, vec![Signature::new(&self.key, octets)])?)
    }

    /// The body of add-checkpoint.
    fn body(&self, old: u64, size: u64) -> Result<String> {
        let mut body = format!("old {old}\n");
        if old > 0 && old < size {
            for hash in consistency_proof(&mut &*self, old, size)? {
                body.push_str(&BASE64.encode(hash.as_bytes()));
                body.push('\n');
            }
        }
        Ok(format!("{body}\n{}", self.note(size)?))
    }
}

async fn add(url: &str, body: &str) -> Result<Response> {
    http::post_text(&format!("{url}/add-checkpoint"), body).await
}

async fn enrol(installation: &Installation, name: &str) -> Result<Vec<u8>> {
    let subject = format!("CN={name},O=Example");
    let challenge = installation.challenge(&subject, &[]).await?;
    let anchors = Anchors::of(installation)?;
    let answer = Device::new()?
        .enrol(installation.url("devices")?, &anchors, &subject, &challenge)
        .await?;
    Ok(answer.certificate()?.to_vec())
}

fn serial_of(certificate: &[u8]) -> Result<String> {
    let certificate = openssl::x509::X509::from_der(certificate)?;
    let serial = certificate.serial_number().to_bn()?.to_hex_str()?;
    Ok(serial.to_lowercase())
}

async fn head(installation: &Installation) -> Result<Note> {
    let printed = installation.assay(&["audit", "checkpoint"]).await?;
    Ok(Note::from_str(&printed.succeeded()?.text())?)
}

fn size(note: &Note) -> Result<u64> {
    Ok(Checkpoint::from_str(note.text())?.size)
}

/// Waits for a head over more than so many records.
async fn head_after(installation: &Installation, before: u64) -> Result<Note> {
    wait::until("another checkpoint", wait::REACTION, async || {
        let note = head(installation).await?;
        Ok((size(&note)? > before).then_some(note))
    })
    .await
}

/// Has the head cosigned and reads it with the cosignature. The log may go on meanwhile; then the next head is tried.
async fn cosigned_head(installation: &Installation, url: &str, key: &VerifierKey) -> Result<Note> {
    wait::until("a cosigned head", wait::REACTION, async || {
        let cosign = ["--json", "audit", "cosign", "--witness", url];
        let told = installation.assay(&cosign).await?.succeeded()?.text();
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let of = |key: &str| told.pointer(&format!("/0/{key}")).context("no row");
        assert_eq!(of("witness")?, WITNESS);
        let note = head(installation).await?;
        if *of("size")? != size(&note)? {
            return Ok(None);
        }
        ensure!(key.verify(&note)?.is_some(), "no cosignature on {note}");
        Ok(Some(note))
    })
    .await
}

/// An installation that takes the cosignatures of `witness`, and its log's verifier key as an auditor gets it.
async fn watched_by(witness: &Witness) -> Result<(Installation, PathBuf)> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    set(
        &installation.path("signer.toml"),
        &["audit", "witnesses"],
        vec![witness.vkey.clone()],
    )?;
    installation.serve().await?;
    let trust = installation.scratch().join("trust");
    installation
        .assay(&["audit", "trust", "--out", text(&trust)?])
        .await?
        .succeeded()?;
    Ok((installation, trust))
}

/// OpenSSL's own command, over files of its own.
async fn openssl_verifies(public: &Path, octets: &[u8], signature: &[u8]) -> Result<bool> {
    let dir = TempDir::with_prefix("assay-openssl-")?;
    let (signed, by) = (dir.path().join("signed"), dir.path().join("signature"));
    std::fs::write(&signed, octets)?;
    std::fs::write(&by, signature)?;
    let mut command = tool::command("openssl", "openssl")?;
    command
        .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
        .arg(public)
        .arg("-in")
        .arg(&signed)
        .arg("-sigfile")
        .arg(&by);
    let ran = tool::run(&mut command, &[]).await?;
    Ok(ran.status.success() && ran.all().contains("Verified Successfully"))
}

#[tokio::test]
async fn a_cosignature_comes_back_and_holds_for_openssl_and_for_receipts_offline() -> Result<()> {
    let mut witness = Witness::new().await?;
    let (installation, trust) = watched_by(&witness).await?;
    let vkey = std::fs::read_to_string(trust.join("log.vkey"))?;
    let url = witness.start(vkey.trim()).await?;
    let key = VerifierKey::from_str(&witness.vkey)?;

    // Twice, so that the second time there is something to be consistent with.
    let (mut certificate, mut note) = (Vec::new(), head(&installation).await?);
    for name in ["a", "b"] {
        certificate = enrol(&installation, name).await?;
        let serial = serial_of(&certificate)?;
        wait::until("the record under a head", wait::REACTION, async || {
            let receipt = installation.assay(&["receipt", &serial]).await?;
            Ok(receipt.status.success().then_some(()))
        })
        .await?;
        note = cosigned_head(&installation, &url, &key).await?;
    }

    // The log's signature and the witness's, by OpenSSL and the keys' own files.
    let [log, cosignature] = note.signatures() else {
        anyhow::bail!("two signatures are to be on {note}");
    };
    let public = installation.path("certificates/log-key.pem");
    let signed = note.text().as_bytes();
    assert!(openssl_verifies(&public, signed, log.octets()).await?);
    let altered = note.text().replacen("assay", "essay", 1);
    assert!(!openssl_verifies(&public, altered.as_bytes(), log.octets()).await?);
    let public = witness.dir.path().join("public.pem");
    let mut command = tool::command("openssl", "openssl")?;
    command
        .args(["pkey", "-pubout", "-in"])
        .arg(witness.key_file())
        .arg("-out")
        .arg(&public);
    tool::run(&mut command, &[]).await?.succeeded()?;
    let (time, octets) = cosignature
        .octets()
        .split_first_chunk()
        .context("a cosignature has a time")?;
    let message = cosigned(u64::from_be_bytes(*time), note.text());
    assert!(openssl_verifies(&public, message.as_bytes(), octets).await?);

    receipts_hold_offline(&installation, &trust, &witness, &certificate).await
}

async fn receipts_hold_offline(
    installation: &Installation,
    trust: &Path,
    witness: &Witness,
    certificate: &[u8],
) -> Result<()> {
    let scratch = installation.scratch();
    let file = |name: &str| scratch.join(name);
    let (pem, receipt) = (file("device.pem"), file("device.receipt"));
    let x509 = openssl::x509::X509::from_der(certificate)?;
    std::fs::write(&pem, x509.to_pem()?)?;
    installation
        .assay(&["receipt", text(&pem)?, "--out", text(&receipt)?])
        .await?
        .succeeded()?;
    let by_serial = serial_of(certificate)?;
    let printed = installation.assay(&["receipt", &by_serial]).await?;
    let good = std::fs::read_to_string(&receipt)?;
    assert_eq!(printed.succeeded()?.text(), good);

    let log_key = trust.join("log.vkey");
    let verify = async |receipt: &Path, certificate: &Path| {
        assay(&[
            "receipt",
            "verify",
            text(receipt)?,
            "--certificate",
            text(certificate)?,
            "--log-key",
            text(&log_key)?,
            "--witness",
            &witness.vkey,
        ])
        .await
    };
    let proven = verify(&receipt, &pem).await?.succeeded()?.text();
    assert!(proven.contains("proven: record"), "{proven}");
    assert!(
        proven.contains(&format!("cosigned by   {WITNESS}")),
        "{proven}"
    );

    let altered = file("altered.receipt");
    let value: serde_json::Value = serde_json::from_str(&good)?;
    let of = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str);
    let digest = of("/record/request_digest").context("no digest")?;
    let hash = of("/proof/0").context("no proof")?;
    let flip = |hex: &str| {
        let first = if hex.starts_with('0') { "1" } else { "0" };
        format!("{first}{}", hex.get(1..).unwrap_or_default())
    };
    for (from, to, named) in [
        (digest, flip(digest), "proof: "),
        (hash, flip(hash), "proof: "),
        ("\\n\\n", "\\n".to_owned(), "checkpoint: "),
        (
            "checkpoint\":\"a",
            "checkpoint\":\"b".to_owned(),
            "checkpoint: ",
        ),
        ("{\"checkpoint", " {\"checkpoint".to_owned(), "canonical"),
        (
            "assay-receipt/1",
            "assay-receipt/2".to_owned(),
            "assay-receipt/1",
        ),
    ] {
        let changed = good.replacen(from, &to, 1);
        ensure!(changed != good, "{from} is not in the receipt");
        std::fs::write(&altered, changed)?;
        let told = verify(&altered, &pem).await?.failed()?;
        assert_eq!(told.status.code(), Some(1));
        assert!(told.all().contains(named), "{from}: {}", told.all());
    }
    let ca = &installation.ready().ca_pem;
    let told = verify(&receipt, ca).await?.failed()?.all();
    assert!(told.contains("certificate_sha256: "), "{told}");
    let other = Witness::new().await?;
    let told = assay(&[
        "receipt",
        "verify",
        text(&receipt)?,
        "--certificate",
        text(&pem)?,
        "--log-key",
        text(&log_key)?,
        "--witness",
        &other.vkey,
    ])
    .await?
    .failed()?
    .all();
    assert!(told.contains("checkpoint: no cosignature of"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_rollback_and_a_fork_are_refused_also_after_a_kill() -> Result<()> {
    let mut witness = Witness::new().await?;
    let log = Log::new("log.example.org/one")?;
    let fork = log.forked(4);
    let url = witness.start(&log.key.to_string()).await?;
    let key = VerifierKey::from_str(&witness.vkey)?;
    let answer = add(&url, &log.body(0, 5)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let line = Signature::from_str(answer.text().trim_end())?;
    let time = key.verify_line(log.note(5)?.text(), &line)?;
    ensure!(time.is_some_and(|time| time > 1_700_000_000));

    witness.kill().await?;
    let url = witness.start(&log.key.to_string()).await?;
    for (body, status, kind, told) in [
        (log.body(0, 3)?, 409, "text/x.tlog.size", "5\n"),
        (log.body(3, 5)?, 409, "text/x.tlog.size", "5\n"),
        (log.body(5, 3)?, 400, "text/plain", "old 5"),
        (fork.body(5, 5)?, 409, "text/plain", "another tree"),
        (fork.body(5, 7)?, 422, "text/plain", "not what it was"),
        (
            Log::new("log.example.org/two")?.body(0, 5)?,
            404,
            "text/plain",
            "watches over",
        ),
        (
            Log::new("log.example.org/one")?.body(5, 7)?,
            403,
            "text/plain",
            "signed",
        ),
        ("new 5\n".to_owned(), 400, "text/plain", "old SIZE"),
        ("x".repeat(1 << 20), 413, "text/plain", "octets"),
    ] {
        let answer = add(&url, &body).await?;
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        let kind_told = answer.header("content-type").unwrap_or_default();
        assert!(kind_told.starts_with(kind), "{kind_told}");
        assert!(text.contains(told), "{told}: {text}");
    }
    let answer = add(&url, &log.body(5, 7)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn no_kill_makes_a_witness_forget_what_it_cosigned() -> Result<()> {
    let mut witness = Witness::new().await?;
    let log = Log::new("log.example.org/one")?;
    let mut cosigned = 0;
    for round in 1..=12 {
        let url = witness.start(&log.key.to_string()).await?;
        // What it last promised, or one that it was killed over; never less.
        let known = known(&url, &log).await?;
        assert!(known >= cosigned, "{known} after {cosigned}");
        let next = known + round;
        let body = log.body(known, next)?;
        if round % 2 == 0 {
            let answer = add(&url, &body).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            cosigned = next;
        } else {
            // Whether it is cosigned is for the kill to decide.
            let authority = url.strip_prefix("http://").context("no URL")?;
            let mut stream = TcpStream::connect(authority).await?;
            let length = body.len();
            let request =
                format!("POST /add-checkpoint HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await?;
        }
        witness.kill().await?;
    }
    let url = witness.start(&log.key.to_string()).await?;
    let known = known(&url, &log).await?;
    assert!(
        cosigned > 0 && known >= cosigned,
        "{known} after {cosigned}"
    );
    Ok(())
}

/// The size that a witness has cosigned last; a new one cosigns size 1.
async fn known(url: &str, log: &Log) -> Result<u64> {
    let told = add(url, &log.body(0, 1)?).await?;
    match told.status {
        200 => Ok(1),
        409 => Ok(told.text().trim_end().parse()?),
        status => anyhow::bail!("{status}: {}", told.text()),
    }
}

#[tokio::test]
async fn a_log_that_was_set_back_is_found_out_by_its_witness() -> Result<()> {
    let mut witness = Witness::new().await?;
    let (mut installation, trust) = watched_by(&witness).await?;
    let vkey = std::fs::read_to_string(trust.join("log.vkey"))?;
    let url = witness.start(vkey.trim()).await?;
    installation.stop().await?;
    let (state, copy) = (
        installation.path("state"),
        installation.scratch().join("copy"),
    );
    copy_files(&state, &copy)?;
    installation.serve().await?;
    for name in ["a", "b", "c", "d"] {
        enrol(&installation, name).await?;
    }
    let before = size(&head(&installation).await?)?;
    enrol(&installation, "e").await?;
    head_after(&installation, before).await?;
    let cosign = ["audit", "cosign", "--witness", url.as_str()];
    installation.assay(&cosign).await?.succeeded()?;

    installation.stop().await?;
    std::fs::remove_dir_all(&state)?;
    copy_files(&copy, &state)?;
    installation.serve().await?;
    let told = installation.assay(&cosign).await?.failed()?;
    assert_eq!(told.status.code(), Some(1));
    assert!(told.all().contains("set back"), "{}", told.all());
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
