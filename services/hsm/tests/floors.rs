//! A new journal of CAs that were used begins after their last CRL and a tree of the log that witnesses cosigned.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use assay_audit::note::{Algorithm, Note, Signature, VerifierKey, cosigned};
use assay_audit::tree::Frontier;
use assay_audit::{Checkpoint, SignedTree};
use assay_hsm::{KeyAlgorithm, SignedCheckpoint, Token};
use assay_types::{Hash, Timestamp};
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use support::{Config, Installation, der};

const ORIGIN: &str = "log.example.org/assay/used";
const KEY_COMPROMISE: u8 = 1;

/// A witness, or any Ed25519 key.
struct Witness {
    key: PKey<Private>,
    vkey: VerifierKey,
}

impl Witness {
    fn new(name: &str) -> Self {
        let key = PKey::generate_ed25519().unwrap();
        let public = key.raw_public_key().unwrap();
        let vkey = VerifierKey::ed25519(name, Algorithm::CosignatureV1, &public).unwrap();
        Self { key, vkey }
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        let mut signer = Signer::new_without_digest(&self.key).unwrap();
        signer.sign_oneshot_to_vec(data).unwrap()
    }

    fn cosign(&self, text: &str) -> Signature {
        let time = Timestamp::from_seconds(1_800_000_000);
        let signature = self.sign(cosigned(time, text).as_bytes());
        let octets = [&time.seconds().to_be_bytes()[..], &signature].concat();
        Signature::new(&self.vkey, octets)
    }
}

/// The checkpoint of a tree as its log signed it.
fn checkpoint(tree: &Frontier, signed: &SignedCheckpoint) -> String {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: tree.size(),
        root: tree.root(),
        extensions: signed.extensions.clone(),
    }
    .to_string()
}

/// The file of this name in the folder or in one of its folders.
fn find(folder: &Path, name: &str) -> PathBuf {
    let inside = fs::read_dir(folder).unwrap();
    let inside = inside.map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = inside.filter(|path| path.is_dir()).collect();
    folders.push(folder.to_owned());
    let files = folders.into_iter().map(|folder| folder.join(name));
    files.into_iter().find(|file| file.exists()).unwrap()
}

/// What `assay-audit tree` writes of this checkpoint and frontier.
fn file(text: &str, signatures: Vec<Signature>, tree: &Frontier) -> String {
    let note = Note::new(text, signatures).unwrap().to_string();
    SignedTree::new(note, tree).to_canonical().unwrap()
}

/// The installation after its journal was lost.
struct Lost {
    installation: Installation,
    config: Config,
    revoked: Vec<u8>,
    tree: Frontier,
    checkpoint: String,
    vkey: VerifierKey,
    signature: Signature,
    last_crl: PathBuf,
    log: PathBuf,
}

impl Lost {
    async fn new(algorithm: KeyAlgorithm) -> Self {
        let installation = Installation::with_log(algorithm).await;
        let config = Config {
            log_origin: Some(ORIGIN.to_owned()),
            ..installation.config()
        };
        let hsm = config.start().await;
        let tbs = installation.tbs();
        hsm.sign_certificate("r1", &tbs.der()).await.unwrap();
        let mut list = installation.list(7);
        list.entries = vec![(tbs.serial.clone(), list.this_update, KEY_COMPROMISE)];
        let signature = hsm.sign_crl("r1", &list.der()).await.unwrap();
        let crl = der::signed(&list.der(), &list.algorithm, &signature);
        let leaves: Vec<Hash> = (0..5_u8).map(|n| Hash::of(&[n])).collect();
        let mut tree = Frontier::new();
        leaves.iter().for_each(|leaf| tree.append(*leaf));
        let signed = hsm.sign_checkpoint(tree.size(), tree.root(), &leaves).await;
        let signed = signed.unwrap();
        let spki = hsm.log_key().unwrap().spki_der.clone();
        hsm.shutdown().await;
        let whole = config.done(&["journal", "verify"]);
        assert!(whole.contains("\nlast checkpoint: 5 records\n"), "{whole}");
        fs::rename(config.journal(), config.directory.join("lost")).unwrap();
        let last_crl = config.directory.join("last.crl");
        fs::write(&last_crl, &crl).unwrap();
        let vkey = VerifierKey::from_spki(ORIGIN, &spki).unwrap();
        Self {
            checkpoint: checkpoint(&tree, &signed),
            signature: Signature::new(&vkey, signed.signature),
            vkey,
            revoked: tbs.serial,
            log: config.directory.join("tree.json"),
            installation,
            config,
            tree,
            last_crl,
        }
    }

