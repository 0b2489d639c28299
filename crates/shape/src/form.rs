//! Whole forms of leaf certificates: what a configuration file may say, and what was found safe in it.

use std::collections::BTreeSet;
use std::time::Duration;

use assay_types::Curve;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::KeyKind;
use crate::san::{San, SanKind, is_dns, is_uri};

/// The longest `lifetime_max`: ten years, as in policy files.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3_650 * 24 * 3_600);
/// The longest `backdate_max`: a policy file can ask for two days, and for as much again for slow clocks.
const MAX_BACKDATE: Duration = Duration::from_secs(4 * 24 * 3_600);
/// Forms of one service.
const MAX_FORMS: usize = 256;
/// Entries in one list of a form.
const MAX_ENTRIES: usize = 100;
const MAX_NAME: usize = 64;
/// As in policy files.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2_048..=8_192;
/// Stands for the key identifier of the issuing CA, in lowercase hex, in a URL.
pub(crate) const CA: &str = "{ca}";

/// Extended key usages that have a word, as in policy files, and those that no form may have.
const PURPOSES: [(&str, ObjectIdentifier); 8] = [
    ("serverAuth", oids::ID_KP_SERVER_AUTH),
    ("clientAuth", oids::ID_KP_CLIENT_AUTH),
    ("codeSigning", oids::ID_KP_CODE_SIGNING),
    ("emailProtection", oids::ID_KP_EMAIL_PROTECTION),
    // RFC 4945 section 5.1.3.12.
    (
        "ipsecIKE",
        ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17"),
    ),
    (
        "smartcardLogon",
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.2"),
    ),
    ("anyExtendedKeyUsage", oids::ANY_EXTENDED_KEY_USAGE),
    ("OCSPSigning", oids::ID_KP_OCSP_SIGNING),
];

/// Key usages with their bits (RFC 5280 section 4.2.1.3), those of a CA among them.
const USAGES: [(&str, u16); 9] = [
    ("digitalSignature", 1 << 0),
    ("contentCommitment", 1 << 1),
    ("keyEncipherment", 1 << 2),
    ("dataEncipherment", 1 << 3),
    ("keyAgreement", 1 << 4),
    ("keyCertSign", KEY_CERT_SIGN),
    ("cRLSign", CRL_SIGN),
    ("encipherOnly", 1 << 7),
    ("decipherOnly", 1 << 8),
];
pub(crate) const KEY_CERT_SIGN: u16 = 1 << 5;
pub(crate) const CRL_SIGN: u16 = 1 << 6;

/// One whole form of leaf certificate as the configuration file and the wire have it. A certificate fits a form or does
/// not; values of several forms are not combined. [`Forms::new`] finds out whether it is safe.
///
/// ```toml
/// [[form]]
/// name = "wifi"
/// extended_key_usage = ["clientAuth"]
/// key_usage = ["digitalSignature", "keyEncipherment"]
/// lifetime_min = "1d"
/// lifetime_max = "365d"
/// backdate_max = "10h"
/// sans = ["dns"]
/// dns_subtrees = ["wifi.example.com"]
/// keys = { rsa = { min_bits = 2048, max_bits = 4096 } }
/// crl_distribution_points = ["http://pki.example.com/crl/{ca}.crl"]
/// ca_issuers = ["http://pki.example.com/aia/{ca}.cer"]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Lowercase letters, digits and hyphens; refusals and journal name it.
    pub name: String,
    /// Name of the CA, in the same configuration, whose certificates may have the form; every CA if absent.
    #[serde(default)]
    pub ca: Option<String>,
    /// The extended key usages, all of them and no other: words of policy files or dotted OIDs.
    pub extended_key_usage: Vec<String>,
    /// The key usages, all of them and no other, by the words of policy files.
    pub key_usage: Vec<String>,
    /// Shortest time from notBefore to notAfter; a certificate that ends with its issuer may be shorter.
    #[serde(default, with = "span")]
    pub lifetime_min: Duration,
    /// Longest time from issue to notAfter.
    #[serde(with = "span")]
    pub lifetime_max: Duration,
    /// Longest time from notBefore to issue.
    #[serde(with = "span")]
    pub backdate_max: Duration,
    /// Types of subject alternative names; none if empty.
    #[serde(default)]
    pub sans: Vec<SanKind>,
    /// Domains that every DNS name lies in; any if empty.
    #[serde(default)]
    pub dns_subtrees: Vec<String>,
    /// Domains that the realm of every user principal name lies in; any if empty.
    #[serde(default)]
    pub upn_subtrees: Vec<String>,
    /// Domains that the host of every URI lies in; any URI if empty.
    #[serde(default)]
    pub uri_subtrees: Vec<String>,
    /// Types of other names, as dotted OIDs; any but a user principal name if empty.
    #[serde(default)]
    pub other_names: Vec<String>,
    /// Kinds and sizes of keys.
    pub keys: Keys,
    /// URLs of the one distribution point, in order; `{ca}` stands for the issuer's key identifier in lowercase hex. No
    /// extension if empty.
    #[serde(default)]
    pub crl_distribution_points: Vec<String>,
    /// URLs of the issuer's certificate in authorityInfoAccess, with `{ca}` too.
    #[serde(default)]
    pub ca_issuers: Vec<String>,
    /// URLs of OCSP responders in authorityInfoAccess, after those of the issuer.
    #[serde(default)]
    pub ocsp: Vec<String>,
    /// Certificate policies, as dotted OIDs in order. No extension if empty.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// Kinds and sizes of keys, as a policy file's table `keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// RSA keys; none if absent.
    #[serde(default)]
    pub rsa: Option<RsaSizes>,
    /// Curves of EC keys.
    #[serde(default)]
    pub curves: Vec<Curve>,
}

