//! The key that a CSR brings: KEY.

use assay_policy::PublicKeyFacts;

use super::requests::{both, with};
use super::support::{self, profile};
use super::{Case, Example, Passes, Refused};

fn with_key(spki: &[u8]) -> Vec<Case> {
    with(|facts| facts.key = PublicKeyFacts::from_spki(spki))
}

fn server_with_key(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<Case> {
    let mut facts = support::server();
    facts.key = PublicKeyFacts::from_spki(&change(support::ec()));
    vec![(profile("examples", "tls-server"), facts)]
}

pub(super) const EXAMPLES: &[Example] = &[
    ("KEY-01", Passes, "an RSA key", || with(|_| {})),
    ("KEY-01", Refused, "an EC key", || with_key(&support::ec())),
    (
        "KEY-01",
        Refused,
        "an RSA key without the NULL parameters, or in another encoding than the canonical DER",
        || {
            // A zero octet before the exponent, and each length around it one more.
            let der = hex::encode(support::rsa(2048));
            let longer = der
                .replacen("30820122", "30820123", 1)
                .replacen("0382010f", "03820110", 1)
                .replacen("3082010a", "3082010b", 1);
            let longer = longer.strip_suffix("0203010001").unwrap().to_owned() + "020400010001";
            let longer = hex::decode(longer).unwrap();
            both(with_key(&support::rsa_without_null()), with_key(&longer))
        },
    ),
    ("KEY-02", Passes, "2048 bits, 4096 bits", || {
        both(with_key(&support::rsa(2048)), with_key(&support::rsa(4096)))
    }),
    ("KEY-02", Refused, "1024 bits, 8192 bits", || {
        both(
            with_key(&support::rsa(1024)),
            with_key(&support::rsa_of_no_primes(8192)),
        )
    }),
    ("KEY-03", Passes, "65537", || with_key(&support::rsa(2048))),
    ("KEY-03", Refused, "3", || {
        with_key(&support::rsa_with_exponent(3))
    }),
    ("KEY-03", Refused, "65538", || {
        with_key(&support::rsa_with_exponent(65_538))
    }),
    (
        "KEY-03",
        Refused,
        "an exponent of more than 256 bits",
        || with_key(&support::rsa_with_long_exponent()),
    ),
    ("KEY-04", Passes, "a product of two large primes", || {
        with_key(&support::rsa(2048))
    }),
    (
        "KEY-04",
        Refused,
        "a modulus divisible by a prime below 752",
        || with_key(&support::rsa_divisible()),
    ),
    (
        "KEY-05",
        Passes,
        "a modulus that is no power of 65537 modulo at least one of 17 small primes",
        || with_key(&support::rsa(2048)),
    ),
    (
        "KEY-05",
        Refused,
        "a modulus of a chip with the flaw CVE-2017-15361",
        || with_key(&support::rsa_roca()),
    ),
    ("KEY-06", Passes, "primes drawn apart", || {
        with_key(&support::rsa(2048))
    }),
    (
        "KEY-06",
        Refused,
        "a modulus that 100 steps of Fermat's method split",
        || with_key(&support::rsa_close_primes()),
    ),
    (
        "KEY-07",
        Passes,
        "under `examples/tls-server.toml`, an uncompressed point of P-256",
        || server_with_key(|spki| spki),
    ),
    (
        "KEY-07",
        Refused,
        "under the same, coordinates that do not satisfy the curve's equation",
        || server_with_key(|_| support::ec_off_curve()),
    ),
    ("KEY-07", Refused, "a compressed point", || {
        server_with_key(|_| support::ec_compressed())
    }),
];
