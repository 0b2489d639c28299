//! The ready file: all that a script needs to use the demo.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use serde::Serialize;

use super::home::Home;
use super::start::{DEVICES, FLEET, Started};

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ReadyFile {
    /// URL of the profile `devices`.
    scep_url: String,
    scep_urls: BTreeMap<String, String>,
    ca_pem: PathBuf,
    ra_enc_pem: PathBuf,
    ra_sign_pem: PathBuf,
    /// `null` where the demo was made without it.
    ra_single_pem: Option<PathBuf>,
    root_pem: PathBuf,
    /// `null` where the demo was made without it.
    ocsp_url: Option<String>,
    dir: PathBuf,
    policy_dir: PathBuf,
    metrics: BTreeMap<String, String>,
    pids: Pids,
    pkcs11_module: PathBuf,
    token_label: String,
    fleet_challenge: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Pids {
    frontend: u32,
    signer: u32,
    hsm: u32,
}

impl ReadyFile {
    /// As things stand now.
    pub(super) fn of(started: &Started, home: &Home) -> Self {
        let url = |profile: &str| format!("http://{}/scep/{profile}", started.http);
        let certificate = |file: &str| home.installation.certificates().join(file);
        let metrics = [
            ("frontend", started.frontend.ready.ops),
            ("signer", started.signer.ready.ops),
        ];
        Self {
            scep_url: url(DEVICES),
            scep_urls: [DEVICES, FLEET]
                .into_iter()
                .map(|profile| (profile.to_owned(), url(profile)))
                .collect(),
            ca_pem: certificate("ca.pem"),
            ra_enc_pem: certificate("ra-enc.pem"),
            ra_sign_pem: certificate("ra-sign.pem"),
            ra_single_pem: Some(certificate("ra-single.pem")).filter(|file| file.exists()),
            root_pem: certificate("root.pem"),
            ocsp_url: certificate("ocsp.pem")
                .exists()
                .then(|| format!("http://{}/ocsp", started.http)),
            dir: home.installation.root().to_owned(),
            policy_dir: home.installation.policy(),
            metrics: metrics
                .into_iter()
                .filter_map(|(name, address)| {
                    Some((name.to_owned(), format!("http://{}/metrics", address?)))
                })
                .collect(),
            pids: Pids {
                frontend: started.frontend.ready.pid,
                signer: started.signer.ready.pid,
                hsm: started.hsm.ready.pid,
            },
            pkcs11_module: started.mark.module.clone(),
            token_label: started.mark.token_label.clone(),
            fleet_challenge: started.fleet_challenge.clone(),
        }
    }

    /// In one step; it holds the static challenge and is for its owner alone.
    pub(super) fn write(&self, path: &Path) -> Outcome {
        let mut text = serde_json::to_vec_pretty(self).or_fail("cannot write the ready file")?;
        text.push(b'\n');
        files::replace(path, &text, files::SECRET)
    }

    pub(super) fn url(&self) -> &str {
        &self.scep_url
    }
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) -> Outcome {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).or_fail(format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
