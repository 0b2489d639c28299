//! The gRPC contract between the tiers, generated from `signer.proto`.
//!
//! The generated code is checked in so that a build needs no protobuf compiler and a reviewer sees what is
//! compiled. `tests/generated.rs` fails when it does not match the `.proto` file.

/// Version 1 of the contract.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    single_use_lifetimes,
    clippy::all,
    clippy::missing_errors_doc,
    clippy::wildcard_enum_match_arm,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/assay.v1.rs");
}
