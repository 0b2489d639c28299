//! The journal against a client that tries everything and a process that is killed at any moment: what was signed is in it, and
//! nothing that is in it is taken back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use assay_hsm::{CaKeys, KeyAlgorithm, KeyRole, OperationError, Token};
use assay_journal::{Event, Frontier, Item};
use assay_types::Hash;
use openssl::rand::rand_bytes;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process};
use support::{Config, Installation, der, until};

const HOLD: u8 = 6;
const KEY_COMPROMISE: u8 = 1;
const SUPERSEDED: u8 = 4;

/// Each TBSCertificate of the journal with its signature, where that is recorded.
fn certificates(items: &[Item]) -> HashMap<Vec<u8>, Option<Vec<u8>>> {
    let mut signatures: HashMap<u64, Vec<u8>> = HashMap::new();
    for item in items {
        if let Event::Signed { certificate, .. } = item.entry.event {
            let again = signatures.insert(certificate, item.body.clone().unwrap());
            assert!(again.is_none(), "two signatures of entry {certificate}");
        }
    }
    let mut certificates = HashMap::new();
    for item in items {
        if let Event::Certificate { .. } = item.entry.event {
            let tbs = item.body.clone().unwrap();
            let again = certificates.insert(tbs, signatures.remove(&item.number));
            assert!(again.is_none(), "entry {} is another's", item.number);
        }
    }
    assert!(signatures.is_empty());
    certificates
}

/// How many certificates count against the hour's ceiling.
fn used(config: &Config) -> u64 {
    let status = config.done(&["status"]);
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("certificates_per_hour"));
    let mut words = line.unwrap().split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn one_tbs_has_one_signature_for_ever_and_costs_one_of_the_ceiling() {
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Rsa(2048)] {
        let installation = Installation::with_ca(algorithm).await;
        let config = installation.config();
        let hsm = config.start().await;
        let tbs = installation.tbs();
        let octets = tbs.der();
        let first = hsm.sign_certificate("r1", &octets).await.unwrap();
        let again = hsm.sign_certificate("r2", &octets).await.unwrap();
        assert_eq!(again, first);
        hsm.counted(KeyRole::CaSign, 1).await;
        // Another client asks at the same time as this one.
        let other = config.connect().await;
        let others = config.ca(&other);
        let racing = installation.tbs().der();
        let (ours, theirs) = tokio::join!(
            hsm.sign_certificate("r3", &racing),
            others.sign_certificate("r4", &racing)
        );
        assert_eq!(ours.unwrap(), theirs.unwrap());
        other.shutdown().await;
        assert_eq!(used(&config), 2);

        hsm.kill().await;
        let after = hsm.sign_certificate("r5", &octets).await.unwrap();
        assert_eq!(after, first);
        hsm.counted(KeyRole::CaSign, 0).await;
        assert_eq!(used(&config), 2);

        let mut other = installation.tbs();
        other.serial = tbs.serial;
        other.subject = der::name("device-2");
        let refused = hsm.sign_certificate("r6", &other.der()).await.unwrap_err();
        assert!(refused.is_permanent());
        assert!(
            refused.to_string().contains("with another TBSCertificate"),
            "{refused}"
        );
        hsm.counted(KeyRole::CaSign, 0).await;
        assert_eq!(used(&config), 2);
        hsm.shutdown().await;
        let recorded = certificates(&config.export());
        assert_eq!(recorded[&octets], Some(first));
        assert_eq!(recorded.len(), 2);
    }
}

/// Rounds of a service that is killed, and certificates that are asked for in each.
const ROUNDS: usize = 8;
const CERTIFICATES: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn every_signature_that_left_is_in_the_journal_after_a_kill_at_any_moment() {
    kill_at_any_moment(KeyAlgorithm::P256).await;
}

/// Also where it is the only one that the key can make.
#[tokio::test(flavor = "multi_thread")]
async fn every_rsa_signature_that_left_is_in_the_journal_after_a_kill_at_any_moment() {
    kill_at_any_moment(KeyAlgorithm::Rsa(2048)).await;
}

