//! Whoever has the log's key alters one thing and signs everything anew, on a log that no witness saw before. What
//! records, evidence, files and certificates say of each other gives it away, but for what is listed here and in
//! SECURITY.md.

use std::collections::{BTreeMap, BTreeSet};

use assay_audit::Attachment;
use assay_types::{Timestamp, canonical};
use assay_verify::{Options, Verdict};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::export::Parts;
use crate::keys::keys;
use crate::rollover::rolled;
use crate::scenes::small;
use crate::tier;

/// Of a kind of record and a member this often: the first ones that occur.
const TIMES: u32 = 2;
/// Added to times: more than two minutes of milliseconds or seconds.
const LATER: i64 = 600_000;

/// Members that nothing else tells of, each by kind: what people and frontends said of themselves, what is not in the
/// export, and the clocks of the last record of a run.
pub(crate) const UNPROVEN: &[(&str, &str)] = &[
    ("certificate.held", "actor"),
    ("certificate.released", "actor"),
    ("certificate.revoked", "actor"),
    ("challenge.issued", "actor"),
    ("challenge.revoked", "actor"),
    ("clock.accepted", "actor"),
    ("clock.accepted", "from"),
    ("clock.accepted", "to"),
    ("crl.issued", "crl_sha256"),
    ("crl.issued", "next_update"),
    ("crl.issued", "tbs_digest"),
    ("intent.abandoned", "detail"),
    ("intent.abandoned", "listed_until"),
    ("pending.approved", "actor"),
    ("pending.approved", "note"),
    ("pending.denied", "actor"),
    ("pending.denied", "note"),
    ("policy.activated", "actor"),
    ("profile.stopped", "actor"),
    ("profile.stopped", "reason"),
    ("request.deferred", "detail"),
    ("request.deferred", "message_type"),
    ("request.deferred", "peer"),
    ("request.deferred", "request_digest"),
    ("request.deferred", "request_id"),
    ("request.deferred", "transaction_id"),
    ("request.issued", "recovered"),
    ("request.malformed", "detail"),
    ("request.malformed", "peer"),
    ("request.malformed", "policy_hash (left out)"),
    ("request.malformed", "profile"),
    ("request.malformed", "request_digest"),
    ("request.malformed", "request_id"),
    ("request.pending", "peer"),
    ("request.pending", "request_digest"),
    ("request.pending", "request_id"),
    ("request.pending", "transaction_id"),
    ("request.polled", "peer"),
    ("request.polled", "request_digest"),
    ("request.polled", "request_id"),
    ("request.polled", "transaction_id"),
    ("request.queried", "peer"),
    ("request.queried", "request_digest"),
    ("request.queried", "request_id"),
    ("request.queried", "transaction_id"),
    ("request.refused", "detail"),
    ("request.refused", "peer"),
    ("request.refused", "request_digest"),
    ("request.refused", "request_id"),
    ("request.refused", "rule"),
    ("request.refused", "transaction_id"),
    ("request.replayed", "peer"),
    ("request.replayed", "request_digest"),
    ("request.replayed", "request_id"),
    ("request.replayed", "transaction_id"),
    ("requests.counted", "peer"),
    ("requests.counted", "profile (left out)"),
    ("requests.counted", "requests"),
    ("requests.counted", "signer_keys"),
    ("service.started", "kernel_boot"),
    ("service.started", "policy_hash (left out)"),
    ("service.started", "schema"),
    ("service.stopped", "cause"),
    ("service.stopped", "monotonic_ms"),
    ("token.event", "change"),
    ("token.event", "detail"),
    ("token.event", "token_label"),
    ("hsm.counted", "ca_signatures"),
    ("hsm.counted", "last"),
    ("hsm.counted", "monotonic_ms"),
    ("hsm.counted", "pid"),
    ("hsm.counted", "wall_ms"),
    ("hsm.counted", "run"),
];

/// The altered forms of a value; an empty list where it has no other form worth trying.
fn altered(member: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(is) => vec![(!is).into()],
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            let is_time = ["_ms", "_at", "_update", "expires", "at"]
                .iter()
                .any(|end| member.ends_with(end));
            vec![if is_time { number + LATER } else { number + 1 }.into()]
        }
        Value::String(text) => vec![other(text).into()],
        Value::Array(items) => {
            let mut fewer = items.clone();
            fewer.pop();
            let mut more = items.clone();
            more.push("zed".into());
            vec![fewer.into(), more.into()]
        }
        Value::Null | Value::Object(_) => vec![],
    }
}

/// A text of the same form: its last letter or digit is the next one.
fn other(text: &str) -> String {
    let mut text: Vec<char> = text.chars().collect();
    match text.iter().rposition(char::is_ascii_alphanumeric) {
        Some(at) => {
            text[at] = match text[at] {
                '9' => '8',
                'f' => 'e',
                'z' => 'y',
                'Z' => 'Y',
                c => char::from(u8::try_from(c).unwrap() + 1),
            };
        }
        None => text.push('x'),
    }
    text.into_iter().collect()
}

