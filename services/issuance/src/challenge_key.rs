//! Challenges are kept as keyed hashes only; this is the key, and the only place where a challenge is made.

use std::path::{Path, PathBuf};

use assay_store::{KeyOutcome, KeyedHash, Store, StoreError};
use assay_types::Hash;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use zeroize::Zeroizing;

use crate::random::Random;

/// Bytes of the key file, and of a keyed hash.
const KEY_BYTES: usize = 32;
/// Random bytes of a challenge: 160 bits, where RFC 8894 section 7.3 asks for secrets that cannot be guessed.
const CHALLENGE_BYTES: usize = 20;
/// The text whose keyed hash identifies the key. It is longer than a challenge, so that it is none.
const CHECK: &[u8] = b"assay: the check value of the key of challenges, version 1";
/// Random bytes of a challenge's public id.
const ID_BYTES: usize = 8;

/// The HMAC-SHA-256 key of the challenge table. It lies outside the database.
pub struct ChallengeKey(PKey<Private>);

/// A new challenge: the id is public, the secret is shown once.
pub struct DrawnChallenge {
    /// What people call it.
    pub id: String,
    /// What the device brings.
    pub secret: Zeroizing<String>,
    /// What the database knows of it.
    pub lookup: KeyedHash,
}

/// Why the key cannot be used; each says what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChallengeKeyError {
    #[error("{path}: the challenge key cannot be read; make one with `assay-ceremony`")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: the challenge key has {found} bytes; it must be {KEY_BYTES} random bytes")]
    Length { path: PathBuf, found: usize },
    #[error(
        "{path}: the challenge key has mode {mode:o}; only its owner may read it: chmod 600 {path}"
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "{path}: the challenge key is not the one that the challenges of this state were made with, so that none would be found; put the file back that belongs to the state, from the same backup"
    )]
    Other { path: PathBuf },
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
}

impl ChallengeKey {
    pub(crate) fn load(path: &Path) -> Result<Self, ChallengeKeyError> {
        use std::os::unix::fs::PermissionsExt as _;

        let unreadable = |source| ChallengeKeyError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mode = std::fs::metadata(path)
            .map_err(unreadable)?
            .permissions()
            .mode()
            & 0o7777;
        if mode & 0o077 != 0 {
            return Err(ChallengeKeyError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        if bytes.len() != KEY_BYTES {
            return Err(ChallengeKeyError::Length {
                path: path.to_owned(),
                found: bytes.len(),
            });
        }
        Ok(Self(PKey::hmac(&bytes)?))
    }

    /// By which the state knows the key again.
    pub(crate) fn check_value(&self) -> Result<Hash, ErrorStack> {
        let mut value = [0; KEY_BYTES];
        Signer::new(MessageDigest::sha256(), &self.0)?.sign_oneshot(&mut value, CHECK)?;
        Ok(value.into())
    }

    /// Refuses a key, read from `path`, that is not the one that the state knows.
    pub(crate) async fn hold(&self, store: &Store, path: &Path) -> Result<(), ChallengeKeyError> {
        match store.hold_challenge_key(self.check_value()?).await? {
            KeyOutcome::Same => Ok(()),
            KeyOutcome::Other => Err(ChallengeKeyError::Other {
                path: path.to_owned(),
            }),
        }
    }

    /// What the database knows of a challenge.
    pub(crate) fn lookup(&self, challenge: &[u8]) -> Result<KeyedHash, ErrorStack> {
        let mut lookup = [0; KEY_BYTES];
        Signer::new(MessageDigest::sha256(), &self.0)?.sign_oneshot(&mut lookup, challenge)?;
        Ok(lookup.into())
    }

    /// Draws a challenge: lowercase hex, so that it fits every DirectoryString and any keyboard.
    ///
    /// # Errors
    /// Where the generator or the hash fails.
    pub fn draw(&self, source: &dyn Random) -> Result<DrawnChallenge, ErrorStack> {
        let mut random = Zeroizing::new([0; CHALLENGE_BYTES]);
        source.fill(random.as_mut())?;
        let mut id = [0; ID_BYTES];
        source.fill(&mut id)?;
        let secret = Zeroizing::new(hex::encode(random.as_ref()));
        Ok(DrawnChallenge {
            id: hex::encode(id),
            lookup: self.lookup(secret.as_bytes())?,
            secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OpenSslRandom;
    use std::os::unix::fs::PermissionsExt as _;

    fn key_file(bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("challenge.key");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn equal_challenges_have_equal_lookups_under_one_key_only() {
        let (_a, a) = key_file(&[1; 32], 0o600);
        let (_b, b) = key_file(&[2; 32], 0o600);
        let (a, b) = (
            ChallengeKey::load(&a).unwrap(),
            ChallengeKey::load(&b).unwrap(),
        );
        assert_eq!(a.lookup(b"x").unwrap(), a.lookup(b"x").unwrap());
        assert_ne!(a.lookup(b"x").unwrap(), b.lookup(b"x").unwrap());
        let drawn = a.draw(&OpenSslRandom).unwrap();
        assert_eq!(drawn.lookup, a.lookup(drawn.secret.as_bytes()).unwrap());
        assert_ne!(drawn.secret, a.draw(&OpenSslRandom).unwrap().secret);
        assert_eq!(drawn.secret.len(), 2 * CHALLENGE_BYTES);
    }

    #[test]
    fn a_key_that_others_can_read_or_of_another_length_is_refused() {
        let (_dir, readable) = key_file(&[1; 32], 0o644);
        assert!(matches!(
            ChallengeKey::load(&readable),
            Err(ChallengeKeyError::Mode { mode: 0o644, .. })
        ));
        let (_dir, short) = key_file(&[1; 31], 0o600);
        assert!(matches!(
            ChallengeKey::load(&short),
            Err(ChallengeKeyError::Length { found: 31, .. })
        ));
    }
}
