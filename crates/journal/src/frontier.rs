use assay_types::Hash;

/// The part of a Merkle tree (RFC 6962 section 2.1) that appending needs: the roots of its perfect subtrees, one per bit that is set in
/// the size, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

/// Not the frontier of a tree of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {} subtree roots on its frontier, not {nodes}", .size.count_ones())]
pub struct BadFrontier {
    size: u64,
    nodes: usize,
}

impl Frontier {
    /// The frontier of a tree of `size` leaves.
    ///
    /// # Errors
    /// Where the number of nodes is not that of such a tree.
    pub fn new(size: u64, nodes: Vec<Hash>) -> Result<Self, BadFrontier> {
        if usize::try_from(size.count_ones()) == Ok(nodes.len()) {
            Ok(Self { size, nodes })
        } else {
            let nodes = nodes.len();
            Err(BadFrontier { size, nodes })
        }
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, the largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = Hash::of_node(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// Root of the tree; SHA-256 of nothing for the empty one.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        match nodes.next() {
            Some(smallest) => nodes.fold(*smallest, |right, left| Hash::of_node(left, &right)),
            None => Hash::of(b""),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    /// RFC 6962 section 2.1, literally.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [leaf] => *leaf,
            more => {
                let split = 1 << (more.len() - 1).ilog2();
                Hash::of_node(&root(&more[..split]), &root(&more[split..]))
            }
        }
    }

    #[test]
    fn it_has_the_root_of_the_rfc_at_each_size() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| Hash::of_leaf(&[n])).collect();
        let mut frontier = Frontier::default();
        for size in 0..leaves.len() {
            assert_eq!(frontier.root(), root(&leaves[..size]), "{size}");
            let again = Frontier::new(frontier.size(), frontier.nodes().to_vec()).unwrap();
            assert_eq!(again, frontier);
            frontier.push(leaves[size]);
        }
        assert!(Frontier::new(3, vec![leaves[0]]).is_err());
    }
}