fn verdict(parts: &Parts) -> Verdict {
    let options = Options {
        threads: 1,
        ..Options::default()
    };
    let report = parts.export().verify_with(Some(&keys().trust()), &options);
    report.verdict
}

/// Members of records, by kind.
type Members = BTreeSet<(String, String)>;

/// Tries every alteration, or those of every nth member (see `tier`), in the kinds of records that `which` takes. Returns the
/// members that were tried, and those whose alteration the verification accepted.
fn unproven(parts: &Parts, which: fn(&str) -> bool) -> (Members, Members) {
    let stride = tier::size("altered members: stride");
    let mut met: BTreeMap<(String, String), (usize, u32)> = BTreeMap::new();
    let mut unproven = BTreeSet::new();
    for at in 0..parts.records.len() {
        let record: Value = serde_json::from_slice(&parts.records[at]).unwrap();
        let members = record.as_object().unwrap();
        let kind = members["kind"].as_str().unwrap().to_owned();
        if !which(&kind) {
            continue;
        }
        for (member, value) in members {
            let key = (kind.clone(), member.clone());
            let number = met.len();
            let (number, times) = met.entry(key.clone()).or_insert((number, 0));
            *times += 1;
            if *times > TIMES || *number % stride != 0 {
                continue;
            }
            let mut forms: Vec<Option<Value>> =
                altered(member, value).into_iter().map(Some).collect();
            forms.push(None);
            for form in forms {
                let mut members = members.clone();
                let without = form.is_none();
                match form {
                    Some(form) => members.insert(member.clone(), form),
                    None => members.remove(member),
                };
                let mut parts = parts.clone();
                parts.records[at] = canonical(&members).unwrap().into_bytes();
                if verdict(&parts) == Verdict::Proven {
                    let (kind, member) = key.clone();
                    let how = if without { " (left out)" } else { "" };
                    unproven.insert((kind, format!("{member}{how}")));
                }
            }
        }
    }
    let tried = met
        .into_iter()
        .filter(|(_, (number, _))| number % stride == 0)
        .map(|(key, _)| key)
        .collect();
    (tried, unproven)
}

fn of_certificates(kind: &str) -> bool {
    ["certificate.", "crl.", "intent.", "policy.", "profile."]
        .iter()
        .any(|start| kind.starts_with(start))
}

/// What is found of the kinds that `which` takes is what is listed of them.
fn is_listed(which: fn(&str) -> bool) {
    let (tried, found) = unproven(small(), which);
    let listed: Members = UNPROVEN
        .iter()
        .map(|(kind, member)| ((*kind).to_owned(), (*member).to_owned()))
        .filter(|(kind, member)| {
            let altered = member.trim_end_matches(" (left out)").to_owned();
            tried.contains(&(kind.clone(), altered))
        })
        .collect();
    assert_eq!(found, listed);
    // The whole suite meets every kind and member of the list.
    let of_these = UNPROVEN.iter().filter(|(kind, _)| which(kind)).count();
    assert!(!tier::is_whole() || listed.len() == of_these);
}

#[test]
fn what_of_requests_that_came_to_nothing_nothing_else_tells_of_is_listed() {
    is_listed(|kind| kind.starts_with("request."));
}

#[test]
fn what_of_certificates_and_policy_nothing_else_tells_of_is_listed() {
    is_listed(of_certificates);
}

#[test]
fn what_of_all_the_other_kinds_nothing_else_tells_of_is_listed() {
    is_listed(|kind| !of_certificates(kind) && !kind.starts_with("request."));
}

/// As [`UNPROVEN`], of evidence: a CSR whose challengePassword was taken out does not verify any more, so its signature and
/// its hash are what they are said to be.
const UNPROVEN_EVIDENCE: &[&str] = &[
    "pending, one-time: /csr",
    "pending, one-time: /csr_sha256",
    "permit, one-time: /csr",
    "permit, one-time: /csr_sha256",
    "permit, static: /csr",
    "permit, static: /csr_sha256",
    "refusal, one-time: /csr",
    "refusal, one-time: /csr_sha256",
];

/// The evidence is other evidence, and its record's hash is of that.
fn reseal(parts: &mut Parts, sequence: u64, content: Vec<u8>) {
    let line = parts.evidence.get_mut(&sequence).unwrap();
    line.content = content;
    let attachment = Attachment {
        salt: line.salt,
        content: line.content.clone(),
        keep_until: Timestamp::default(),
    };
    let at = usize::try_from(sequence - 1).unwrap();
    let mut record: Value = serde_json::from_slice(&parts.records[at]).unwrap();
    record["evidence"] = attachment.hash().to_string().into();
    parts.records[at] = canonical(&record).unwrap().into_bytes();
}

