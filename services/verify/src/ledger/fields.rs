//! Members of closed lists, and of one form.

use assay_audit::{Event, Text};
use assay_policy::{Quirk, RULES};

use super::Seen;
use crate::Check;

const CHECK: Check = Check::Fields;
/// Octets of a serial number at most (RFC 5280 section 4.1.2.2).
const MAX_SERIAL: usize = 20;
/// failInfo values of RFC 8894 section 3.2.1.4.
const BAD_REQUEST: u8 = 2;
const BAD_CERT_ID: u8 = 4;
/// Rules of the signer itself, beside those of the policy; what a message is refused for has the prefix `SCEP:`.
const SIGNER_RULES: [&str; 24] = [
    "POL-03", "POL-04", "SIG-01", "SIG-02", "SIG-03", "SIG-04", "SIG-05", "SIG-06", "SIG-07",
    "SIG-08", "SIG-09", "SIG-10", "SIG-11", "SIG-12", "SIG-13", "SIG-14", "SIG-15", "SIG-16",
    "SIG-17", "SIG-18", "SIG-19", "SIG-20", "SIG-21", "SIG-22",
];
/// Of them, those that answer badCertId.
const BAD_CERT_ID_RULES: [&str; 2] = ["SIG-15", "SIG-16"];
/// messageType values that lead to a certificate: RenewalReq, PKCSReq and CertPoll.
const ENROLMENTS: [&str; 3] = ["17", "19", "20"];
/// Every messageType that is listed.
const LISTED: [&str; 5] = ["17", "19", "20", "21", "22"];
/// What is said to all others.
const NOT_LISTED: &str = "SIG-01";

pub(super) fn look(seen: &mut Seen<'_>) {
    context(seen);
    request(seen);
    actor(seen);
    if let Event::IntentOpened { issuance, .. }
    | Event::RequestIssued { issuance, .. }
    | Event::IntentAbandoned { issuance, .. } = seen.entry.event()
    {
        hex(seen, "serial", &issuance.serial, MAX_SERIAL);
        let some = !issuance.token_serial.as_str().is_empty();
        seen.hold(some, CHECK, "token_serial", "a token's serial", "none");
        hex(seen, "key_id", &issuance.key_id, usize::MAX);
    }
    if let Event::CertificateImported { serial, .. }
    | Event::CertificateRecovered { serial, .. }
    | Event::StatusRecovered { serial, .. } = seen.entry.event()
    {
        hex(seen, "serial", serial, MAX_SERIAL);
    }
    if let Event::RequestRefused {
        fail_info, rule, ..
    } = seen.entry.event()
    {
        refusal(seen, *fail_info, rule.as_str());
    }
    if let Event::ChallengeIssued { challenge_kind, .. } = seen.entry.event() {
        one_of(
            seen,
            "challenge_kind",
            &["one-time", "static"],
            challenge_kind,
        );
    }
    if let Event::RequestsCounted { peer, .. } = seen.entry.event() {
        identity(seen, "peer", "frontend", peer);
    }
}

fn context(seen: &mut Seen<'_>) {
    let context = &seen.entry.record.draft.context;
    hex(seen, "boot_id", &context.boot_id, usize::MAX);
    let some = !context.binary.as_str().is_empty();
    seen.hold(some, CHECK, "binary", "a version", "none");
}

