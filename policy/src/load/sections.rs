//! The tables of a policy file: head, enrolment, keys.

use std::time::Duration;

use super::reader::{Item, Reader, Section};
use super::{algorithms, certificate, quirks, renewal, sans, subject};
use crate::profile::{
    AlgorithmRules, Approval, CertificateRules, ChallengeKind, ChallengeRule, Enrolment, Header,
    KeyRules, Profile, ProfileName, QuirkRules, Quotas, RdnRule, Renewal, RsaRule, SanRule,
};
use assay_types::{CanonicalError, Curve, Hash};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;

/// Ten years: no challenge, static or not, is meant for longer.
const MAX_CHALLENGE_TTL: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Above what any token signs in an hour.
const MAX_QUOTA: u64 = 1_000_000_000;
/// RFC 8894 leaves RSA sizes open; 2048 is the least that NIST SP 800-57 allows, 8192 the most clients can make.
const MIN_RSA_BITS: u64 = 2048;
const MAX_RSA_BITS: u64 = 8192;

pub(super) struct Parts {
    header: Header,
    enrolment: Enrolment,
    algorithms: AlgorithmRules,
    keys: KeyRules,
    subject: Vec<RdnRule>,
    sans: Vec<SanRule>,
    certificate: CertificateRules,
    renewal: Option<Renewal>,
    approval: Option<Approval>,
    quirks: QuirkRules,
}

impl Parts {
    pub(super) fn into_profile(self, name: ProfileName) -> Result<Profile, CanonicalError> {
        let Self {
            header,
            enrolment,
            algorithms,
            keys,
            subject,
            sans,
            certificate,
            renewal,
            approval,
            quirks,
        } = self;
        let mut profile = Profile {
            name,
            header,
            enrolment,
            algorithms,
            keys,
            subject,
            sans,
            certificate,
            renewal,
            approval,
            quirks,
            hash: Hash::ZERO,
        };
        profile.hash = profile.canonical_hash()?;
        Ok(profile)
    }
}

