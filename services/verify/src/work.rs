//! What can be checked of a bundle by itself, on any thread: its records, their evidence, and their certificates.

use std::collections::BTreeMap;

use assay_audit::{Event, MAX_RECORD, Record, Request, Text};
use assay_decision::{Derived, Evidence, Verdict, decide_again};
use assay_policy::{Grant, Profile, Quirk, Source};
use openssl::x509::X509;

use crate::Check;
use crate::certificate;
use crate::entry::{Entry, EvidenceState, SLACK};
use crate::issuers::Issuers;
use crate::layout::{EvidenceLine, Place, first_of};
use crate::report::{ANY, Finding, Findings, error_chain};
use crate::versions::Versions;

/// A bundle as it was read.
pub(crate) struct Raw {
    pub(crate) bundle: u64,
    /// By how much the record before the first has a number above its place, as records before it are missing.
    pub(crate) gone: u64,
    /// Empty for one that a recovery lost.
    pub(crate) records: Vec<Vec<u8>>,
    /// Of its evidence file; `None` where there is none.
    pub(crate) evidence: Option<Vec<u8>>,
    /// Of its certificate file; `None` where there is none.
    pub(crate) certificates: Option<Vec<u8>>,
}

/// A bundle after the checks; a record that cannot be read is `None`.
pub(crate) struct Done {
    pub(crate) entries: Vec<Option<Entry>>,
    pub(crate) decided_again: u64,
    pub(crate) findings: Findings,
}

/// What bundles are held to.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) versions: &'a Versions,
    pub(crate) issuers: &'a Issuers,
}

impl Bench<'_> {
    /// Makes every check of one bundle.
    pub(crate) fn work(&self, raw: &Raw) -> Done {
        let mut findings = Findings::default();
        let records = records(raw, &mut findings);
        let mut evidence = evidence(raw, &mut findings);
        let mut certificates = certificates(raw, &records, &mut findings).into_iter();
        let mut entries = Vec::with_capacity(records.len());
        let mut decided_again = 0;
        for record in records {
            let Some(record) = record else {
                entries.push(None);
                continue;
            };
            let line = evidence.remove(&record.sequence);
            let kept = open(&record, line, &mut findings);
            if let EvidenceState::Held(evidence) = &kept {
                agree(&record, evidence, &mut findings);
                decided_again += self.decide(&record, evidence, &mut findings);
            }
            let certificate = if certificate::is_recorded(&record.draft.event) {
                certificates.next().and_then(|certificate| {
                    certificate::check(&record, &certificate, self.issuers, &mut findings)
                })
            } else {
                None
            };
            entries.push(Some(Entry {
                record,
                evidence: kept,
                certificate,
            }));
        }
        let place = Place::Evidence(raw.bundle);
        for sequence in evidence.keys() {
            let wanted = "lines of records of the bundle that name evidence";
            let got = format!("one of record {sequence}");
            findings.bad(Finding::new(
                Check::Evidence,
                &place,
                "sequence",
                wanted,
                got,
            ));
        }
        Done {
            entries,
            decided_again,
            findings,
        }
    }

    /// Makes the decision again; 1 where it could be.
    fn decide(&self, record: &Record, evidence: &Evidence, findings: &mut Findings) -> u64 {
        let check = Check::Decisions;
        let at = record.sequence;
        let model = record.draft.context.policy_hash;
        let version = model.and_then(|model| self.versions.of_model(&model));
        findings.made(check);
        let Some(version) = version else {
            let wanted = "the version of the policy that it was made under";
            findings.bad(Finding::new(check, at, "policy_hash", wanted, "none"));
            return 0;
        };
        let Some(issuer) = self.issuers.of_decision(evidence) else {
            let (member, wanted) = ("evidence.issuer_sha256", "a CA of the export");
            findings.bad(Finding::new(check, at, member, wanted, "none of them"));
            return 0;
        };
        match decide_again(evidence, &version.bundle, &issuer.ca) {
            Ok(derived) => {
                if let Some(profile) = version.bundle.profile(&evidence.profile) {
                    same(record, evidence, &derived, profile, findings);
                }
            }
            Err(deviation) => {
                let member = format!("evidence.{}", deviation.what());
                let wanted = "the decision that the policy comes to";
                let text = error_chain(&deviation);
                findings.bad(Finding::new(check, at, member, wanted, text));
            }
        }
        1
    }
}

