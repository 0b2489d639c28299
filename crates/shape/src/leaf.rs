//! A TBSCertificate of an end entity (RFC 5280 section 4.1): closed contents, one whole form, and no name, key or serial
//! number of the service's own.

use std::time::Duration;

use assay_types::{Hash, Serial, Timestamp};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use der::asn1::{Any, BitString, Ia5String, Int, OctetString};
use der::{Encode, Sequence};
use thiserror::Error;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, CertificatePolicies,
    CrlDistributionPoints, ExtendedKeyUsage, KeyUsage,
};
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::CLOCK_TOLERANCE;
use crate::exact;
use crate::form::{CA, CRL_SIGN, Forms, KEY_CERT_SIGN, LeafForm, Misfit};
use crate::key::{KeyFault, KeyIdentity, PublicKey};
use crate::name::{Comparable, NameFault};
use crate::reserved::{Issuer, Reserved};
use crate::san::{self, San, SanFault};

/// Longest TBSCertificate in bytes. One with 100 DNS names of full length has 26,000.
pub const MAX_TBS: usize = 64 * 1_024;
/// Every extension that is listed, once each.
const MAX_EXTENSIONS: usize = 9;
const SERIAL_BITS: std::ops::RangeInclusive<usize> = 64..=159;
/// `v3(2)`.
const VERSION_3: u8 = 2;
/// BasicConstraints with every field at its default: CA:FALSE.
const NOT_A_CA: &[u8] = &[0x30, 0];

/// The configuration of the leaf certificates of one CA.
#[derive(Clone, Copy, Debug)]
pub struct LeafRules<'a> {
    /// The CA that signs.
    pub issuer: &'a Issuer,
    /// The forms of its certificates.
    pub forms: &'a Forms,
    /// Names, keys and serial numbers of the service's own.
    pub reserved: &'a Reserved,
    /// How long after its decision a certificate may still be asked for.
    pub intent_lifetime: Duration,
}

/// A TBSCertificate that may be signed if the journal has nothing against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The serial number, of 64 to 159 bits.
    pub serial: Serial,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    pub spki_digest: Hash,
    /// The key, whatever its encoding.
    pub key: KeyIdentity,
    /// Name of the form that it fits.
    pub form: String,
    /// SHA-256 of the TBSCertificate.
    pub digest: Hash,
}

