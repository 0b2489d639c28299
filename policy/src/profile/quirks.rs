//! Exceptions for clients that cannot do better, each with a name and perhaps a day on which it ends.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use assay_types::{Curve, Digest};
use serde::Serialize;

use super::Profile;
use crate::algorithm::{ContentCipher, KeyTransport};
use crate::canonical;

crate::algorithm::words! {
    /// The name of an exception: its key in a policy file, and its label where uses are counted.
    Quirk {
        /// SHA-1 in the signatures of message and CSR.
        AllowSha1 = "allow_sha1",
        /// Triple DES in the envelopes of request and reply.
        Allow3Des = "allow_3des",
        /// One RA certificate that both requests are enveloped to and replies are signed by.
        SingleRa = "single_ra",
        /// A SUCCESS carries the issuer's chain after the certificate.
        ChainInReply = "chain_in_reply",
        /// NotBefore is earlier by this much than the profile's backdate makes it.
        NotBeforeSkew = "not_before_skew",
    }
}

impl Quirk {
    /// The exception that a message or CSR with this digest needs.
    pub fn of_digest(digest: Digest) -> Option<Self> {
        match digest {
            Digest::Sha1 => Some(Self::AllowSha1),
            Digest::Sha256 | Digest::Sha384 | Digest::Sha512 => None,
        }
    }

    /// The exception that an envelope with this cipher needs.
    pub fn of_cipher(cipher: ContentCipher) -> Option<Self> {
        match cipher {
            ContentCipher::TripleDesCbc => Some(Self::Allow3Des),
            ContentCipher::Aes128Cbc | ContentCipher::Aes192Cbc | ContentCipher::Aes256Cbc => None,
        }
    }
}

/// The exceptions in force at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// [`Quirk::AllowSha1`].
    pub allow_sha1: bool,
    /// [`Quirk::Allow3Des`].
    pub allow_3des: bool,
    /// [`Quirk::SingleRa`].
    pub single_ra: bool,
    /// [`Quirk::ChainInReply`].
    pub chain_in_reply: bool,
    /// [`Quirk::NotBeforeSkew`]; zero where it is off.
    pub not_before_skew: Duration,
}

/// The exceptions that a policy file switches on.
pub(crate) type QuirkRules = BTreeMap<Quirk, Exception>;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Exception {
    /// By how much; zero where the exception is a switch.
    #[serde(serialize_with = "canonical::seconds")]
    pub(crate) value: Duration,
    /// It is off from this time on.
    #[serde(serialize_with = "canonical::until")]
    pub(crate) until: Option<SystemTime>,
}

impl Quirks {
    /// Whether this one is in force.
    pub fn has(&self, quirk: Quirk) -> bool {
        match quirk {
            Quirk::AllowSha1 => self.allow_sha1,
            Quirk::Allow3Des => self.allow_3des,
            Quirk::SingleRa => self.single_ra,
            Quirk::ChainInReply => self.chain_in_reply,
            Quirk::NotBeforeSkew => !self.not_before_skew.is_zero(),
        }
    }
}

impl Profile {
    /// The exceptions in force at `now`.
    pub fn quirks_at(&self, now: SystemTime) -> Quirks {
        let at = |quirk| {
            let exception = self.quirks.get(&quirk)?;
            let ended = exception.until.is_some_and(|until| now >= until);
            (!ended).then_some(exception.value)
        };
        Quirks {
            allow_sha1: at(Quirk::AllowSha1).is_some(),
            allow_3des: at(Quirk::Allow3Des).is_some(),
            single_ra: at(Quirk::SingleRa).is_some(),
            chain_in_reply: at(Quirk::ChainInReply).is_some(),
            not_before_skew: at(Quirk::NotBeforeSkew).unwrap_or_default(),
        }
    }

    /// When an exception that the profile switches on is, or was, at its end; `None` where it has none.
    pub fn sunset(&self, quirk: Quirk) -> Option<SystemTime> {
        self.quirks.get(&quirk)?.until
    }

    /// Digests allowed for the CMS signature at `now`.
    pub fn message_digests(&self, now: SystemTime) -> Vec<Digest> {
        self.with_sha1(&self.algorithms.message_digests, now)
    }

    /// Digests allowed for the CSR's signature at `now`.
    pub fn csr_digests(&self, now: SystemTime) -> Vec<Digest> {
        self.with_sha1(&self.algorithms.csr_digests, now)
    }

    /// Ciphers allowed for the CMS envelope at `now`.
    pub fn ciphers(&self, now: SystemTime) -> Vec<ContentCipher> {
        let quirk = self.quirks_at(now).allow_3des;
        let listed = self.algorithms.ciphers.iter().copied();
        listed
            .chain(quirk.then_some(ContentCipher::TripleDesCbc))
            .collect()
    }

    /// Key transport allowed for the CMS envelope.
    pub fn key_transports(&self) -> &[KeyTransport] {
        &self.algorithms.key_transports
    }

    /// Curves of the keys that are certified; empty where RSA keys alone are.
    pub fn curves(&self) -> &[Curve] {
        &self.keys.curves
    }

    fn with_sha1(&self, listed: &[Digest], now: SystemTime) -> Vec<Digest> {
        let quirk = self.quirks_at(now).allow_sha1;
        let listed = listed.iter().copied();
        listed.chain(quirk.then_some(Digest::Sha1)).collect()
    }
}