async fn kill_at_any_moment(algorithm: KeyAlgorithm) {
    let installation = Installation::with_ca(algorithm).await;
    let config = installation.config();
    let hsm = config.start().await;
    let mut received: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for round in 1..=ROUNDS {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CERTIFICATES {
            let (keys, tbs) = (hsm.keys.clone(), installation.tbs().der());
            tasks.spawn(async move {
                let signature = keys.sign_certificate("r1", &tbs).await;
                (tbs, signature)
            });
        }
        let mut random = [0];
        rand_bytes(&mut random).unwrap();
        let before_the_kill = usize::from(random[0]) % CERTIFICATES;
        let mut killed = false;
        while let Some(done) = tasks.join_next().await {
            let (tbs, signature) = done.unwrap();
            // Asked for again by the connection where the service was lost.
            received.insert(tbs, signature.unwrap());
            if !killed && received.len() % CERTIFICATES >= before_the_kill {
                kill_process(hsm.pid(), Signal::KILL).unwrap();
                killed = true;
            }
        }
        if !killed {
            kill_process(hsm.pid(), Signal::KILL).unwrap();
        }
        until(&mut hsm.health(), |health| {
            health.ready && health.reconnections >= round as u64
        })
        .await;
        let recorded = certificates(&config.export());
        for (tbs, signature) in &received {
            assert_eq!(recorded[tbs].as_ref(), Some(signature), "round {round}");
        }
    }
    assert_eq!(received.len(), ROUNDS * CERTIFICATES);
    hsm.shutdown().await;
    let whole = config.done(&["journal", "verify"]);
    assert!(whole.starts_with("whole: "), "{whole}");
}

#[tokio::test]
async fn a_crl_or_a_checkpoint_that_left_is_in_the_journal_after_a_kill_at_once() {
    let installation = Installation::with_log(KeyAlgorithm::P256).await;
    let config = installation.config();
    let hsm = config.start().await;
    let mut tree = Frontier::default();
    for round in 1..=4 {
        let list = installation.list(round).der();
        hsm.sign_crl("r1", &list).await.unwrap();
        hsm.kill().await;
        let leaf = Hash::of(&list);
        tree.push(leaf);
        let (size, root) = (tree.size(), tree.root());
        let signed = hsm.sign_checkpoint(size, root, &[leaf]).await.unwrap();
        hsm.kill().await;
        let exported = config.export();
        let is_there = |is: &dyn Fn(&Item) -> bool| exported.iter().any(is);
        let line = &signed.extensions[0];
        assert!(is_there(&|item| item.head.to_string() == *line));
        let signed = Hash::of(&list);
        assert!(is_there(&|item| {
            matches!(&item.entry.event, Event::Crl { number, digest, .. }
                if (*number, *digest) == (round, signed))
        }));
    }
    hsm.shutdown().await;
}

/// The steps of one CA's CRLs.
struct Lists<'a> {
    installation: &'a Installation,
    keys: &'a CaKeys,
}

