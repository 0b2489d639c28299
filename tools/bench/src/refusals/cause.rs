//! What can be wrong with a request from the unwrapping of its key to the comparison of the CSR's key with the signer's.

use clap::ValueEnum;
use serde::Serialize;

/// One cause of the uniform failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// The content-encryption key has no PKCS #1 v1.5 padding
    KeyPadding,
    /// The content-encryption key is longer than its cipher's
    KeyLength,
    /// The last block ends in no CBC padding
    ContentPadding,
    /// One bit of the ciphertext is flipped
    FlippedBlock,
    /// The content is random octets, rightly padded
    Garbage,
    /// The signature of the CSR is wrong
    CsrSignature,
    /// The CSR is good, its key is not the signer's
    CsrKey,
    /// The CSR has the key whose signatures take longest to verify, as an attacker would choose it
    CostlyKey,
}

impl Cause {
    /// As on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
