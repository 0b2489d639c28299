//! What GetCert and GetCRL carry in their envelopes.
#![no_main]

use assay_scep::IssuerAndSerial;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(query) = IssuerAndSerial::parse(bytes) {
        assert_eq!(IssuerAndSerial::parse(&query.to_der()), Some(query));
    }
});
