use std::fmt;
use std::str::FromStr;

/// Longest name of a profile in octets.
const MAX_PROFILE: usize = 63;

/// A file of an export, but for the tiles under `tile/`. Its text is the path within the export, `/` between the parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// `manifest.json`.
    Manifest,
    /// `checkpoint`.
    Checkpoint,
    /// `log.vkey`.
    LogKey,
    /// `issuers/N/K.der`: of CA N, from 0, its certificate is 0, and those above it follow.
    Issuer(u64, u64),
    /// `policies/N/proposal.toml`.
    Proposal(u64),
    /// `policies/N/author.p7s`.
    Author(u64),
    /// `policies/N/approvals/K.p7s`, K from 1.
    Approval(u64, u64),
    /// `policies/N/files/PROFILE.toml`: version and profile.
    Policy(u64, String),
    /// `recoveries/N/statement.json`: N is the sequence number of its record.
    Recovery(u64),
    /// `recoveries/N/approvals/K.p7s`, K from 1.
    RecoveryApproval(u64, u64),
    /// `inventories/PROFILE.jsonl`.
    Inventory(String),
    /// `evidence/BUNDLE.jsonl`, at least three digits.
    Evidence(u64),
    /// `certificates/BUNDLE.pem`, at least three digits.
    Certificates(u64),
}

/// The path is none of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no file of an export is named so")]
pub struct NoPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("manifest.json"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::LogKey => f.write_str("log.vkey"),
            Self::Issuer(n, k) => write!(f, "issuers/{n}/{k}.der"),
            Self::Proposal(n) => write!(f, "policies/{n}/proposal.toml"),
            Self::Author(n) => write!(f, "policies/{n}/author.p7s"),
            Self::Approval(n, k) => write!(f, "policies/{n}/approvals/{k}.p7s"),
            Self::Policy(n, profile) => write!(f, "policies/{n}/files/{profile}.toml"),
            Self::Recovery(n) => write!(f, "recoveries/{n}/statement.json"),
            Self::RecoveryApproval(n, k) => write!(f, "recoveries/{n}/approvals/{k}.p7s"),
            Self::Inventory(profile) => write!(f, "inventories/{profile}.jsonl"),
            Self::Evidence(bundle) => write!(f, "evidence/{bundle:03}.jsonl"),
            Self::Certificates(bundle) => write!(f, "certificates/{bundle:03}.pem"),
        }
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    /// Reads what [`Place`] writes, and nothing else.
    fn from_str(path: &str) -> Result<Self, NoPlace> {
        let place = read(path).ok_or(NoPlace)?;
        // Leading zeros, signs and the like name the same place in another way.
        if place.to_string() == path {
            Ok(place)
        } else {
            Err(NoPlace)
        }
    }
}

fn read(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.split('/').collect();
    Some(match parts.as_slice() {
        ["manifest.json"] => Place::Manifest,
        ["checkpoint"] => Place::Checkpoint,
        ["log.vkey"] => Place::LogKey,
        ["issuers", n, name] => Place::Issuer(number(n)?, number(name.strip_suffix(".der")?)?),
        ["policies", n, "proposal.toml"] => Place::Proposal(number(n)?),
        ["policies", n, "author.p7s"] => Place::Author(number(n)?),
        ["policies", n, "approvals", name] => {
            Place::Approval(number(n)?, number(name.strip_suffix(".p7s")?)?)
        }
        ["policies", n, "files", name] => {
            Place::Policy(number(n)?, profile(name.strip_suffix(".toml")?)?)
        }
        ["recoveries", n, "statement.json"] => Place::Recovery(number(n)?),
        ["recoveries", n, "approvals", name] => {
            Place::RecoveryApproval(number(n)?, number(name.strip_suffix(".p7s")?)?)
        }
        ["inventories", name] => Place::Inventory(profile(name.strip_suffix(".jsonl")?)?),
        ["evidence", name] => Place::Evidence(number(name.strip_suffix(".jsonl")?)?),
        ["certificates", name] => Place::Certificates(number(name.strip_suffix(".pem")?)?),
        _ => return None,
    })
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Lowercase letters, digits and inner hyphens, as the policy names profiles.
fn profile(text: &str) -> Option<String> {
    let sound = (1..=MAX_PROFILE).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    sound.then(|| text.to_owned())
}
