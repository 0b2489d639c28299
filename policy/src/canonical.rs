//! The canonical form of a profile: sorted lines `path = value`, the same for files that mean the same.

mod optional;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::algorithm::extended_key_usage_name;
use crate::attribute::type_name;
use crate::profile::{
    AlgorithmRules, AttributeRule, CertificateRules, ChallengeRule, Enrolment, Header, KeyRules,
    Profile, Quotas, RdnRule, RsaRule, SanRule, SanValue, ValueRule,
};

/// Domain separation: a later form of the lines gets another label, so that no two forms share a hash.
const DOMAIN: &[u8] = b"assay policy model 2\n";

impl Profile {
    /// What the profile says, a line a setting: the preimage of the model hash, and what two versions differ in.
    /// Every field is destructured, so that none can be left out of the hash.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let Self {
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
            hash: _,
        } = self;
        let mut lines = Lines::default();
        lines.text("name", name.as_str());
        header_lines(header, &mut lines);
        enrolment_lines(enrolment, &mut lines);
        algorithm_lines(algorithms, &mut lines);
        key_lines(keys, &mut lines);
        for (index, rdn) in subject.iter().enumerate() {
            rdn_lines(index, rdn, &mut lines);
        }
        lines.raw("subject.length", subject.len());
        for (index, rule) in sans.iter().enumerate() {
            san_lines(index, rule, &mut lines);
        }
        lines.raw("san.length", sans.len());
        certificate_lines(certificate, &mut lines);
        optional::renewal(renewal.as_ref(), &mut lines);
        optional::approval(approval.as_ref(), &mut lines);
        optional::quirks(quirks, &mut lines);
        lines.0
    }

    pub(crate) fn canonical_hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        for (path, value) in self.settings() {
            hasher.update(format!("{path} = {value}\n"));
        }
        hasher.finalize().into()
    }
}

/// Paths are ASCII without `=`; values are escaped to ASCII without line breaks: the lines are unambiguous.
#[derive(Default)]
struct Lines(BTreeMap<String, String>);

impl Lines {
    fn raw(&mut self, path: impl Into<String>, value: impl std::fmt::Display) {
        self.0.insert(path.into(), format!("{value}"));
    }

    fn text(&mut self, path: impl Into<String>, value: &str) {
        self.raw(path, format!("\"{}\"", value.escape_default()));
    }

    fn texts<S: AsRef<str>>(&mut self, path: &str, values: impl IntoIterator<Item = S>) {
        let quoted: Vec<String> = values
            .into_iter()
            .map(|value| format!("\"{}\"", value.as_ref().escape_default()))
            .collect();
        self.raw(path, format!("[{}]", quoted.join(", ")));
    }

    fn duration(&mut self, path: &str, value: Duration) {
        self.raw(path, format!("{}s", value.as_secs()));
    }

    fn time(&mut self, path: &str, value: SystemTime) {
        self.raw(path, humantime::format_rfc3339_seconds(value));
    }
}

fn header_lines(header: &Header, lines: &mut Lines) {
    let Header {
        description,
        version,
        not_before,
        expires,
        ticket,
        predecessor,
        default,
    } = header;
    lines.text("description", description);
    lines.raw("version", version);
    lines.time("not_before", *not_before);
    lines.time("expires", *expires);
    lines.text("ticket", ticket);
    lines.text(
        "predecessor",
        &predecessor.map(hex::encode).unwrap_or_default(),
    );
    lines.raw("default", default);
}

fn enrolment_lines(enrolment: &Enrolment, lines: &mut Lines) {
    let Enrolment {
        challenge,
        challenge_ttl_max,
        fail_info_text,
        quotas,
    } = enrolment;
    match challenge {
        ChallengeRule::OneTime => lines.text("enrolment.challenge", "one-time"),
        ChallengeRule::Static {
            inventory,
            accept_shared_secret,
        } => {
            lines.text("enrolment.challenge", "static");
            lines.text("enrolment.inventory", inventory);
            lines.raw("enrolment.accept_shared_secret", accept_shared_secret);
        }
    }
    lines.duration("enrolment.challenge_ttl_max", *challenge_ttl_max);
    lines.raw("enrolment.fail_info_text", fail_info_text);
    let Quotas {
        profile_per_hour,
        name_per_hour,
    } = quotas;
    lines.raw("enrolment.profile_per_hour", profile_per_hour);
    lines.raw("enrolment.name_per_hour", name_per_hour);
}

