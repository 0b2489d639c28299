//! Exports of a range, with evidence that is gone, without pins; and exports and pins on disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assay_types::Hash;
use assay_verify::layout::trust::{
    APPROVERS, ApproverEntry, ApproversFile, ApproversTable, CA, CHECKPOINT, JOURNALS, LOG_KEY,
    WITNESSES, ca_file,
};
use assay_verify::{Check, Directory, Options, Trust, Verdict, verify};

use crate::export::{Export, Parts, note};
use crate::honest::assert_verdict;
use crate::keys::{FIRST, NEXT, keys};
use crate::scenes::{many, small};

/// The last bundle is held, with that of the policy; those between are leaf hashes only.
#[test]
fn of_a_range_what_is_held_is_right_and_the_rest_is_left_open() {
    let parts = Parts {
        bundles: Some(BTreeSet::from([0, 3])),
        ..many(1_000, 300)
    };
    let report = parts.export().verify();
    assert_verdict(&report, Verdict::Incomplete);
    assert_eq!((report.size, report.held), (1_000, 256 + 232));
    assert!(report.decided_again > 100, "{}", report.decided_again);
    let left_out = report
        .open
        .iter()
        .any(|finding| finding.check == Check::Leaves);
    assert!(left_out, "{:?}", report.open);

    // What is held is held to the tree all the same.
    let mut parts = parts;
    parts.records[999] = String::from_utf8(parts.records[999].clone())
        .unwrap()
        .replace("SIG-05", "SIG-06")
        .into_bytes();
    let honest = note(&many(1_000, 0).checkpoint_text(), &[&keys().log]);
    assert_verdict(&parts.with_checkpoint(honest).verify(), Verdict::Bad);
}

#[test]
fn without_the_bundle_that_brought_a_policy_into_force_its_records_are_bad() {
    let parts = Parts {
        bundles: Some(BTreeSet::from([1])),
        ..many(400, 100)
    };
    let report = parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    assert!(
        report
            .bad
            .iter()
            .any(|finding| finding.check == Check::InForce)
    );
}

#[test]
fn evidence_that_is_gone_leaves_its_decision_open() {
    let mut parts = small().clone();
    let (first, _) = parts.evidence.pop_first().unwrap();
    let report = parts.export().verify();
    assert_verdict(&report, Verdict::Incomplete);
    assert_eq!(report.open[0].at, assay_verify::Where::Record(first));
    assert_eq!(report.open[0].check, Check::Evidence);

    parts.evidence.clear();
    let report = parts.export().verify();
    assert_verdict(&report, Verdict::Incomplete);
    assert_eq!(report.decided_again, 0);
}

#[test]
fn a_certificate_that_is_missing_is_bad() {
    let mut parts = small().clone();
    parts.certificates.pop_first().unwrap();
    assert_verdict(&parts.export().verify(), Verdict::Bad);
}

#[test]
fn each_pinned_witness_must_have_cosigned_unless_fewer_are_asked_for() {
    let (parts, keys) = (small(), keys());
    let other = crate::keys::NoteKey::new("other.example.org", 4);
    let mut trust = keys.trust();
    trust.witnesses.push(other.verifier_key());
    let export = parts.export();
    let with = |witnesses| Options {
        witnesses,
        ..Options::default()
    };
    for (witnesses, verdict) in [
        (None, Verdict::Incomplete),
        (Some(2), Verdict::Incomplete),
        (Some(1), Verdict::Proven),
    ] {
        let report = export.verify_with(Some(&trust), &with(witnesses));
        assert_verdict(&report, verdict);
    }
    let text = parts.checkpoint_text();
    let both = parts.with_checkpoint(note(&text, &[&keys.log, &keys.witness, &other]));
    assert_verdict(
        &both.verify_with(Some(&trust), &with(None)),
        Verdict::Proven,
    );
    // A line in its name that it did not make.
    let lines = note(&format!("{text}x\n"), &[&other]);
    let lines = String::from_utf8(lines).unwrap();
    let (_, forged) = lines.split_once("\n\n").unwrap();
    let mut bytes = note(&text, &[&keys.log, &keys.witness]);
    bytes.extend_from_slice(forged.as_bytes());
    let report = parts
        .with_checkpoint(bytes)
        .verify_with(Some(&trust), &with(Some(1)));
    assert_verdict(&report, Verdict::Bad);
}