fn records(raw: &Raw, findings: &mut Findings) -> Vec<Option<Record>> {
    let mut records = Vec::with_capacity(raw.records.len());
    let mut gone = raw.gone;
    for (sequence, bytes) in (first_of(raw.bundle)..).zip(&raw.records) {
        if bytes.is_empty() {
            records.push(None);
            continue;
        }
        findings.made(Check::Form);
        let record = match Record::from_canonical(bytes) {
            Ok(record) if record.sequence == sequence => Some(record),
            Ok(record) => {
                let got = record.sequence;
                let next = sequence.saturating_add(gone);
                let finding = match got.checked_sub(next) {
                    Some(further @ 1..) => {
                        let wanted = match further {
                            1 => format!("record {next}"),
                            _ => format!("records {next} to {}", got.saturating_sub(1)),
                        };
                        let got = format!("none, but record {got} in its place");
                        Finding::new(Check::Form, sequence, "sequence", wanted, got).lacks(&[ANY])
                    }
                    Some(0) | None => {
                        Finding::new(Check::Form, sequence, "sequence", sequence, got)
                    }
                };
                gone = got.saturating_sub(sequence);
                findings.bad(finding);
                None
            }
            Err(error) => {
                let wanted = format!("canonical JSON of at most {MAX_RECORD} octets");
                let text = error_chain(&error);
                findings.bad(Finding::new(Check::Form, sequence, "record", wanted, text));
                None
            }
        };
        records.push(record);
    }
    records
}

/// The lines of the evidence file, by sequence number.
fn evidence(raw: &Raw, findings: &mut Findings) -> BTreeMap<u64, EvidenceLine> {
    let mut lines = BTreeMap::new();
    let Some(bytes) = &raw.evidence else {
        return lines;
    };
    let place = Place::Evidence(raw.bundle);
    let mut bad = |member: &str, wanted: &str, got: String| {
        findings.made(Check::Evidence);
        findings.bad(Finding::new(Check::Evidence, &place, member, wanted, got));
    };
    let Some(text) = bytes.strip_suffix(b"\n") else {
        bad(
            "lines",
            "lines that each have their end",
            "another form".to_owned(),
        );
        return lines;
    };
    let mut before = 0;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match EvidenceLine::parse(line) {
            Ok(line) if line.sequence > before => {
                before = line.sequence;
                lines.insert(line.sequence, line);
            }
            Ok(line) => {
                let got = format!("line {number} of record {}", line.sequence);
                bad("sequence", "rising numbers", got);
            }
            Err(error) => bad("lines", "evidence", format!("line {number}: {error}")),
        }
    }
    lines
}

/// The certificates in the order of the records that they are of; as many as there are such records.
fn certificates(raw: &Raw, records: &[Option<Record>], findings: &mut Findings) -> Vec<X509> {
    let recorded = records
        .iter()
        .flatten()
        .filter(|record| certificate::is_recorded(&record.draft.event));
    let wanted = recorded.count();
    let place = Place::Certificates(raw.bundle);
    let check = Check::Certificates;
    let bytes = raw.certificates.as_deref().unwrap_or_default();
    match certificate::list(bytes) {
        Ok(list) if list.len() == wanted => list,
        Ok(list) => {
            let wanted = format!("{wanted} certificates, one for each record of one");
            findings.hold(false, check, &place, "file", wanted, list.len());
            Vec::new()
        }
        Err(text) => {
            findings.hold(false, check, &place, "file", "PEM certificates", text);
            Vec::new()
        }
    }
}

fn open(record: &Record, line: Option<EvidenceLine>, findings: &mut Findings) -> EvidenceState {
    let check = Check::Evidence;
    let at = record.sequence;
    match (record.draft.event.evidence(), line) {
        (None, None) => {
            // Nothing is permitted without.
            let needed = matches!(
                record.draft.event,
                Event::IntentOpened { .. } | Event::RequestPending { .. }
            );
            if needed {
                findings.hold(false, check, at, "evidence", "a salted hash", "none");
            }
            EvidenceState::None
        }
        (None, Some(_)) => {
            let wanted = "none, as the record names none";
            findings.hold(false, check, at, "evidence", wanted, "a line of it");
            EvidenceState::None
        }
        (Some(_), None) => {
            let wanted = "the evidence that the record's hash is of";
            findings.open(Finding::new(check, at, "evidence", wanted, "none is held"));
            EvidenceState::Gone
        }
        (Some(hash), Some(line)) => {
            findings.made(check);
            match Evidence::open(&line.salt, &line.content, hash) {
                Ok(evidence) => EvidenceState::Held(Box::new(evidence)),
                Err(error) => {
                    let wanted = "the evidence that the record's hash is of";
                    findings.bad(Finding::new(
                        check,
                        at,
                        "evidence",
                        wanted,
                        error_chain(&error),
                    ));
                    EvidenceState::Gone
                }
            }
        }
    }
}

