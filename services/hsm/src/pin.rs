//! One try for each PIN: a token locks itself after a few refusals, and a service manager starts this process again and
//! again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use assay_pkcs11::{Access, Module, Pin, Token, TokenError, TokenUri};
use openssl::memcmp;
use openssl::rand::rand_bytes;

use crate::error::StartError;

const FILE: &str = "pin-refused";
/// Bytes of the key that the PIN is hashed under, and of the hash.
const KEY: usize = 32;

/// The trace of a refused PIN: an HMAC under a key of its own.
pub(crate) struct Marker {
    path: PathBuf,
}

impl Marker {
    pub(crate) fn in_directory(state: &Path) -> Self {
        Self {
            path: state.join(FILE),
        }
    }

    /// Removes the marker; false if there was none.
    pub(crate) fn clear(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this PIN was refused. A marker that cannot be understood stands for every PIN.
    fn names(&self, pin: &Pin) -> io::Result<bool> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let marked = hex::decode(text.trim()).unwrap_or_default();
        let Some((key, hash)) = marked.split_at_checked(KEY) else {
            return Ok(true);
        };
        let found = pin.digest(key)?;
        Ok(hash.len() != found.len() || memcmp::eq(hash, &found))
    }

    fn leave(&self, pin: &Pin) -> io::Result<()> {
        let mut key = [0; KEY];
        rand_bytes(&mut key)?;
        let marked = [key.as_slice(), &pin.digest(&key)?].concat();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)?;
        writeln!(file, "{}", hex::encode(marked))?;
        file.sync_all()
    }
}

/// Logs in to the token, with one try of a PIN that was not refused before.
pub(crate) fn log_in(
    module: &Module,
    uri: &TokenUri,
    marker: &Marker,
) -> Result<Token, StartError> {
    let failed = |error: io::Error| StartError::System {
        action: "the marker of a refused PIN",
        reason: error.to_string(),
    };
    let pin = uri.read_pin().map_err(TokenError::from)?;
    if marker.names(&pin).map_err(failed)? {
        let source = uri.pin_source().map(ToString::to_string);
        return Err(StartError::PinMarked {
            source_uri: source.unwrap_or_default(),
        });
    }
    match module.open_with(uri, &pin, Access::ReadOnly) {
        Ok(token) => {
            marker.clear().map_err(failed)?;
            Ok(token)
        }
        Err(error) => {
            if error.is_final() {
                marker.leave(&pin).map_err(failed)?;
            }
            Err(error.into())
        }
    }
}
