//! The value of `message=` as it stands in a URL.
#![no_main]

use assay_scep_http::decode_get_message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    if let Ok(message) = decode_get_message(value) {
        assert!(message.len() <= value.len());
        let again = decode_get_message(STANDARD.encode(&message).replace('+', "%2B").as_bytes());
        assert_eq!(again.as_deref(), Ok(&message[..]));
    }
});
