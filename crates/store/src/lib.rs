//! The signer's durable state: one SQLite file, one writer, group commit.