#[test]
fn the_tree_alone_proves_the_tree_alone() {
    let options = Options {
        tree_only: true,
        ..Options::default()
    };
    let report = small()
        .export()
        .verify_with(Some(&keys().trust()), &options);
    assert_verdict(&report, Verdict::Incomplete);
    assert_eq!(report.decided_again, 0);
}

#[test]
fn other_pins_than_those_of_the_installation_are_bad() {
    let export = small().export();
    let mut log = keys().trust();
    log.log_key = crate::keys::NoteKey::new("log.example.org/assay", 1).verifier_key();
    let mut ca = keys().trust();
    ca.cas[FIRST].pop();
    for trust in [log, ca] {
        let report = export.verify_with(Some(&trust), &Options::default());
        assert_verdict(&report, Verdict::Bad);
    }
}

fn write(directory: &Path, export: &Export) {
    for (path, content) in &export.0 {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &**content).unwrap();
    }
}

fn write_trust(directory: &Path, earlier: Option<&[u8]>) {
    let keys = keys();
    fs::create_dir_all(directory.join("approvers")).unwrap();
    let put = |name: &str, content: &[u8]| fs::write(directory.join(name), content).unwrap();
    put(LOG_KEY, format!("{}\n", keys.log.vkey()).as_bytes());
    put(WITNESSES, format!("{}\n", keys.witness.vkey()).as_bytes());
    put(CA, &keys.chain_pem(FIRST));
    put(&ca_file(2), &keys.chain_pem(NEXT));
    let approver = keys.people.iter().map(|person| {
        let certificate = format!("approvers/{}.pem", person.name);
        put(&certificate, &person.pem());
        ApproverEntry {
            person: person.name.to_owned(),
            certificate,
            retired: false,
        }
    });
    let file = ApproversFile {
        policy: ApproversTable {
            approvals: 2,
            approver: approver.collect(),
        },
    };
    put(APPROVERS, toml::to_string(&file).unwrap().as_bytes());
    put(JOURNALS, format!("{}\n", Hash::ZERO).as_bytes());
    if let Some(earlier) = earlier {
        put(CHECKPOINT, earlier);
    }
}

#[test]
fn an_export_on_disk_is_held_to_pins_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (export, trust) = (folder.path().join("export"), folder.path().join("trust"));
    write(&export, &small().export());
    let earlier = note(&small().checkpoint_text(), &[&keys().log]);
    write_trust(&trust, Some(&earlier));
    let mut trust = Trust::read(&trust).unwrap();
    assert_eq!(trust.approvers.needed(), 2);
    assert_eq!(trust.journals, [Hash::ZERO]);
    // The HSM service of this log keeps none.
    trust.journals.clear();
    assert_eq!(trust.cas, [keys().chain(FIRST), keys().chain(NEXT)]);
    let check = || {
        let source = Directory::new(&export);
        verify(&source, Some(&trust), &Options::default(), &|_, _| {})
    };
    assert_verdict(&check(), Verdict::Proven);

    for path in ["notes.txt", "tile/0/001"] {
        fs::write(export.join(path), "x").unwrap();
        let report = check();
        assert_verdict(&report, Verdict::Bad);
        assert_eq!(report.bad[0].check, Check::Manifest);
        fs::remove_file(export.join(path)).unwrap();
    }
    fs::create_dir(export.join("empty")).unwrap();
    assert_verdict(&check(), Verdict::Bad);
    fs::remove_dir(export.join("empty")).unwrap();
    let link = export.join("policies/1/approvals/3.p7s");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    assert_verdict(&check(), Verdict::Bad);
    fs::remove_file(&link).unwrap();
    fs::remove_file(export.join("log.vkey")).unwrap();
    assert_verdict(&check(), Verdict::Bad);
}

#[test]
fn a_trust_directory_names_the_file_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in [
        (LOG_KEY, "no key\n"),
        (CA, "no certificate\n"),
        ("ca-2.pem", "no certificate\n"),
        (WITNESSES, "no key\n"),
        (JOURNALS, "not an identity\n"),
        (APPROVERS, "[policy]\napprovals = 2\n"),
        (APPROVERS, "[policy]\napprovals = 9\napprover = []\n"),
    ] {
        write_trust(folder.path(), None);
        assert!(Trust::read(folder.path()).is_ok());
        fs::write(folder.path().join(file), content).unwrap();
        let error = Trust::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
    }
}
