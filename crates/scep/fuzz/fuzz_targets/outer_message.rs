//! A pkiMessage as whoever reaches the port sends it, up to where the token would be asked; and as a reply.
#![no_main]

use assay_scep::client::CertRep;
use assay_scep::{
    Algorithms, Curve, Limits, Nonce, Request, Secret, parse_ca_certificates, parse_crls,
};
use libfuzzer_sys::fuzz_target;

const RA: &[u8] = include_bytes!("../seeds/ra.der");

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    if let Ok(reply) = CertRep::parse(bytes, &few_iterations()) {
        let _ = reply.open_with_password(&Secret::new("challenge".to_owned()));
    }
    let _ = parse_ca_certificates(bytes);
    let _ = parse_crls(bytes);
    let Ok(request) = Request::parse(bytes, &limits) else {
        return;
    };
    assert!(request.transaction_id().as_str().len() <= limits.transaction_id);
    assert!(request.sender_nonce().as_bytes().len() <= Nonce::MAX_LENGTH);
    let _ = request.message_type();
    let _ = request.check_algorithms(&Algorithms {
        curves: Curve::ALL.to_vec(),
        ..Algorithms::default()
    });
    if request.verify().is_ok() {
        assert!(request.signer().is_ok());
    }
    if let Ok(envelope) = request.envelope() {
        let _ = envelope.recipient_index(&[RA]);
    }
});

/// As many as OpenSSL asks for: a million would leave no time for anything else.
fn few_iterations() -> Limits {
    Limits {
        pbkdf2_iterations: 2_048,
        ..Limits::default()
    }
}
