//! The parts of a profile, as its file has them.

use std::time::{Duration, SystemTime};

use assay_types::{Curve, Digest, Hash};
use const_oid::ObjectIdentifier;
use serde::Serialize;

use super::{NameCase, Quotas};
use crate::algorithm::{ContentCipher, KeyTransport, KeyUsageBit};
use crate::attribute::StringEncoding;
use crate::canonical;
use crate::san::SanKind;
use crate::text;

/// Which version of the profile this is, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Header {
    pub(crate) description: String,
    pub(crate) version: u64,
    #[serde(serialize_with = "canonical::time")]
    pub(crate) not_before: SystemTime,
    #[serde(serialize_with = "canonical::time")]
    pub(crate) expires: SystemTime,
    pub(crate) ticket: String,
    pub(crate) predecessor: Option<Hash>,
    pub(crate) default: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Enrolment {
    #[serde(flatten)]
    pub(crate) challenge: ChallengeRule,
    #[serde(serialize_with = "canonical::seconds")]
    pub(crate) challenge_ttl_max: Duration,
    pub(crate) fail_info_text: bool,
    /// Extensions that a request may ask for without effect.
    #[serde(serialize_with = "canonical::oids")]
    pub(crate) ignored_extensions: Vec<ObjectIdentifier>,
    #[serde(flatten)]
    pub(crate) quotas: Quotas,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "challenge", rename_all = "kebab-case")]
pub(crate) enum ChallengeRule {
    OneTime,
    Static {
        inventory: String,
        accept_shared_secret: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AlgorithmRules {
    #[serde(serialize_with = "canonical::set")]
    pub(crate) message_digests: Vec<Digest>,
    #[serde(serialize_with = "canonical::set")]
    pub(crate) csr_digests: Vec<Digest>,
    #[serde(rename = "content_ciphers", serialize_with = "canonical::set")]
    pub(crate) ciphers: Vec<ContentCipher>,
    #[serde(serialize_with = "canonical::set")]
    pub(crate) key_transports: Vec<KeyTransport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KeyRules {
    pub(crate) rsa: Option<RsaRule>,
    #[serde(serialize_with = "canonical::set")]
    pub(crate) curves: Vec<Curve>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RsaRule {
    pub(crate) min_bits: u32,
    pub(crate) max_bits: u32,
}

/// One RDN of the subject; more than one attribute makes it a multi-valued one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RdnRule {
    pub(crate) attributes: Vec<AttributeRule>,
    /// Whether a claimed subject may lack it; then the certificate does too.
    pub(crate) optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AttributeRule {
    #[serde(skip)]
    pub(crate) oid: ObjectIdentifier,
    pub(crate) value: ValueRule,
    #[serde(serialize_with = "canonical::set")]
    pub(crate) accept: Vec<StringEncoding>,
    pub(crate) issue: IssuedEncoding,
}

/// The string type that a certificate has a value in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub(crate) enum IssuedEncoding {
    /// The one in which the request has it, which is one of those that the profile accepts.
    Requested,
    As(StringEncoding),
}

/// Where a value comes from. A claim attested by a connector will be a further variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueRule {
    Literal(String),
    /// The name of the inventory's entry.
    Inventory,
    /// An attribute in the subject that the one-time challenge is bound to, or the renewed certificate has.
    Claim(Claimed),
    Join(Vec<Self>),
}

/// Which attribute of a claimed subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) oid: ObjectIdentifier,
    /// From 1, of several of this type in DER order; `None` where the subject has one.
    pub(crate) number: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SanRule {
    #[serde(rename = "type")]
    pub(crate) kind: SanKind,
    #[serde(flatten)]
    pub(crate) value: SanValue,
    /// Whether the certificate has the name although the request does not ask for it.
    pub(crate) add: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum SanValue {
    /// Exactly one name.
    #[serde(rename = "value")]
    One(ValueRule),
    /// As many names of this type as the one-time challenge binds or the renewed certificate has, within bounds.
    #[serde(rename = "claimed")]
    Claimed { min: usize, max: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CertificateRules {
    #[serde(serialize_with = "canonical::seconds")]
    pub(crate) validity: Duration,
    #[serde(serialize_with = "canonical::seconds")]
    pub(crate) backdate: Duration,
    #[serde(serialize_with = "canonical::set")]
    pub(crate) key_usage: Vec<KeyUsageBit>,
    #[serde(serialize_with = "canonical::extended_key_usages")]
    pub(crate) extended_key_usage: Vec<ObjectIdentifier>,
    #[serde(serialize_with = "text::list::serialize")]
    pub(crate) policies: Vec<ObjectIdentifier>,
    pub(crate) name_case: NameCase,
    /// These and `ca_issuers` as written: with `{ca}` where the issuing CA is to be named.
    pub(crate) crl_distribution_points: Vec<String>,
    pub(crate) ca_issuers: Vec<String>,
    pub(crate) ocsp: Vec<String>,
}

/// The word of policy files for the string type of the request.
const REQUESTED: &str = "requested";

impl IssuedEncoding {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Requested => REQUESTED,
            Self::As(encoding) => encoding.as_str(),
        }
    }

    /// The string type that a policy file's word stands for.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        if word == REQUESTED {
            return Some(Self::Requested);
        }
        let mut encodings = StringEncoding::ALL.iter().copied();
        encodings
            .find(|encoding| encoding.as_str() == word)
            .map(Self::As)
    }
}

impl From<IssuedEncoding> for &'static str {
    fn from(encoding: IssuedEncoding) -> Self {
        encoding.as_str()
    }
}
