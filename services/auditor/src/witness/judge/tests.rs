use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use assay_audit::note::Algorithm;
use assay_audit::tree::{Nodes, consistency_proof};
use assay_console::output::Output;
use assay_types::{Hash, Timestamp};
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

use super::super::key::{self, KeyArgs};
use super::*;

const ORIGIN: &str = "log.example/one";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A log of our own: leaves and a key.
struct Log {
    leaves: Vec<Hash>,
    private: PKey<Private>,
    key: VerifierKey,
}

impl Nodes for &Log {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let begin = usize::try_from(index << level).unwrap();
        Ok(root(&self.leaves[begin..begin + (1 << level)]))
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.root()
}

impl Log {
    fn new(origin: &str, leaves: u64) -> Self {
        let private = PKey::generate_ed25519().unwrap();
        let raw = private.raw_public_key().unwrap();
        Self {
            leaves: (0..leaves)
                .map(|n| Hash::of_leaf(&n.to_be_bytes()))
                .collect(),
            private,
            key: VerifierKey::ed25519(origin, Algorithm::Ed25519, &raw).unwrap(),
        }
    }

    /// The same key over other records from `from` on.
    fn forked(&self, from: usize) -> Self {
        let mut leaves = self.leaves.clone();
        for leaf in &mut leaves[from..] {
            *leaf = Hash::of_node(leaf, leaf);
        }
        Self {
            leaves,
            private: self.private.clone(),
            key: self.key.clone(),
        }
    }

    fn note(&self, size: u64) -> Note {
        let text = Checkpoint {
            origin: self.key.name().to_owned(),
            size,
            root: root(&self.leaves[..usize::try_from(size).unwrap()]),
            // Every second one, so that each may follow the other.
            extensions: (1..=size % 2)
                .map(|line| format!("extension {line}"))
                .collect(),
        }
        .to_string();
        let mut signer = Signer::new_without_digest(&self.private).unwrap();
        let octets = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
        Note::new(&text, vec![Signature::new(&self.key, octets)]).unwrap()
    }

    fn body(&self, old: u64, size: u64) -> Vec<u8> {
        let proof = if old == 0 || old >= size {
            Vec::new()
        } else {
            consistency_proof(&mut &*self, old, size).unwrap()
        };
        let note = self.note(size);
        Submission { old, proof, note }.to_body().into_bytes()
    }
}

fn witness(dir: &Path, logs: &[&Log]) -> Witness {
    let key = dir.join("key");
    if !key.exists() {
        let args = KeyArgs::new("witness.example/a", &key);
        key::run(&args, Output::new(true)).unwrap();
    }
    let logs: Vec<_> = logs.iter().map(|log| log.key.clone()).collect();
    let memory = Memory::open(&dir.join("state"), &logs).unwrap();
    Witness::new(WitnessKey::read(&key).unwrap(), logs, memory)
}

#[test]
fn a_log_that_grows_is_cosigned_at_each_size_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 40);
    let mut old = 0;
    for size in [0, 1, 2, 2, 7, 8, 31, 32, 40] {
        // Each time anew, as after a crash.
        let witness = witness(dir.path(), &[&log]);
        let now = at(1_000) + Duration::from_secs(size);
        let made = witness.add_checkpoint(&log.body(old, size), now);
        let Cosigned { checkpoint, line } = made.unwrap();
        assert_eq!(checkpoint.size, size);
        let text = log.note(size).text().to_owned();
        let time = witness.key().verify_line(&text, &line).unwrap();
        assert_eq!(time, Some(now));
        old = size;
    }
}

