//! The codec against OpenSSL, against hostile input, and against itself.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod ca_certificates;
mod capabilities;
mod csr;
mod elliptic;
mod enrolment;
mod envelope;
mod malformed;
mod next_ca;
mod properties;
mod second_reader;
mod support;