#[test]
fn what_of_evidence_nothing_else_tells_of_is_listed() {
    let stride = tier::size("altered members: stride");
    let parts = small();
    let mut found = BTreeSet::new();
    for (sequence, line) in &parts.evidence {
        let content: Value = serde_json::from_slice(&line.content).unwrap();
        for (number, pointer) in pointers(&content, "").into_iter().enumerate() {
            let member = pointer.rsplit('/').next().unwrap();
            // The members of the list above are always tried.
            if number % stride != 0 && !member.starts_with("csr") {
                continue;
            }
            let value = content.pointer(&pointer).unwrap();
            let mut forms = altered(member, value);
            if member == "csr" {
                let mut der = STANDARD.decode(value.as_str().unwrap()).unwrap();
                *der.last_mut().unwrap() ^= 1;
                forms.push(STANDARD.encode(der).into());
            }
            for form in forms {
                let mut content = content.clone();
                *content.pointer_mut(&pointer).unwrap() = form;
                let mut parts = parts.clone();
                reseal(
                    &mut parts,
                    *sequence,
                    canonical(&content).unwrap().into_bytes(),
                );
                if verdict(&parts) == Verdict::Proven {
                    let kind = content["verdict"]["kind"].as_str().unwrap();
                    let source = content["grant"]["source"]["kind"].as_str().unwrap();
                    found.insert(format!("{kind}, {source}: {pointer}"));
                }
            }
        }
    }
    let listed: BTreeSet<String> = UNPROVEN_EVIDENCE.iter().map(ToString::to_string).collect();
    assert_eq!(found, listed);
}

/// JSON pointers to all that is no object.
fn pointers(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(member, value)| pointers(value, &format!("{path}/{member}")))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            vec![path.to_owned()]
        }
    }
}

/// Kinds of which a record that is taken out, the rest renumbered, may leave no trace: requests that came to nothing, and
/// what nothing later rests on (the last CRL, an inventory.changed of no names, a clock.step just before the end).
pub(crate) const UNMISSED: &[&str] = &[
    "challenge.revoked",
    "clock.step",
    "crl.issued",
    "inventory.changed",
    "request.deferred",
    "request.malformed",
    "request.polled",
    "request.queried",
    "request.refused",
    "request.replayed",
    "requests.counted",
    "service.stopped",
    "token.event",
    "hsm.counted",
];

/// Takes a record out and gives those after it the numbers that are free then.
pub(crate) fn without(parts: &Parts, at: usize) -> Parts {
    let mut parts = parts.clone();
    let gone = at as u64 + 1;
    parts.records.remove(at);
    for (n, record) in parts.records.iter_mut().enumerate().skip(at) {
        let mut members: Value = serde_json::from_slice(record).unwrap();
        members["sequence"] = (n as u64 + 1).into();
        // A CRL says up to which record it has the changes.
        if let Some(covers) = members["covers"].as_u64().filter(|it| *it >= gone) {
            members["covers"] = (covers - 1).into();
        }
        *record = canonical(&members).unwrap().into_bytes();
    }
    let evidence = parts.evidence.split_off(&gone);
    for (sequence, mut line) in evidence.into_iter().filter(|(n, _)| *n > gone) {
        line.sequence = sequence - 1;
        parts.evidence.insert(sequence - 1, line);
    }
    let certificates = parts.certificates.split_off(&gone);
    for (sequence, der) in certificates.into_iter().filter(|(n, _)| *n > gone) {
        parts.certificates.insert(sequence - 1, der);
    }
    parts
}

#[test]
fn what_is_not_missed_when_it_is_taken_out_is_listed() {
    let parts = small();
    let mut found = BTreeSet::new();
    for at in 0..parts.records.len() {
        let record: Value = serde_json::from_slice(&parts.records[at]).unwrap();
        if verdict(&without(parts, at)) == Verdict::Proven {
            found.insert(record["kind"].as_str().unwrap().to_owned());
        }
    }
    let listed: BTreeSet<String> = UNMISSED.iter().map(ToString::to_string).collect();
    assert_eq!(found, listed);
}

#[test]
fn two_cas_leave_no_more_unproven_than_one() {
    let of_cas = |kind: &str| {
        let kinds = [
            "ca.announced",
            "ca.switched",
            "crl.issued",
            "intent.opened",
            "policy.activated",
            "request.issued",
        ];
        kinds.contains(&kind)
    };
    let (tried, found) = unproven(rolled(), of_cas);
    assert!(!tried.is_empty());
    for (kind, member) in found {
        let listed = UNPROVEN.contains(&(kind.as_str(), member.as_str()));
        assert!(listed, "{kind}: {member}");
    }
}
