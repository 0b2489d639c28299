//! Which reading of policy files a decision was made under.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a reading of policy files: of their keys and defaults, of the comparison of names, and of the rules of a
/// decision. It rises with every change after which the same file and request could be decided otherwise.
///
/// A version of the policy names it, so that people sign it; the hash of a bundle, which every audit record has, depends on it;
/// and the evidence of a decision names it, so that it is decided again as it was, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Semantics(u32);

impl Semantics {
    /// What this release decides by.
    pub const CURRENT: Self = Self(1);

    /// The semantics of this number, whether known here or not.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Whether this release can decide by it.
    pub fn is_known(self) -> bool {
        self == Self::CURRENT
    }
}

impl fmt::Display for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