/// Bits of an RSA modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RsaSizes {
    /// Least.
    pub min_bits: u32,
    /// Most.
    pub max_bits: u32,
}

/// A form that the service does not start with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("form `{form}`: {fault}")]
pub struct FormError {
    /// Its name.
    pub form: String,
    /// The fault.
    pub fault: FormFault,
}

/// The reason why a form is unsafe or meaningless.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormFault {
    /// `name`.
    #[error("name: wanted 1 to {MAX_NAME} lowercase letters, digits and hyphens")]
    Name,
    /// Two forms of one name.
    #[error("name: another form has it; a refusal would not say which")]
    RepeatedName,
    /// More forms than are compared.
    #[error("it is one of more than {MAX_FORMS} forms; remove some")]
    TooMany,
    /// A list with more entries than are compared.
    #[error("{0}: wanted at most {MAX_ENTRIES} entries, each once")]
    List(&'static str),
    /// No purpose is every purpose (RFC 5280 section 4.2.1.12).
    #[error("extended_key_usage: the set is empty, which allows every purpose; list the purposes")]
    NoPurpose,
    /// `anyExtendedKeyUsage`.
    #[error("extended_key_usage: anyExtendedKeyUsage allows every purpose; list the purposes")]
    AnyPurpose,
    /// `OCSPSigning`.
    #[error(
        "extended_key_usage: OCSPSigning makes a responder of the CA, which only a ceremony does; remove it"
    )]
    Responder,
    /// No word and no OID.
    #[error("extended_key_usage: `{0}` is neither a purpose with a name nor a dotted OID")]
    UnknownPurpose(String),
    /// No usage is every usage (RFC 5280 section 4.2.1.3).
    #[error("key_usage: the set is empty; list the usages")]
    NoUsage,
    /// `keyCertSign` or `cRLSign`.
    #[error("key_usage: `{0}` makes a CA, which only a ceremony does; remove it")]
    CaUsage(String),
    /// No word of RFC 5280.
    #[error("key_usage: `{0}` is not a key usage of RFC 5280")]
    UnknownUsage(String),
    /// Zero, absurd, or shorter than the shortest.
    #[error("lifetime_max: wanted more than zero, at least lifetime_min and at most ten years")]
    Lifetime,
    /// Absurd.
    #[error("backdate_max: wanted at most four days")]
    Backdate,
    /// No key fits.
    #[error("keys: wanted rsa, curves or both")]
    NoKey,
    /// Sizes that are weak, costly or empty.
    #[error("keys.rsa: wanted min_bits and max_bits from 2048 to 8192, in this order")]
    RsaSizes,
    /// A list for names that the form does not have.
    #[error("{list}: `sans` does not list `{kind}`")]
    UnusedSubtrees {
        /// Key of the list.
        list: &'static str,
        /// Type of name that it is about.
        kind: SanKind,
    },
    /// Not a domain.
    #[error("{list}: `{entry}` is not a lowercase domain name such as `example.com`")]
    Subtree {
        /// Key of the list.
        list: &'static str,
        /// The entry.
        entry: String,
    },
    /// Not an OID.
    #[error("{list}: `{entry}` is not a dotted OID that a form may list there")]
    Oid {
        /// Key of the list.
        list: &'static str,
        /// The entry.
        entry: String,
    },
    /// Not a URL, or with `{ca}` where it cannot be.
    #[error(
        "{list}: `{entry}` is not an absolute URL, with `{CA}` at most once and never for OCSP"
    )]
    Url {
        /// Key of the list.
        list: &'static str,
        /// The entry.
        entry: String,
    },
}