/// Reads every table before it gives up, so that every fault is told.
pub(super) fn read(root: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Parts> {
    let header = header(root, reader);
    let enrolment = table(root, "enrolment", reader, enrolment);
    let algorithms = table(root, "algorithms", reader, algorithms::algorithms);
    let keys = table(root, "keys", reader, keys);
    let kind = enrolment
        .as_ref()
        .map(|enrolment| match enrolment.challenge {
            ChallengeRule::OneTime => ChallengeKind::OneTime,
            ChallengeRule::Static { .. } => ChallengeKind::Static,
        });
    let subject = subject::subject(root, kind, reader);
    let sans = sans::sans(root, kind, subject.as_deref(), reader);
    let certificate = table(root, "certificate", reader, |section, reader| {
        certificate::read(section, keys.as_ref(), reader)
    });
    let renewal = optional_table(root, "renewal", reader, renewal::renewal);
    let approval = optional_table(root, "approval", reader, renewal::approval);
    let quirks = optional_table(root, "quirks", reader, quirks::quirks);
    Some(Parts {
        header: header?,
        enrolment: enrolment?,
        algorithms: algorithms?,
        keys: keys?,
        subject: subject?,
        sans: sans?,
        certificate: certificate?,
        renewal: renewal?,
        approval: approval?,
        quirks: quirks?.unwrap_or_default(),
    })
}

fn table<T>(
    root: &mut Section<'_>,
    key: &'static str,
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Section<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    let item = root.required(key, reader)?;
    whole_table(&item, reader, read)
}

/// `Some(None)` where there is no such table.
fn optional_table<T>(
    root: &mut Section<'_>,
    key: &'static str,
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Section<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match root.optional(key) {
        Some(item) => whole_table(&item, reader, read).map(Some),
        None => Some(None),
    }
}

fn whole_table<T>(
    item: &Item<'_>,
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Section<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    let mut section = item.section(reader)?;
    let value = read(&mut section, reader);
    section.finish(reader);
    value
}

fn header(root: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Header> {
    let description = root
        .required("description", reader)
        .and_then(|item| nonempty_text(&item, reader));
    let version = root
        .required("version", reader)
        .and_then(|item| item.number(reader, 1, u64::MAX));
    let not_before = root
        .required("not_before", reader)
        .and_then(|item| item.time(reader));
    let expires_item = root.required("expires", reader);
    let expires = expires_item.as_ref().and_then(|item| item.time(reader));
    let ticket = root
        .required("ticket", reader)
        .and_then(|item| nonempty_text(&item, reader));
    let predecessor = match root.optional("predecessor") {
        Some(item) => sha256(&item, reader).map(Some),
        None => Some(None),
    };
    let default = flag(root, "default", false, reader);
    if let (Some(from), Some(until), Some(item)) = (not_before, expires, &expires_item)
        && until <= from
    {
        return item.refuse(reader, "wanted a time after not_before");
    }
    Some(Header {
        description: description?,
        version: version?,
        not_before: not_before?,
        expires: expires?,
        ticket: ticket?,
        predecessor: predecessor?,
        default: default?,
    })
}

fn enrolment(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Enrolment> {
    let kind = section
        .required("challenge", reader)
        .and_then(|item| item.word(reader, ChallengeKind::ALL, ChallengeKind::as_str));
    let challenge = match kind {
        Some(ChallengeKind::Static) => static_challenge(section, reader),
        Some(ChallengeKind::OneTime) => {
            for key in ["inventory", "accept_shared_secret"] {
                if section.optional(key).is_some() {
                    section.contradiction(
                        reader,
                        format!("{key} belongs to challenge = \"static\"; leave it out"),
                    );
                }
            }
            Some(ChallengeRule::OneTime)
        }
        None => {
            section.optional("inventory");
            section.optional("accept_shared_secret");
            None
        }
    };
    let challenge_ttl_max = section
        .required("challenge_ttl_max", reader)
        .and_then(|item| positive_duration(&item, MAX_CHALLENGE_TTL, reader));
    let fail_info_text = flag(section, "fail_info_text", false, reader);
    let ignored_extensions = match section.optional("ignored_extensions") {
        Some(item) => item.set(reader, ignored_extension),
        None => Some(Vec::new()),
    };
    let profile_per_hour = quota(section, "profile_per_hour", reader);
    let name_per_hour = quota(section, "name_per_hour", reader);
    Some(Enrolment {
        challenge: challenge?,
        challenge_ttl_max: challenge_ttl_max?,
        fail_info_text: fail_info_text?,
        ignored_extensions: ignored_extensions?,
        quotas: Quotas {
            profile_per_hour: profile_per_hour?,
            name_per_hour: name_per_hour?,
        },
    })
}

/// What has a rule of its own cannot be ignored, and key identifiers always are.
fn ignored_extension(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ObjectIdentifier> {
    let text = item.text(reader)?;
    let Ok(oid) = ObjectIdentifier::new(text) else {
        return item.refuse(reader, format!("wanted a dotted OID, got \"{text}\""));
    };
    match oid {
        oids::ID_CE_SUBJECT_ALT_NAME
        | oids::ID_CE_KEY_USAGE
        | oids::ID_CE_EXT_KEY_USAGE
        | oids::ID_CE_BASIC_CONSTRAINTS => item.refuse(
            reader,
            "subjectAltName, keyUsage, extendedKeyUsage and basicConstraints are compared with what is issued",
        ),
        oids::ID_CE_SUBJECT_KEY_IDENTIFIER | oids::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
            item.refuse(reader, "key identifiers are always ignored; leave it out")
        }
        oid => Some(oid),
    }
}

fn static_challenge(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<ChallengeRule> {
    let inventory = section.required("inventory", reader).and_then(|item| {
        let text = item.text(reader)?;
        match ProfileName::parse(text) {
            Some(_) => Some(text.to_owned()),
            None => item.refuse(
                reader,
                "wanted a name of lowercase letters, digits and inner hyphens",
            ),
        }
    });
    let accept_shared_secret = flag(section, "accept_shared_secret", false, reader);
    Some(ChallengeRule::Static {
        inventory: inventory?,
        accept_shared_secret: accept_shared_secret?,
    })
}

fn keys(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<KeyRules> {
    let rsa = match section.optional("rsa") {
        Some(item) => rsa(&item, reader).map(Some),
        None => Some(None),
    };
    let curves = match section.optional("curves") {
        Some(item) => item.nonempty_set(reader, |item, reader| {
            item.word(reader, &Curve::ALL, Curve::as_str)
        }),
        None => Some(Vec::new()),
    };
    let rules = KeyRules {
        rsa: rsa?,
        curves: curves?,
    };
    if rules.rsa.is_none() && rules.curves.is_empty() {
        section.contradiction(reader, "no key is allowed; wanted rsa, curves or both");
        return None;
    }
    Some(rules)
}

fn rsa(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<RsaRule> {
    let mut section = item.section(reader)?;
    let min_bits = bits(&mut section, "min_bits", reader);
    let max_bits = bits(&mut section, "max_bits", reader);
    section.finish(reader);
    let rule = RsaRule {
        min_bits: min_bits?,
        max_bits: max_bits?,
    };
    if rule.min_bits > rule.max_bits {
        return item.refuse(reader, "min_bits must not be above max_bits");
    }
    Some(rule)
}

fn bits(section: &mut Section<'_>, key: &'static str, reader: &mut Reader<'_>) -> Option<u32> {
    let bits = section
        .required(key, reader)?
        .number(reader, MIN_RSA_BITS, MAX_RSA_BITS)?;
    u32::try_from(bits).ok()
}

fn quota(section: &mut Section<'_>, key: &'static str, reader: &mut Reader<'_>) -> Option<u32> {
    let quota = section
        .required(key, reader)?
        .number(reader, 1, MAX_QUOTA)?;
    u32::try_from(quota).ok()
}

pub(super) fn flag(
    section: &mut Section<'_>,
    key: &'static str,
    default: bool,
    reader: &mut Reader<'_>,
) -> Option<bool> {
    section
        .optional(key)
        .map_or(Some(default), |item| item.boolean(reader))
}

fn nonempty_text(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = item.text(reader)?;
    if text.trim().is_empty() {
        return item.refuse(reader, "the text must not be empty");
    }
    Some(text.to_owned())
}

pub(super) fn positive_duration(
    item: &Item<'_>,
    max: Duration,
    reader: &mut Reader<'_>,
) -> Option<Duration> {
    let duration = item.duration(reader, max)?;
    if duration.is_zero() {
        return item.refuse(reader, "the duration must not be zero");
    }
    Some(duration)
}

fn sha256(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Hash> {
    let text = item.text(reader)?;
    text.parse().ok().or_else(|| {
        item.refuse(
            reader,
            "wanted a SHA-256 as 64 lowercase hexadecimal digits",
        )
    })
}