/// The rule that refused a TBSCertificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeafRefusal {
    /// Longer than [`MAX_TBS`].
    #[error("the TBSCertificate has {0} bytes; the limit is {MAX_TBS}")]
    TooLong(usize),
    /// Not DER, or not its only encoding.
    #[error("the bytes are not the DER of a TBSCertificate")]
    Malformed,
    /// A version in which extensions mean nothing.
    #[error("the certificate is not of version 3")]
    Version,
    /// Negative, guessable or too long (RFC 5280 section 4.1.2.2).
    #[error("the serial number is not a positive number of 64 to 159 bits")]
    Serial,
    /// That of a certificate of a ceremony.
    #[error("the serial number is that of a certificate in the service's configuration")]
    ReservedSerial,
    /// Another CA's name, or another encoding of it.
    #[error("the issuer is not the subject of the CA's certificate, byte for byte")]
    Issuer,
    /// Another algorithm than the configured one.
    #[error("the signature algorithm is not that of the CA's key")]
    Algorithm,
    /// RFC 5280 section 4.1.2.5.
    #[error("{0} is not UTCTime up to 2049 and GeneralizedTime from 2050")]
    TimeEncoding(&'static str),
    /// Not in order.
    #[error("notAfter is not later than notBefore")]
    TimeOrder,
    /// Not valid yet.
    #[error(
        "notBefore is more than {} ahead of the service's clock",
        humantime::format_duration(CLOCK_TOLERANCE)
    )]
    NotYetValid,
    /// It would not verify.
    #[error("the validity is not within that of the CA's certificate")]
    OutsideIssuer,
    /// RFC 5280 section 4.1.2.8.
    #[error("the certificate has a unique identifier")]
    UniqueIdentifier,
    /// Not a name of a policy.
    #[error("the subject is refused: {0}")]
    Subject(#[from] NameFault),
    /// A verifier would take the holder for somebody else.
    #[error(
        "the subject is that of a CA, RA or responder in the service's configuration, compared by RFC 5280 section 7.1"
    )]
    ReservedName,
    /// Not a key of a policy.
    #[error("the key is refused: {0}")]
    Key(#[from] KeyFault),
    /// The holder would be able to sign in another role.
    #[error("the key is that of a CA, RA, responder or other service in the configuration")]
    ReservedKey,
    /// RFC 5280 section 4.2.
    #[error("the extension {0} occurs twice")]
    RepeatedExtension(ObjectIdentifier),
    /// An extension that no form has, such as nsCertType or proxyCertInfo.
    #[error("the extension {0} is not one that the service signs")]
    UnlistedExtension(ObjectIdentifier),
    /// Wrong way around.
    #[error("the extension {oid} must be critical = {wanted}")]
    Criticality {
        /// Which.
        oid: ObjectIdentifier,
        /// The right value.
        wanted: bool,
    },
    /// One that every leaf has.
    #[error("the extension {0} is missing")]
    MissingExtension(ObjectIdentifier),
    /// CA:TRUE, a path length, or CA:FALSE written out.
    #[error("basicConstraints is not an empty sequence, which says CA:FALSE")]
    BasicConstraints,
    /// Not DER, or without a usage.
    #[error("keyUsage is not the DER of a KeyUsage with at least one bit")]
    KeyUsageEncoding,
    /// The holder would be a CA.
    #[error("keyUsage has keyCertSign or cRLSign")]
    CaUsage,
    /// Not DER, empty, or one purpose twice.
    #[error("extendedKeyUsage is not the DER of at least one purpose, each once")]
    PurposeEncoding,
    /// Every purpose.
    #[error("extendedKeyUsage has anyExtendedKeyUsage")]
    AnyPurpose,
    /// The holder would be a responder.
    #[error("extendedKeyUsage has OCSPSigning: only a ceremony makes a responder")]
    Responder,
    /// RFC 5280 section 4.2.1.2, method 1.
    #[error("subjectKeyIdentifier is not SHA-1 of the key")]
    SubjectKeyIdentifier,
    /// RFC 5280 section 4.2.1.1.
    #[error("authorityKeyIdentifier is not the CA's key identifier alone")]
    AuthorityKeyIdentifier,
    /// Not names of a policy.
    #[error("subjectAltName is refused: {0}")]
    SubjectAltName(#[from] SanFault),
    /// An empty subject is a name only beside other names (RFC 5280 section 4.1.2.6).
    #[error("the subject is empty and there is no subjectAltName")]
    NoName,
    /// Nothing in the configuration allows it.
    #[error("{}", Misfits(.0))]
    NoForm(Vec<(String, Misfit)>),
}

/// RFC 5280 section 4.1.
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    serial: Int,
    signature: Any,
    issuer: Any,
    validity: Validity,
    subject: Name,
    subject_public_key_info: Any,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_unique_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_unique_id: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

/// The parts that forms differ in.
struct Contents<'a> {
    usages: u16,
    purposes: std::collections::BTreeSet<ObjectIdentifier>,
    sans: Vec<San>,
    key: &'a PublicKey,
    not_before: Timestamp,
    not_after: Timestamp,
    policies: Option<&'a [u8]>,
    distribution_points: Option<&'a [u8]>,
    information_access: Option<&'a [u8]>,
}

struct Misfits<'a>(&'a [(String, Misfit)]);

impl std::fmt::Display for Misfits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        crate::covers::write_misfits(self.0, f)
    }
}

