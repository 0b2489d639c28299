//! The Merkle tree over the records (RFC 6962, section 2.1), as far as it can be had without any record at hand.

mod frontier;
mod proof;
mod verify;

pub use frontier::{BadFrontier, Frontier};
pub use proof::{NoSuchProof, Nodes, consistency_proof, inclusion_proof, root};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

/// Hashes of a proof at most: a path from leaf to root in a tree of 2^63 leaves, and one more for consistency.
pub const MAX_PROOF: usize = 64;

/// The largest power of two below `size`, for 2 and more.
fn split(size: u64) -> u64 {
    debug_assert!(size >= 2);
    1 << (size - 1).ilog2()
}
