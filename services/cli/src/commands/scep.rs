//! `assay scep`: what a device may ask a SCEP server besides enrolling (RFC 8894, sections 3.3.4, 3.3.5 and 4.7).

mod next_ca;

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_scep_client::{Credential, Prepared, Session};
use clap::{Args, Subcommand};
use openssl::asn1::Asn1TimeRef;
use openssl::x509::X509CrlRef;
use serde::Serialize;

use super::server::ServerArgs;
use crate::device::Explain;

#[derive(Debug, Subcommand)]
pub(crate) enum ScepCommand {
    /// Fetch an issued certificate by its serial number (GetCert)
    #[command(name = "get-cert")]
    Cert(GetCertArgs),
    /// Fetch the CRL (GetCRL)
    #[command(name = "get-crl")]
    Crl(GetCrlArgs),
    /// Fetch the certificates of the CA that takes over, and of its RA (GetNextCACert)
    #[command(name = "get-next-ca")]
    NextCa(next_ca::GetNextCaArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GetCertArgs {
    /// Serial number, hex, with or without colons
    #[arg(value_parser = serial)]
    serial: Serial,

    #[command(flatten)]
    requester: Requester,
}

#[derive(Debug, Args)]
pub(crate) struct GetCrlArgs {
    #[command(flatten)]
    requester: Requester,
}

/// Who asks whom, and where the answer goes.
#[derive(Debug, Args)]
struct Requester {
    #[command(flatten)]
    server: ServerArgs,

    /// The device's certificate, which signs the query: one that the CA issued
    #[arg(long, value_name = "FILE", default_value = "device.pem")]
    cert: PathBuf,

    /// Its key
    #[arg(long, value_name = "FILE", default_value = "device.key")]
    key: PathBuf,

    /// Write the answer, PEM, to this file, which must not exist [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(command: ScepCommand, dir: Option<&Path>, out: Output) -> Outcome {
    match command {
        ScepCommand::Cert(args) => get_certificate(args, dir, out).await,
        ScepCommand::Crl(args) => get_crl(args, dir, out).await,
        ScepCommand::NextCa(args) => next_ca::run(args, dir, out).await,
    }
}

async fn get_certificate(args: GetCertArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let Serial(serial) = &args.serial;
    let (mut session, signer) = args.requester.open(dir).await?;
    let query = Prepared::get_certificate(signer, serial, &session.ca)
        .await
        .explained()?;
    let reply = session.send(&query).await.explained()?;
    let certificate = query
        .read_certificate(&reply, &session.ca)
        .await
        .explained()?;
    let got = certificate
        .serial_number()
        .to_bn()
        .or_fail("the certificate has no serial number")?;
    if got.to_vec() != serial.strip_prefix(&[0]).unwrap_or(serial) {
        return Err(Failure::failed("the server sent another certificate").next("do not use it"));
    }
    let pem = text(certificate.to_pem().or_fail("cannot write PEM")?)?;
    args.requester.tell(&Fetched { pem: &pem }, &pem, out)
}

async fn get_crl(args: GetCrlArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let (mut session, signer) = args.requester.open(dir).await?;
    let query = Prepared::get_crl(signer, &session.ca).await.explained()?;
    let reply = session.send(&query).await.explained()?;
    let crl = query.read_crl(&reply, &session.ca).await.explained()?;
    let pem = text(crl.to_pem().or_fail("cannot write PEM")?)?;
    let fetched = FetchedCrl {
        this_update: crl.last_update().to_string(),
        next_update: crl.next_update().map(Asn1TimeRef::to_string),
        revoked: revoked(&crl)?,
        pem: &pem,
    };
    args.requester.tell(&fetched, &pem, out)
}

impl Requester {
    async fn open(&self, dir: Option<&Path>) -> Outcome<(Session, Credential)> {
        let signer = Credential::read(&self.cert, &self.key)
            .explained()
            .next("give the device's own certificate and key with --cert and --key")?;
        Ok((self.server.open(dir).await?, signer))
    }

    fn tell(&self, value: &impl Serialize, pem: &str, out: Output) -> Outcome {
        if let Some(file) = &self.out {
            files::create(file, pem.as_bytes(), files::PUBLIC)?;
        }
        match &self.out {
            _ if out.is_json() => out.json(value),
            Some(file) => out.line(&format!("written to {}", file.display())),
            None => out.bytes(pem.as_bytes()),
        }
    }
}

/// Content octets of the INTEGER.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Serial(Vec<u8>);

fn serial(text: &str) -> Result<Serial, String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let even = if digits.len().is_multiple_of(2) {
        digits
    } else {
        format!("0{digits}")
    };
    let octets = hex::decode(&even).map_err(|_| "a serial number is hex".to_owned())?;
    let start = octets
        .iter()
        .position(|octet| *octet != 0)
        .ok_or("a serial number is hex, and not zero")?;
    let mut magnitude = octets.get(start..).unwrap_or_default().to_vec();
    // An INTEGER is signed: the top bit is to be clear (X.690, section 8.3).
    if magnitude.first().is_some_and(|first| *first >= 0x80) {
        magnitude.insert(0, 0);
    }
    Ok(Serial(magnitude))
}

fn revoked(crl: &X509CrlRef) -> Outcome<Vec<String>> {
    let entries = crl.get_revoked();
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let serial = entry.serial_number().to_bn();
            Ok(hex::encode(
                serial
                    .or_fail("an entry of the CRL has no serial number")?
                    .to_vec(),
            ))
        })
        .collect()
}

fn text(pem: Vec<u8>) -> Outcome<String> {
    String::from_utf8(pem).or_fail("cannot write PEM")
}

#[derive(Debug, Serialize)]
struct Fetched<'a> {
    pem: &'a str,
}

#[derive(Debug, Serialize)]
struct FetchedCrl<'a> {
    this_update: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_update: Option<String>,
    /// Serial numbers, hex.
    revoked: Vec<String>,
    pem: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_becomes_a_positive_integer() {
        for (text, octets) in [
            ("1", &[1][..]),
            ("00:ff", &[0, 0xff]),
            ("7F01", &[0x7f, 1]),
            ("00007f", &[0x7f]),
        ] {
            assert_eq!(serial(text), Ok(Serial(octets.to_vec())), "{text}");
        }
        for wrong in ["", "0", "xyz", "12 34"] {
            assert!(serial(wrong).is_err(), "{wrong}");
        }
    }
}
