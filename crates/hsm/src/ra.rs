//! Which keys an RA works with.

use assay_types::KeyRole;
use serde::{Deserialize, Serialize};

/// Which keys an RA works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RaKeys {
    /// ra-decrypt and ra-sign, each with its one use.
    Pair,
    /// ra-single for both.
    Single,
}

impl RaKeys {
    /// The role that unwraps content-encryption keys.
    pub(crate) fn decrypts(self) -> KeyRole {
        match self {
            Self::Pair => KeyRole::RaDecrypt,
            Self::Single => KeyRole::RaSingle,
        }
    }

    /// The role that signs replies.
    pub(crate) fn signs(self) -> KeyRole {
        match self {
            Self::Pair => KeyRole::RaSign,
            Self::Single => KeyRole::RaSingle,
        }
    }
}
