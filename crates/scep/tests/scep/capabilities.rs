use assay_scep::{Algorithms, Cipher, Digest, capabilities};

#[test]
fn only_what_is_enforced_is_advertised() {
    assert_eq!(
        capabilities(&Algorithms::default()),
        "AES\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nSCEPStandard\n"
    );
    let old = Algorithms {
        digests: vec![Digest::Sha1],
        ciphers: vec![Cipher::DesEde3Cbc],
        renewal: true,
        next_ca: true,
        ..Algorithms::default()
    };
    assert_eq!(
        capabilities(&old),
        "DES3\nSHA-1\nRenewal\nGetNextCACert\nPOSTPKIOperation\n"
    );
}