impl Leaf {
    /// Accepts the TBSCertificate of a leaf that fits one form of its CA entirely.
    ///
    /// # Errors
    /// [`LeafRefusal`], the first rule that does not hold.
    pub fn check(der: &[u8], rules: LeafRules<'_>, now: Timestamp) -> Result<Self, LeafRefusal> {
        if der.len() > MAX_TBS {
            return Err(LeafRefusal::TooLong(der.len()));
        }
        let tbs: TbsCertificate = exact::decode(der).map_err(|_| LeafRefusal::Malformed)?;
        if tbs.version != Some(VERSION_3) {
            return Err(LeafRefusal::Version);
        }
        let serial = serial(tbs.serial.as_bytes())?;
        if rules.reserved.has_serial(&serial) {
            return Err(LeafRefusal::ReservedSerial);
        }
        if tbs.signature != rules.issuer.algorithm {
            return Err(LeafRefusal::Algorithm);
        }
        if tbs.issuer != rules.issuer.subject {
            return Err(LeafRefusal::Issuer);
        }
        let (not_before, not_after) = validity(&tbs.validity, rules.issuer, now)?;
        if tbs.issuer_unique_id.is_some() || tbs.subject_unique_id.is_some() {
            return Err(LeafRefusal::UniqueIdentifier);
        }
        let subject = Comparable::of_subject(&tbs.subject)?;
        if rules.reserved.has_name(&subject) {
            return Err(LeafRefusal::ReservedName);
        }
        let spki = tbs.subject_public_key_info.to_der();
        let spki = spki.map_err(|_| LeafRefusal::Malformed)?;
        let key = PublicKey::parse(&spki)?;
        if rules.reserved.has_key(&key.identity) {
            return Err(LeafRefusal::ReservedKey);
        }
        let extensions = tbs.extensions.as_deref().unwrap_or_default();
        let contents = Contents {
            not_before,
            not_after,
            ..contents(extensions, &key, subject.is_empty(), rules.issuer)?
        };
        let form = fitting(&contents, rules, now)?;
        Ok(Self {
            serial,
            not_before,
            not_after,
            spki_digest: Hash::of(&spki),
            key: key.identity,
            form: form.name().to_owned(),
            digest: Hash::of(der),
        })
    }
}

fn serial(content: &[u8]) -> Result<Serial, LeafRefusal> {
    let is_positive = content.first().is_some_and(|first| first & 0x80 == 0);
    let zeros = content.iter().take_while(|octet| **octet == 0).count();
    let magnitude = content.get(zeros..).unwrap_or_default();
    let unused = magnitude.first().map_or(0, |first| first.leading_zeros());
    let bits = (magnitude.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or_default());
    if !is_positive || !SERIAL_BITS.contains(&bits) {
        return Err(LeafRefusal::Serial);
    }
    Serial::try_from(content).map_err(|_| LeafRefusal::Serial)
}

fn validity(
    validity: &Validity,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), LeafRefusal> {
    let moment = |time, field| exact::moment(time).ok_or(LeafRefusal::TimeEncoding(field));
    let not_before = moment(&validity.not_before, "notBefore")?;
    let not_after = moment(&validity.not_after, "notAfter")?;
    if not_after <= not_before {
        return Err(LeafRefusal::TimeOrder);
    }
    if not_before > now + CLOCK_TOLERANCE {
        return Err(LeafRefusal::NotYetValid);
    }
    if not_before < issuer.not_before || not_after > issuer.not_after {
        return Err(LeafRefusal::OutsideIssuer);
    }
    Ok((not_before, not_after))
}

