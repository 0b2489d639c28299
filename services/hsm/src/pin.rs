//! One try for each PIN: a token locks itself after a few refusals, and a service manager starts this process again and
//! again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use assay_pkcs11::{Access, Module, Pin, Token, TokenError, TokenUri};
use openssl::memcmp;
use openssl::rand::rand_bytes;

use crate::error::StartError;

const FILE: &str = "pin-refused";
/// Bytes of the key that a PIN is hashed under, and of the hash.
const KEY: usize = 32;
const HASH: usize = 32;
/// PINs that are remembered. A token locks itself long before.
const MOST: usize = 16;
/// The file has this size from its first use, so that a full disk does not keep the service from logging in: one block.
const SIZE: usize = 4096;

/// The outcome of the try of a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    /// The process ended during the login.
    Unknown,
}

impl Fate {
    const ALL: [Self; 2] = [Self::Refused, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// A PIN that was tried, as its HMAC under a key of its own.
struct Tried {
    fate: Fate,
    key: [u8; KEY],
    hash: [u8; HASH],
}

impl Tried {
    fn new(pin: &Pin) -> io::Result<Self> {
        let mut key = [0; KEY];
        rand_bytes(&mut key)?;
        let hash = pin.digest(&key)?.try_into();
        Ok(Self {
            fate: Fate::Unknown,
            hash: hash.map_err(|_| io::Error::other("an HMAC of another length"))?,
            key,
        })
    }

    fn parse(line: &str) -> Option<Self> {
        let (word, digits) = line.split_once(' ')?;
        let bytes = hex::decode(digits).ok()?;
        let (key, hash) = bytes.split_first_chunk()?;
        Some(Self {
            fate: Fate::ALL.into_iter().find(|fate| fate.as_str() == word)?,
            key: *key,
            hash: hash.try_into().ok()?,
        })
    }

    fn is(&self, pin: &Pin) -> io::Result<bool> {
        let found = pin.digest(&self.key)?;
        Ok(found.len() == HASH && memcmp::eq(&self.hash, &found))
    }

    fn line(&self) -> String {
        let bytes = [self.key.as_slice(), &self.hash].concat();
        format!("{} {}\n", self.fate.as_str(), hex::encode(bytes))
    }
}

/// The trace of PINs that the token refused, and of one that is being tried.
pub(crate) struct Marker {
    path: PathBuf,
}

impl Marker {
    pub(crate) fn in_directory(state: &Path) -> Self {
        Self {
            path: state.join(FILE),
        }
    }

    /// Clears the marker; false if there was none.
    pub(crate) fn clear(&self) -> io::Result<bool> {
        let was_there = !fs::read(&self.path).is_ok_and(|text| text.trim_ascii().is_empty());
        match OpenOptions::new().write(true).open(&self.path) {
            Ok(file) => fill(&file, &[]).map(|()| was_there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every PIN that was tried since a login succeeded; `None` if the file cannot be understood.
    fn tried(&self) -> io::Result<Option<Vec<Tried>>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.trim_ascii().lines().map(Tried::parse).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    }

    fn write(&self, tried: &[Tried]) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        fill(&file, tried)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// In place, where the file has its blocks. A file that a loss of power left half written is not understood, and stands for every
/// PIN.
fn fill(file: &File, tried: &[Tried]) -> io::Result<()> {
    let mut text: String = tried.iter().map(Tried::line).collect();
    text += &"\n".repeat(SIZE.saturating_sub(text.len()));
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_all()
}

/// Logs in to the token, with one try of a PIN that was not tried before. The marker is there before the token sees the PIN, as
/// the process may end during the login.
pub(crate) fn log_in(
    module: &Module,
    uri: &TokenUri,
    marker: &Marker,
) -> Result<Token, StartError> {
    let pin = uri.read_pin().map_err(TokenError::from)?;
    let found = module.find_for_login(uri, Access::ReadOnly)?;
    let source = uri.pin_source().map(ToString::to_string);
    try_once(marker, &pin, &source.unwrap_or_default(), || {
        found.log_in(&pin)
    })
}

fn try_once<T>(
    marker: &Marker,
    pin: &Pin,
    source_uri: &str,
    log_in: impl FnOnce() -> Result<T, TokenError>,
) -> Result<T, StartError> {
    let failed = |error: io::Error| StartError::System {
        action: "the marker of a refused PIN",
        reason: format!("{}: {error}", marker.path.display()),
    };
    let unusable = |problem: String| StartError::PinMarker {
        file: marker.path.display().to_string(),
        problem,
    };
    let mut tried = marker
        .tried()
        .map_err(failed)?
        .ok_or_else(|| unusable("cannot be understood".to_owned()))?;
    for one in &tried {
        if one.is(pin).map_err(failed)? {
            let source_uri = source_uri.to_owned();
            return Err(match one.fate {
                Fate::Refused => StartError::PinMarked { source_uri },
                Fate::Unknown => StartError::PinUnknown { source_uri },
            });
        }
    }
    if tried.len() >= MOST {
        return Err(unusable(format!("names {MOST} PINs that did not log in")));
    }
    tried.push(Tried::new(pin).map_err(failed)?);
    marker.write(&tried).map_err(failed)?;
    let result = log_in();
    match &result {
        Ok(_) => tried.clear(),
        Err(error) if error.is_final() => {
            if let Some(last) = tried.last_mut() {
                last.fate = Fate::Refused;
            }
        }
        // The token did not refuse the PIN.
        Err(_) => {
            tried.pop();
        }
    }
    marker.write(&tried).map_err(failed)?;
    Ok(result?)
}

#[cfg(test)]
mod tests;
