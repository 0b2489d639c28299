//! Audit records: what happened to each request, in a form that can be proven.
//!
//! A caller fills a [`Draft`]; the store gives it the next sequence number and keeps the [`Record`]'s canonical bytes in
//! the transaction of the change it tells of. The leaf hash is RFC 6962's, so that a Merkle tree can be laid over the
//! records as they are.
//!
//! [`tree`] is that tree with its proofs, [`Checkpoint`] what the log's key signs of it in a [`note`], [`tile`] the files that
//! it is handed out as, [`Receipt`] the proof that one certificate is in it, and [`SignedTree`] what continues it without its records.

mod attachment;
mod checkpoint;
mod event;
pub mod note;
mod receipt;
mod record;
mod signed_tree;
mod submission;
mod text;
pub mod tile;
pub mod tree;

pub use attachment::{Attachment, MAX_EVIDENCE};
pub use checkpoint::{Checkpoint, CheckpointError, MAX_ORIGIN};
pub use event::{
    Answer, Event, InventoryChange, Issuance, MAX_SIGNER_KEYS, RecoveredCrl, Request, RequestClass,
};
pub use receipt::{MAX_RECEIPT, Receipt, ReceiptError};
pub use record::{Context, Draft, MAX_RECORD, Moment, Record};
pub use signed_tree::{MAX_SIGNED_TREE, SignedTree, SignedTreeError};
pub use submission::{MAX_SUBMISSION, Submission, SubmissionError};
pub use text::{MAX_TEXT, Text};