/// The first thing in which a certificate, or what a policy could issue, does not fit a form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Misfit {
    /// Another set.
    #[error("extendedKeyUsage is not exactly the set of the form")]
    ExtendedKeyUsage,
    /// Another set.
    #[error("keyUsage is not exactly the set of the form")]
    KeyUsage,
    /// Too long.
    #[error("the lifetime is longer than lifetime_max, {}", span::text(*.0))]
    LifetimeMax(Duration),
    /// Too short.
    #[error("the lifetime is shorter than lifetime_min, {}", span::text(*.0))]
    LifetimeMin(Duration),
    /// Too far back.
    #[error("notBefore is backdated by more than backdate_max, {}", span::text(*.0))]
    Backdate(Duration),
    /// A type that is not listed.
    #[error("a subject alternative name is of type {0}, which is not in sans")]
    SanType(SanKind),
    /// Outside the subtrees.
    #[error("a subject alternative name of type {0} lies outside the subtrees of the form")]
    Subtree(SanKind),
    /// A kind or size that is not listed.
    #[error("the key {0} is not one of keys")]
    Key(String),
    /// Other bytes, or the extension where the form has none, or the other way around.
    #[error("cRLDistributionPoints is not that of the form")]
    CrlDistributionPoints,
    /// As above.
    #[error("authorityInfoAccess is not that of the form")]
    AuthorityInfoAccess,
    /// As above.
    #[error("certificatePolicies is not that of the form")]
    CertificatePolicies,
}

/// Forms that were found safe. Only [`Forms::new`] makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms(Vec<LeafForm>);

/// A form that was found safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafForm {
    pub(crate) form: Form,
    pub(crate) purposes: BTreeSet<ObjectIdentifier>,
    pub(crate) usages: u16,
    pub(crate) policies: Vec<ObjectIdentifier>,
}

impl Forms {
    /// Takes the forms of a configuration if every one is safe.
    ///
    /// # Errors
    /// [`FormError`] of the first that is not.
    pub fn new(forms: impl IntoIterator<Item = Form>) -> Result<Self, FormError> {
        let mut safe: Vec<LeafForm> = Vec::new();
        for form in forms {
            let name = form.name.clone();
            let refuse = |fault| FormError {
                form: name.clone(),
                fault,
            };
            if safe.iter().any(|other| other.form.name == form.name) {
                return Err(refuse(FormFault::RepeatedName));
            }
            if safe.len() == MAX_FORMS {
                return Err(refuse(FormFault::TooMany));
            }
            safe.push(LeafForm::new(form).map_err(refuse)?);
        }
        Ok(Self(safe))
    }

    /// Those that certificates of the CA with this name may have.
    #[must_use]
    pub fn of_ca(&self, ca: &str) -> Self {
        let is_of_ca = |form: &&LeafForm| form.form.ca.as_deref().is_none_or(|name| name == ca);
        Self(self.iter().filter(is_of_ca).cloned().collect())
    }

