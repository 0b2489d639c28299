//! The signer in memory: its real store and its real policy, with a token of software, a clock that is set and randomness
//! that repeats.
#![cfg(test)]

mod altered;
mod anchor;
mod backup;
mod clock;
mod disk;
mod elliptic;
mod enrolment;
mod floods;
mod imports;
mod lineage;
mod long_crl;
mod ocsp;
mod policy;
mod queries;
mod recovery;
mod refusals;
mod renewals;
mod revocation;
mod rollover;
mod single_ra;
mod support;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;
