//! Which SCEP server a device's command talks to.

use std::path::Path;

use assay_console::failure::{Next, OrFail, Outcome};
use assay_operator::installation::Installation;
use assay_scep_client::{Session, Url};
use assay_types::Hash;
use clap::Args;

use crate::device::Explain;

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// SCEP URL [default: that of the installation that --dir names]
    #[arg(long)]
    url: Option<String>,

    /// Profile of that installation [default: the one that serves URLs without a profile]
    #[arg(long, conflicts_with = "url")]
    profile: Option<String>,

    /// SHA-256 fingerprint of the CA certificate, hex: anything else is refused
    #[arg(long, value_name = "HEX")]
    ca_fingerprint: Option<String>,
}

impl ServerArgs {
    pub(super) fn url(&self, dir: Option<&Path>) -> Outcome<Url> {
        if let Some(url) = &self.url {
            return Url::parse(url).explained();
        }
        let settings = Installation::find(dir)?.settings()?;
        let url = match &self.profile {
            Some(profile) => Url::parse(&settings.profile_url(profile)),
            None => Url::parse(&settings.scep_url),
        };
        url.explained()
    }

    pub(super) fn expected_ca(&self) -> Outcome<Option<Hash>> {
        self.ca_fingerprint.as_deref().map(fingerprint).transpose()
    }

    /// Connects, and sees that the CA is the one expected, if one is.
    pub(super) async fn open(&self, dir: Option<&Path>) -> Outcome<Session> {
        Session::open(&self.url(dir)?, self.expected_ca()?)
            .await
            .explained()
    }
}

pub(super) fn fingerprint(text: &str) -> Outcome<Hash> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    digits
        .parse()
        .or_usage(format!("{text:?} is no SHA-256 fingerprint"))
        .next("give 64 hex digits, with or without colons")
}
