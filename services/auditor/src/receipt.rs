//! `assay-audit receipt`: the proof that a certificate is in the log, checked offline.

use std::path::{Path, PathBuf};

use assay_audit::note::{Algorithm, Note, VerifierKey};
use assay_audit::{Event, Receipt};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use clap::Args;
use openssl::x509::X509;
use serde::Serialize;

/// Check a receipt offline
///
/// Proves that the record of exactly this certificate's issuance is in the log that the checkpoint's signature names, and
/// that each witness given cosigned that checkpoint. Ends with 1 and names the member that does not hold. `assay receipt`
/// fetches receipts from the signer.
#[derive(Debug, Args)]
pub(crate) struct ReceiptArgs {
    /// The receipt
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,

    /// The certificate that it is for, PEM or DER
    #[arg(long, value_name = "CERT")]
    certificate: PathBuf,

    /// Verifier key of the log, or a file that holds it (log.vkey of the trust directory)
    #[arg(long, value_name = "VKEY|FILE")]
    log_key: String,

    /// Verifier key of a witness that must have cosigned, or a file that holds it; repeat for more
    #[arg(long = "witness", value_name = "VKEY|FILE")]
    witnesses: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Proven {
    origin: String,
    /// Records of the log at the checkpoint.
    size: u64,
    /// Number of the certificate's record, from 1.
    sequence: u64,
    serial: String,
    certificate_sha256: String,
    request_digest: String,
    tbs_digest: String,
    policy_hash: Option<String>,
    recorded_at: String,
    /// Witness and time of each cosignature that was asked for.
    cosigned: Vec<Cosigned>,
}

#[derive(Debug, Serialize)]
struct Cosigned {
    witness: String,
    at: String,
}

pub(crate) fn run(args: &ReceiptArgs, out: Output) -> Outcome {
    out.one(&verify(args)?, Proven::lines)
}

fn verify(args: &ReceiptArgs) -> Outcome<Proven> {
    let log = key(&args.log_key)?;
    if log.algorithm() == Algorithm::CosignatureV1 {
        return Err(Failure::usage("--log-key is a witness's key, not a log's"));
    }
    let witnesses: Vec<VerifierKey> = args
        .witnesses
        .iter()
        .map(|text| key(text))
        .collect::<Outcome<_>>()?;
    let what = || format!("{} proves nothing", args.receipt.display());
    let receipt: Receipt = files::read_text(&args.receipt)?.parse().or_fail(what())?;
    let der = certificate(&args.certificate)?
        .to_der()
        .or_fail("the certificate is unreadable")?;
    let checkpoint = receipt.verify(&log, &der).or_fail(what())?;
    let note: Note = receipt.checkpoint.parse().or_fail(what())?;
    let cosigned = witnesses
        .iter()
        .map(|witness| cosignature(witness, &note))
        .collect::<Outcome<_>>()?;
    let record = receipt.record;
    let moment = record.draft.moment;
    let Event::RequestIssued {
        request,
        issuance,
        certificate_sha256,
        ..
    } = record.draft.event
    else {
        return Err(Failure::failed(what()));
    };
    Ok(Proven {
        origin: checkpoint.origin,
        size: checkpoint.size,
        sequence: record.sequence,
        serial: issuance.serial.to_string(),
        certificate_sha256: certificate_sha256.to_string(),
        request_digest: request.request_digest.to_string(),
        tbs_digest: issuance.tbs_digest.to_string(),
        policy_hash: record
            .draft
            .context
            .policy_hash
            .map(|hash| hash.to_string()),
        recorded_at: moment.wall_ms.seconds().to_string(),
        cosigned,
    })
}

fn cosignature(witness: &VerifierKey, note: &Note) -> Outcome<Cosigned> {
    let time = witness
        .verify(note)
        .or_fail(format!("checkpoint: no cosignature of {}", witness.name()))
        .map_err(|failure| {
            failure.next("fetch the receipt again after `assay audit cosign` went to that witness")
        })?;
    Ok(Cosigned {
        witness: witness.name().to_owned(),
        at: time.map(|time| time.to_string()).unwrap_or_default(),
    })
}

/// A vkey, or the first line of a file that holds one.
fn key(text: &str) -> Outcome<VerifierKey> {
    let what = || format!("`{text}` is neither a verifier key nor a file that holds one");
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    if !Path::new(text).is_file() {
        return Err(Failure::usage(what()).next("a verifier key is NAME+KEYID+BASE64"));
    }
    let content = files::read_text(Path::new(text))?;
    content.trim().parse().or_usage(what())
}

fn certificate(path: &Path) -> Outcome<X509> {
    let octets = files::read(path)?;
    X509::from_pem(&octets)
        .or_else(|_| X509::from_der(&octets))
        .or_fail(format!("{} holds no certificate", path.display()))
}

impl Proven {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "proven: record {} of the {} in {} is the issuance of this certificate",
                self.sequence, self.size, self.origin
            ),
            format!("serial        {}", self.serial),
            format!("certificate   SHA-256 {}", self.certificate_sha256),
            format!("recorded at   {}", self.recorded_at),
            format!("request       SHA-256 {}", self.request_digest),
            format!("TBS           SHA-256 {}", self.tbs_digest),
        ];
        if let Some(hash) = &self.policy_hash {
            lines.push(format!("policy        SHA-256 {hash}"));
        }
        let cosigned = self.cosigned.iter();
        lines.extend(cosigned.map(|one| format!("cosigned by   {} at {}", one.witness, one.at)));
        lines
    }
}
