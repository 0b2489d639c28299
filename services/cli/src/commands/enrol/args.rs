//! Arguments of `assay enrol`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_policy::{Dn, SubjectAltName};
use assay_scep_client::{DeviceKey, KeyType};
use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use crate::commands::server::ServerArgs;
use crate::device::Explain;

/// Longest challenge read from a file or standard input: Intune's have some kilobytes.
const MAX_CHALLENGE: u64 = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  A first certificate, with a challenge from `assay challenge issue`:
    assay enrol --profile devices --subject 'CN=box-1,O=Example' --challenge-file challenge.txt
  Its renewal, over a new key:
    assay enrol --profile devices --renew device.pem device.key --key new.key --cert new.pem
  Over an elliptic-curve key, where the profile lists its curve; a renewal of it needs a fresh challenge:
    assay enrol --profile servers --key-type p256 --subject 'CN=box-1,O=Example' --challenge-file challenge.txt
  Where an operator has to approve (`assay request approve`), wait for up to an hour, or come back later:
    assay enrol --profile approved --subject 'CN=box-1,O=Example' --challenge-file challenge.txt --wait 1h
    assay enrol --resume device.pending";

/// What kind of key is made.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyKind {
    /// RSA, as long as --bits says; it can renew without a challenge
    Rsa,
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
}

#[derive(Debug, Args)]
#[command(about = "Enrol a device over SCEP, or renew its certificate, with a software key")]
#[command(long_about = "\
Asks a SCEP server for a certificate over a software key: a first one by a challenge (PKCSReq), or with --renew a further \
one by the certificate that the device has (RenewalReq). The reply is enveloped to the device's key; an elliptic-curve \
key cannot decrypt, and has it under the challenge in its place. A request that waits for an operator's approval ends with exit \
code 5 and leaves a file from which --resume continues (CertPoll).")]
#[command(after_help = EXAMPLES)]
pub(crate) struct EnrolArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,

    /// Have the certificate from the CA that takes over, before it does: its certificates come by GetNextCACert
    #[arg(long, conflicts_with = "resume")]
    pub(super) next_ca: bool,

    /// Subject, RFC 4514, most specific first: 'CN=box-1,O=Example'
    #[arg(long, value_parser = Dn::parse_rfc4514, required_unless_present_any = ["renew", "resume"])]
    pub(super) subject: Option<Dn>,

    /// Subject alternative name: dns:, ip:, email:, uri:, upn: or other:; repeat for more
    #[arg(long = "san", value_name = "TYPE:VALUE")]
    pub(super) sans: Vec<SubjectAltName>,

    /// The challenge of a first enrolment; other users of this host can see it on a command line
    #[arg(
        long,
        env = "ASSAY_CHALLENGE",
        hide_env_values = true,
        required_unless_present_any = ["challenge_file", "renew", "resume"]
    )]
    challenge: Option<String>,

    /// Read the challenge from this file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "challenge")]
    challenge_file: Option<PathBuf>,

    /// Renew this certificate: its names, signed with its key
    #[arg(
        long,
        num_args = 2,
        value_names = ["CERT", "KEY"],
        conflicts_with_all = ["subject", "sans"]
    )]
    renew: Option<Vec<PathBuf>>,

    /// Renew over the key of the old certificate, where the profile lets it
    #[arg(long, requires = "renew", conflicts_with_all = ["key", "bits", "key_type"])]
    pub(super) same_key: bool,

    /// While the request waits for approval, poll for so long, such as 90s or 2h
    #[arg(long, value_name = "DURATION", value_parser = assay_types::duration::parse, default_value = "0s")]
    pub(super) wait: Duration,

    /// Poll this often
    #[arg(
        long,
        visible_alias = "poll-interval",
        value_name = "DURATION",
        value_parser = interval,
        default_value = "10s"
    )]
    pub(super) poll: Duration,

    /// Continue with a request that waited for approval [default: --cert with the ending .pending]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        conflicts_with_all = [
            "url", "profile", "ca_fingerprint", "subject", "sans", "challenge_file", "renew", "bits", "key", "key_type"
        ]
    )]
    resume: Option<Option<PathBuf>>,

    /// Kind of the new key; the reply to an elliptic-curve key is enveloped under the challenge
    #[arg(long, value_enum, default_value_t = KeyKind::Rsa)]
    key_type: KeyKind,

    /// Bits of the RSA key
    #[arg(long, default_value_t = 2_048, value_parser = clap::value_parser!(u32).range(2_048..=8_192))]
    bits: u32,

    /// Where the private key goes; must not exist
    #[arg(long, value_name = "FILE", default_value = "device.key")]
    pub(super) key: PathBuf,

    /// Where the certificate goes; must not exist
    #[arg(long, value_name = "FILE", default_value = "device.pem")]
    pub(super) cert: PathBuf,
}

impl EnrolArgs {
    /// A new key of the kind that is asked for.
    pub(super) fn new_key(&self) -> Outcome<DeviceKey> {
        DeviceKey::generate(match self.key_type {
            KeyKind::Rsa => KeyType::Rsa(self.bits),
            KeyKind::P256 => KeyType::P256,
            KeyKind::P384 => KeyType::P384,
        })
        .explained()
    }

    /// The challenge of a renewal: only an elliptic-curve key needs one, as it cannot decrypt the reply.
    pub(super) fn renewal_challenge(&self, old: &DeviceKey) -> Outcome<Option<Zeroizing<String>>> {
        if old.decrypts() {
            return match &self.challenge_file {
                None => Ok(None),
                Some(_) => Err(Failure::usage("an RSA key renews without a challenge")
                    .next("leave out --challenge-file")),
            };
        }
        let challenge = self.challenge()?;
        if challenge.is_empty() {
            return Err(Failure::usage(
                "an elliptic-curve key cannot decrypt the reply to its renewal",
            )
            .next("give a fresh challenge for the same names with --challenge-file"));
        }
        Ok(Some(challenge))
    }

    /// The certificate to renew, and its key.
    pub(super) fn old(&self) -> Option<(&Path, &Path)> {
        match self.renew.as_deref()? {
            [certificate, key] => Some((certificate, key)),
            _ => None,
        }
    }

    /// The file to continue from.
    pub(super) fn resume(&self) -> Option<PathBuf> {
        let named = self.resume.as_ref()?;
        Some(named.clone().unwrap_or_else(|| self.pending_file()))
    }

    /// Where a request that waits is remembered.
    pub(super) fn pending_file(&self) -> PathBuf {
        self.cert.with_extension("pending")
    }

    pub(super) fn challenge(&self) -> Outcome<Zeroizing<String>> {
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

fn interval(text: &str) -> Result<Duration, String> {
    match assay_types::duration::parse(text) {
        Ok(Duration::ZERO) => Err("polls need a pause between them, such as 10s".to_owned()),
        Ok(interval) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}
