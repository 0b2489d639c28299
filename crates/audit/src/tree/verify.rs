use assay_types::Hash;

/// Why a proof does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    Leaf {
        /// Claimed, from 0.
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
    /// Too many hashes, or too few.
    #[error("the proof has not the number of hashes that these sizes ask for")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to root {derived}, not to {root}")]
    Root {
        /// The root that it was to lead to.
        root: Hash,
        /// Where it leads.
        derived: Hash,
    },
}

/// Checks the audit path of a leaf (RFC 9162, section 2.1.3.2); `index` from 0, `leaf` a [`Hash::of_leaf`].
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Leaf { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut derived = *leaf;
    for hash in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node % 2 == 1 || node == last {
            derived = Hash::of_node(hash, &derived);
            up_to_right_child(&mut node, &mut last);
        } else {
            derived = Hash::of_node(&derived, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    leads_to(derived, root)
}

/// Checks that the tree of `to` leaves begins with that of `from` (RFC 9162, section 2.1.4.2).
///
/// # Errors
/// [`ProofError`]; [`ProofError::Root`] names the root that the proof misses, the earlier first.
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if from == 0 || from > to {
        return Err(ProofError::Sizes { from, to });
    }
    if from == to {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        return leads_to(*from_root, to_root);
    }
    // A perfect earlier tree is a node of the later one, so that its root is not told again.
    let known = from.is_power_of_two().then_some(from_root);
    let mut hashes = known.into_iter().chain(proof);
    let (mut node, mut last) = (from - 1, to - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let first = hashes.next().ok_or(ProofError::Length)?;
    let (mut earlier, mut later) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node % 2 == 1 || node == last {
            earlier = Hash::of_node(hash, &earlier);
            later = Hash::of_node(hash, &later);
            up_to_right_child(&mut node, &mut last);
        } else {
            later = Hash::of_node(&later, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    leads_to(earlier, from_root)?;
    leads_to(later, to_root)
}

/// A node without a sibling is its parent's hash as well.
fn up_to_right_child(node: &mut u64, last: &mut u64) {
    while node.is_multiple_of(2) && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn leads_to(derived: Hash, root: &Hash) -> Result<(), ProofError> {
    if derived == *root {
        Ok(())
    } else {
        Err(ProofError::Root {
            root: *root,
            derived,
        })
    }
}