    /// In the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &LeafForm> {
        self.0.iter()
    }

    /// Whether there is none, so that no leaf certificate is signed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl LeafForm {
    fn new(form: Form) -> Result<Self, FormFault> {
        let in_name =
            |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        if !(1..=MAX_NAME).contains(&form.name.len()) || !form.name.bytes().all(in_name) {
            return Err(FormFault::Name);
        }
        form.check_lists()?;
        form.check_times_and_keys()?;
        form.check_names()?;
        form.check_urls()?;
        let policies = form.policies.iter().map(|entry| oid("policies", entry));
        Ok(Self {
            purposes: purposes(&form.extended_key_usage)?,
            usages: usages(&form.key_usage)?,
            policies: policies.collect::<Result<_, _>>()?,
            form,
        })
    }

    /// As the configuration has it.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.form.name
    }

    pub(crate) fn fits_key(&self, key: KeyKind) -> Result<(), Misfit> {
        let keys = &self.form.keys;
        match key {
            KeyKind::Rsa { bits } => {
                let fits = |sizes: RsaSizes| (sizes.min_bits..=sizes.max_bits).contains(&bits);
                keys.rsa
                    .is_some_and(fits)
                    .then_some(())
                    .ok_or_else(|| Misfit::Key(format!("of RSA with {bits} bits")))
            }
            KeyKind::Ec(curve) => keys
                .curves
                .contains(&curve)
                .then_some(())
                .ok_or_else(|| Misfit::Key(format!("on the curve {curve}"))),
        }
    }

    pub(crate) fn fits_san(&self, san: &San) -> Result<(), Misfit> {
        if !self.form.sans.contains(&san.kind) {
            return Err(Misfit::SanType(san.kind));
        }
        let subtrees = self.subtrees(san.kind);
        let is_within = subtrees.iter().any(|subtree| san.is_within(subtree));
        if subtrees.is_empty() || is_within {
            Ok(())
        } else {
            Err(Misfit::Subtree(san.kind))
        }
    }

    /// The subtrees for names of this type; no limit if empty.
    pub(crate) fn subtrees(&self, kind: SanKind) -> &[String] {
        match kind {
            SanKind::Dns => &self.form.dns_subtrees,
            SanKind::Upn => &self.form.upn_subtrees,
            SanKind::Uri => &self.form.uri_subtrees,
            SanKind::Other => &self.form.other_names,
            SanKind::Ip | SanKind::Email | SanKind::MicrosoftSid => &[],
        }
    }
}

impl Form {
    /// Each list is short and names nothing twice.
    fn check_lists(&self) -> Result<(), FormFault> {
        for (key, list) in [
            ("extended_key_usage", &self.extended_key_usage),
            ("key_usage", &self.key_usage),
            ("dns_subtrees", &self.dns_subtrees),
            ("upn_subtrees", &self.upn_subtrees),
            ("uri_subtrees", &self.uri_subtrees),
            ("other_names", &self.other_names),
            ("crl_distribution_points", &self.crl_distribution_points),
            ("ca_issuers", &self.ca_issuers),
            ("ocsp", &self.ocsp),
            ("policies", &self.policies),
        ] {
            let distinct: BTreeSet<&String> = list.iter().collect();
            if list.len() > MAX_ENTRIES || distinct.len() != list.len() {
                return Err(FormFault::List(key));
            }
        }
        let distinct: BTreeSet<SanKind> = self.sans.iter().copied().collect();
        if distinct.len() == self.sans.len() {
            Ok(())
        } else {
            Err(FormFault::List("sans"))
        }
    }

