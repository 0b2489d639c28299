//! Secrets of the service's own, each in a file of its state directory that is made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::StartError;
use crate::preflight;

/// A secret, which is wiped after use.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// The key of the signer's state. It is made while the log has no record that the service signed for.
///
/// # Errors
/// Where it is not there and the log has records: with another key, nobody could read the state any more.
pub(crate) fn state_key(directory: &Path, records: u64) -> Result<Secret, StartError> {
    let path = directory.join("signer-state.secret");
    if records > 0 && !path.exists() {
        let path = path.display().to_string();
        return Err(StartError::NoStateKey { path, records });
    }
    open(&path)
}

/// The secret that substitute keys are made of.
pub(crate) fn unwrap_secret(directory: &Path) -> Result<Secret, StartError> {
    open(&directory.join("unwrap.secret"))
}

/// The secret in this file, which is made if it is not there.
fn open(path: &Path) -> Result<Secret, StartError> {
    let failed = |error: io::Error| StartError::System {
        action: "reading a secret of the service",
        reason: format!("{}: {error}", path.display()),
    };
    let found = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Zeroizing::new(preflight::random()?);
            write(path, secret.as_slice()).map_err(failed)?;
            return Ok(secret);
        }
        read => Zeroizing::new(read.map_err(failed)?),
    };
    let secret = <[u8; 32]>::try_from(found.as_slice());
    let secret = secret.map_err(|_| failed(io::Error::other("it has to have 32 bytes")));
    secret.map(Zeroizing::new)
}

/// Written whole or not at all.
fn write(path: &Path, secret: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
