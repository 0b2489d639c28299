//! A PKCS#11 URI of the signer's configuration.
#![no_main]

use assay_pkcs11::{KeyUri, TokenUri, UriError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(uri) = TokenUri::parse(text) {
        survives(TokenUri::parse(&uri.to_string()), &uri);
    }
    if let Ok(uri) = KeyUri::parse(text) {
        survives(KeyUri::parse(&uri.to_string()), &uri);
    }
});

/// What was written is read as the same; escaping may make it longer than what is read at all.
fn survives<U: std::fmt::Debug + PartialEq>(again: Result<U, UriError>, uri: &U) {
    if !matches!(again, Err(UriError::TooLong { .. })) {
        assert_eq!(again.as_ref(), Ok(uri));
    }
}
