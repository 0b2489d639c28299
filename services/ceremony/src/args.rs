//! The command line; the arguments of commands other than `create` stand beside their code.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, Outcome};
use assay_console::{files, generated};
use assay_pkcs11::{KeyAlgorithm, TokenUri};
use assay_policy::Dn;
use clap::{Args, Parser, Subcommand};

use super::approver::ApproverArgs;
use super::hsm_toml::{SOFTHSM_CONFIG, Users};
use super::import::ImportArgs;
use super::layout;
use super::next::NextArgs;
use super::ocsp::{self, OcspArgs};
use super::transport::TransportArgs;

const AFTER_HELP: &str = "\
Example, with the PINs in files that nobody else can read:
  assay-ceremony --dir ca create --module /usr/lib/softhsm/libsofthsm2.so \\
      --token 'pkcs11:token=service?pin-source=file:/run/pins/service' \\
      --root-token 'pkcs11:token=root?pin-source=file:/run/pins/root'

Exit codes:
  0  done
  1  failed, or refused by the token or a check
  2  wrong usage or configuration
  4  interrupted before the work was done";

/// Makes the keys and certificates of an Assay installation in a PKCS#11 token.
///
/// A ceremony is run by people who hold the token's PIN. All that it makes, and a transcript of it, lies in one directory.
/// Ctrl-C ends it before its next key or signature, and it says exactly what is left.
#[derive(Debug, Parser)]
#[command(name = "assay-ceremony", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Directory of the installation; it is made where it does not exist
    #[arg(long, global = true, env = "ASSAY_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Box<CreateArgs>),
    /// Take an issuing CA's certificate from the offline root, and finish its ceremony
    Import(ImportArgs),
    Transport(TransportArgs),
    Approver(ApproverArgs),
    Ocsp(OcspArgs),
    Next(Box<NextArgs>),
    /// Print a completion script for a shell
    Completions(generated::CompletionsArgs),
    /// Write manual pages into a directory
    Man(generated::ManArgs),
}

/// Make the first CA: its keys in the token, and the CA and RA certificates over them
///
/// Makes the service's keys in a token (ca-sign, ra-decrypt, ra-sign, log-sign and probe, with --single-ra also
/// ra-single, with --ocsp also ocsp-sign), none of which ever leaves it, and the certificates over them. The issuing CA
/// stands under a root that is made on a token of its own (--root-token), or under an offline root: --csr writes a
/// certificate request, and `assay-ceremony import` takes the answer. Nothing is overwritten, in the token or in the
/// directory; a run that ends early says what is left.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// PKCS#11 library
    #[arg(long, value_name = "PATH")]
    module: PathBuf,

    /// Token for the service's keys: 'pkcs11:token=LABEL?pin-source=file:PATH' (RFC 7512)
    #[arg(long, value_name = "URI", value_parser = token_uri)]
    token: TokenUri,

    /// Environment variable for the library, such as SOFTHSM2_CONF=PATH; repeat for more. SoftHSM's own one is taken from
    /// the environment of this command if it is not given
    #[arg(long = "token-env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,

    /// Token for the root key, a PKCS#11 URI; keep it offline afterwards
    #[arg(long, value_name = "URI", value_parser = token_uri, required_unless_present = "csr", conflicts_with = "csr")]
    pub(super) root_token: Option<TokenUri>,

    /// Write certificates/ca.csr for an offline root instead of making one
    #[arg(long)]
    pub(super) csr: bool,

    #[command(flatten)]
    pub(super) keys: KeyArgs,

    #[command(flatten)]
    pub(super) subjects: Subjects,

    #[command(flatten)]
    pub(super) lifetimes: Lifetimes,

    /// Approvals that a version of the policy needs, in addition to its author's; written to signer.toml
    #[arg(long, value_name = "NUMBER", default_value_t = layout::APPROVALS)]
    pub(super) approvals: usize,

    #[command(flatten)]
    pub(super) users: Users,
}

/// Where the keys go.
#[derive(Clone, Debug)]
pub(crate) struct TokenArgs {
    pub(crate) module: PathBuf,
    pub(crate) token: TokenUri,
    pub(crate) environment: Vec<(String, String)>,
}

impl CreateArgs {
    pub(super) fn token_args(&self) -> Outcome<TokenArgs> {
        let mut environment = self.environment.clone();
        environment.extend(self.inherited()?);
        Ok(TokenArgs {
            module: files::absolute(&self.module)?,
            token: self.token.clone(),
            environment,
        })
    }

