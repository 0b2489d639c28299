//! Responses, which relying parties read, and ResponseData, which a worker is asked to sign.
#![no_main]

use assay_ocsp::{Response, ResponseData};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    // One encoding for each value, so that a signature is over one status alone.
    if let Ok(data) = ResponseData::from_der(octets) {
        assert_eq!(data.to_der().as_deref(), Ok(octets));
    }
    if let Ok(Response::Successful(basic)) = Response::from_der(octets) {
        let response = basic.to_response().expect("a response can be encoded again");
        assert_eq!(Response::from_der(&response), Ok(Response::Successful(basic.clone())));
        if let Ok(data) = ResponseData::from_der(&basic.data) {
            assert_eq!(data.to_der(), Ok(basic.data));
        }
    }
});
