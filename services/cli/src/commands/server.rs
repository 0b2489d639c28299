//! Which SCEP server a device's command talks to.

use std::path::Path;

use clap::Args;

use crate::device::{Session, Url};
use crate::failure::{Failure, Next, OrFail, Outcome};
use crate::installation::Installation;

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// SCEP URL [default: that of the installation, with --profile]
    #[arg(long)]
    url: Option<String>,

    /// Profile of the installation that --dir names
    #[arg(long, conflicts_with = "url")]
    profile: Option<String>,

    /// SHA-256 fingerprint of the CA certificate, hex: anything else is refused
    #[arg(long, value_name = "HEX")]
    ca_fingerprint: Option<String>,
}

impl ServerArgs {
    pub(super) fn url(&self, dir: Option<&Path>) -> Outcome<Url> {
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

    pub(super) fn expected_ca(&self) -> Outcome<Option<[u8; 32]>> {
        self.ca_fingerprint.as_deref().map(fingerprint).transpose()
    }

    /// Connects, and sees that the CA is the one expected, if one is.
    pub(super) async fn open(&self, dir: Option<&Path>) -> Outcome<Session> {
        Session::open(&self.url(dir)?, self.expected_ca()?).await
    }
}

pub(super) fn fingerprint(text: &str) -> Outcome<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let mut octets = [0; 32];
    hex::decode_to_slice(&digits, &mut octets)
        .or_usage(format!("{text:?} is no SHA-256 fingerprint"))
        .next("give 64 hex digits, with or without colons")?;
    Ok(octets)
}
