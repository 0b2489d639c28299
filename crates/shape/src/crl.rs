//! A TBSCertList (RFC 5280 section 5.1): full, version 2, numbered, with at most a reason in each entry.

use std::fmt;
use std::time::Duration;

use assay_types::{Hash, MAX_CRL_ENTRIES, MAX_TBS_CERT_LIST, Serial, Timestamp};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use der::asn1::{Any, AnyRef, Uint};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::time::Time;

use crate::leaf::authority_key_identifier;
use crate::{CLOCK_TOLERANCE, Issuer, exact};

/// `v2(1)`.
const VERSION_2: u8 = 1;
/// Tag of crlExtensions.
const EXTENSIONS: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber(0),
};

/// The configuration of the CRLs of one CA.
#[derive(Clone, Copy, Debug)]
pub struct CrlRules<'a> {
    /// The CA that signs.
    pub issuer: &'a Issuer,
    /// Longest time from thisUpdate to nextUpdate.
    pub lifetime_max: Duration,
}

/// A TBSCertList that may be signed if its number and entries continue the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// CRLNumber.
    pub number: u64,
    /// Time of issue.
    pub this_update: Timestamp,
    /// When the next one is available at the latest.
    pub next_update: Timestamp,
    /// The revoked certificates, in the order of the list; each serial number once.
    pub entries: Vec<CrlEntry>,
    /// SHA-256 of the TBSCertList.
    pub digest: Hash,
}

/// A certificate that is not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlEntry {
    /// Its serial number.
    pub serial: Serial,
    /// Since when.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate is revoked (RFC 5280 section 5.3.1). removeFromCRL is not one: full lists have no use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// No reason is given.
    Unspecified,
    /// keyCompromise.
    KeyCompromise,
    /// cACompromise.
    CaCompromise,
    /// affiliationChanged.
    AffiliationChanged,
    /// superseded.
    Superseded,
    /// cessationOfOperation.
    CessationOfOperation,
    /// certificateHold, the one that may be released.
    CertificateHold,
    /// privilegeWithdrawn.
    PrivilegeWithdrawn,
    /// aACompromise.
    AaCompromise,
}

/// Each reason with its code and name.
const REASONS: [(Reason, u8, &str); 9] = [
    (Reason::Unspecified, 0, "unspecified"),
    (Reason::KeyCompromise, 1, "keyCompromise"),
    (Reason::CaCompromise, 2, "cACompromise"),
    (Reason::AffiliationChanged, 3, "affiliationChanged"),
    (Reason::Superseded, 4, "superseded"),
    (Reason::CessationOfOperation, 5, "cessationOfOperation"),
    (Reason::CertificateHold, 6, "certificateHold"),
    (Reason::PrivilegeWithdrawn, 9, "privilegeWithdrawn"),
    (Reason::AaCompromise, 10, "aACompromise"),
];

/// The rule that refused a TBSCertList.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CrlRefusal {
    /// Longer than [`MAX_TBS_CERT_LIST`].
    #[error("the TBSCertList has {0} bytes; the limit is {MAX_TBS_CERT_LIST}")]
    TooLong(usize),
    /// More entries than [`MAX_CRL_ENTRIES`].
    #[error("the list has more than {MAX_CRL_ENTRIES} entries")]
    TooMany,
    /// Not DER, or not its only encoding.
    #[error(
        "the bytes are not the DER of a TBSCertList of version 2 with nextUpdate and extensions"
    )]
    Malformed,
    /// Another version.
    #[error("the CRL is not of version 2")]
    Version,
    /// Another CA's name, or another encoding of it.
    #[error("the issuer is not the subject of the CA's certificate, byte for byte")]
    Issuer,
    /// Another algorithm than the configured one.
    #[error("the signature algorithm is not that of the CA's key")]
    Algorithm,
    /// RFC 5280 section 5.1.2.4.
    #[error("{0} is not UTCTime up to 2049 and GeneralizedTime from 2050")]
    TimeEncoding(&'static str),
    /// Made for another time.
    #[error(
        "thisUpdate is more than {} from the service's clock",
        humantime::format_duration(CLOCK_TOLERANCE)
    )]
    ThisUpdate,
    /// Before thisUpdate, or too late.
    #[error("nextUpdate is not after thisUpdate by at most {}, the configured lifetime", humantime::format_duration(*.0))]
    NextUpdate(Duration),
    /// Neither an authorityKeyIdentifier nor a CRLNumber.
    #[error(
        "the extensions are not exactly authorityKeyIdentifier and CRLNumber, not critical, each once: see {0}"
    )]
    Extension(ObjectIdentifier),
    /// One of the two is absent.
    #[error("authorityKeyIdentifier or CRLNumber is missing")]
    MissingExtension,
    /// RFC 5280 section 4.2.1.1.
    #[error("authorityKeyIdentifier is not the CA's key identifier alone")]
    AuthorityKeyIdentifier,
    /// RFC 5280 section 5.2.3.
    #[error("CRLNumber is not a number of 64 bits")]
    Number,
    /// An empty list of entries is absent (RFC 5280 section 5.1.2.6).
    #[error("the list of entries is there and empty")]
    EmptyEntries,
    /// RFC 5280 section 4.1.2.2.
    #[error("an entry's serial number is not a positive number of at most 20 bytes")]
    Serial,
    /// Two entries that may contradict each other.
    #[error("the serial number {0} occurs twice")]
    RepeatedSerial(Serial),
    /// A future date.
    #[error("the entry for {0} is dated more than five minutes after thisUpdate")]
    EntryDate(Serial),
    /// Another extension than a reason, or a critical one.
    #[error("the entry for {0} has extensions other than one reasonCode that is not critical")]
    EntryExtension(Serial),
    /// A reason outside the closed list; `unspecified` is left out instead (RFC 5280 section 5.3.1).
    #[error("the entry for {0} has a reason that the service does not sign")]
    Reason(Serial),
}