fn algorithm_lines(algorithms: &AlgorithmRules, lines: &mut Lines) {
    let AlgorithmRules {
        message_digests,
        csr_digests,
        ciphers,
        key_transports,
    } = algorithms;
    lines.texts(
        "algorithms.message_digests",
        sorted(message_digests).iter().map(|hash| hash.as_str()),
    );
    lines.texts(
        "algorithms.csr_digests",
        sorted(csr_digests).iter().map(|hash| hash.as_str()),
    );
    lines.texts(
        "algorithms.content_ciphers",
        sorted(ciphers).iter().map(|cipher| cipher.as_str()),
    );
    lines.texts(
        "algorithms.key_transports",
        sorted(key_transports).iter().map(|kind| kind.as_str()),
    );
}

fn key_lines(keys: &KeyRules, lines: &mut Lines) {
    let KeyRules { rsa, curves } = keys;
    if let Some(RsaRule { min_bits, max_bits }) = rsa {
        lines.raw("keys.rsa.min_bits", min_bits);
        lines.raw("keys.rsa.max_bits", max_bits);
    }
    lines.texts(
        "keys.curves",
        sorted(curves).iter().map(|curve| curve.as_str()),
    );
}

fn rdn_lines(index: usize, rdn: &RdnRule, lines: &mut Lines) {
    let RdnRule { attributes } = rdn;
    for AttributeRule {
        oid,
        value,
        accept,
        issue,
    } in attributes
    {
        let path = format!("subject.{index:03}.{}", type_name(oid));
        lines.raw(format!("{path}.value"), value_text(value));
        lines.texts(
            &format!("{path}.accept"),
            sorted(accept).iter().map(|encoding| encoding.as_str()),
        );
        lines.text(format!("{path}.issue"), issue.as_str());
    }
}

fn san_lines(index: usize, rule: &SanRule, lines: &mut Lines) {
    let SanRule { kind, value } = rule;
    let path = format!("san.{index:03}");
    lines.text(format!("{path}.type"), kind.as_str());
    match value {
        SanValue::One(value) => lines.raw(format!("{path}.value"), value_text(value)),
        SanValue::Claimed { min, max } => {
            lines.raw(format!("{path}.claimed"), format!("{min} to {max}"));
        }
    }
}

fn certificate_lines(certificate: &CertificateRules, lines: &mut Lines) {
    let CertificateRules {
        validity,
        backdate,
        key_usage,
        extended_key_usage,
        policies,
        crl_distribution_points,
        ca_issuers,
        ocsp,
    } = certificate;
    lines.duration("certificate.validity", *validity);
    lines.duration("certificate.backdate", *backdate);
    lines.texts(
        "certificate.key_usage",
        sorted(key_usage).iter().map(|usage| usage.as_str()),
    );
    let usages: Vec<String> = extended_key_usage
        .iter()
        .map(extended_key_usage_name)
        .collect();
    lines.texts(
        "certificate.extended_key_usage",
        usages.iter().map(String::as_str),
    );
    let policies: Vec<String> = policies.iter().map(ToString::to_string).collect();
    lines.texts("certificate.policies", policies.iter().map(String::as_str));
    lines.texts(
        "certificate.crl_distribution_points",
        crl_distribution_points.iter().map(String::as_str),
    );
    lines.texts(
        "certificate.ca_issuers",
        ca_issuers.iter().map(String::as_str),
    );
    lines.texts("certificate.ocsp", ocsp.iter().map(String::as_str));
}

fn value_text(value: &ValueRule) -> String {
    match value {
        ValueRule::Literal(text) => format!("literal \"{}\"", text.escape_default()),
        ValueRule::Inventory => "inventory name".to_owned(),
        ValueRule::Claim(oid) => format!("claim {}", type_name(oid)),
        ValueRule::Join(parts) => {
            let parts: Vec<String> = parts.iter().map(value_text).collect();
            format!("join [{}]", parts.join(", "))
        }
    }
}

/// Lists that mean sets are hashed as sets.
fn sorted<T: Ord + Copy>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort();
    items
}
