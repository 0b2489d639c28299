//! `assay enrol`: a device's first certificate, by our own client.

use std::io::Read;
use std::path::{Path, PathBuf};

use assay_policy::{Dn, SubjectAltName};
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::device::{DeviceKey, Session, Url, Verdict, Wish};
use crate::failure::{Failure, Next, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output::{self, Output};

/// Longest challenge read from a file or standard input: Intune's have some kilobytes.
const MAX_CHALLENGE: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct EnrolArgs {
    /// SCEP URL [default: that of the installation, with --profile]
    #[arg(long, required_unless_present = "profile")]
    url: Option<String>,

    /// Profile of the installation that --dir names
    #[arg(long, conflicts_with = "url")]
    profile: Option<String>,

    /// Subject, RFC 4514, most specific first: 'CN=box-1,O=Example'
    #[arg(long, value_parser = Dn::parse_rfc4514)]
    subject: Dn,

    /// Subject alternative name: dns:, ip:, email:, uri: or upn:; repeat for more
    #[arg(long = "san", value_name = "TYPE:VALUE")]
    sans: Vec<SubjectAltName>,

    /// The challenge; other users of this host can see it on a command line
    #[arg(
        long,
        env = "ASSAY_CHALLENGE",
        hide_env_values = true,
        required_unless_present = "challenge_file"
    )]
    challenge: Option<String>,

    /// Read the challenge from this file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "challenge")]
    challenge_file: Option<PathBuf>,

    /// SHA-256 fingerprint of the CA certificate, hex: anything else is refused
    #[arg(long, value_name = "HEX")]
    ca_fingerprint: Option<String>,

    /// Bits of the RSA key
    #[arg(long, default_value_t = 2_048, value_parser = clap::value_parser!(u32).range(2_048..=8_192))]
    bits: u32,

    /// Where the private key goes; must not exist
    #[arg(long, value_name = "FILE", default_value = "device.key")]
    key: PathBuf,

    /// Where the certificate goes; must not exist
    #[arg(long, value_name = "FILE", default_value = "device.pem")]
    cert: PathBuf,
}

pub(crate) async fn run(args: EnrolArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let url = args.url(dir)?;
    let wish = Wish {
        subject: args.subject.clone(),
        sans: args.sans.clone(),
        challenge: args.challenge()?.to_string(),
    };
    let expected_ca = args
        .ca_fingerprint
        .as_deref()
        .map(fingerprint)
        .transpose()?;
    if args.cert.exists() {
        return Err(Failure::failed(format!("{} exists", args.cert.display()))
            .next("nothing is overwritten: name another file with --cert"));
    }
    let mut session = Session::open(&url, expected_ca).await?;
    let key = DeviceKey::generate(args.bits)?;
    // Before the request: a certificate whose key was lost cannot be had again with a one-time challenge.
    files::create(&args.key, &key.to_pem()?, files::SECRET)?;
    let kept = format!(
        "the server may have issued it; the key is in {}",
        args.key.display()
    );
    let verdict = session.enrol(&wish, &key).await.next(kept)?;
    if let Verdict::Refused(failure) = verdict {
        std::fs::remove_file(&args.key).or_fail("cannot remove the refused key")?;
        return Err(failure);
    }
    let enrolled = verdict.issued()?;
    let pem = enrolled
        .certificate
        .to_pem()
        .or_fail("cannot write the certificate")?;
    files::create(&args.cert, &pem, files::PUBLIC)?;
    if expected_ca.is_none() && !out.is_json() {
        output::note(&format!(
            "the CA was taken on trust; next time give --ca-fingerprint {}",
            hex::encode(session.ca.fingerprint())
        ));
    }
    let shown = Shown {
        certificate: args.cert.display().to_string(),
        key: args.key.display().to_string(),
        transaction_id: enrolled.transaction_id,
        ca_fingerprint: hex::encode(session.ca.fingerprint()),
        pem: String::from_utf8(pem).or_fail("cannot write the certificate")?,
    };
    if out.is_json() {
        return out.json(&shown);
    }
    out.line(&format!(
        "enrolled: certificate {}, key {}",
        shown.certificate, shown.key
    ))
}

impl EnrolArgs {
    fn url(&self, dir: Option<&Path>) -> Outcome<Url> {
        match (&self.url, &self.profile) {
            (Some(url), _) => Url::parse(url),
            (None, Some(profile)) => {
                Url::parse(&Installation::find(dir)?.settings()?.profile_url(profile))
            }
            (None, None) => {
                Err(Failure::usage("no URL").next("give --url, or --dir and --profile"))
            }
        }
    }

    fn challenge(&self) -> Outcome<Zeroizing<String>> {
        let Some(file) = &self.challenge_file else {
            return Ok(Zeroizing::new(self.challenge.clone().unwrap_or_default()));
        };
        let mut text = Zeroizing::new(String::new());
        let read = if file == Path::new("-") {
            std::io::stdin()
                .lock()
                .take(MAX_CHALLENGE)
                .read_to_string(&mut text)
        } else {
            std::fs::File::open(file)
                .and_then(|file| file.take(MAX_CHALLENGE).read_to_string(&mut text))
        };
        read.or_fail(format!("cannot read the challenge from {}", file.display()))?;
        Ok(Zeroizing::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        ))
    }
}

fn fingerprint(text: &str) -> Outcome<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let mut octets = [0; 32];
    hex::decode_to_slice(&digits, &mut octets)
        .or_usage(format!("{text:?} is no SHA-256 fingerprint"))
        .map_err(|failure| failure.next("give 64 hex digits, with or without colons"))?;
    Ok(octets)
}

#[derive(Debug, Serialize)]
struct Shown {
    certificate: String,
    key: String,
    transaction_id: String,
    ca_fingerprint: String,
    pem: String,
}
