//! Warnings about a policy file that loads: settings that shut common clients out, and times that are
//! over.

use std::fmt;
use std::time::SystemTime;

use assay_types::Digest;
use serde::Serialize;

use crate::algorithm::{ContentCipher, KeyTransport};
use crate::describe;
use crate::profile::{Exception, Profile, Quirk};

/// Lengths of the RSA keys that device management offers: Intune and Apple's payload know these, and 1024.
const OFFERED_BITS: [u32; 2] = [2048, 4096];

crate::algorithm::words! {
    /// The kinds of warnings.
    WarningKind {
        /// `message_digests` lacks SHA-384.
        NoSha384 = "no-sha384",
        /// `message_digests` lacks SHA-256.
        NoSha256 = "no-sha256",
        /// `csr_digests` lacks SHA-256.
        NoSha256InCsr = "no-sha256-in-csr",
        /// `content_ciphers` lacks AES-128, so that GetCACaps does not say `AES`.
        AesNotAdvertised = "aes-not-advertised",
        /// `key_transports` lacks RSAES-PKCS1-v1_5.
        NoPkcs1Transport = "no-pkcs1-transport",
        /// RSA keys are not certified.
        NoRsaKeys = "no-rsa-keys",
        /// RSA keys are neither of 2048 nor of 4096 bits.
        UnusualRsaLength = "unusual-rsa-length",
        /// The renewal window is longer than the validity.
        WindowBeyondValidity = "window-beyond-validity",
        /// The profile has expired.
        Expired = "expired",
        /// The profile is not in force yet.
        NotYetInForce = "not-yet-in-force",
        /// An exception has ended.
        ExceptionEnded = "exception-ended",
        /// An exception has no end.
        ExceptionWithoutEnd = "exception-without-end",
    }
}

/// A setting that is allowed, and whom it affects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Its kind.
    pub kind: WarningKind,
    /// The policy file.
    pub file: String,
    /// Dotted path of the key.
    pub key: String,
    /// The problem.
    pub problem: String,
    /// Who is shut out; where nobody is, what follows instead.
    pub affects: &'static str,
    /// The text to write.
    pub instead: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind: _,
            file,
            key,
            problem,
            affects,
            instead,
        } = self;
        write!(f, "{file}: {key}: {problem} ({affects}); {instead}")
    }
}

/// The warnings about a profile at `now`.
pub fn warnings(profile: &Profile, now: SystemTime) -> Vec<Warning> {
    let mut found = Found {
        file: format!("{}.toml", profile.name()),
        warnings: Vec::new(),
    };
    times(profile, now, &mut found);
    algorithms(profile, &mut found);
    keys(profile, &mut found);
    renewal(profile, &mut found);
    for (quirk, exception) in &profile.quirks {
        exceptions(*quirk, exception, now, &mut found);
    }
    found.warnings
}

struct Found {
    file: String,
    warnings: Vec<Warning>,
}

impl Found {
    fn add(
        &mut self,
        kind: WarningKind,
        key: &str,
        problem: impl Into<String>,
        affects: &'static str,
        instead: impl Into<String>,
    ) {
        self.warnings.push(Warning {
            kind,
            file: self.file.clone(),
            key: key.to_owned(),
            problem: problem.into(),
            affects,
            instead: instead.into(),
        });
    }
}

fn times(profile: &Profile, now: SystemTime, found: &mut Found) {
    let (from, until) = (profile.header.not_before, profile.header.expires);
    if now >= until {
        found.add(
            WarningKind::Expired,
            "expires",
            format!("the profile expired at {}", describe::time(until)),
            "every client is refused",
            "write a later time, or remove the file",
        );
    }
    if now < from {
        found.add(
            WarningKind::NotYetInForce,
            "not_before",
            format!(
                "the profile is not in force before {}",
                describe::time(from)
            ),
            "every client is refused until then",
            "write an earlier time if it should serve now",
        );
    }
}

