//! Exceptions for clients that cannot do better, each with a name and perhaps a day on which it ends.

use std::time::{Duration, SystemTime};

use assay_types::{Curve, Digest};

use super::Profile;
use crate::algorithm::{ContentCipher, KeyTransport};

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

/// What a policy file says of the exceptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QuirkRules {
    pub(crate) allow_sha1: Sunset<bool>,
    pub(crate) allow_3des: Sunset<bool>,
    pub(crate) single_ra: Sunset<bool>,
    pub(crate) chain_in_reply: Sunset<bool>,
    pub(crate) not_before_skew: Sunset<Duration>,
}

/// A value that is off, its default, from a time on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sunset<T> {
    pub(crate) value: T,
    pub(crate) until: Option<SystemTime>,
}

impl<T: Copy + Default> Sunset<T> {
    fn at(&self, now: SystemTime) -> T {
        match self.until {
            Some(until) if now >= until => T::default(),
            Some(_) | None => self.value,
        }
    }
}

impl Quirks {
    /// Those that are in force, in the order of declaration.
    pub fn active(&self) -> impl Iterator<Item = Quirk> + use<> {
        let quirks = *self;
        Quirk::ALL
            .iter()
            .copied()
            .filter(move |quirk| quirks.has(*quirk))
    }

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
        let QuirkRules {
            allow_sha1,
            allow_3des,
            single_ra,
            chain_in_reply,
            not_before_skew,
        } = &self.quirks;
        Quirks {
            allow_sha1: allow_sha1.at(now),
            allow_3des: allow_3des.at(now),
            single_ra: single_ra.at(now),
            chain_in_reply: chain_in_reply.at(now),
            not_before_skew: not_before_skew.at(now),
        }
    }

    /// When an exception that the profile names is, or was, at its end; `None` where it has none.
    pub fn sunset(&self, quirk: Quirk) -> Option<SystemTime> {
        match quirk {
            Quirk::AllowSha1 => self.quirks.allow_sha1.until,
            Quirk::Allow3Des => self.quirks.allow_3des.until,
            Quirk::SingleRa => self.quirks.single_ra.until,
            Quirk::ChainInReply => self.quirks.chain_in_reply.until,
            Quirk::NotBeforeSkew => self.quirks.not_before_skew.until,
        }
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
