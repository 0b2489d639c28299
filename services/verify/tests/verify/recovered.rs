//! A log whose state was recovered from a backup: lost records are named until an earlier export supplies them, and nothing that was
//! void afterwards counts again.

use assay_audit::{Event, RecoveredCrl};
use assay_policy::{NewStatement, RecoveryStatement};
use assay_types::Hash;
use assay_verify::layout::Place;
use assay_verify::{Check, Options, Report, Verdict};

use crate::export::Export;
use crate::honest::assert_verdict;
use crate::keys::{FIRST, keys};
use crate::maker::{Maker, files};
use crate::scenes::{DEVICE, asks};
use crate::tiles;

const SAN: &str = "dns:a.example.com";
const FLOOR: u64 = 4;

/// A log up to the record of its recovery.
pub(crate) struct Scene {
    maker: Maker,
    /// The export of before the loss.
    earlier: Export,
    /// Records of the backup, and of the log that the HSM service signed.
    sizes: (u64, u64),
    lost_serial: String,
    /// Open at the backup.
    challenge: assay_policy::Grant,
}

impl Scene {
    /// `people` sign the statement.
    fn new(people: usize) -> Self {
        Self::with(people, |_| {})
    }

    fn with(people: usize, alter: impl FnOnce(&mut NewStatement)) -> Self {
        let mut maker = Maker::new();
        maker.start();
        maker.activate(&files("CHG-1"), &[]);
        let issue = |maker: &mut Maker| {
            let by = maker.challenge("devices", DEVICE, &[SAN]);
            maker.issue(&asks("devices", DEVICE, &[SAN], by))
        };
        let held = issue(&mut maker);
        maker.crl();
        let challenge = maker.challenge("devices", DEVICE, &[SAN]);
        let backup = maker.parts.clone();

        let held_at = maker.now();
        maker.hold(&held);
        let lost_serial = issue(&mut maker);
        maker.crl();
        maker.stop();
        let before = maker.parts.clone();
        let earlier = before.export();
        let (restored, size) = (backup.records.len(), before.records.len());
        let leaves = before.leaves();
        maker.parts = backup;
        for leaf in &leaves[restored..] {
            maker.parts.lose(*leaf);
        }
        let mut new = NewStatement {
            journal: Hash::of(b"journal"),
            journal_entries: 90,
            journal_head: Hash::of(b"head"),
            log_size: size as u64,
            log_root: tiles::root(&leaves),
            restored_size: restored as u64,
            restored_root: tiles::root(&leaves[..restored]),
            policy_floor: FLOOR,
            reason: "the disk failed".to_owned(),
            time: maker.now(),
        };
        alter(&mut new);
        let statement = RecoveryStatement::new(new).unwrap();
        let text = statement.to_text().unwrap();
        let at = size as u64 + 1;
        let signers = &keys().people[1..=people];
        for (k, person) in (1..).zip(signers) {
            let place = Place::RecoveryApproval(at, k).to_string();
            maker.parts.policies.insert(place, person.sign(&text));
        }
        let place = Place::Recovery(at).to_string();
        maker.parts.policies.insert(place, text.clone());
        maker.floor = FLOOR;
        maker.recover(Event::StateRecovered {
            statement_sha256: Hash::of(&text),
            journal: statement.journal,
            log_size: statement.log_size,
            log_root: statement.log_root,
            restored_size: statement.restored_size,
            restored_root: statement.restored_root,
            policy_floor: statement.policy_floor,
            approvers: signers.iter().map(|it| it.name.into()).collect(),
            crls: vec![RecoveredCrl {
                this_update: maker.now(),
                key_id: "01".into(),
                issuer: keys().ca_key_sha256(FIRST),
                number: 2,
            }],
            certificates: 1,
            statuses: 1,
            intents: 0,
            challenges: 1,
            requests: 0,
            names: 0,
        });
        let certificates = before.certificates.values();
        let der = certificates.last().unwrap().clone();
        maker.take_up(&lost_serial, der);
        maker.record(Event::StatusRecovered {
            serial: held.as_str().into(),
            revoked_at: Some(held_at),
            reason: Some("certificate-hold".into()),
        });
        Self {
            maker,
            earlier,
            sizes: (restored as u64, size as u64),
            lost_serial,
            challenge,
        }
    }

    /// The signer starts, and a version resumes the profiles.
    fn resumed(mut self) -> Self {
        self.maker.start();
        self.maker.crl();
        let profiles = ["devices", "fleet"];
        let all = files("CHG-2");
        let resumes: Vec<&str> = all
            .iter()
            .filter_map(|file| file.name.strip_suffix(".toml"))
            .collect();
        assert!(profiles.iter().all(|profile| resumes.contains(profile)));
        self.maker.activate(&all, &resumes);
        self
    }

