//! The log's signed heads, with the real token and the real processes: they follow the records, continue each other, and do
//! not hold for a log that was altered.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use assay_audit::note::{Algorithm, Note, Signature, VerifierKey, cosigned};
use assay_audit::tree::verify_consistency;
use assay_audit::{Checkpoint, Receipt};
use assay_proto::v1::{
    AddCosignatureRequest, GetCheckpointRequest, GetReceiptRequest, ProveConsistencyRequest,
};
use assay_tests::audit::Record;
use assay_tests::device::{Anchors, Device};
use assay_tests::hsm;
use assay_tests::installation::{Installation, service, set};
use assay_tests::operator::Operator;
use assay_tests::process::Service;
use assay_tests::store;
use assay_tests::tiers::Tiers;
use assay_tests::wait;
use assay_types::{Hash, Timestamp};
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

/// RFC 8410: what stands before the 32 octets of an Ed25519 key in its SubjectPublicKeyInfo.
const ED25519_SPKI: &str = "302a300506032b6570032100";

const WITNESS: &str = "witness.example.org/a";

/// What the operator sees of the log.
struct Log {
    operator: Operator,
    key: VerifierKey,
}

impl Log {
    async fn of(installation: &Installation) -> Result<Self> {
        Ok(Self {
            operator: Operator::connect(&installation.ready().dir).await?,
            key: log_key(&installation.logs()?)?,
        })
    }

    async fn head(&mut self) -> Result<(Note, Checkpoint)> {
        let reply = self
            .operator
            .client()
            .get_checkpoint(GetCheckpointRequest {})
            .await?;
        let note = Note::from_str(&reply.into_inner().note)?;
        let checkpoint = Checkpoint::open(&note, &self.key)?;
        Ok((note, checkpoint))
    }

    /// The first head over at least so many records.
    async fn head_of(&mut self, size: u64) -> Result<Checkpoint> {
        wait::until("a checkpoint", wait::REACTION, async || {
            let (_, head) = self.head().await?;
            Ok((head.size >= size).then_some(head))
        })
        .await
    }

    async fn records(&mut self) -> Result<Vec<Record>> {
        self.operator.audit(0).await
    }

    async fn continues(&mut self, from: &Checkpoint, to: &Checkpoint) -> Result<()> {
        let request = ProveConsistencyRequest {
            from_size: from.size,
            to_size: to.size,
        };
        let reply = self.operator.client().prove_consistency(request).await?;
        let proof: Vec<Hash> = reply
            .into_inner()
            .hashes
            .into_iter()
            .map(|hash| Ok(Hash::try_from(hash.as_slice())?))
            .collect::<Result<_>>()?;
        verify_consistency(from.size, &from.root, to.size, &to.root, &proof)?;
        Ok(())
    }

    async fn receipt(&mut self, serial: &str) -> Result<Receipt> {
        let serial = serial.to_owned();
        let reply = self
            .operator
            .client()
            .get_receipt(GetReceiptRequest { serial })
            .await?;
        Ok(reply.into_inner().receipt.parse()?)
    }
}

/// The key as the signer tells it at its start.
fn log_key(logs: &str) -> Result<VerifierKey> {
    logs.split(['"', ' ', '\n'])
        .map(|word| word.strip_prefix("log=").unwrap_or(word))
        .filter(|word| word.starts_with("assay/"))
        .find_map(|word| VerifierKey::from_str(word).ok())
        .context("the signer did not tell the log's key")
}

async fn enrol(installation: &Installation, url: &str, name: &str) -> Result<Vec<u8>> {
    let subject = format!("CN={name},O=Example");
    let challenge = installation.challenge(&subject, &[]).await?;
    let anchors = Anchors::of(installation)?;
    let answer = Device::new()?
        .enrol(url, &anchors, &subject, &challenge)
        .await?;
    Ok(answer.certificate()?.to_vec())
}

/// A witness of this test's own.
struct Witness {
    private: PKey<Private>,
    key: VerifierKey,
}

impl Witness {
    fn new(name: &str) -> Result<Self> {
        let private = PKey::generate_ed25519()?;
        let public = private.raw_public_key()?;
        let key = VerifierKey::ed25519(name, Algorithm::CosignatureV1, &public)?;
        Ok(Self { private, key })
    }

    fn cosign(&self, time: Timestamp, text: &str) -> Result<String> {
        let message = cosigned(time, text);
        let signed =
            Signer::new_without_digest(&self.private)?.sign_oneshot_to_vec(message.as_bytes())?;
        let octets = [time.seconds().to_be_bytes().as_slice(), &signed].concat();
        Ok(Signature::new(&self.key, octets).to_string())
    }
}

