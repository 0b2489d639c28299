//! Requests, which anybody may send to a responder.
#![no_main]

use assay_ocsp::{CertId, MAX_REQUEST};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    if let Ok(id) = CertId::from_request(request) {
        assert!(request.len() <= MAX_REQUEST);
        let request = id.to_request().expect("a CertID can be encoded again");
        assert_eq!(CertId::from_request(&request), Ok(id));
    }
});
