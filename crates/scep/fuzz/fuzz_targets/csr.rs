//! A CSR as it comes out of an envelope.
#![no_main]

use assay_scep::{Csr, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(csr) = Csr::parse(bytes, &limits) else {
        return;
    };
    assert_eq!(csr.der(), bytes);
    assert!(csr.extensions().len() <= limits.extensions);
    if let Some(challenge) = csr.challenge_password() {
        // Latin-1 and UTF-32 become UTF-8 of at most twice as many octets.
        assert!(challenge.expose().len() <= 2 * limits.challenge_password);
    }
    let _ = csr.verify_proof_of_possession();
});