/// What the record says itself and what its evidence says.
fn agree(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let check = Check::Evidence;
    let at = record.sequence;
    let profile = Text::from(evidence.profile.as_str());
    let mut same = |member: &str, wanted: &Text, got: &Text| {
        findings.same(check, at, member, wanted, got);
    };
    match (&record.draft.event, &evidence.verdict) {
        (
            Event::IntentOpened {
                request, issuance, ..
            },
            Verdict::Permit(permitted),
        ) => {
            same(
                "profile",
                &profile,
                &request.profile.clone().unwrap_or_default(),
            );
            let serial = Text::from(hex::encode(&permitted.serial));
            same("serial", &serial, &issuance.serial);
            // Versions of the parts of a signer are one.
            let binary = format!("assay {}", record.draft.context.binary);
            let builder = Text::from(permitted.builder.as_str());
            same("builder", &Text::from(binary), &builder);
            let digest = &permitted.tbs_digest;
            findings.same(check, at, "tbs_digest", digest, &issuance.tbs_digest);
            challenge(at, evidence, request, findings);
        }
        (
            Event::RequestPending {
                request,
                pending_id,
                ..
            },
            Verdict::Pending,
        ) => {
            same(
                "profile",
                &profile,
                &request.profile.clone().unwrap_or_default(),
            );
            let id = Text::from(evidence.pending_id.clone().unwrap_or_default());
            same("pending_id", &id, pending_id);
            challenge(at, evidence, request, findings);
        }
        (
            Event::RequestRefused {
                request,
                rule: recorded,
                ..
            },
            Verdict::Refusal { rule },
        ) => {
            same(
                "profile",
                &profile,
                &request.profile.clone().unwrap_or_default(),
            );
            same("rule", &Text::from(rule.as_str()), recorded);
            challenge(at, evidence, request, findings);
        }
        (event, _) => {
            let wanted = format!("a verdict that goes with {}", event.kind());
            findings.hold(false, check, at, "evidence", wanted, "another one");
        }
    }
    let wall_ms = record.draft.moment.wall_ms;
    let (from, until) = (evidence.decided_ms, evidence.decided_ms + SLACK);
    findings.hold(
        (from..=until).contains(&wall_ms),
        Check::Times,
        at,
        "wall_ms",
        format_args!("from {from}, the decision, until {until}"),
        wall_ms,
    );
}

/// The challenge and the messageType that go with what authorised it.
fn challenge(at: u64, evidence: &Evidence, request: &Request, findings: &mut Findings) {
    let check = Check::Evidence;
    let shown = |id: Option<&str>| Text::from(id.unwrap_or("none"));
    let queued = matches!(evidence.verdict, Verdict::Pending);
    let got = shown(request.challenge_id.as_ref().map(Text::as_str));
    if evidence.pending_id.is_some() && !queued {
        // Its challenge came with an earlier message.
        return findings.same(check, at, "challenge_id", &shown(None), &got);
    }
    // A RenewalReq is a renewal and nothing else.
    let source = evidence.grant.as_ref().map(Grant::source);
    let types = match source.and_then(Source::challenge_id) {
        Some(id) => {
            findings.same(check, at, "challenge_id", &shown(Some(id)), &got);
            &["19"][..]
        }
        None => &["17", "19"][..],
    };
    let message_type = request.message_type.clone().unwrap_or_default();
    let right = types.contains(&message_type.as_str());
    let wanted = types.join(" or ");
    findings.hold(right, check, at, "message_type", wanted, message_type);
}

/// What the record says of a decision beside its evidence.
fn same(
    record: &Record,
    evidence: &Evidence,
    derived: &Derived,
    profile: &Profile,
    findings: &mut Findings,
) {
    let check = Check::Decisions;
    let at = record.sequence;
    match (&record.draft.event, derived) {
        (
            Event::IntentOpened {
                request, issuance, ..
            },
            Derived::Permit { tbs_digest, .. },
        ) => {
            let recorded = &issuance.tbs_digest;
            findings.same(check, at, "tbs_digest", tbs_digest, recorded);
            quirks(at, evidence, request, profile, findings);
        }
        (Event::RequestRefused { rule, detail, .. }, Derived::Refusal(refusal)) => {
            let wanted = Text::from(refusal.rule.as_str());
            findings.same(check, at, "rule", &wanted, rule);
            let wanted = Text::from(refusal.detail.as_str());
            findings.same(check, at, "detail", &wanted, detail);
        }
        (Event::RequestPending { .. }, Derived::Pending) => {}
        (event, _) => {
            let wanted = format!("a decision that goes with {}", event.kind());
            findings.hold(false, check, at, "evidence", wanted, "another one");
        }
    }
}

/// The exceptions that a certificate needed: those that can be told from its decision are named, and no other than the
/// profile's.
fn quirks(
    at: u64,
    evidence: &Evidence,
    request: &Request,
    profile: &Profile,
    findings: &mut Findings,
) {
    let now = profile.quirks_at(evidence.decided_ms.into());
    // One may have ended while the request was at work.
    let before = profile.quirks_at((evidence.decided_ms - SLACK).into());
    let digests = [evidence.message_hash, evidence.csr_hash];
    for quirk in Quirk::ALL.iter().copied() {
        let named = request
            .quirks
            .iter()
            .any(|it| it.as_str() == quirk.as_str());
        let needed = digests
            .iter()
            .any(|it| Quirk::of_digest(*it) == Some(quirk));
        let changes = matches!(quirk, Quirk::ChainInReply | Quirk::NotBeforeSkew);
        let right = if changes {
            named == now.has(quirk)
        } else {
            (named || !needed) && (!named || now.has(quirk) || before.has(quirk))
        };
        let wanted = if named {
            "only what the request needed"
        } else {
            "all that the request needed"
        };
        let got = format!("{}{}", if named { "" } else { "no " }, quirk.as_str());
        findings.hold(right, Check::Decisions, at, "quirks", wanted, got);
    }
}
