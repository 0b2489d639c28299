//! `assay scep get-next-ca`: the CA that takes over, as the present one announces it (RFC 8894 section 4.7).

use std::path::{Path, PathBuf};

use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use clap::Args;
use openssl::sha::sha256;
use openssl::x509::X509;
use serde::Serialize;

use super::super::server::ServerArgs;
use super::text;
use crate::device::Explain;

#[derive(Debug, Args)]
pub(crate) struct GetNextCaArgs {
    #[command(flatten)]
    server: ServerArgs,

    /// Write the certificates, PEM, to this file, which must not exist [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is found to be signed by the RA that GetCACert names.
#[derive(Debug, Serialize)]
struct NextCa {
    /// SHA-256, hex: for --ca-fingerprint after the switch.
    ca_sha256: String,
    subject: String,
    not_before: String,
    not_after: String,
    /// The RA's certificates and the CA's, PEM.
    certificates: Vec<String>,
}

pub(super) async fn run(args: GetNextCaArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let mut session = args.server.open(dir).await?;
    let next = session.next_ca().await.explained()?;
    let mut ders = vec![&next.encryption, &next.signature, &next.ca];
    ders.dedup();
    let certificates = ders
        .into_iter()
        .map(|der| {
            let pem = X509::from_der(der).and_then(|certificate| certificate.to_pem());
            text(pem.or_fail("cannot write PEM")?)
        })
        .collect::<Outcome<Vec<_>>>()?;
    let ca = X509::from_der(&next.ca).or_fail("the CA certificate is unreadable")?;
    let told = NextCa {
        ca_sha256: hex::encode(sha256(&next.ca)),
        subject: format!("{:?}", ca.subject_name()),
        not_before: ca.not_before().to_string(),
        not_after: ca.not_after().to_string(),
        certificates,
    };
    let pem = told.certificates.concat();
    if let Some(file) = &args.out {
        files::create(file, pem.as_bytes(), files::PUBLIC)?;
    }
    match &args.out {
        _ if out.is_json() => out.json(&told),
        Some(file) => {
            let (file, sha256) = (file.display(), &told.ca_sha256);
            out.line(&format!("written to {file}; the CA's SHA-256 is {sha256}"))
        }
        None => out.bytes(pem.as_bytes()),
    }
}
