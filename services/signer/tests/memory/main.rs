//! The signer in memory: its real store and its real policy, with a token of software, a clock that is set and randomness
//! that repeats.
#![cfg(test)]

mod anchor;
mod backup;
mod elliptic;
mod enrolment;
mod imports;
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
