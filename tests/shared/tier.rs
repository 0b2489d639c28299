//! How much of an exhaustive suite a run does: a short form of each in `make test`, the whole in `make test-all`.
//!
//! Test crates include this file by its path. `ASSAY_TESTS=all`, which `make test-all` sets, asks for the whole.
#![allow(clippy::panic, reason = "test code, of several crates")]

/// Each suite, the size of its short form, and its whole size. The short form goes the same ways through the code.
const SIZES: [(&str, usize, usize); 13] = [
    // services/verify: every how many bytes of an export one is flipped; a prime, so that no field is left out.
    ("flipped bytes: stride", 23, 1),
    // Bytes flipped in an export whose manifest is made right again, for each of three tests.
    ("flips with a right manifest", 60, 500),
    // Certificates in a log of 20,000 records.
    ("certificates of a large log", 400, 2_000),
    // Rewrites of a log of 20,000 records, for each of four tests, of which `make test` runs one.
    ("rewrites of a large log", 40, 250),
    // Every how many members of records one is altered and signed again.
    ("altered members: stride", 5, 1),
    // services/decision: mutants of a policy and a request that are compared with an independent matcher.
    ("mutants", 600, 3_000),
    // Every how many bytes of a certificate one is flipped for that matcher; primes.
    ("flipped certificates: stride", 31, 7),
    // services/cli: requests whose decisions are made again under a draft; a multiple of ten.
    ("requests under a draft", 1_000, 10_000),
    // tests: refusals for each of the two causes that differ most (see tests/tests/refusals/main.rs).
    ("refusals of each cause", 400, 800),
    // crates/shape, services/hsm: mutations of each structure that the HSM service signs, beside one of each kind at every value.
    ("mutations of a structure", 500, 10_000),
    // services/signer: every how many changes of a file's columns and rows one is tried.
    ("changed columns of the file: stride", 3, 1),
    // services/hsm, services/signer: entries of a CRL that takes several frames; the whole is `MAX_CRL_ENTRIES`.
    ("entries of a CRL", 40_000, 500_000),
    // tests: the same in an installation. One frame takes 20,900.
    ("entries of a CRL through all processes", 22_000, 500_000),
];

/// The size of a suite in this run.
pub(crate) fn size(suite: &str) -> usize {
    let (_, short, whole) = SIZES
        .iter()
        .find(|(name, ..)| *name == suite)
        .unwrap_or_else(|| panic!("{suite} has no size"));
    if is_whole() { *whole } else { *short }
}

/// Whether this run does the whole of each suite.
pub(crate) fn is_whole() -> bool {
    std::env::var("ASSAY_TESTS").is_ok_and(|tests| tests == "all")
}