/// Holds the extensions to the closed list, and reads what forms differ in.
fn contents<'a>(
    extensions: &'a [Extension],
    key: &'a PublicKey,
    subject_is_empty: bool,
    issuer: &Issuer,
) -> Result<Contents<'a>, LeafRefusal> {
    let mut contents = Contents {
        usages: 0,
        purposes: std::collections::BTreeSet::new(),
        sans: Vec::new(),
        key,
        not_before: Timestamp::MIN,
        not_after: Timestamp::MIN,
        policies: None,
        distribution_points: None,
        information_access: None,
    };
    let mut seen: Vec<ObjectIdentifier> = Vec::with_capacity(MAX_EXTENSIONS);
    // An extension of the closed list or a refusal in each round, so at most MAX_EXTENSIONS and one more.
    for extension in extensions {
        let oid = extension.extn_id;
        if seen.contains(&oid) {
            return Err(LeafRefusal::RepeatedExtension(oid));
        }
        seen.push(oid);
        let value = extension.extn_value.as_bytes();
        let critical = match oid {
            oids::ID_CE_BASIC_CONSTRAINTS => {
                if value != NOT_A_CA {
                    return Err(LeafRefusal::BasicConstraints);
                }
                true
            }
            oids::ID_CE_KEY_USAGE => {
                contents.usages = usages(value)?;
                true
            }
            oids::ID_CE_EXT_KEY_USAGE => {
                contents.purposes = purposes(value)?;
                false
            }
            oids::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                let wanted = OctetString::new(key.identifier).and_then(|wanted| wanted.to_der());
                if wanted.as_deref() != Ok(value) {
                    return Err(LeafRefusal::SubjectKeyIdentifier);
                }
                false
            }
            oids::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                if authority_key_identifier(issuer).as_deref() != Ok(value) {
                    return Err(LeafRefusal::AuthorityKeyIdentifier);
                }
                false
            }
            oids::ID_CE_SUBJECT_ALT_NAME => {
                contents.sans = san::parse(value)?;
                subject_is_empty
            }
            oids::ID_CE_CERTIFICATE_POLICIES => {
                contents.policies = Some(value);
                false
            }
            oids::ID_CE_CRL_DISTRIBUTION_POINTS => {
                contents.distribution_points = Some(value);
                false
            }
            oids::ID_PE_AUTHORITY_INFO_ACCESS => {
                contents.information_access = Some(value);
                false
            }
            _ => return Err(LeafRefusal::UnlistedExtension(oid)),
        };
        if extension.critical != critical {
            let wanted = critical;
            return Err(LeafRefusal::Criticality { oid, wanted });
        }
    }
    for oid in [
        oids::ID_CE_KEY_USAGE,
        oids::ID_CE_EXT_KEY_USAGE,
        oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
        oids::ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ] {
        if !seen.contains(&oid) {
            return Err(LeafRefusal::MissingExtension(oid));
        }
    }
    if subject_is_empty && contents.sans.is_empty() {
        return Err(LeafRefusal::NoName);
    }
    Ok(contents)
}

fn usages(value: &[u8]) -> Result<u16, LeafRefusal> {
    let usages: KeyUsage = exact::decode(value).map_err(|_| LeafRefusal::KeyUsageEncoding)?;
    let usages = usages.0.bits();
    if usages & (KEY_CERT_SIGN | CRL_SIGN) != 0 {
        return Err(LeafRefusal::CaUsage);
    }
    if usages == 0 {
        return Err(LeafRefusal::KeyUsageEncoding);
    }
    Ok(usages)
}

fn purposes(value: &[u8]) -> Result<std::collections::BTreeSet<ObjectIdentifier>, LeafRefusal> {
    let list: ExtendedKeyUsage = exact::decode(value).map_err(|_| LeafRefusal::PurposeEncoding)?;
    let purposes: std::collections::BTreeSet<ObjectIdentifier> = list.0.iter().copied().collect();
    if purposes.is_empty() || purposes.len() != list.0.len() {
        return Err(LeafRefusal::PurposeEncoding);
    }
    if purposes.contains(&oids::ANY_EXTENDED_KEY_USAGE) {
        return Err(LeafRefusal::AnyPurpose);
    }
    if purposes.contains(&oids::ID_KP_OCSP_SIGNING) {
        return Err(LeafRefusal::Responder);
    }
    Ok(purposes)
}

/// keyIdentifier alone (RFC 5280 section 4.2.1.1), as CRLs have it too.
pub(crate) fn authority_key_identifier(issuer: &Issuer) -> der::Result<Vec<u8>> {
    AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer.key_identifier.as_slice())?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    }
    .to_der()
}

fn fitting<'a>(
    contents: &Contents<'_>,
    rules: LeafRules<'a>,
    now: Timestamp,
) -> Result<&'a LeafForm, LeafRefusal> {
    let mut misfits = Vec::new();
    for form in rules.forms.iter() {
        match form.fits(contents, rules, now) {
            Ok(()) => return Ok(form),
            Err(misfit) => misfits.push((form.name().to_owned(), misfit)),
        }
    }
    Err(LeafRefusal::NoForm(misfits))
}

