//! The gRPC contract between the tiers, generated from `enrolment.proto` and `administration.proto`.
//!
//! The generated code is checked in so that a build needs no protobuf compiler and a reviewer sees what is
//! compiled. `tests/generated.rs` fails when it does not match the `.proto` files.

mod json;
mod names;
mod time;

pub use names::Named;
pub use time::{Duration, NoDuration, NoTime, Timestamp};

/// Most rows of one page of any list.
pub const MAX_PAGE: u32 = 1_000;

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