#[test]
fn what_contradicts_an_earlier_checkpoint_is_never_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 40);
    let fork = log.forked(5);
    let first = witness(dir.path(), &[&log]);
    first.add_checkpoint(&log.body(0, 20), at(1)).unwrap();
    drop(first);
    let witness = witness(dir.path(), &[&log]);
    let refused = |body: &[u8]| witness.add_checkpoint(body, at(2)).unwrap_err();
    // Back to fewer records, whatever is said of the old size.
    for old in [0, 10, 19] {
        let refusal = refused(&log.body(old, 19));
        assert!(
            matches!(refusal, Refusal::OtherSize { latest: 20 }),
            "{refusal}"
        );
    }
    assert!(matches!(
        refused(&log.body(20, 19)),
        Refusal::OldTooLarge { old: 20, size: 19 }
    ));
    assert!(matches!(refused(&fork.body(20, 20)), Refusal::Fork));
    // The fork's own proof holds between its own trees only.
    for size in [21, 32, 40] {
        let refusal = refused(&fork.body(20, size));
        assert!(matches!(refusal, Refusal::Inconsistent(_)), "{refusal}");
    }
    let mut with_proof = log.body(20, 20);
    with_proof.splice(7..7, format!("{}\n", "A".repeat(43) + "=").into_bytes());
    let refusal = refused(&with_proof);
    assert!(matches!(refusal, Refusal::Inconsistent(_)), "{refusal}");
    witness.add_checkpoint(&log.body(20, 40), at(3)).unwrap();
}

#[test]
fn only_a_log_that_is_watched_over_and_its_own_signature_count() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 4);
    let (stranger, impostor) = (Log::new("log.example/two", 4), Log::new(ORIGIN, 4));
    let witness = witness(dir.path(), &[&log]);
    let refused = |body: &[u8]| witness.add_checkpoint(body, at(2)).unwrap_err();
    assert!(matches!(
        refused(&stranger.body(0, 4)),
        Refusal::UnknownLog(origin) if origin == "log.example/two"
    ));
    assert!(matches!(refused(&impostor.body(0, 4)), Refusal::Unsigned));
    assert!(matches!(refused(b"old 0\n"), Refusal::Malformed(_)));
    let proof = Submission {
        old: 0,
        proof: vec![log.leaves[0]],
        note: log.note(4),
    };
    assert!(matches!(
        refused(proof.to_body().as_bytes()),
        Refusal::ProofOfNothing
    ));
    assert_eq!(witness.counts(), (1, 0));
}

#[test]
fn foreign_signatures_are_passed_over_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 4);
    let other = Log::new("witness.example/b", 4);
    let witness = witness(dir.path(), &[&log]);
    let own = log.note(4);
    let mut signatures = other.note(4).signatures().to_vec();
    signatures.extend_from_slice(own.signatures());
    let note = Note::new(own.text(), signatures).unwrap();
    let body = Submission {
        old: 0,
        proof: Vec::new(),
        note,
    };
    witness
        .add_checkpoint(body.to_body().as_bytes(), at(1))
        .unwrap();
    let state = dir.path().join("state");
    let kept = state.join(format!("{}.checkpoint", Hash::of(ORIGIN.as_bytes())));
    assert_eq!(std::fs::read_to_string(kept).unwrap(), own.to_string());
}

#[test]
fn a_memory_that_was_touched_or_is_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, other) = (Log::new(ORIGIN, 4), Log::new("log.example/two", 4));
    let logs = [log.key.clone(), other.key];
    let state = dir.path().join("state");
    let first = witness(dir.path(), &[&log]);
    first.add_checkpoint(&log.body(0, 4), at(1)).unwrap();
    let failure = Memory::open(&state, &logs).err().unwrap().to_string();
    assert!(failure.contains("a witness that runs"), "{failure}");
    drop(first);

    let kept = state.join(format!("{}.checkpoint", Hash::of(ORIGIN.as_bytes())));
    let good = std::fs::read_to_string(&kept).unwrap();
    for bad in [
        good.replace("\n4\n", "\n3\n"),
        good.replace("one", "two"),
        good[..good.len() - 1].to_owned(),
        String::new(),
    ] {
        std::fs::write(&kept, &bad).unwrap();
        let failure = Memory::open(&state, &logs).err().unwrap().to_string();
        assert!(failure.contains(kept.to_str().unwrap()), "{failure}");
    }
    std::fs::write(&kept, good).unwrap();
    assert_eq!(Memory::open(&state, &logs).unwrap().len(), 1);
}