/// An entry as it comes: 500,000 of them are never held in this form.
#[derive(Sequence)]
struct RevokedCertificate {
    serial: Uint,
    date: Time,
    #[asn1(optional = "true")]
    extensions: Option<Vec<Extension>>,
}

impl Crl {
    /// Accepts the TBSCertList of a full CRL of this CA. Whether its number and entries continue the last list is the
    /// caller's to compare.
    ///
    /// # Errors
    /// [`CrlRefusal`], the first rule that does not hold.
    pub fn check(der: &[u8], rules: CrlRules<'_>, now: Timestamp) -> Result<Self, CrlRefusal> {
        if der.len() > MAX_TBS_CERT_LIST {
            return Err(CrlRefusal::TooLong(der.len()));
        }
        let mut fields = Fields::of(der)?;
        if fields.next::<u8>()? != VERSION_2 {
            return Err(CrlRefusal::Version);
        }
        if fields.next::<Any>()? != rules.issuer.algorithm {
            return Err(CrlRefusal::Algorithm);
        }
        if fields.next::<Any>()? != rules.issuer.subject {
            return Err(CrlRefusal::Issuer);
        }
        let this_update = moment(&fields.next()?, "thisUpdate")?;
        if this_update.abs_diff(now) > CLOCK_TOLERANCE {
            return Err(CrlRefusal::ThisUpdate);
        }
        let next_update = moment(&fields.next()?, "nextUpdate")?;
        if next_update <= this_update || next_update.since(this_update) > rules.lifetime_max {
            return Err(CrlRefusal::NextUpdate(rules.lifetime_max));
        }
        let revoked = fields.next_if(Tag::Sequence)?;
        let extensions = fields.next_if(EXTENSIONS)?;
        let extensions = extensions.ok_or(CrlRefusal::Malformed)?;
        fields.end()?;
        let extensions: Vec<Extension> =
            exact::decode(extensions).map_err(|_| CrlRefusal::Malformed)?;
        Ok(Self {
            number: number(&extensions, rules.issuer)?,
            this_update,
            next_update,
            entries: match revoked {
                Some(revoked) => entries(revoked, this_update)?,
                None => Vec::new(),
            },
            digest: Hash::of(der),
        })
    }
}

/// The values in a SEQUENCE, read one after the other from where they lie. Each must be in its one encoding, and so must the
/// header of the SEQUENCE itself.
struct Fields<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Fields<'a> {
    /// The values of the SEQUENCE that `der` is.
    fn of(der: &'a [u8]) -> Result<Self, CrlRefusal> {
        let (tag, content) = exact_value(der)?;
        if tag != Tag::Sequence {
            return Err(CrlRefusal::Malformed);
        }
        Self::within(content)
    }

    fn within(content: &'a [u8]) -> Result<Self, CrlRefusal> {
        let reader = SliceReader::new(content).map_err(|_| CrlRefusal::Malformed)?;
        Ok(Self { reader })
    }

    /// The DER of the next value.
    fn next_der(&mut self) -> Result<&'a [u8], CrlRefusal> {
        self.reader.tlv_bytes().map_err(|_| CrlRefusal::Malformed)
    }

    fn next<T>(&mut self) -> Result<T, CrlRefusal>
    where
        T: Decode<'a, Error = der::Error> + Encode,
    {
        exact::decode(self.next_der()?).map_err(|_| CrlRefusal::Malformed)
    }

    /// The contents of the next value if it has this tag; `None` if it has another one, or if there is none.
    fn next_if(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, CrlRefusal> {
        if self.is_at_end() || !matches!(Tag::peek(&self.reader), Ok(found) if found == tag) {
            return Ok(None);
        }
        let (_, content) = exact_value(self.next_der()?)?;
        Ok(Some(content))
    }

    fn is_at_end(&self) -> bool {
        self.reader.is_finished()
    }

    fn end(&self) -> Result<(), CrlRefusal> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(CrlRefusal::Malformed)
        }
    }
}

