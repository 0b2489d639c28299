use assay_types::Hash;

/// A tree of which only the hashes are kept that later leaves need: those of its perfect subtrees, largest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

/// Octets that are no frontier of a tree of that size.
#[derive(Debug, thiserror::Error)]
#[error("the frontier of {size} leaves has {wanted} hashes of 32 octets, here are {octets} octets")]
pub struct BadFrontier {
    size: u64,
    wanted: u32,
    octets: usize,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what [`Frontier::to_bytes`] wrote of a tree of `size` leaves.
    ///
    /// # Errors
    /// Where the octets are not one hash for each perfect subtree.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, BadFrontier> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let wanted = size.count_ones();
        if !rest.is_empty() || u32::try_from(hashes.len()) != Ok(wanted) {
            return Err(BadFrontier {
                size,
                wanted,
                octets: bytes.len(),
            });
        }
        Ok(Self {
            size,
            subtrees: hashes.iter().copied().map(Hash::from).collect(),
        })
    }

    /// The hashes one after the other, 32 octets each, that of the largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.subtrees
            .iter()
            .flat_map(|hash| *hash.as_bytes())
            .collect()
    }

    /// Hashes of the perfect subtrees, that of the largest first.
    pub fn nodes(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, given by its [`Hash::of_leaf`].
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one of the size is a perfect subtree that the new leaf completes to a larger one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = Hash::of_node(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root hash; that of the empty tree is SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        self.subtrees
            .iter()
            .copied()
            .rev()
            .reduce(|right, left| Hash::of_node(&left, &right))
            .unwrap_or_else(|| Hash::of(&[]))
    }
}
