//! Certificates that an operator took from the journal: accepted as such, named in the report, and good for nothing else.

use assay_audit::Event;
use assay_types::{Hash, canonical};
use assay_verify::{Check, Finding, Options, Report, Verdict, Where};
use serde_json::Value;

use crate::honest::assert_verdict;
use crate::keeper::Keeper;
use crate::keys::keys;
use crate::maker::{Hidden, Maker, files};
use crate::scenes::asks;

const SUBJECT: &str = "CN=device-1,O=Example";
const SAN: &str = "dns:a.example.com";

/// A log in which `what` happened to a certificate that it had no record of.
fn log(what: impl FnOnce(&mut Maker, &Hidden)) -> Report {
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    let hidden = maker.hidden();
    what(&mut maker, &hidden);
    verify(&maker)
}

fn verify(maker: &Maker) -> Report {
    let export = maker.parts.export();
    export.verify_with(Some(&keys().trust()), &Options::default())
}

#[track_caller]
fn found(report: &Report, check: Check, member: &str) -> Finding {
    let mut all = report.bad.iter().chain(&report.open);
    let wanted = |it: &&Finding| (it.check, it.member.as_str()) == (check, member);
    let lines: Vec<String> = report.bad.iter().map(ToString::to_string).collect();
    let found = all.find(wanted).cloned();
    found.unwrap_or_else(|| panic!("{}", lines.join("\n")))
}

/// A pair whose signer lost a certificate, which an operator then imported and revoked, with CRLs before and after.
fn imported() -> (Keeper, Hidden) {
    let mut keeper = Keeper::started();
    keeper.crl();
    let hidden = keeper.hide();
    keeper.maker.pass(600_000);
    keeper.maker.import(&hidden);
    keeper.revoke(&hidden.serial);
    keeper.crl();
    keeper.maker.pass(600_000);
    keeper.finish();
    (keeper, hidden)
}

fn alter(keeper: &mut Keeper, kind: &str, change: impl Fn(&mut Value)) {
    for record in &mut keeper.maker.parts.records {
        let mut members: Value = serde_json::from_slice(record).unwrap();
        if members["kind"] == kind {
            change(&mut members);
            *record = canonical(&members).unwrap().into_bytes();
        }
    }
}

#[test]
fn an_import_is_reconciled_and_named_in_the_report() {
    let (keeper, hidden) = imported();
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Proven);
    let journal = report.journal.as_ref().unwrap();
    let noted = &journal.events[0];
    assert_eq!(
        (journal.events.len(), noted.kind),
        (1, "certificate.imported")
    );
    let wanted = format!(
        "{} ({SUBJECT}) by assay://operator/olga, record ",
        hidden.serial
    );
    assert!(noted.detail.starts_with(&wanted), "{noted}");
}

#[test]
fn without_the_journal_an_import_is_a_record_like_others() {
    let report = log(|maker, hidden| {
        maker.import(hidden);
        maker.revoke(&hidden.serial);
        maker.crl();
    });
    assert_verdict(&report, Verdict::Proven);
    assert!(report.journal.is_none());
}

#[test]
fn an_import_of_what_the_journal_does_not_have_is_found() {
    let mut keeper = Keeper::started();
    keeper.crl();
    let hidden = keeper.maker.hidden();
    keeper.maker.import(&hidden);
    keeper.maker.revoke(&hidden.serial);
    keeper.finish();
    let report = keeper.pair().verify();
    let finding = found(&report, Check::JournalCertificates, "serial");
    assert_eq!(finding.got, hidden.serial);
    assert!(matches!(finding.at, Where::Record(_)));
}

#[test]
fn an_import_over_another_tbs_certificate_than_that_of_the_journal_is_found() {
    let (mut keeper, _) = imported();
    let other = Hash::of(b"another TBSCertificate").to_string();
    alter(&mut keeper, "certificate.imported", |members| {
        members["tbs_digest"] = other.as_str().into();
    });
    let report = keeper.pair().verify();
    found(&report, Check::JournalCertificates, "tbs_digest");
    // The certificate of the export gives it away too.
    found(&report, Check::Certificates, "tbs_digest");
}

#[test]
fn an_import_without_the_revocation_right_after_it_is_found() {
    let report = log(|maker, hidden| {
        maker.import(hidden);
        maker.crl();
        maker.revoke(&hidden.serial);
    });
    found(&report, Check::Revocations, "kind");
    let report = log(|maker, hidden| {
        maker.import(hidden);
    });
    found(&report, Check::Revocations, "serial");
}

#[test]
fn a_second_import_and_one_of_another_certificate_than_was_issued_are_found() {
    let report = log(|maker, hidden| {
        for _ in 0..2 {
            maker.import(hidden);
            maker.revoke(&hidden.serial);
        }
    });
    found(&report, Check::Revocations, "serial");

    // A certificate of the log may be imported if the store lost it, but as the same one.
    let of_issued = |digest: Option<Hash>| {
        let mut maker = Maker::new();
        maker.start();
        maker.activate(&files("CHG-1"), &[]);
        let by = maker.challenge("devices", SUBJECT, &[SAN]);
        let serial = maker.issue(&asks("devices", SUBJECT, &[SAN], by));
        let (_, der) = maker.parts.certificates.last_key_value().unwrap();
        let hidden = maker.known(&serial, der.clone());
        let sequence = maker.import(&hidden);
        if let Some(digest) = digest {
            let record = maker.parts.records.last_mut().unwrap();
            let mut members: Value = serde_json::from_slice(record).unwrap();
            members["tbs_digest"] = digest.to_string().into();
            *record = canonical(&members).unwrap().into_bytes();
            assert_eq!(members["sequence"], sequence);
        }
        maker.revoke(&serial);
        verify(&maker)
    };
    assert_verdict(&of_issued(None), Verdict::Proven);
    let report = of_issued(Some(Hash::of(b"another")));
    found(&report, Check::Revocations, "tbs_digest");
}

#[test]
fn an_imported_certificate_neither_renews_nor_is_answered_for() {
    let report = log(|maker, hidden| {
        maker.import(hidden);
        maker.revoke(&hidden.serial);
        let by = maker.renewal(&hidden.serial);
        maker.issue(&crate::maker::Asks {
            message_type: "17",
            secret: false,
            new_key: true,
            ..asks("devices", SUBJECT, &[SAN], by)
        });
    });
    found(&report, Check::Renewals, "source.serial");
    let report = log(|maker, hidden| {
        maker.import(hidden);
        maker.revoke(&hidden.serial);
        let request = maker.request("devices", "21");
        maker.record(Event::RequestQueried {
            request,
            serial: Some(hidden.serial.as_str().into()),
            crl_number: None,
        });
    });
    found(&report, Check::References, "serial");
}

/// The signature was made in a run of which the log may have nothing left.
#[test]
fn an_import_explains_one_signature_and_no_more() {
    let counted = |signatures| {
        log(|maker, hidden| {
            maker.import(hidden);
            maker.revoke(&hidden.serial);
            maker.count(signatures, true);
            maker.stop();
            maker.start();
        })
    };
    // The last run may have made one that is recorded later; this one is not the last.
    assert_verdict(&counted(1), Verdict::Proven);
    found(&counted(2), Check::Counters, "ca_signatures");
}
