//! `assay receipt`: the proof that a certificate is in the log, fetched from the signer.

use std::path::{Path, PathBuf};

use assay_audit::Receipt;
use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::GetReceiptRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use clap::Args;
use openssl::x509::X509;

/// Fetch a certificate's proof from the log
///
/// A receipt (assay-receipt/1) is one line of JSON: the record of the issuance as the log has it, its inclusion proof (RFC
/// 6962) and a signed checkpoint. Whoever has it, the certificate and the log's verifier key can check without the signer
/// that the issuance is on record: `assay-audit receipt`.
#[derive(Debug, Args)]
pub(crate) struct ReceiptArgs {
    /// Serial number, hex, with or without colons; or a file with the certificate, PEM or DER
    #[arg(value_name = "SERIAL|CERT")]
    certificate: String,

    /// Write the receipt into this file, which must not exist, instead of printing it
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(args: ReceiptArgs, installation: &Installation, out: Output) -> Outcome {
    let wanted = args.certificate;
    let serial = if Path::new(&wanted).is_file() {
        serial(&certificate(Path::new(&wanted))?)?
    } else {
        wanted
    };
    let reply = Admin::connect(installation)
        .await?
        .call(
            GetReceiptRequest {
                serial: serial.clone(),
            },
            AdministrationClient::get_receipt,
        )
        .await?;
    let receipt: Receipt = reply
        .receipt
        .parse()
        .or_fail("the signer sent no receipt")?;
    let text = receipt
        .to_canonical()
        .or_fail("the receipt is unreadable")?
        + "\n";
    let Some(file) = args.out else {
        return out.bytes(text.as_bytes());
    };
    files::create(&file, text.as_bytes(), files::PUBLIC)?;
    let written = serde_json::json!({
        "serial": serial,
        "sequence": receipt.record.sequence,
        "file": file,
    });
    out.one(&written, |_| {
        vec![format!(
            "receipt of {serial}, record {}, written to {}",
            receipt.record.sequence,
            file.display()
        )]
    })
}

fn certificate(path: &Path) -> Outcome<X509> {
    let octets = files::read(path)?;
    X509::from_pem(&octets)
        .or_else(|_| X509::from_der(&octets))
        .or_fail(format!("{} holds no certificate", path.display()))
}

fn serial(certificate: &X509) -> Outcome<String> {
    let number = certificate.serial_number().to_bn();
    let number = number.or_fail("the certificate is unreadable")?;
    Ok(hex::encode(number.to_vec()))
}