impl LeafForm {
    /// Everything at once: a value that another form would allow does not help.
    fn fits(
        &self,
        contents: &Contents<'_>,
        rules: LeafRules<'_>,
        now: Timestamp,
    ) -> Result<(), Misfit> {
        let form = &self.form;
        if contents.purposes != self.purposes {
            return Err(Misfit::ExtendedKeyUsage);
        }
        if contents.usages != self.usages {
            return Err(Misfit::KeyUsage);
        }
        let length = contents.not_after.since(contents.not_before);
        let is_late = contents.not_after > now + CLOCK_TOLERANCE + form.lifetime_max;
        if is_late || length > form.lifetime_max + form.backdate_max {
            return Err(Misfit::LifetimeMax(form.lifetime_max));
        }
        if length < form.lifetime_min && contents.not_after != rules.issuer.not_after {
            return Err(Misfit::LifetimeMin(form.lifetime_min));
        }
        if contents.not_before + form.backdate_max + rules.intent_lifetime < now {
            return Err(Misfit::Backdate(form.backdate_max));
        }
        contents
            .sans
            .iter()
            .try_for_each(|san| self.fits_san(san))?;
        self.fits_key(contents.key.kind)?;
        let references = References::of(self, rules.issuer);
        let wanted = |value: &der::Result<Option<Vec<u8>>>, got: Option<&[u8]>| {
            value.as_ref().is_ok_and(|wanted| wanted.as_deref() == got)
        };
        if !wanted(
            &references.distribution_points,
            contents.distribution_points,
        ) {
            return Err(Misfit::CrlDistributionPoints);
        }
        if !wanted(&references.information_access, contents.information_access) {
            return Err(Misfit::AuthorityInfoAccess);
        }
        if !wanted(&references.policies, contents.policies) {
            return Err(Misfit::CertificatePolicies);
        }
        Ok(())
    }
}

/// The values that the extensions with URLs and policies must have; absent where the form lists nothing.
struct References {
    distribution_points: der::Result<Option<Vec<u8>>>,
    information_access: der::Result<Option<Vec<u8>>>,
    policies: der::Result<Option<Vec<u8>>>,
}

impl References {
    fn of(form: &LeafForm, issuer: &Issuer) -> Self {
        let ca = hex::encode(&issuer.key_identifier);
        let uri = |url: &String| {
            let url = Ia5String::new(&url.replace(CA, &ca))?;
            Ok(GeneralName::UniformResourceIdentifier(url))
        };
        let access = |access_method, url: &String| {
            Ok(AccessDescription {
                access_method,
                access_location: uri(url)?,
            })
        };
        let urls = form.form.crl_distribution_points.iter().map(uri);
        let points = urls.collect::<der::Result<Vec<_>>>().map(|locations| {
            let point = DistributionPoint {
                distribution_point: Some(DistributionPointName::FullName(locations)),
                reasons: None,
                crl_issuer: None,
            };
            CrlDistributionPoints(vec![point])
        });
        let issuers = form.form.ca_issuers.iter();
        let issuers = issuers.map(|url| access(oids::ID_AD_CA_ISSUERS, url));
        let responders = form.form.ocsp.iter();
        let responders = responders.map(|url| access(oids::ID_AD_OCSP, url));
        let places = issuers.chain(responders).collect::<der::Result<Vec<_>>>();
        let policies = form.policies.iter().map(|oid| PolicyInformation {
            policy_identifier: *oid,
            policy_qualifiers: None,
        });
        Self {
            distribution_points: unless_empty(form.form.crl_distribution_points.is_empty(), points),
            information_access: unless_empty(
                form.form.ca_issuers.is_empty() && form.form.ocsp.is_empty(),
                places.map(AuthorityInfoAccessSyntax),
            ),
            policies: unless_empty(
                form.policies.is_empty(),
                Ok(CertificatePolicies(policies.collect())),
            ),
        }
    }
}

fn unless_empty(is_empty: bool, value: der::Result<impl Encode>) -> der::Result<Option<Vec<u8>>> {
    if is_empty {
        return Ok(None);
    }
    value?.to_der().map(Some)
}
