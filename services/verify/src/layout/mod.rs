//! The directory of an export, format [`FORMAT`]: where each file lies and what a line of it looks like.
//!
//! ```text
//! manifest.json                 Manifest: every other file, by path, length and SHA-256; nothing else is in the directory
//! checkpoint                    C2SP signed note with its cosignatures; the export ends at its size
//! log.vkey                      C2SP verifier key of the log, one line
//! issuers/N/K.der               every CA that ever issued, N from 0, the present one first: its certificate, K 0, then those
//!                               above it, in order
//! policies/N/proposal.toml      byte for byte as it was signed; N as the proposal's number
//! policies/N/author.p7s         DER
//! policies/N/approvals/K.p7s    DER; K from 1, in the order in which they were brought
//! policies/N/files/NAME.toml    as they were loaded
//! inventories/PROFILE.jsonl     an InventoryLine a change, from 1
//! tile/…                        hash tiles of the whole tree and the entry bundles held, as C2SP tlog-tiles says
//! evidence/BUNDLE.jsonl         an EvidenceLine for each record of the bundle whose evidence is kept, in their order
//! certificates/BUNDLE.pem       the certificate of each request.issued and certificate.imported record of the bundle, in
//!                               their order: PEM of 64 columns and LF, nothing between them
//! ```
//!
//! A bundle is [`BUNDLE`] records, the last one of the log what is left: bundle 0 holds the sequence numbers 1 to 256. All
//! directories hold files, and all files hold something: a bundle without evidence has no evidence file.
//!
//! Records of a bundle that is not held are in the hash tiles of level 0 alone. Which bundles are held, the manifest says;
//! each bundle with a `policy.activated` record is.

mod line;
mod manifest;
mod place;
pub mod trust;

pub use line::{EvidenceLine, InventoryLine, MAX_LINE};
pub use manifest::{FORMAT, MAX_MANIFEST, Manifest, ManifestError, ManifestFile};
pub use place::{NoPlace, Place};

/// Records of a full bundle: the width of a C2SP tile.
pub const BUNDLE: u64 = assay_audit::tile::TILE_WIDTH as u64;

/// The bundle that holds the record with this sequence number; `None` for 0, which no record has.
pub fn bundle_of(sequence: u64) -> Option<u64> {
    sequence.checked_sub(1).map(|index| index / BUNDLE)
}

/// The sequence number of the first record of a bundle.
pub fn first_of(bundle: u64) -> u64 {
    bundle.saturating_mul(BUNDLE).saturating_add(1)
}

/// Records that a bundle holds in a log of `size` records: 0 to [`BUNDLE`].
pub fn records_in(bundle: u64, size: u64) -> u64 {
    size.saturating_sub(bundle.saturating_mul(BUNDLE))
        .min(BUNDLE)
}

/// Bundles of a log of `size` records, the last one perhaps partial.
pub fn bundles_of(size: u64) -> u64 {
    size.div_ceil(BUNDLE)
}