    fn check_times_and_keys(&self) -> Result<(), FormFault> {
        let is_some = !self.lifetime_max.is_zero() && self.lifetime_min <= self.lifetime_max;
        if !is_some || self.lifetime_max > MAX_LIFETIME {
            return Err(FormFault::Lifetime);
        }
        if self.backdate_max > MAX_BACKDATE {
            return Err(FormFault::Backdate);
        }
        match self.keys.rsa {
            None if self.keys.curves.is_empty() => Err(FormFault::NoKey),
            Some(RsaSizes { min_bits, max_bits })
                if !(RSA_BITS.contains(&min_bits)
                    && RSA_BITS.contains(&max_bits)
                    && min_bits <= max_bits) =>
            {
                Err(FormFault::RsaSizes)
            }
            None | Some(_) => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), FormFault> {
        let lists = [
            ("dns_subtrees", &self.dns_subtrees, SanKind::Dns),
            ("upn_subtrees", &self.upn_subtrees, SanKind::Upn),
            ("uri_subtrees", &self.uri_subtrees, SanKind::Uri),
            ("other_names", &self.other_names, SanKind::Other),
        ];
        for (list, entries, kind) in lists {
            if !entries.is_empty() && !self.sans.contains(&kind) {
                return Err(FormFault::UnusedSubtrees { list, kind });
            }
            for entry in entries {
                if kind == SanKind::Other {
                    oid(list, entry)?;
                } else if !is_dns(entry)
                    || entry.starts_with('*')
                    || *entry != entry.to_ascii_lowercase()
                {
                    let entry = entry.clone();
                    return Err(FormFault::Subtree { list, entry });
                }
            }
        }
        Ok(())
    }

    fn check_urls(&self) -> Result<(), FormFault> {
        let lists = [
            ("crl_distribution_points", &self.crl_distribution_points, 1),
            ("ca_issuers", &self.ca_issuers, 1),
            ("ocsp", &self.ocsp, 0),
        ];
        for (list, entries, places) in lists {
            for entry in entries {
                let is_placed = entry.matches(CA).count() <= places;
                if !is_placed || !is_uri(&entry.replace(CA, "ca")) {
                    let entry = entry.clone();
                    return Err(FormFault::Url { list, entry });
                }
            }
        }
        Ok(())
    }
}

fn purposes(words: &[String]) -> Result<BTreeSet<ObjectIdentifier>, FormFault> {
    let mut purposes = BTreeSet::new();
    for word in words {
        let known = PURPOSES.iter().find(|(name, _)| name == word);
        let purpose = match known {
            Some((_, oid)) => *oid,
            None => {
                ObjectIdentifier::new(word).map_err(|_| FormFault::UnknownPurpose(word.clone()))?
            }
        };
        if purpose == oids::ANY_EXTENDED_KEY_USAGE {
            return Err(FormFault::AnyPurpose);
        }
        if purpose == oids::ID_KP_OCSP_SIGNING {
            return Err(FormFault::Responder);
        }
        if !purposes.insert(purpose) {
            return Err(FormFault::List("extended_key_usage"));
        }
    }
    if purposes.is_empty() {
        return Err(FormFault::NoPurpose);
    }
    Ok(purposes)
}

fn usages(words: &[String]) -> Result<u16, FormFault> {
    let mut usages = 0;
    for word in words {
        let known = USAGES.iter().find(|(name, _)| name == word);
        let (_, bit) = known.ok_or_else(|| FormFault::UnknownUsage(word.clone()))?;
        if bit & (KEY_CERT_SIGN | CRL_SIGN) != 0 {
            return Err(FormFault::CaUsage(word.clone()));
        }
        usages |= bit;
    }
    if usages == 0 {
        return Err(FormFault::NoUsage);
    }
    Ok(usages)
}

/// Any OID but that of the user principal name, which has a type of its own.
fn oid(list: &'static str, entry: &str) -> Result<ObjectIdentifier, FormFault> {
    let refuse = || FormFault::Oid {
        list,
        entry: entry.to_owned(),
    };
    let oid = ObjectIdentifier::new(entry).map_err(|_| refuse())?;
    if oid == crate::san::UPN {
        return Err(refuse());
    }
    Ok(oid)
}

/// Durations as text, such as `90d`.
mod span {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// In the largest unit that divides it: humantime writes 90 days as two months, 29 days and some hours.
    pub(super) fn text(span: Duration) -> String {
        let seconds = span.as_secs();
        let units = [("d", 24 * 3_600), ("h", 3_600), ("m", 60)];
        let fits = |unit: &&(&str, u64)| seconds > 0 && seconds.is_multiple_of(unit.1);
        match units.iter().find(fits) {
            _ if span.subsec_nanos() > 0 => assay_types::duration::text(span),
            Some((unit, size)) => format!("{}{unit}", seconds / size),
            None => format!("{seconds}s"),
        }
    }

    pub(super) fn serialize<S: Serializer>(
        span: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&text(*span))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        assay_types::duration::parse(&text).map_err(|error| {
            D::Error::custom(format!(
                "wanted a duration such as \"90d\", got \"{text}\": {error}"
            ))
        })
    }
}
