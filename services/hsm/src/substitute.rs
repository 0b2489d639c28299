//! The key that stands for one that a ciphertext does not have, so that a client cannot find out which ciphertexts are good
//! (RFC 3218, section 2.3.2).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use assay_hsm::wire::{Operation, Request};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use zeroize::{Zeroize, Zeroizing};

use crate::error::StartError;
use crate::preflight;

/// Key lengths of AES-128, of AES-192 and triple DES, and of AES-256.
const LENGTHS: [u8; 3] = [16, 24, 32];

/// A secret of the service's own, from which substitutes are derived: one ciphertext has the same for ever.
pub(crate) struct Substitute(PKey<Private>);

impl Substitute {
    /// The secret in this directory, which is made if it is not there.
    pub(crate) fn open(directory: &Path) -> Result<Self, StartError> {
        let path = directory.join("unwrap.secret");
        let failed = |error: io::Error| StartError::System {
            action: "reading the secret for substitute keys",
            reason: format!("{}: {error}", path.display()),
        };
        let secret = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = preflight::random()?;
                let made = write(&path, &secret).map(|()| secret.to_vec());
                secret.zeroize();
                made
            }
            read => read,
        };
        let secret = Zeroizing::new(secret.map_err(failed)?);
        let key = PKey::hmac(&secret);
        key.map(Self)
            .map_err(|error| failed(io::Error::other(error)))
    }

    /// The key of this length for an operation. It depends on everything that the operation says, so that two operations on
    /// one ciphertext do not show whether either has a key.
    pub(crate) fn key(
        &self,
        operation: &Operation<'_>,
        length: u8,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        if !LENGTHS.contains(&length) {
            return Err(format!("a key has 16, 24 or 32 octets, not {length}"));
        }
        let request = Request {
            request_id: "",
            operation: *operation,
        };
        let octets = request.encode().map_err(|error| error.to_string())?;
        let derived = Signer::new(MessageDigest::sha256(), &self.0)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(&octets));
        let mut derived = Zeroizing::new(derived.map_err(|error| error.to_string())?);
        derived.truncate(usize::from(length));
        Ok(derived)
    }
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
