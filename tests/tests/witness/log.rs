//! A log of the test's own, which signs whatever it is to.

use std::convert::Infallible;

use anyhow::{Context, Result};
use assay_audit::Checkpoint;
use assay_audit::note::{Algorithm, Note, Signature, VerifierKey};
use assay_audit::tree::{Frontier, Nodes, consistency_proof};
use assay_types::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

/// A log of this test's own: a key, and leaves of which there can be two versions.
pub(crate) struct Log {
    private: PKey<Private>,
    pub(crate) key: VerifierKey,
    leaves: Vec<Hash>,
}

impl Nodes for &Log {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let leaves = self.leaves.chunks(1 << level);
        let nth = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(root(leaves.into_iter().nth(nth).unwrap_or_default()))
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.root()
}

impl Log {
    pub(crate) fn new(origin: &str) -> Result<Self> {
        let private = PKey::generate_ed25519()?;
        let public = private.raw_public_key()?;
        Ok(Self {
            key: VerifierKey::ed25519(origin, Algorithm::Ed25519, &public)?,
            private,
            leaves: (0..100_u8).map(|n| Hash::of_leaf(&[n])).collect(),
        })
    }

    /// The same key over a tree that differs from record `from` on.
    pub(crate) fn forked(&self, from: usize) -> Self {
        let leaf = |(n, leaf): (usize, &Hash)| {
            if n < from {
                *leaf
            } else {
                Hash::of_leaf(leaf.as_bytes())
            }
        };
        Self {
            private: self.private.clone(),
            key: self.key.clone(),
            leaves: self.leaves.iter().enumerate().map(leaf).collect(),
        }
    }

    pub(crate) fn note(&self, size: u64) -> Result<Note> {
        let leaves = self.leaves.get(..usize::try_from(size)?);
        let checkpoint = Checkpoint {
            origin: self.key.name().to_owned(),
            size,
            root: root(leaves.context("the log has fewer leaves")?),
            extensions: Vec::new(),
        };
        let text = checkpoint.to_string();
        let octets =
            Signer::new_without_digest(&self.private)?.sign_oneshot_to_vec(text.as_bytes())?;
        Ok(Note::new(&text, vec![Signature::new(&self.key, octets)])?)
    }

    /// The body of add-checkpoint.
    pub(crate) fn body(&self, old: u64, size: u64) -> Result<String> {
        let mut body = format!("old {old}\n");
        if old > 0 && old < size {
            for hash in consistency_proof(&mut &*self, old, size)? {
                body.push_str(&BASE64.encode(hash.as_bytes()));
                body.push('\n');
            }
        }
        Ok(format!("{body}\n{}", self.note(size)?))
    }
}