    fn issues(mut self) -> Self {
        let by = self.maker.challenge("devices", DEVICE, &[SAN]);
        self.maker.issue(&asks("devices", DEVICE, &[SAN], by));
        self
    }

    /// A log that ends with a recovery, and one that continues after it; each with the export of before the loss.
    pub(crate) fn both() -> [(Maker, Export); 2] {
        let goes_on = Self::new(2).resumed().issues();
        [Self::new(2), goes_on].map(|scene| (scene.maker, scene.earlier))
    }

    fn verify(&self) -> Report {
        self.maker.parts.export().verify()
    }

    fn verify_with(&self, earlier: &Export) -> Report {
        let folder = earlier.write();
        let options = Options {
            lost_records: vec![folder.path().to_owned()],
            ..Options::default()
        };
        let export = self.maker.parts.export();
        export.verify_with(Some(&keys().trust()), &options)
    }
}

#[track_caller]
fn is_bad(report: &Report, check: Check, member: &str) {
    let found = report.bad.iter();
    let mut found = found.filter(|it| it.check == check && it.member.starts_with(member));
    assert!(found.next().is_some(), "{member}: {:#?}", report.bad);
}

#[test]
fn lost_records_are_named_until_an_earlier_export_supplies_them() {
    let scene = Scene::new(2).resumed().issues();
    let report = scene.verify();
    assert_verdict(&report, Verdict::Incomplete);
    let (restored, size) = scene.sizes;
    let [open] = report.open.as_slice() else {
        panic!("{:#?}", report.open)
    };
    assert_eq!(open.check, Check::Recoveries);
    assert_eq!(open.member, format!("records {} to {size}", restored + 1));

    let decided = report.decided_again;
    let report = scene.verify_with(&scene.earlier);
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(
        report.decided_again,
        decided + 1,
        "that of the lost one too"
    );
}

#[test]
fn an_earlier_export_supplies_what_it_has_and_nothing_else() {
    let scene = Scene::new(2).resumed();
    // The export of another log.
    let mut other = Maker::new();
    other.start();
    other.activate(&files("CHG-9"), &[]);
    for _ in 0..30 {
        other.crl();
    }
    let report = scene.verify_with(&other.parts.export());
    assert_verdict(&report, Verdict::Incomplete);
}

#[test]
fn a_recovery_that_too_few_signed_or_over_other_trees_is_a_finding() {
    let report = Scene::new(1).resumed().verify();
    is_bad(&report, Check::Recoveries, "approvals");
    let scene = Scene::with(2, |new| new.log_root = Hash::of(b"another"));
    is_bad(&scene.verify(), Check::Recoveries, "log_root");
    let scene = Scene::with(2, |new| new.restored_root = Hash::of(b"another"));
    is_bad(&scene.verify(), Check::Recoveries, "restored_root");
    let scene = Scene::with(2, |new| new.restored_size += 1);
    is_bad(&scene.verify(), Check::Recoveries, "");

    let mut scene = Scene::new(2);
    let place = scene.sizes.1 + 1;
    let policies = &mut scene.maker.parts.policies;
    policies.remove(&Place::Recovery(place).to_string());
    policies.remove(&Place::RecoveryApproval(place, 1).to_string());
    policies.remove(&Place::RecoveryApproval(place, 2).to_string());
    is_bad(&scene.verify(), Check::Recoveries, "statement_sha256");
}

#[test]
fn a_record_that_no_recovery_lost_has_to_be_there() {
    let mut scene = Scene::new(2);
    let leaves = scene.maker.parts.leaves();
    scene.maker.parts.records[2].clear();
    scene.maker.parts.lost.insert(2, leaves[2]);
    is_bad(&scene.verify(), Check::Recoveries, "record");
}

#[test]
fn what_is_void_after_a_recovery_is_not_used_again() {
    let mut scene = Scene::new(2);
    scene.maker.start();
    let scene = scene.issues();
    is_bad(&scene.verify(), Check::Stops, "profile");

    let mut scene = Scene::new(2);
    scene.maker.floor = 0;
    is_bad(&scene.resumed().verify(), Check::Versions, "number");

    let mut scene = Scene::new(2).resumed();
    let by = scene.challenge.clone();
    scene.maker.issue(&asks("devices", DEVICE, &[SAN], by));
    is_bad(&scene.verify(), Check::Challenges, "source.id");

    let mut scene = Scene::new(2).resumed();
    let serial = scene.lost_serial.clone();
    scene.maker.revoke(&serial);
    scene.maker.crl();
    assert_verdict(&scene.verify(), Verdict::Incomplete);
    scene.maker.revoke(&serial);
    is_bad(&scene.verify(), Check::Revocations, "serial");
}
