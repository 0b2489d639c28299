//! Bad input: each message is a good one with one thing changed, made by code that is not Assay's.
//!
//! What may be refused on public data costs no decryption, and nothing that is refused costs a CA operation.

mod http;
mod messages;
