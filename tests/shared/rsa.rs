//! RSA keys for tests. They are checked in, because generating one takes longer than most tests, and each test is a process of
//! its own.
//!
//! Test crates include this file by its path.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code, of several crates"
)]

use openssl::pkey::{PKey, Private};

/// The RSA key of this length in bits; always the same one.
pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    let pem: &[u8] = match bits {
        1024 => include_bytes!("keys/rsa-1024.pem"),
        2048 => include_bytes!("keys/rsa-2048.pem"),
        3072 => include_bytes!("keys/rsa-3072.pem"),
        4096 => include_bytes!("keys/rsa-4096.pem"),
        _ => panic!("there is no key of {bits} bits"),
    };
    PKey::private_key_from_pem(pem).unwrap()
}
