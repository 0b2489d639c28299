//! What authorises a request, as JSON: the kind of source with what identifies it, and its claims.

use assay_policy::{ChallengeKind, Grant, SubjectAltName};
use assay_types::{CanonicalError, Hash, canonical};
use serde_json::Value;

/// Reads the `grant` of a line of evidence, whatever its spaces and the order of its members.
///
/// # Errors
/// Where it is not a grant in the one form that evidence has.
pub fn read_grant(json: &[u8]) -> Result<Grant, CanonicalError> {
    let malformed = |error: serde_json::Error| CanonicalError::Parse(error.to_string());
    let grant: Grant = serde_json::from_slice(json).map_err(malformed)?;
    let given: Value = serde_json::from_slice(json).map_err(malformed)?;
    // Names have spellings; a record has one.
    if canonical(&grant)? == canonical(&given)? {
        Ok(grant)
    } else {
        Err(CanonicalError::NotCanonical)
    }
}

/// What a `challenge.issued` record says of what the challenge is bound to: SHA-256 of the canonical JSON of
/// `[kind, profile, subject, [sans, sorted]]`, the subject empty for a static challenge.
///
/// # Errors
/// None in truth: lists of strings can be expressed.
pub fn claims_sha256(
    kind: ChallengeKind,
    profile: &str,
    subject: &str,
    sans: &[String],
) -> Result<Hash, CanonicalError> {
    let mut sorted = sans.to_vec();
    sorted.sort();
    let text = canonical(&(kind.as_str(), profile, subject, sorted))?;
    Ok(Hash::of(text.as_bytes()))
}

/// The `claims_sha256` of the `challenge.issued` record that a grant must go back to; `None` where its source is not a
/// challenge.
///
/// # Errors
/// As [`claims_sha256`].
pub fn issued_sha256(grant: &Grant) -> Result<Option<Hash>, CanonicalError> {
    let Some(kind) = grant.source().challenge_kind() else {
        return Ok(None);
    };
    let claims = grant.claims();
    let (subject, sans) = match &claims.names {
        Some(names) => (names.subject.to_string(), texts(&names.sans)),
        None => (String::new(), Vec::new()),
    };
    claims_sha256(kind, &claims.profile, &subject, &sans).map(Some)
}

fn texts(sans: &[SubjectAltName]) -> Vec<String> {
    sans.iter().map(ToString::to_string).collect()
}