fn algorithms(profile: &Profile, found: &mut Found) {
    let rules = &profile.algorithms;
    if !rules.message_digests.contains(&Digest::Sha384) {
        found.add(
            WarningKind::NoSha384,
            "algorithms.message_digests",
            "GetCACaps does not list SHA-384",
            "shuts out strongSwan, which finds AES and SHA-256 only beside SHA-384",
            "add \"sha384\"",
        );
    }
    if !rules.message_digests.contains(&Digest::Sha256) {
        found.add(
            WarningKind::NoSha256,
            "algorithms.message_digests",
            "GetCACaps lists neither SHA-256 nor SCEPStandard",
            "shuts out clients that know only SHA-1 and SHA-256, such as most routers and printers",
            "add \"sha256\"",
        );
    }
    if !rules.csr_digests.contains(&Digest::Sha256) {
        found.add(
            WarningKind::NoSha256InCsr,
            "algorithms.csr_digests",
            "CSRs signed with SHA-256 are refused",
            "shuts out strongSwan, certmonger and most devices, which sign CSRs so by default",
            "add \"sha256\"",
        );
    }
    if !rules.ciphers.contains(&ContentCipher::Aes128Cbc) {
        found.add(
            WarningKind::AesNotAdvertised,
            "algorithms.content_ciphers",
            "GetCACaps does not list AES, which stands for AES-128-CBC",
            "shuts out strongSwan, certmonger and others, which then encrypt with DES",
            "add \"aes128-cbc\"",
        );
    }
    if !rules.key_transports.contains(&KeyTransport::RsaPkcs1) {
        found.add(
            WarningKind::NoPkcs1Transport,
            "algorithms.key_transports",
            "only RSAES-OAEP is accepted",
            "shuts out strongSwan, certmonger, sscep, jscep, Apple and Cisco",
            "add \"rsa-pkcs1\"",
        );
    }
}

fn keys(profile: &Profile, found: &mut Found) {
    let Some(rsa) = profile.keys.rsa else {
        found.add(
            WarningKind::NoRsaKeys,
            "keys.rsa",
            "RSA keys are refused",
            "shuts out strongSwan, Apple, ChromeOS and Cisco, whose SCEP knows RSA keys alone",
            "add rsa = { min_bits = 2048, max_bits = 4096 }",
        );
        return;
    };
    let taken = rsa.min_bits..=rsa.max_bits;
    if !OFFERED_BITS.iter().any(|bits| taken.contains(bits)) {
        found.add(
            WarningKind::UnusualRsaLength,
            "keys.rsa",
            "RSA keys of 2048 and of 4096 bits are refused",
            "shuts out Apple, Windows and Intune, which offer no other length that is allowed",
            "widen min_bits or max_bits to 2048 or 4096",
        );
    }
}

fn renewal(profile: &Profile, found: &mut Found) {
    let validity = profile.certificate.validity;
    let Some(renewal) = profile.renewal.filter(|renewal| renewal.window > validity) else {
        return;
    };
    found.add(
        WarningKind::WindowBeyondValidity,
        "renewal.window",
        format!(
            "the window of {} is longer than the validity of {}",
            describe::duration(renewal.window),
            describe::duration(validity)
        ),
        "shuts out nobody: a certificate can be renewed from its first day on",
        format!(
            "write at most the validity, {}",
            describe::duration(validity)
        ),
    );
}

fn exceptions(quirk: Quirk, exception: &Exception, now: SystemTime, found: &mut Found) {
    let key = format!("quirks.{quirk}");
    match exception.until {
        Some(until) if until <= now => found.add(
            WarningKind::ExceptionEnded,
            &key,
            format!("the exception ended at {}", describe::time(until)),
            "shuts out the clients that need it",
            "remove the line, or write a later time",
        ),
        Some(_) => {}
        None => found.add(
            WarningKind::ExceptionWithoutEnd,
            &key,
            "the exception has no end",
            "shuts out nobody: the exception stays until somebody thinks of it",
            format!("write {quirk} = {{ value = .., until = .. }} with the time by which the clients are replaced"),
        ),
    }
}