#[tokio::test]
async fn heads_follow_the_records_and_continue_each_other_over_a_restart() -> Result<()> {
    let mut installation = Installation::start().await?;
    let mut log = Log::of(&installation).await?;
    ensure!(is_of_the_token(&log.key, &installation.ready().dir)?);
    let mut heads = vec![log.head_of(1).await?];
    for nth in 0..3 {
        enrol(
            &installation,
            installation.url("devices")?,
            &format!("a{nth}"),
        )
        .await?;
        let records = log.records().await?.len() as u64;
        let head = log.head_of(records).await?;
        heads.push(head);
    }
    let witness = Witness::new(WITNESS)?;
    installation.stop().await?;
    set(
        &installation.path("signer.toml"),
        &["audit", "witnesses"],
        vec![witness.key.to_string()],
    )?;
    installation.serve().await?;
    let mut log = Log::of(&installation).await?;
    let certificate = enrol(&installation, installation.url("devices")?, "b").await?;
    let records = log.records().await?.len() as u64;
    heads.push(log.head_of(records).await?);
    for (nth, to) in heads.iter().enumerate() {
        for from in heads.iter().take(nth + 1) {
            log.continues(from, to).await?;
        }
    }

    // Idle, the head stays: a witness may cosign it.
    let (note, head) = log.head().await?;
    let size = head.size;
    let time = Timestamp::from_seconds(1_800_000_000);
    let line = witness.cosign(time, note.text())?;
    for (wrong, size) in [
        (Witness::new(WITNESS)?.cosign(time, note.text())?, size),
        (
            witness.cosign(time, &note.text().replacen('a', "b", 1))?,
            size,
        ),
        (line.clone(), size + 1_000),
    ] {
        let request = AddCosignatureRequest { size, line: wrong };
        let added = log.operator.client().add_cosignature(request).await;
        ensure!(added.is_err(), "a cosignature that is none was taken");
    }
    let request = AddCosignatureRequest { size, line };
    let added = log.operator.client().add_cosignature(request).await?;
    assert_eq!(added.into_inner().cosignatures, 1);

    // The receipt is under the cosigned head, for whoever has the two keys and the certificate.
    let serial = serial_of(&certificate)?;
    let receipt = log.receipt(&serial).await?;
    let proven = receipt.verify(&log.key, &certificate)?;
    assert_eq!(proven, head);
    let note = Note::from_str(&receipt.checkpoint)?;
    assert_eq!(witness.key.verify(&note)?, Some(time));
    assert!(receipt.verify(&log.key, b"another").is_err());
    assert!(log.receipt("0102030405").await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_hsm_service_counted_as_many_signatures_as_the_log_explains() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;
    for nth in 0..4 {
        enrol(&installation, &tiers.url("devices"), &format!("c{nth}")).await?;
        if nth == 1 {
            let killed = tiers.kill_hsm().await?;
            wait::until("another connection", wait::REACTION, async || {
                // Between two connections there is a moment without one, which has no process id.
                Ok(tiers
                    .hsm()
                    .await
                    .is_ok_and(|pid| pid != killed)
                    .then_some(()))
            })
            .await?;
            tiers.until_ready().await?;
        }
    }
    let revoked = enrol(&installation, &tiers.url("devices"), "c9").await?;
    let serial = serial_of(&revoked)?;
    installation
        .assay(&["cert", "revoke", &serial])
        .await?
        .succeeded()?;
    tiers.stop_signer().await?;

    let records = records_of(&installation.ready().dir)?;
    let boot = records
        .last()
        .context("no record")?
        .text("boot_id")
        .to_owned();
    let boot: Vec<&Record> = records
        .iter()
        .filter(|record| record.text("boot_id") == boot)
        .collect();
    let signed = boot
        .iter()
        .filter(|record| ["request.issued", "crl.issued"].contains(&record.kind()))
        .count() as u64;
    let last: Vec<u64> = boot
        .iter()
        .filter(|record| record.kind() == "hsm.counted" && record.is("last"))
        .map(|record| record.number("ca_signatures").unwrap_or_default())
        .collect();
    assert_eq!(last.len(), 2, "one was killed, one ended");
    assert!(
        signed >= 6,
        "five certificates and the list that revokes one"
    );
    assert_eq!(last.iter().sum::<u64>(), signed);
    assert_eq!(
        boot.last().map(|record| record.kind()),
        Some("service.stopped")
    );
    Ok(())
}

#[tokio::test]
async fn an_activation_and_the_stop_are_signed_for_without_waiting() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    set(
        &installation.path("signer.toml"),
        &["audit", "checkpoint_interval"],
        "1h",
    )?;
    installation.serve().await?;
    let mut log = Log::of(&installation).await?;
    let (_, at_start) = log.head().await?;
    enrol(&installation, installation.url("devices")?, "d").await?;
    assert_eq!(
        log.head().await?.1,
        at_start,
        "nothing but the clock asks for one"
    );

    let files = installation.ready().policy_dir.clone();
    installation.put_in_force(&files).await?;
    let (_, head) = log.head().await?;
    let records = log.records().await?;
    let activated = records
        .iter()
        .rfind(|record| record.kind() == "policy.activated")
        .context("no activation")?;
    assert!(activated.sequence() > at_start.size);
    assert!(head.size >= activated.sequence());
    log.continues(&at_start, &head).await?;

    installation.stop().await?;
    let sqlite = store::look(&installation.ready().dir)?;
    let (records, signed): (i64, i64) = sqlite.query_row(
        "SELECT (SELECT max(sequence) FROM audit), (SELECT max(size) FROM checkpoints)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    assert_eq!(signed, records, "the last record is under the last head");
    Ok(())
}

#[tokio::test]
async fn a_log_that_was_altered_is_not_taken_up_again() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let dir = installation.ready().dir.clone();
    let origin = log_key(&installation.logs()?)?.name().to_owned();
    let named = |file: &str, path: &[&str], origin: &str| set(&dir.join(file), path, origin);
    let (signer, hsm) = (["audit", "origin"], ["log", "origin"]);
    let another = "log.example.org/another";
    named("signer.toml", &signer, another)?;
    let service = hsm::start(&dir, installation.scratch())?;
    let told = refusal(&installation).await?;
    assert!(told.contains("signs for the log"), "{told}");
    service.stop();
    // Both name another log than the one that there is.
    named("hsm.toml", &hsm, another)?;
    let service = hsm::start(&dir, installation.scratch())?;
    let told = refusal(&installation).await?;
    assert!(
        told.contains("is not one that the log-sign key signed"),
        "{told}"
    );
    service.stop();
    named("signer.toml", &signer, &origin)?;
    named("hsm.toml", &hsm, &origin)?;

    let sqlite = store::writable(&dir)?;
    let records: i64 = sqlite.query_row("SELECT max(sequence) FROM audit", [], |row| row.get(0))?;
    ensure!(records > 3);
    let whole: String = sqlite.query_row(
        "SELECT CAST(record AS TEXT) FROM audit WHERE sequence = 2",
        [],
        |row| row.get(0),
    )?;
    let set = |record: &str| {
        let sql = "UPDATE audit SET record = ?1 WHERE sequence = 2";
        sqlite.execute(sql, [record.as_bytes()])
    };
    set(&whole.replace("\"wall_ms\":1", "\"wall_ms\":2"))?;
    let service = hsm::start(&dir, installation.scratch())?;
    let told = refusal(&installation).await?;
    assert!(told.contains("record 2 is not what was written"), "{told}");
    set(&whole)?;

    sqlite.execute("DELETE FROM audit WHERE sequence = ?1", [records])?;
    let told = refusal(&installation).await?;
    assert!(told.contains("the audit log was cut"), "{told}");
    // With what the record belongs to, the HSM service still knows of it.
    let last = "DELETE FROM commits WHERE number > (SELECT max(number) FROM commits) - 3";
    sqlite.execute(last, [])?;
    let told = refusal(&installation).await?;
    assert!(told.contains("the state is older than the log"), "{told}");
    service.stop();
    Ok(())
}