    /// `journal create` with the last CRL and this file.
    fn arguments<'a>(&'a self, tree: &str, more: &[&'a str]) -> Vec<&'a str> {
        fs::write(&self.log, tree).unwrap();
        let (crl, log) = (self.last_crl.to_str(), self.log.to_str());
        let used = ["journal", "create", "--last-crl", crl.unwrap(), "--log"];
        [&used, &[log.unwrap()][..], more].concat()
    }

    /// The tree is refused with one line that names the file and says this.
    fn refused(&self, tree: &str, more: &[&str], reason: &str) {
        let said = self.config.refused(&self.arguments(tree, more));
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(said.contains(self.log.to_str().unwrap()), "{said}");
        assert!(!self.config.journal().exists());
    }
}

#[tokio::test]
async fn a_lost_journal_continues_from_the_last_crl_and_the_cosigned_tree() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let lost = Lost::new(algorithm).await;
        let (config, installation) = (&lost.config, &lost.installation);
        let [one, two] = ["one.example", "two.example"].map(Witness::new);
        let lines = [&one, &two].map(|witness| witness.cosign(&lost.checkpoint));
        let signatures = [std::slice::from_ref(&lost.signature), &lines].concat();
        let tree = file(&lost.checkpoint, signatures, &lost.tree);
        let keys = config.directory.join("witnesses.vkeys");
        fs::write(&keys, format!("{}\n{}\n", one.vkey, two.vkey)).unwrap();
        let said = config.done(&lost.arguments(&tree, &["--witness", keys.to_str().unwrap()]));
        assert!(said.contains("identity "), "{said}");
        let whole = config.done(&["journal", "verify"]);
        assert!(whole.contains("\nlast checkpoint: none\n"), "{whole}");

        // Another key than the one that the signer's state is under would look as if the state were damaged.
        let key = find(&config.directory, "signer-state.secret");
        let secret = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        let refused = config.refused(&[]);
        assert!(refused.contains(key.to_str().unwrap()), "{refused}");
        assert!(refused.contains("the log has 5 records"), "{refused}");
        assert!(!key.exists());
        fs::write(&key, secret).unwrap();

