//! A file system without space.

use std::process::Command;

use super::*;
use crate::files::Which;

/// Certificates until one is refused, then everything else until the reserve is used up.
fn fill(journal: &Journal) -> (u64, u64) {
    let mut certificates = 0;
    let refused = loop {
        match journal.complete(certificates, NOW) {
            Ok(_) => certificates += 1,
            other => break refusal(other),
        }
        assert!(certificates < 1_000_000, "the file system has no end");
    };
    assert_eq!(refused, Refusal::DiskFull);
    assert!(journal.health().is_disk_full);
    assert_eq!(journal.health().failed, None);
    assert!(certificates > 0);
    let all: Vec<_> = (0..certificates.min(20))
        .map(|number| listed(number, Reason::Superseded))
        .collect();
    let mut others = 0;
    let refused = loop {
        others += 1;
        let result = journal
            .crl(others, &all, NOW)
            .and_then(|()| journal.checkpoint(others - 1, others, NOW));
        match result {
            Ok(()) => assert_eq!(
                refusal(journal.certificate(1 << 40, NOW)),
                Refusal::DiskFull
            ),
            other => break refusal(other),
        }
        assert!(others < 1_000_000, "the reserve has no end");
    };
    assert_eq!(refused, Refusal::ReserveUsed);
    (certificates, others)
}

#[test]
fn a_full_disk_refuses_certificates_and_leaves_a_reserve_for_the_rest() {
    let place = Place::new();
    let space = [(1 << 16) + 20_000, (1 << 16) + 4_000];
    let set = |files: &Files| *files.fault.space.lock().unwrap() = Some(space);
    let journal = place.open_with(set);
    let (certificates, others) = fill(&journal);
    // 64 KiB of reserve hold some hundred checkpoints and CRLs.
    assert!(others > 100, "{others}");
    // Refused requests changed nothing: the files hold, and a restart knows the same.
    let head = journal.head();
    drop(journal);
    let journal = place.open_with(set);
    assert_eq!(journal.head(), head);
    refusal(journal.certificate(1 << 40, NOW));
    drop(journal);
    // With space again, certificates are signed without a restart.
    let journal = place.open_with(set);
    refusal(journal.certificate(1 << 40, NOW));
    *journal.shared.files.fault.space.lock().unwrap() = None;
    journal.complete(1 << 40, NOW).unwrap();
    assert!(!journal.health().is_disk_full);
    drop(journal);
    let state = crate::verify(&place.dir).unwrap();
    assert_eq!(state.certificates() as u64, certificates + 1);
}

/// An attack on a full disk: each revocation has its own CRL and a checkpoint with its records.
#[test]
fn the_reserve_holds_a_crl_and_a_checkpoint_for_each_of_500_revocations() {
    const REVOKED: u64 = 500;
    const RECORDS: u64 = 3;
    let place = Place::new();
    let journal = place.open();
    for number in 0..REVOKED {
        journal.complete(number, NOW).unwrap();
    }
    drop(journal);
    let files = Files::open(&place.dir).unwrap();
    let ends = [Which::Entries, Which::Bodies].map(|which| files.length(which).unwrap());
    *files.fault.space.lock().unwrap() = Some(ends.map(|end| end + crate::RESERVE));
    let options = Options {
        reserve: crate::RESERVE,
        ..place.options()
    };
    let (journal, _) = Journal::open_files(files, options).unwrap();
    assert_eq!(refusal(journal.complete(1 << 40, NOW)), Refusal::DiskFull);
    let mut all = Vec::new();
    for number in 0..REVOKED {
        all.push(listed(number, Reason::KeyCompromise));
        journal.crl(number + 1, &all, NOW).unwrap();
        let leaves = number * RECORDS;
        journal.checkpoint(leaves, leaves + RECORDS, NOW).unwrap();
    }
    // Less than a tenth of it was needed.
    let health = journal.health();
    assert!(health.is_disk_full && health.failed.is_none());
    drop(journal);
    let now = [Which::Entries, Which::Bodies].map(|which| which.path(&place.dir));
    for (path, before) in now.iter().zip(ends) {
        let used = std::fs::metadata(path).unwrap().len() - before;
        assert!(used < crate::RESERVE / 10, "{used}");
    }
}

/// [`a_full_disk_refuses_certificates_and_leaves_a_reserve_for_the_rest`] on a real file system of 1 MiB. It needs the right to mount one: `--ignored`.
#[test]
#[ignore = "mounts a tmpfs in namespaces of its own, which not every machine allows"]
fn a_full_tmpfs_refuses_certificates_and_leaves_a_reserve_for_the_rest() {
    const INSIDE: &str = "ASSAY_JOURNAL_ON_TMPFS";
    if let Some(dir) = std::env::var_os(INSIDE) {
        let dir = Path::new(&dir).join("journal");
        create(&dir, &Floors::default(), NOW).unwrap();
        let options = || Options {
            limits: Limits::unlimited(),
            reserve: 1 << 17,
        };
        let (journal, _) = Journal::open(&dir, options()).unwrap();
        let (certificates, others) = fill(&journal);
        assert!(
            certificates > 100 && others > 100,
            "{certificates} {others}"
        );
        let head = journal.head();
        drop(journal);
        let (journal, cut) = Journal::open(&dir, options()).unwrap();
        assert_eq!((journal.head(), cut), (head, None));
        refusal(journal.certificate(1 << 40, NOW));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m,mode=0700 none \"$1\" && shift && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg("tests::full::a_full_tmpfs_refuses_certificates_and_leaves_a_reserve_for_the_rest")
        .env(INSIDE, dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}