fn moment(time: &Time, field: &'static str) -> Result<Timestamp, CrlRefusal> {
    exact::moment(time).ok_or(CrlRefusal::TimeEncoding(field))
}

/// Exactly two extensions: whose list it is and which.
fn number(extensions: &[Extension], issuer: &Issuer) -> Result<u64, CrlRefusal> {
    let (mut number, mut is_identified) = (None, false);
    for extension in extensions {
        let (oid, value) = (extension.extn_id, extension.extn_value.as_bytes());
        match oid {
            oids::ID_CE_AUTHORITY_KEY_IDENTIFIER if !extension.critical && !is_identified => {
                if authority_key_identifier(issuer).as_deref() != Ok(value) {
                    return Err(CrlRefusal::AuthorityKeyIdentifier);
                }
                is_identified = true;
            }
            oids::ID_CE_CRL_NUMBER if !extension.critical && number.is_none() => {
                number = Some(exact::decode::<u64>(value).map_err(|_| CrlRefusal::Number)?);
            }
            _ => return Err(CrlRefusal::Extension(oid)),
        }
    }
    number
        .filter(|_| is_identified)
        .ok_or(CrlRefusal::MissingExtension)
}

/// Tag and contents of a value whose header is in its one encoding.
fn exact_value(der: &[u8]) -> Result<(Tag, &[u8]), CrlRefusal> {
    let malformed = |_| CrlRefusal::Malformed;
    let value = AnyRef::from_der(der).map_err(malformed)?;
    let length = value.encoded_len().map_err(malformed)?;
    if usize::try_from(length).ok() != Some(der.len()) {
        return Err(CrlRefusal::Malformed);
    }
    Ok((value.tag(), value.value()))
}

/// Reads the entries where they lie: beside them, only what is returned is in memory, and their places while repetitions are
/// looked for.
fn entries(revoked: &[u8], this_update: Timestamp) -> Result<Vec<CrlEntry>, CrlRefusal> {
    if revoked.is_empty() {
        return Err(CrlRefusal::EmptyEntries);
    }
    let mut fields = Fields::within(revoked)?;
    let mut entries = Vec::new();
    // At most MAX_CRL_ENTRIES.
    while !fields.is_at_end() {
        if entries.len() >= MAX_CRL_ENTRIES as usize {
            return Err(CrlRefusal::TooMany);
        }
        let entry: RevokedCertificate = fields.next()?;
        let serial = Serial::try_from(entry.serial.as_bytes()).map_err(|_| CrlRefusal::Serial)?;
        let revoked_at = moment(&entry.date, "the date of an entry")?;
        if revoked_at > this_update + CLOCK_TOLERANCE {
            return Err(CrlRefusal::EntryDate(serial));
        }
        let reason = reason(entry.extensions.as_deref(), &serial)?;
        entries.push(CrlEntry {
            serial,
            revoked_at,
            reason,
        });
    }
    let mut serials: Vec<&Serial> = entries.iter().map(|entry| &entry.serial).collect();
    serials.sort_unstable();
    let repeated = serials.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(CrlRefusal::RepeatedSerial((*one).clone())),
        _ => None,
    });
    match repeated {
        Some(refusal) => Err(refusal),
        None => Ok(entries),
    }
}

fn reason(extensions: Option<&[Extension]>, serial: &Serial) -> Result<Reason, CrlRefusal> {
    let extension = match extensions {
        None => return Ok(Reason::Unspecified),
        Some([only]) if only.extn_id == oids::ID_CE_CRL_REASONS && !only.critical => only,
        Some(_) => return Err(CrlRefusal::EntryExtension(serial.clone())),
    };
    exact::decode::<CrlReason>(extension.extn_value.as_bytes())
        .ok()
        .and_then(Reason::given)
        .ok_or_else(|| CrlRefusal::Reason(serial.clone()))
}

impl Reason {
    /// A reason that a list or response may give: not `unspecified`, and never removeFromCRL.
    pub(crate) fn given(reason: CrlReason) -> Option<Self> {
        Self::from_code(reason as u8).filter(|reason| *reason != Self::Unspecified)
    }

    /// The value of reasonCode, 0 where none is given.
    pub fn code(self) -> u8 {
        self.entry().1
    }

    /// The reason of a code, as [`Reason::code`] gives it.
    pub fn from_code(code: u8) -> Option<Self> {
        let found = REASONS.iter().find(|(_, other, _)| *other == code);
        found.map(|(reason, ..)| *reason)
    }

    /// Whether the certificate may be released again.
    pub fn is_hold(self) -> bool {
        self == Self::CertificateHold
    }

    fn entry(self) -> &'static (Self, u8, &'static str) {
        let found = REASONS.iter().find(|(reason, ..)| *reason == self);
        found.unwrap_or(&REASONS[0])
    }
}

/// The name in RFC 5280.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().2)
    }
}
