//! Intents: opened with what may be signed, closed once with what was.

use std::collections::HashMap;

use assay_audit::{Event, Issuance, Request, Text};
use assay_policy::{Grant, Source};
use assay_types::{Hash, Timestamp};

use super::{End, Seen};
use crate::Check;
use crate::entry::SLACK;
use crate::report::{Finding, Findings, a_record};

/// An intent that is open.
#[derive(Debug)]
pub(crate) struct Intent {
    sequence: u64,
    opened: Timestamp,
    request: Request,
    issuance: Issuance,
    policy_hash: Option<Hash>,
    boot_id: Text,
    /// Of its evidence, where that is held: what authorised it, if anything did.
    pub(crate) source: Option<Option<Source>>,
}

#[derive(Default)]
pub(super) struct Intents {
    open: HashMap<Text, Intent>,
    /// The run, and serial number of its token.
    token: Option<(Text, Text)>,
    boot_id: Text,
}

impl Intent {
    /// The profile that permitted it.
    pub(super) fn profile(&self) -> Text {
        self.request.profile.clone().unwrap_or_default()
    }
}

impl Intents {
    /// The intent that the record closes with a certificate.
    pub(super) fn take(&mut self, seen: &mut Seen<'_>) -> Option<Intent> {
        let context = &seen.entry.record.draft.context;
        self.boot_id = context.boot_id.clone();
        if let Event::IntentOpened {
            request, issuance, ..
        } = seen.entry.event()
        {
            self.token(seen, &issuance.token_serial);
            let intent = Intent {
                sequence: seen.entry.sequence(),
                opened: seen.entry.wall(),
                request: request.clone(),
                issuance: issuance.clone(),
                policy_hash: context.policy_hash,
                boot_id: context.boot_id.clone(),
                source: seen
                    .entry
                    .evidence()
                    .map(|evidence| evidence.grant.as_ref().map(Grant::source).cloned()),
            };
            let before = self.open.insert(issuance.serial.clone(), intent);
            let got = before.map(|intent| format!("one of record {}", intent.sequence));
            seen.hold(
                got.is_none(),
                Check::Intents,
                "serial",
                "a serial without an open intent",
                got.unwrap_or_default(),
            );
        } else if let Event::RequestIssued {
            request,
            issuance,
            recovered,
            ..
        } = seen.entry.event()
        {
            self.token(seen, &issuance.token_serial);
            let intent = self.close(seen, request, issuance)?;
            // Recovery finishes what a former run left, and what this one could not finish at once.
            if intent.boot_id != context.boot_id {
                let wanted = "true, as another run opened the intent";
                seen.hold(*recovered, Check::Intents, "recovered", wanted, recovered);
            }
            return Some(intent);
        } else if let Event::IntentAbandoned {
            request, issuance, ..
        } = seen.entry.event()
        {
            self.token(seen, &issuance.token_serial);
            self.close(seen, request, issuance);
        } else if let Event::CertificateRecovered {
            serial, tbs_digest, ..
        } = seen.entry.event()
            && let Some(intent) = self.open.remove(serial)
        {
            let wanted = &intent.issuance.tbs_digest;
            seen.same(Check::Intents, "tbs_digest", wanted, tbs_digest);
            return Some(intent);
        } else if let Event::TokenEvent { token_serial, .. }
        | Event::CrlIssued { token_serial, .. } = seen.entry.event()
        {
            self.token(seen, token_serial);
        }
        None
    }

    /// Intents that the last run left open: its signatures may have been made.
    pub(super) fn open_in_last_run(&self) -> u64 {
        let open = self.open.values();
        open.filter(|intent| intent.boot_id == self.boot_id).count() as u64
    }

    /// One that is open for long may be of a certificate that nobody told of.
    pub(super) fn finish(&self, end: End, findings: &mut Findings) {
        let long = |intent: &&Intent| end.wall > intent.opened + SLACK;
        for intent in self.open.values().filter(long) {
            let kinds = ["request.issued", "intent.abandoned"];
            let wanted = format!("{} of it", a_record(&kinds));
            let got = "none until the end of the log";
            let (check, at) = (Check::Intents, intent.sequence);
            findings.open(Finding::new(check, at, "serial", wanted, got).lacks(&kinds));
        }
    }

    fn close(
        &mut self,
        seen: &mut Seen<'_>,
        request: &Request,
        issuance: &Issuance,
    ) -> Option<Intent> {
        let check = Check::Intents;
        let Some(intent) = self.open.remove(&issuance.serial) else {
            let of = format!("of {}", issuance.serial);
            seen.absent(check, "serial", &["intent.opened"], of);
            return None;
        };
        let wanted = &intent.issuance;
        seen.same(
            check,
            "tbs_digest",
            &wanted.tbs_digest,
            &issuance.tbs_digest,
        );
        seen.same(check, "key_id", &wanted.key_id, &issuance.key_id);
        let policy = seen.entry.record.draft.context.policy_hash;
        let shown = |hash: Option<Hash>| hash.map_or("none".to_owned(), |hash| hash.to_string());
        seen.same(
            check,
            "policy_hash",
            &shown(intent.policy_hash),
            &shown(policy),
        );
        seen.hold(
            intent.request == *request,
            check,
            "request",
            format_args!("that of record {}", intent.sequence),
            differing(&intent.request, request),
        );
        Some(intent)
    }

    /// One token serves a run.
    fn token(&mut self, seen: &mut Seen<'_>, serial: &Text) {
        let boot_id = &seen.entry.record.draft.context.boot_id;
        match &self.token {
            Some((boot, known)) if boot == boot_id => {
                seen.same(Check::Intents, "token_serial", known, serial);
            }
            Some(_) | None => self.token = Some((boot_id.clone(), serial.clone())),
        }
    }
}

/// The first member of a request that is not as it was.
fn differing(before: &Request, now: &Request) -> String {
    let members = [
        ("peer", before.peer == now.peer),
        (
            "peer_certificate_sha256",
            before.peer_certificate_sha256 == now.peer_certificate_sha256,
        ),
        ("request_id", before.request_id == now.request_id),
        (
            "request_digest",
            before.request_digest == now.request_digest,
        ),
        (
            "transaction_id",
            before.transaction_id == now.transaction_id,
        ),
        ("message_type", before.message_type == now.message_type),
        ("profile", before.profile == now.profile),
        ("challenge_id", before.challenge_id == now.challenge_id),
        ("quirks", before.quirks == now.quirks),
    ];
    let first = members.into_iter().find(|(_, same)| !same);
    first.map_or(String::new(), |(member, _)| format!("another {member}"))
}