fn request(seen: &mut Seen<'_>) {
    let Some(request) = seen.entry.request() else {
        return;
    };
    identity(seen, "peer", "frontend", &request.peer);
    for quirk in &request.quirks {
        let known = Quirk::ALL.iter().any(|it| it.as_str() == quirk.as_str());
        seen.hold(known, CHECK, "quirks", "the name of an exception", quirk);
    }
    let named = request.request_id.is_some() && request.profile.is_some();
    seen.hold(
        named,
        CHECK,
        "request_id",
        "an id and a profile",
        "not both",
    );
    let read = !matches!(seen.entry.event(), Event::RequestMalformed { .. });
    let known = [&request.transaction_id, &request.message_type];
    let right = known.iter().all(|it| it.is_some() == read);
    let wanted = "transaction_id and message_type of what could be read, and of nothing else";
    seen.hold(right, CHECK, "transaction_id", wanted, "another form");
    let none = request.peer_certificate_sha256.is_none();
    seen.hold(none, CHECK, "peer_certificate_sha256", "none", "one");
    let enrols = if let Event::RequestIssued { .. }
    | Event::IntentOpened { .. }
    | Event::IntentAbandoned { .. } = seen.entry.event()
    {
        &ENROLMENTS[..]
    } else if let Event::RequestPending { .. } = seen.entry.event() {
        &["17", "19"][..]
    } else if let Event::RequestQueried {
        serial, crl_number, ..
    } = seen.entry.event()
    {
        let one = serial.is_some() != crl_number.is_some();
        let wanted = "a certificate or a CRL";
        seen.hold(one, CHECK, "crl_number", wanted, "both or neither");
        if serial.is_some() {
            &["21"][..]
        } else {
            &["22"][..]
        }
    } else if let Event::RequestPolled { .. } | Event::RequestReplayed { .. } = seen.entry.event() {
        &ENROLMENTS[..]
    } else if let Event::RequestRefused { rule, .. } = seen.entry.event() {
        let message_type = request.message_type.as_ref().map(Text::as_str);
        let listed = message_type.is_some_and(|it| LISTED.contains(&it));
        let right = listed != (rule.as_str() == NOT_LISTED);
        let wanted = "a listed type, or SIG-01";
        return seen.hold(right, CHECK, "message_type", wanted, rule);
    } else {
        return;
    };
    let message_type = request.message_type.clone().unwrap_or_default();
    one_of(seen, "message_type", enrols, &message_type);
}

fn actor(seen: &mut Seen<'_>) {
    if let Event::PolicyActivated { actor, .. }
    | Event::ProfileStopped { actor, .. }
    | Event::ChallengeIssued { actor, .. }
    | Event::ChallengeRevoked { actor, .. }
    | Event::InventoryChanged { actor, .. }
    | Event::CertificateImported { actor, .. }
    | Event::CertificateHeld { actor, .. }
    | Event::CertificateReleased { actor, .. }
    | Event::PendingApproved { actor, .. }
    | Event::PendingDenied { actor, .. } = seen.entry.event()
    {
        person(seen, actor);
    }
    if let Event::CertificateRevoked { actor, .. } = seen.entry.event()
        && actor.as_str() != "assay://signer/schedule"
    {
        person(seen, actor);
    }
}

fn refusal(seen: &mut Seen<'_>, fail_info: u8, rule: &str) {
    let of_message = rule.starts_with("SCEP:");
    let known = of_message
        || SIGNER_RULES.contains(&rule)
        || RULES.iter().any(|known| known.id.as_str() == rule);
    seen.hold(known, CHECK, "rule", "the id of a rule", rule);
    if of_message {
        let right = fail_info <= BAD_CERT_ID;
        return seen.hold(right, CHECK, "fail_info", "0 to 4", fail_info);
    }
    let wanted = if BAD_CERT_ID_RULES.contains(&rule) {
        BAD_CERT_ID
    } else {
        BAD_REQUEST
    };
    seen.same(CHECK, "fail_info", &wanted, &fail_info);
}

/// An operator, of any of his roles.
fn person(seen: &mut Seen<'_>, actor: &Text) {
    let name = actor.as_str().strip_prefix("assay://");
    let sound = name.and_then(|rest| rest.split_once('/'));
    let sound = sound.is_some_and(|(role, name)| role != "frontend" && is_name(name));
    seen.hold(sound, CHECK, "actor", "the identity of an operator", actor);
}

fn identity(seen: &mut Seen<'_>, member: &str, role: &str, got: &Text) {
    let name = got.as_str().strip_prefix("assay://");
    let name = name.and_then(|rest| rest.strip_prefix(role)?.strip_prefix('/'));
    let wanted = format!("assay://{role}/NAME");
    seen.hold(name.is_some_and(is_name), CHECK, member, wanted, got);
}

fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn hex(seen: &mut Seen<'_>, member: &str, text: &Text, most: usize) {
    let text = text.as_str();
    let sound = !text.is_empty()
        && text.len().is_multiple_of(2)
        && text.len() / 2 <= most
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    seen.hold(sound, CHECK, member, "lowercase hexadecimal octets", text);
}

fn one_of(seen: &mut Seen<'_>, member: &str, wanted: &[&str], got: &Text) {
    let right = wanted.contains(&got.as_str());
    seen.hold(right, CHECK, member, wanted.join(" or "), got);
}
