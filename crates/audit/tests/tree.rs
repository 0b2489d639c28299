//! The tree and its proofs against the definition of RFC 6962, section 2.1, written out as it stands there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may panic as tests may"
)]

use std::convert::Infallible;

use assay_audit::tree::{
    Frontier, MAX_PROOF, NoSuchProof, Nodes, ProofError, consistency_proof, inclusion_proof, root,
    verify_consistency, verify_inclusion,
};
use assay_types::Hash;
use proptest::prelude::*;

/// The inputs and roots of the test vectors of certificate-transparency implementations: trees of 0 to 8 leaves.
const INPUTS: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let begin = usize::try_from(index << level).unwrap();
        Ok(mth(&self.0[begin..begin + (1 << level)]))
    }
}

fn leaves(count: usize) -> Leaves {
    Leaves(
        (0..count)
            .map(|n| Hash::of_leaf(&n.to_be_bytes()))
            .collect(),
    )
}

/// MTH(D[n]) by its own words, over leaf hashes.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(b""),
        [leaf] => *leaf,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            let mut text = vec![0x01];
            text.extend(mth(&leaves[..k]).as_bytes());
            text.extend(mth(&leaves[k..]).as_bytes());
            Hash::of(&text)
        }
    }
}

/// PATH(m, D[n]).
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if m < k {
        (path(m, left), mth(right))
    } else {
        (path(m - k, right), mth(left))
    };
    proof.push(other);
    proof
}

/// SUBPROOF(m, D[n], whole).
fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if m <= k {
        (subproof(m, left, whole), mth(right))
    } else {
        (subproof(m - k, right, false), mth(left))
    };
    proof.push(other);
    proof
}

#[test]
fn roots_are_those_of_the_published_vectors() {
    let mut tree = Frontier::new();
    assert_eq!(tree.root().to_string(), ROOTS[0]);
    for (input, root) in INPUTS.iter().zip(&ROOTS[1..]) {
        tree.append(Hash::of_leaf(&hex::decode(input).unwrap()));
        assert_eq!(tree.root().to_string(), *root, "{} leaves", tree.size());
    }
}

#[test]
fn every_root_and_frontier_up_to_300_leaves_is_the_definition_s() {
    let mut all = leaves(300);
    let mut tree = Frontier::new();
    for size in 0..=300_u64 {
        let expected = mth(&all.0[..usize::try_from(size).unwrap()]);
        assert_eq!(tree.root(), expected);
        assert_eq!(root(&mut all, size).unwrap(), expected);
        let again = Frontier::from_bytes(size, &tree.to_bytes()).unwrap();
        assert_eq!(again, tree);
        if let Some(leaf) = all.0.get(usize::try_from(size).unwrap()) {
            tree.append(*leaf);
        }
    }
}

#[test]
fn every_proof_up_to_70_leaves_is_the_definition_s_and_verifies() {
    let mut all = leaves(70);
    for to in 1..=70_usize {
        let root = mth(&all.0[..to]);
        let size = to as u64;
        for m in 0..to {
            let index = m as u64;
            let proof = inclusion_proof(&mut all, index, size).unwrap();
            assert_eq!(proof, path(m, &all.0[..to]));
            verify_inclusion(&all.0[m], index, size, &proof, &root).unwrap();

            let from = m + 1;
            let proof = consistency_proof(&mut all, from as u64, size).unwrap();
            assert_eq!(proof, subproof(from, &all.0[..to], true));
            let from_root = mth(&all.0[..from]);
            verify_consistency(from as u64, &from_root, size, &root, &proof).unwrap();
        }
    }
}

#[test]
fn what_no_tree_has_is_named() {
    let mut all = leaves(5);
    assert_eq!(
        inclusion_proof(&mut all, 5, 5),
        Err(NoSuchProof::Leaf { index: 5, size: 5 })
    );
    for (from, to) in [(0, 5), (5, 4)] {
        assert_eq!(
            consistency_proof(&mut all, from, to),
            Err(NoSuchProof::Sizes { from, to })
        );
        let any = Hash::of(b"");
        assert_eq!(
            verify_consistency(from, &any, to, &any, &[]),
            Err(ProofError::Sizes { from, to })
        );
    }
    let error = Frontier::from_bytes(5, &[0; 96]).unwrap_err();
    assert!(error.to_string().contains("2 hashes"), "{error}");
}

proptest! {
    /// One changed hash, leaf, root, index or size, one hash more or fewer: nothing of it verifies.
    #[test]
    fn an_inclusion_proof_holds_for_its_own_leaf_only(
        size in 2_usize..400, at in any::<prop::sample::Index>(), bit in 0_usize..256, other in any::<prop::sample::Index>()
    ) {
        let mut all = leaves(size);
        let index = at.index(size);
        let (m, n) = (index as u64, size as u64);
        let root = mth(&all.0);
        let proof = inclusion_proof(&mut all, m, n).unwrap();
        prop_assert!(proof.len() <= MAX_PROOF);
        let leaf = all.0[index];
        prop_assert!(verify_inclusion(&flip(&leaf, bit), m, n, &proof, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, m, n, &proof, &flip(&root, bit)).is_err());
        let else_where = other.index(size);
        if else_where != index {
            prop_assert!(verify_inclusion(&leaf, else_where as u64, n, &proof, &root).is_err());
        }
        prop_assert!(verify_inclusion(&leaf, m, n, &proof[1..], &root).is_err());
        let mut more = proof.clone();
        more.push(root);
        prop_assert!(verify_inclusion(&leaf, m, n, &more, &root).is_err());
        let mut changed = proof;
        let place = other.index(changed.len());
        changed[place] = flip(&changed[place], bit);
        prop_assert!(verify_inclusion(&leaf, m, n, &changed, &root).is_err());
    }

    #[test]
    fn a_consistency_proof_holds_for_its_own_roots_only(
        to in 2_usize..400, at in any::<prop::sample::Index>(), bit in 0_usize..256, other in any::<prop::sample::Index>()
    ) {
        let mut all = leaves(to);
        let from = at.index(to - 1) + 1;
        let (m, n) = (from as u64, to as u64);
        let (old, new) = (mth(&all.0[..from]), mth(&all.0));
        let proof = consistency_proof(&mut all, m, n).unwrap();
        prop_assert!(proof.len() <= MAX_PROOF);
        prop_assert!(verify_consistency(m, &flip(&old, bit), n, &new, &proof).is_err());
        prop_assert!(verify_consistency(m, &old, n, &flip(&new, bit), &proof).is_err());
        prop_assert!(verify_consistency(m, &old, n, &new, &proof[1..]).is_err());
        let mut more = proof.clone();
        more.push(new);
        prop_assert!(verify_consistency(m, &old, n, &new, &more).is_err());
        let mut changed = proof;
        let place = other.index(changed.len());
        changed[place] = flip(&changed[place], bit);
        prop_assert!(verify_consistency(m, &old, n, &new, &changed).is_err());
    }
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from(bytes)
}