impl Lists<'_> {
    async fn sign(
        &self,
        number: u64,
        entries: &[(Vec<u8>, assay_types::Timestamp, u8)],
    ) -> Result<(), OperationError> {
        let mut list = self.installation.list(number);
        list.entries = entries.to_vec();
        self.keys.sign_crl("r1", &list.der()).await.map(|_| ())
    }

    async fn refused(
        &self,
        number: u64,
        entries: &[(Vec<u8>, assay_types::Timestamp, u8)],
        reason: &str,
    ) {
        let error = self.sign(number, entries).await.unwrap_err();
        assert!(error.is_permanent(), "{reason}: {error}");
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[tokio::test]
async fn crls_go_on_and_take_no_revocation_back() {
    let installation = Installation::new().await;
    let config = installation.config();
    let hsm = config.start().await;
    let lists = Lists {
        installation: &installation,
        keys: &hsm,
    };
    let mut serials = Vec::new();
    for _ in 0..2 {
        let tbs = installation.tbs();
        hsm.sign_certificate("r1", &tbs.der()).await.unwrap();
        serials.push(tbs.serial);
    }
    let [one, two] = <[Vec<u8>; 2]>::try_from(serials).unwrap();
    let at = der::now();
    let revoked = (one.clone(), at, KEY_COMPROMISE);
    let held = (two.clone(), at, HOLD);

    lists.refused(0, &[], "cannot follow").await;
    lists.refused(1_001, &[], "cannot follow").await;
    lists
        .refused(1, &[(der::serial(), at, SUPERSEDED)], "not in the journal")
        .await;
    let last = installation.list(1_000);
    hsm.sign_crl("r1", &last.der()).await.unwrap();
    hsm.sign_crl("r1", &last.der()).await.unwrap();
    lists
        .refused(1_000, std::slice::from_ref(&revoked), "cannot follow")
        .await;
    lists.refused(999, &[], "cannot follow").await;
    lists.refused(2_001, &[], "cannot follow").await;
    lists
        .sign(2_000, &[revoked.clone(), held.clone()])
        .await
        .unwrap();
    hsm.counted(KeyRole::CaSign, 2 + 3).await;

    // Each time, before a restart and after it.
    let of_one = |date, reason| (one.clone(), date, reason);
    for _ in 0..2 {
        lists.refused(2_000, &[], "cannot follow").await;
        lists
            .refused(2_001, std::slice::from_ref(&held), "for good")
            .await;
        for altered in [
            of_one(at, SUPERSEDED),
            of_one(at, HOLD),
            of_one(at, 0),
            of_one(at - der::DAY, KEY_COMPROMISE),
        ] {
            lists
                .refused(2_001, &[altered, held.clone()], "alters the reason or date")
                .await;
        }
        lists
            .refused(
                2_001,
                &[revoked.clone(), (two.clone(), at - der::DAY, HOLD)],
                "alters the reason or date",
            )
            .await;
        hsm.kill().await;
    }
    // A hold is released and set again, and becomes final.
    lists
        .sign(2_001, std::slice::from_ref(&revoked))
        .await
        .unwrap();
    let again = (two.clone(), der::now(), HOLD);
    lists
        .sign(2_002, &[revoked.clone(), again.clone()])
        .await
        .unwrap();
    let last = (two.clone(), again.1, SUPERSEDED);
    lists
        .sign(2_003, &[revoked.clone(), last.clone()])
        .await
        .unwrap();
    lists
        .refused(
            2_004,
            &[revoked.clone(), again],
            "alters the reason or date",
        )
        .await;
    lists
        .refused(2_004, std::slice::from_ref(&revoked), "for good")
        .await;
    lists.sign(2_004, &[last, revoked]).await.unwrap();
    hsm.counted(KeyRole::CaSign, 4).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn the_journal_is_verified_and_exported_while_the_service_runs() {
    let installation = Installation::new().await;
    let config = installation.config();
    let hsm = config.start().await;
    let tbs = installation.tbs().der();
    let signature = hsm.sign_certificate("r1", &tbs).await.unwrap();
    let whole = config.done(&["journal", "verify"]);
    assert!(whole.starts_with("whole: "), "{whole}");
    let file = config.directory.join("export");
    let output = ["journal", "export", "--output", file.to_str().unwrap()];
    let exported = config.done(&output);
    let (_, head) = exported.split_once('\n').unwrap();
    assert!(head.starts_with("last checkpoint: none\n"), "{exported}");
    assert!(whole.contains(head.trim_end()), "{whole}{exported}");
    let items = assay_journal::ExportReader::new(File::open(&file).unwrap()).unwrap();
    let items: Vec<Item> = items.collect::<Result<_, _>>().unwrap();
    assert_eq!(certificates(&items)[&tbs], Some(signature));
    // A file that is there is not overwritten.
    let refused = config.refused(&output);
    assert!(refused.contains("exists"), "{refused}");
    hsm.sign_certificate("r2", &installation.tbs().der())
        .await
        .unwrap();
    hsm.shutdown().await;
}

#[tokio::test]
async fn without_a_whole_journal_of_its_own_the_service_does_not_start() {
    let installation = Installation::new().await;
    let config = installation.config();
    let missing = config.refused(&[]);
    assert!(missing.contains("assay-hsm journal create"), "{missing}");
    for command in [
        &["status"][..],
        &["suspend"],
        &["journal", "verify"],
        &["journal", "export"],
    ] {
        let refused = config.refused(command);
        assert!(refused.contains("no journal"), "{refused}");
    }
    // A mistake must not make a new one beside the old one.
    let said = config.run(&["journal", "create"]);
    assert_eq!(said.status.code(), Some(2));
    assert!(!config.journal().exists());

    config.create_journal();
    let entries = config.journal().join("entries");
    let file = File::open(&entries).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    for command in [&[][..], &["suspend"]] {
        let held = config.refused(command);
        assert!(held.contains("another process has the journal"), "{held}");
    }
    flock(&file, FlockOperation::Unlock).unwrap();
    let exists = config.refused(&["journal", "create", "--unused"]);
    assert!(exists.contains("never replaced"), "{exists}");

    let hsm = config.start().await;
    let tbs = installation.tbs().der();
    hsm.sign_certificate("r1", &tbs).await.unwrap();
    let refused = config.refused(&["journal", "create", "--unused"]);
    assert!(refused.contains("held by another HSM service"), "{refused}");
    hsm.shutdown().await;
    let good = fs::read(&entries).unwrap();
    // The first entry follows the header and the marks.
    for place in [4_096 + 2, 4_096 + 40] {
        let file = File::options().write(true).open(&entries).unwrap();
        file.write_all_at(&[good[place] ^ 1], place as u64).unwrap();
        for command in [&[][..], &["suspend"], &["journal", "verify"]] {
            let damaged = config.refused(command);
            assert!(damaged.contains("is damaged at offset"), "{damaged}");
        }
        fs::write(&entries, &good).unwrap();
    }
    // A body that a stored signature or a CRL would come from.
    let bodies = config.journal().join("bodies");
    let whole = fs::read(&bodies).unwrap();
    let place = whole.windows(16).position(|octets| *octets == tbs[..16]);
    let mut bad = whole.clone();
    bad[place.unwrap()] ^= 1;
    fs::write(&bodies, &bad).unwrap();
    let damaged = config.refused(&["journal", "verify"]);
    assert!(damaged.contains("is damaged at offset"), "{damaged}");
    fs::write(&bodies, &whole).unwrap();
    config.done(&["journal", "verify"]);
}
