//! The configuration of a signer and the files that it names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{Ca, People};

/// The name of the log.
pub const ORIGIN: &str = "log.example";

const HEAD: &str = r#"[enrolment]
listen = "127.0.0.1:0"
certificate = "none"
private_key = "none"
trust_anchors = "none"
allow = ["assay://frontend/dmz"]
[administration]
listen = "127.0.0.1:0"
certificate = "none"
private_key = "none"
trust_anchors = "none"
allow = ["assay://operator/first"]
[hsm]
socket = "none"
user = "daemon"
[state]
path = "signer.db"
challenge_key = "challenge.key"
[ops]
listen = "127.0.0.1:0"
[audit]
origin = "@ORIGIN@"
[limits]
refusal_tick = "5ms"
refusal_rate = 100000
frontend_rate = 1000000
"#;

/// Writes `signer.toml` into a folder, the certificates that it names and a key for challenges. `more` is appended to it.
///
/// # Errors
/// OpenSSL fails, or a file exists or cannot be written.
pub fn write(
    folder: &Path,
    ca: &Ca,
    people: &People,
    challenge_key: &[u8; 32],
    more: &str,
) -> Result<()> {
    let head = HEAD.replace("@ORIGIN@", ORIGIN);
    let text = [&head, &write_ca(folder, ca, "", "")?, &people.table(), more];
    create(&folder.join("signer.toml"), text.concat().as_bytes(), 0o644)?;
    for (person, pair) in people.all() {
        let pem = pair.certificate.to_pem()?;
        create(&folder.join(format!("{person}.pem")), &pem, 0o644)?;
    }
    create(&folder.join("challenge.key"), challenge_key, 0o600)
}

/// Writes the certificates of a CA into files that begin with `prefix`. Returns the table for it, whose name begins with
/// `table`.
///
/// # Errors
/// OpenSSL fails, or a file exists or cannot be written.
pub fn write_ca(folder: &Path, ca: &Ca, prefix: &str, table: &str) -> Result<String> {
    let mut certificates = String::new();
    let single = ca.ra_single.as_ref();
    for (name, pair) in [
        ("ca", &ca.ca),
        ("ra_enc", &ca.ra_enc),
        ("ra_sign", &ca.ra_sign),
    ]
    .into_iter()
    .chain(single.map(|pair| ("ra_single", pair)))
    {
        let file = format!("{prefix}{}.pem", name.replace('_', "-"));
        create(&folder.join(&file), &pair.certificate.to_pem()?, 0o644)?;
        certificates.push_str(&format!("{name} = \"{file}\"\n"));
    }
    Ok(format!("[{table}certificates]\n{certificates}"))
}

/// Writes a file that must not exist.
fn create(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let file = options.open(path);
    let written = file.and_then(|mut file| file.write_all(content));
    written.with_context(|| format!("cannot write {}", path.display()))
}
