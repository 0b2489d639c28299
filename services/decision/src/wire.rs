//! Evidence as it is written: flat JSON, binary in base64 or hex.

use assay_policy::Grant;
use assay_types::{Digest, Hash, Timestamp, TimestampMillis};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, EvidenceError, Permitted, Verdict};
use crate::grant::GrantWire;

/// The one format so far.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    format: u64,
    kind: Kind,
    profile: String,
    decided_ms: TimestampMillis,
    csr: String,
    csr_sha256: Hash,
    csr_whole: bool,
    message_hash: String,
    csr_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<GrantWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permitted: Option<PermittedWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<RefusedWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Permit,
    Refusal,
    Pending,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PermittedWire {
    serial: String,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer_sha256: Hash,
    tbs_digest: Hash,
    builder: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedWire {
    rule: String,
}

impl From<&Evidence> for Wire {
    fn from(evidence: &Evidence) -> Self {
        let (kind, permitted, refused) = match &evidence.verdict {
            Verdict::Permit(permitted) => (Kind::Permit, Some(permitted.into()), None),
            Verdict::Refusal { rule } => {
                let rule = rule.clone();
                (Kind::Refusal, None, Some(RefusedWire { rule }))
            }
            Verdict::Pending => (Kind::Pending, None, None),
        };
        Self {
            format: FORMAT,
            kind,
            profile: evidence.profile.clone(),
            decided_ms: evidence.decided_ms,
            csr: STANDARD.encode(&evidence.csr),
            csr_sha256: evidence.csr_sha256,
            csr_whole: evidence.csr_whole(),
            message_hash: evidence.message_hash.as_str().to_owned(),
            csr_hash: evidence.csr_hash.as_str().to_owned(),
            grant: evidence.grant.as_ref().map(GrantWire::from),
            pending_id: evidence.pending_id.clone(),
            permitted,
            refused,
        }
    }
}

impl TryFrom<Wire> for Evidence {
    type Error = EvidenceError;

    fn try_from(wire: Wire) -> Result<Self, EvidenceError> {
        let Wire {
            format,
            kind,
            profile,
            decided_ms,
            csr,
            csr_sha256,
            csr_whole,
            message_hash,
            csr_hash,
            grant,
            pending_id,
            permitted,
            refused,
        } = wire;
        if format != FORMAT {
            return Err(EvidenceError::Format(format));
        }
        let verdict = match (kind, permitted, refused) {
            (Kind::Permit, Some(permitted), None) => Verdict::Permit(permitted.try_into()?),
            (Kind::Refusal, None, Some(RefusedWire { rule })) => Verdict::Refusal { rule },
            (Kind::Pending, None, None) => Verdict::Pending,
            (Kind::Permit | Kind::Refusal | Kind::Pending, _, _) => {
                return Err(member(
                    "kind",
                    "permit has `permitted`, refusal has `refused`, pending has neither",
                ));
            }
        };
        let evidence = Self {
            profile,
            decided_ms,
            csr: STANDARD
                .decode(csr)
                .map_err(|_| member("csr", "base64 with padding"))?,
            csr_sha256,
            message_hash: algorithm("message_hash", &message_hash)?,
            csr_hash: algorithm("csr_hash", &csr_hash)?,
            grant: grant
                .map(Grant::try_from)
                .transpose()
                .map_err(EvidenceError::Grant)?,
            pending_id,
            verdict,
        };
        if evidence.csr_whole() != csr_whole {
            return Err(member(
                "csr_whole",
                "true where csr_sha256 is of the CSR that is kept, else false",
            ));
        }
        Ok(evidence)
    }
}

impl From<&Permitted> for PermittedWire {
    fn from(permitted: &Permitted) -> Self {
        let Permitted {
            serial,
            not_before,
            not_after,
            issuer_sha256,
            tbs_digest,
            builder,
        } = permitted;
        Self {
            serial: hex::encode(serial),
            not_before: *not_before,
            not_after: *not_after,
            issuer_sha256: *issuer_sha256,
            tbs_digest: *tbs_digest,
            builder: builder.clone(),
        }
    }
}

impl TryFrom<PermittedWire> for Permitted {
    type Error = EvidenceError;

    fn try_from(wire: PermittedWire) -> Result<Self, EvidenceError> {
        let PermittedWire {
            serial,
            not_before,
            not_after,
            issuer_sha256,
            tbs_digest,
            builder,
        } = wire;
        Ok(Self {
            serial: hex::decode(serial).map_err(|_| member("serial", "hexadecimal digits"))?,
            not_before,
            not_after,
            issuer_sha256,
            tbs_digest,
            builder,
        })
    }
}

fn algorithm(name: &'static str, text: &str) -> Result<Digest, EvidenceError> {
    Digest::named(text).ok_or_else(|| member(name, "sha1, sha256, sha384 or sha512"))
}

fn member(member: &'static str, wanted: &'static str) -> EvidenceError {
    EvidenceError::Member { member, wanted }
}