        let hsm = config.start().await;
        let list = |number: u64| {
            let mut list = installation.list(number);
            list.entries = vec![(lost.revoked.clone(), list.this_update, KEY_COMPROMISE)];
            list
        };
        let again = hsm.sign_crl("r1", &list(7).der()).await.unwrap_err();
        assert!(again.to_string().contains("cannot follow"), "{again}");
        let empty = installation.list(8).der();
        let dropped = hsm.sign_crl("r1", &empty).await.unwrap_err();
        assert!(dropped.to_string().contains("for good"), "{dropped}");
        let mut next = lost.tree.clone();
        let leaf = Hash::of(b"next");
        let from_scratch = hsm.sign_checkpoint(1, leaf, &[leaf]).await;
        assert!(from_scratch.unwrap_err().is_permanent());
        next.append(leaf);
        let signed = hsm.sign_checkpoint(next.size(), next.root(), &[leaf]).await;
        // The same key signs the checkpoint that continues the log.
        let signed = signed.unwrap();
        let text = checkpoint(&next, &signed);
        let signature = Signature::new(&lost.vkey, signed.signature);
        let note = Note::new(&text, vec![signature]).unwrap();
        assert_eq!(Checkpoint::open(&note, &lost.vkey).unwrap().size, 6);
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn a_tree_that_is_not_the_cosigned_one_of_this_log_begins_no_journal() {
    let lost = Lost::new(KeyAlgorithm::Ed25519).await;
    let config = &lost.config;
    let [witness, stranger] = ["witness.example", "stranger.example"].map(Witness::new);
    let vkey = witness.vkey.to_string();
    let by = ["--witness", vkey.as_str()];
    let (text, own) = (&lost.checkpoint, &lost.signature);
    let line = witness.cosign(text);
    let good = file(text, vec![own.clone(), line.clone()], &lost.tree);

    // Signatures: the log's by another key, and the witness's absent, of another text, or wrong.
    let foreign = VerifierKey::ed25519(
        ORIGIN,
        Algorithm::Ed25519,
        &stranger.key.raw_public_key().unwrap(),
    );
    let foreign = Signature::new(&foreign.unwrap(), stranger.sign(text.as_bytes()));
    let tree = file(text, vec![foreign, line.clone()], &lost.tree);
    lost.refused(&tree, &by, "no signature of this key");
    let mut bad = own.octets().to_vec();
    bad[0] ^= 1;
    let bad = Signature::new(&lost.vkey, bad);
    let tree = file(text, vec![bad, line.clone()], &lost.tree);
    lost.refused(&tree, &by, "does not verify");
    let renamed = text.replace(ORIGIN, "log.example.org/another");
    let tree = file(&renamed, vec![own.clone(), line.clone()], &lost.tree);
    lost.refused(&tree, &by, "its origin is not the name of the log's key");
    let alone = file(text, vec![own.clone()], &lost.tree);
    lost.refused(
        &alone,
        &by,
        "witness.example did not cosign it: no signature",
    );
    let of_another = witness.cosign("log\n1\nroot\n");
    let tree = file(text, vec![own.clone(), of_another], &lost.tree);
    lost.refused(
        &tree,
        &by,
        "witness.example did not cosign it: the signature",
    );
    let other = stranger.vkey.to_string();
    let two = [&by[..], &["--witness", &other]].concat();
    lost.refused(&good, &two, "stranger.example did not cosign it");

    // Trees: of other records, of another size, of none, and a file that is cut off.
    let mut other = Frontier::new();
    (0..5_u8).for_each(|n| other.append(Hash::of(&[n, n])));
    let tree = file(text, vec![own.clone(), line.clone()], &other);
    lost.refused(&tree, &by, "frontier: its root is");
    other.append(Hash::of(b"more"));
    other.append(Hash::of(b"and more"));
    let tree = file(text, vec![own.clone(), line], &other);
    lost.refused(
        &tree,
        &by,
        "frontier: it is not that of the checkpoint's size",
    );
    lost.refused(&good[..good.len() / 2], &by, "not a whole tree");
    lost.refused("{}", &by, "not a whole tree");

    // What nobody says: whether there are witnesses, and which.
    let said = config.run(&lost.arguments(&good, &[]));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("--witness") && said.contains("--no-witness"),
        "{said}"
    );
    let both = config.run(&lost.arguments(&good, &[&by[..], &["--no-witness"]].concat()));
    assert_eq!(both.status.code(), Some(2));
    let log = lost.vkey.to_string();
    for (key, reason) in [
        (log.as_str(), "this is the key of a log"),
        ("witness", "neither a verifier key nor a file"),
    ] {
        let said = config.refused(&lost.arguments(&good, &["--witness", key]));
        assert!(said.contains(reason), "{said}");
    }
    let last_crl = lost.last_crl.to_str().unwrap();
    let said = config.refused(&["journal", "create", "--last-crl", last_crl]);
    assert!(said.contains("assay-audit tree"), "{said}");
    let crl = fs::read(&lost.last_crl).unwrap();
    let mut bad = crl.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&lost.last_crl, &bad).unwrap();
    let said = config.refused(&lost.arguments(&good, &by));
    assert!(said.contains("not signed by a CA"), "{said}");
    // A file without an end is not read to its end.
    let endless = ["journal", "create", "--last-crl", "/dev/zero", "--log"];
    let log = lost.log.to_str().unwrap();
    let said = config.refused(&[&endless[..], &[log, "--no-witness"]].concat());
    assert!(said.contains("/dev/zero: longer than"), "{said}");
    fs::write(&lost.last_crl, &crl).unwrap();
    assert!(!config.journal().exists());

    // Without a witness the log's own signature is enough, if that is said.
    config.done(&lost.arguments(&alone, &["--no-witness"]));
}
