use assay_types::Hash;

use super::Frontier;
use super::split;

/// Where the hashes of perfect subtrees come from.
pub trait Nodes {
    /// Why one cannot be had.
    type Error;

    /// The hash of the perfect subtree of 2^`level` leaves that begins at leaf `index` * 2^`level`.
    ///
    /// # Errors
    /// Where it cannot be had, for example because the tree is smaller.
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Why there is no proof.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchProof<E> {
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    Leaf {
        /// Asked for, from 0.
        index: u64,
        /// Of the tree.
        size: u64,
    },
    /// No tree of that size grows into the other.
    #[error("sizes {from} and {to}: the earlier is to be 1 or more, and no larger than the later")]
    Sizes {
        /// The earlier.
        from: u64,
        /// The later.
        to: u64,
    },
    /// A hash cannot be had.
    #[error("a hash of the tree cannot be had")]
    Node(#[source] E),
}

/// The audit path of leaf `index`, from 0, in the tree of `size` leaves (RFC 6962, section 2.1.1).
///
/// # Errors
/// [`NoSuchProof`].
pub fn inclusion_proof<N: Nodes>(
    nodes: &mut N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, NoSuchProof<N::Error>> {
    if index >= size {
        return Err(NoSuchProof::Leaf { index, size });
    }
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `to` leaves begins with that of `from` (RFC 6962, section 2.1.2).
///
/// # Errors
/// [`NoSuchProof`].
pub fn consistency_proof<N: Nodes>(
    nodes: &mut N,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, NoSuchProof<N::Error>> {
    if from == 0 || from > to {
        return Err(NoSuchProof::Sizes { from, to });
    }
    let (mut begin, mut end) = (0, to);
    let mut proof = Vec::new();
    while end != from {
        let middle = begin + split(end - begin);
        if from <= middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    // The verifier knows the earlier root; only a part of it has to be told.
    if begin != 0 {
        proof.push(range(nodes, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root of the first `size` leaves, from the hashes of its perfect subtrees.
///
/// # Errors
/// Where a hash cannot be had.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, NoSuchProof<N::Error>> {
    if size == 0 {
        return Ok(Frontier::new().root());
    }
    range(nodes, 0, size)
}

/// The hash over the leaves from `begin` to before `end`. `begin` is a multiple of the largest power of two that is not
/// larger than their number, as it is in every part of a tree.
fn range<N: Nodes>(nodes: &mut N, mut begin: u64, end: u64) -> Result<Hash, NoSuchProof<N::Error>> {
    let mut parts = Vec::new();
    while begin < end {
        let level = (end - begin).ilog2();
        let part = nodes.node(level, begin >> level);
        parts.push(part.map_err(NoSuchProof::Node)?);
        begin += 1 << level;
    }
    parts
        .into_iter()
        .rev()
        .reduce(|right, left| Hash::of_node(&left, &right))
        .ok_or(NoSuchProof::Leaf {
            index: begin,
            size: end,
        })
}