/// What the signer says that must not start: one line, and nothing was added to the log.
async fn refusal(installation: &Installation) -> Result<String> {
    let (_program, command) = service(&installation.ready().dir, "signer")?;
    let name = "signer-that-refuses";
    let before = records_of(&installation.ready().dir)?.len();
    let (status, printed) = Service::spawn(&mut command.into(), name, installation.scratch())?
        .ended()
        .await?;
    assert_eq!(status.code(), Some(2), "{printed}");
    assert_eq!(records_of(&installation.ready().dir)?.len(), before);
    let last = printed.lines().last().context("it says nothing")?;
    Ok(last.to_owned())
}

fn records_of(dir: &Path) -> Result<Vec<Record>> {
    let sqlite = store::look(dir)?;
    let mut query = sqlite.prepare("SELECT CAST(record AS TEXT) FROM audit ORDER BY sequence")?;
    let rows = query.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| Record::parse(&row?)).collect()
}

fn serial_of(certificate: &[u8]) -> Result<String> {
    let certificate = openssl::x509::X509::from_der(certificate)?;
    let serial = certificate.serial_number().to_bn()?.to_hex_str()?;
    Ok(serial.to_lowercase())
}

/// The transcript of the ceremony tells the digest of each key that was made in the token.
fn is_of_the_token(key: &VerifierKey, dir: &Path) -> Result<bool> {
    use base64::Engine;
    let vkey = key.to_string();
    // Base64 has plus signs of its own.
    let material = vkey.splitn(3, '+').nth(2).context("no vkey")?;
    let material = base64::engine::general_purpose::STANDARD.decode(material)?;
    let (_, public) = material.split_first().context("an empty vkey")?;
    let spki = [hex::decode(ED25519_SPKI)?.as_slice(), public].concat();
    let transcript = std::fs::read_to_string(dir.join("transcript.json"))?;
    Ok(transcript.contains(&Hash::of(&spki).to_string()))
}