    /// The variable by which SoftHSM finds its tokens: without it in hsm.toml, the service would not find the keys.
    fn inherited(&self) -> Outcome<Option<(String, String)>> {
        let name = SOFTHSM_CONFIG;
        let file = self.module.file_name().unwrap_or_default();
        let is_given = self.environment.iter().any(|(given, _)| given == name);
        let found = std::env::var(name).ok();
        let found = found.filter(|_| !is_given && file.to_string_lossy().contains("softhsm"));
        let path = found.map(|value| files::absolute(Path::new(&value)));
        let path = path.transpose()?;
        Ok(path.map(|path| (name.to_owned(), path.display().to_string())))
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct KeyArgs {
    /// Issuing CA's key: rsa2048, rsa3072, rsa4096, p256 or p384
    ///
    /// An RSA key suits every device. With an elliptic-curve key, Java clients (jscep) cannot renew, and devices that verify RSA
    /// signatures alone, such as those of Apple and Cisco, take no certificate.
    #[arg(long, value_name = "ALGORITHM", default_value = "rsa3072")]
    pub(crate) ca_key: KeyAlgorithm,

    /// Root's key
    #[arg(long, value_name = "ALGORITHM", default_value = "p384")]
    pub(crate) root_key: KeyAlgorithm,

    /// The RA keys, RSA (SCEP clients know no other)
    #[arg(long, value_name = "ALGORITHM", default_value = "rsa2048")]
    pub(crate) ra_key: KeyAlgorithm,

    /// Make one more RA key, which both decrypts and signs: only for profiles with the exception single_ra
    #[arg(long)]
    pub(crate) single_ra: bool,

    /// Make an OCSP responder's key and certificate too; later `assay-ceremony ocsp` does, and renews the certificate
    #[arg(long)]
    pub(crate) ocsp: bool,

    /// The OCSP responder's key
    #[arg(
        long,
        value_name = "ALGORITHM",
        default_value = "p256",
        requires = "ocsp"
    )]
    pub(crate) ocsp_key: KeyAlgorithm,

    /// Key that signs checkpoints of the audit log: ed25519, or p256 where the token has no EdDSA
    #[arg(long, value_name = "ALGORITHM", default_value = "ed25519")]
    pub(crate) log_key: KeyAlgorithm,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Subjects {
    /// Root's subject, RFC 4514
    #[arg(long, value_name = "DN", default_value = "CN=Assay Root CA", value_parser = Dn::parse_rfc4514)]
    pub(crate) root_subject: Dn,

    /// Issuing CA's subject
    #[arg(long, value_name = "DN", default_value = "CN=Assay Issuing CA", value_parser = Dn::parse_rfc4514)]
    pub(crate) ca_subject: Dn,

    /// RA's subject: the certificates that clients encrypt to and verify replies with
    #[arg(long, value_name = "DN", default_value = "CN=Assay RA", value_parser = Dn::parse_rfc4514)]
    pub(crate) ra_subject: Dn,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Lifetimes {
    /// Days that the root is valid
    #[arg(long, value_name = "DAYS", default_value_t = 7_300, value_parser = clap::value_parser!(u32).range(1..=18_250))]
    pub(crate) root_days: u32,

    /// Days that the issuing CA is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=18_250))]
    pub(crate) ca_days: u32,

    /// Days that the RA certificates are valid; they end with the CA at the latest
    #[arg(long, value_name = "DAYS", default_value_t = 1_095, value_parser = clap::value_parser!(u32).range(1..=18_250))]
    pub(crate) ra_days: u32,
}

/// The defaults of the command line, for a next CA.
impl Default for KeyArgs {
    fn default() -> Self {
        Self {
            ca_key: KeyAlgorithm::Rsa(3_072),
            root_key: KeyAlgorithm::P384,
            ra_key: KeyAlgorithm::Rsa(2_048),
            single_ra: false,
            ocsp: false,
            ocsp_key: KeyAlgorithm::P256,
            log_key: KeyAlgorithm::Ed25519,
        }
    }
}

impl KeyArgs {
    /// What clients and readers of the log can use at all; better said before a key is made.
    pub(super) fn check(&self) -> Outcome {
        for (option, algorithm) in [("--ca-key", self.ca_key), ("--root-key", self.root_key)] {
            if algorithm == KeyAlgorithm::Ed25519 {
                return Err(Failure::usage(format!(
                    "{option} {algorithm}: SCEP clients do not verify it"
                ))
                .next("choose p256, p384, rsa2048, rsa3072 or rsa4096"));
            }
        }
        if !matches!(self.log_key, KeyAlgorithm::Ed25519 | KeyAlgorithm::P256) {
            return Err(Failure::usage(format!(
                "--log-key {}: a signed note knows no such key",
                self.log_key
            ))
            .next("choose ed25519, or p256 where the token has no EdDSA"));
        }
        ocsp::check_key(self.ocsp_key, "--ocsp-key")?;
        match self.ra_key {
            KeyAlgorithm::Rsa(_) => Ok(()),
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519 => {
                Err(Failure::usage(format!(
                    "--ra-key {}: SCEP clients encrypt to RSA keys only",
                    self.ra_key
                ))
                .next("choose rsa2048, rsa3072 or rsa4096"))
            }
        }
    }
}

pub(super) fn token_uri(text: &str) -> Result<TokenUri, assay_pkcs11::UriError> {
    TokenUri::parse(text)
}

fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
