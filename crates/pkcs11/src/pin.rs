//! PINs and where they come from.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest PIN read from a source, in octets. Tokens state at most 255 (`CK_TOKEN_INFO`
/// `ulMaxPinLen` of the ones met so far).
const MAX_PIN: usize = 256;

/// Permission bits that let others than the owner at a file.
const OTHERS: u32 = 0o077;

/// A PIN; wiped when dropped, never printed.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// The PIN itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// HMAC-SHA-256 of the PIN under `key`: names a PIN that was refused without keeping it.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn digest(&self, key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let key = PKey::hmac(key)?;
        Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(self.0.as_bytes())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// Where a PIN is read from (`pin-source` of RFC 7512, section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// `file:/PATH`: a file of this user or root that nobody else can read; where this user is root, of any user.
    File(PathBuf),
    /// `credential:NAME`: a systemd credential, a file of that name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl PinSource {
    /// Parses a decoded `pin-source` value; `None` if it is of neither form.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        if let Some(name) = value.strip_prefix("credential:") {
            // One plain file name: the credential directory must not be left.
            let mut parts = Path::new(name).components();
            let plain = matches!(
                (parts.next(), parts.next()),
                (Some(Component::Normal(_)), None)
            );
            return (plain && !name.ends_with('/')).then(|| Self::Credential(name.to_owned()));
        }
        let path = value.strip_prefix("file:").unwrap_or(value);
        let path = path.strip_prefix("//").unwrap_or(path);
        path.starts_with('/').then(|| Self::File(path.into()))
    }

    /// Reads the PIN; one trailing newline is not part of it.
    ///
    /// # Errors
    /// [`PinError`], whose text says how to fix it.
    pub fn read(&self) -> Result<Pin, PinError> {
        match self {
            Self::File(path) => read_file(path, Access::OwnerOnly),
            Self::Credential(name) => {
                let directory =
                    std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(PinError::NoCredentials)?;
                // systemd guards the directory itself and may grant access by ACL, which shows
                // in the group bits.
                read_file(&Path::new(&directory).join(name), Access::Guarded)
            }
        }
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Two slashes at the beginning would be read as those of an empty authority (RFC 8089).
            Self::File(path) if path.to_string_lossy().starts_with("//") => {
                write!(f, "file://{}", path.display())
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

/// Why a PIN could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum PinError {
    /// The URI names no source.
    #[error("the URI has no pin-source: add ?pin-source=file:/PATH or ?pin-source=credential:NAME")]
    NoSource,
    /// Not started by systemd, or without credentials.
    #[error(
        "CREDENTIALS_DIRECTORY is not set: give the unit a LoadCredential= line, or use pin-source=file:/PATH"
    )]
    NoCredentials,
    /// The file cannot be read.
    #[error("cannot read the PIN file {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's reason.
        reason: String,
    },
    /// The file belongs to another user.
    #[error("the PIN file {path} belongs to user {owner}: chown it to the user of this process")]
    Owner {
        /// The file.
        path: String,
        /// Its owner's user id.
        owner: u32,
    },
    /// Others may read the file.
    #[error("the PIN file {path} has mode {mode:04o}: others can read it; chmod 600 it")]
    Mode {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file, empty, too long or no text.
    #[error("the PIN file {path} must be a regular file with one line of 1 to {MAX_PIN} octets")]
    Content {
        /// The file.
        path: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    OwnerOnly,
    Guarded,
}

fn read_file(path: &Path, access: Access) -> Result<Pin, PinError> {
    let name = || path.display().to_string();
    let unreadable = |error: std::io::Error| PinError::Unreadable {
        path: name(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, not of the path: what is checked is what is read.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(PinError::Content { path: name() });
    }
    if access == Access::OwnerOnly {
        let (owner, user) = (metadata.uid(), rustix::process::geteuid());
        // A ceremony that root runs uses the PIN that belongs to the service's user.
        if owner != 0 && owner != user.as_raw() && !user.is_root() {
            return Err(PinError::Owner {
                path: name(),
                owner,
            });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(PinError::Mode { path: name(), mode });
        }
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_PIN + 2));
    file.take(MAX_PIN as u64 + 2)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let pin = text.strip_suffix('\n').unwrap_or(&text);
    if pin.is_empty() || pin.len() > MAX_PIN || pin.contains(['\n', '\0']) {
        return Err(PinError::Content { path: name() });
    }
    Ok(Pin(Zeroizing::new(pin.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn read(content: &[u8], mode: u32, access: Access) -> Result<String, PinError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read_file(&path, access).map(|pin| pin.expose().to_owned())
    }

    #[test]
    fn a_pin_is_one_line_that_only_its_owner_can_read() {
        assert_eq!(read(b"1234", 0o600, Access::OwnerOnly).unwrap(), "1234");
        assert_eq!(read(b"12 34\n", 0o400, Access::OwnerOnly).unwrap(), "12 34");
        for mode in [0o640, 0o604, 0o660] {
            let refused = read(b"1234", mode, Access::OwnerOnly);
            assert!(matches!(refused, Err(PinError::Mode { .. })), "{mode:o}");
        }
        for content in [&b""[..], b"\n", b"1\n2\n", b"a\0b", &[b'1'; MAX_PIN + 1]] {
            let refused = read(content, 0o600, Access::OwnerOnly);
            assert!(matches!(refused, Err(PinError::Content { .. })));
        }
    }

    /// Others than root cannot make such a file.
    #[test]
    fn root_reads_the_pin_of_the_services_user() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "1234").unwrap();
        std::os::unix::fs::chown(file.path(), Some(1), Some(1)).unwrap();
        let pin = read_file(file.path(), Access::OwnerOnly).unwrap();
        assert_eq!(pin.expose(), "1234");
    }

    #[test]
    fn a_credential_may_be_open_to_the_group_that_systemd_gave_it_to() {
        assert_eq!(read(b"1234", 0o440, Access::Guarded).unwrap(), "1234");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let refused = read_file(Path::new("/dev/null"), Access::Guarded);
        assert!(matches!(refused, Err(PinError::Content { .. })));
    }

    #[test]
    fn a_pin_is_not_printed() {
        assert!(!format!("{:?}", Pin(Zeroizing::new("1234".to_owned()))).contains("1234"));
    }
}
