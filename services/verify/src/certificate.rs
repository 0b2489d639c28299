//! A certificate against the record of its issue or of its import.

use assay_audit::{Event, Record, Text};
use assay_policy::{Dn, SubjectAltName};
use assay_types::{Hash, Timestamp};
use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use der::asn1::{Any, BitString};
use der::{Decode, Encode, Sequence};
use openssl::x509::X509;
use x509_cert::Certificate;

use crate::Check;
use crate::entry::{Certified, names_hash, subject_hash};
use crate::issuers::{Issuer, Issuers};
use crate::report::Findings;

const CHECK: Check = Check::Certificates;

/// RFC 5280 section 4.1, with its parts as they are encoded.
#[derive(Sequence)]
struct Signed {
    tbs_certificate: Any,
    signature_algorithm: Any,
    signature: BitString,
}

/// The certificates of a PEM file in its one form: 64 columns, and nothing between them.
pub(crate) fn list(bytes: &[u8]) -> Result<Vec<X509>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let list = X509::stack_from_pem(bytes).map_err(|_| "another form".to_owned())?;
    let mut again = Vec::with_capacity(bytes.len());
    for certificate in &list {
        again.extend(certificate.to_pem().map_err(|error| error.to_string())?);
    }
    if again == bytes {
        Ok(list)
    } else {
        Err("more than certificates, or another form of them".to_owned())
    }
}

/// The members of a record that are about its certificate.
struct Recorded<'a> {
    serial: &'a Text,
    tbs_digest: &'a Hash,
    sha256: &'a Hash,
    /// Subject and notAfter, of one that was imported or recovered.
    imported: Option<(&'a Text, Timestamp)>,
}

impl<'a> Recorded<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        if let Event::RequestIssued {
            issuance,
            certificate_sha256,
            ..
        } = event
        {
            return Some(Self {
                serial: &issuance.serial,
                tbs_digest: &issuance.tbs_digest,
                sha256: certificate_sha256,
                imported: None,
            });
        }
        if let Event::CertificateRecovered {
            serial,
            subject,
            not_after,
            tbs_digest,
            certificate_sha256: Some(certificate_sha256),
        } = event
        {
            return Some(Self {
                serial,
                tbs_digest,
                sha256: certificate_sha256,
                imported: Some((subject, *not_after)),
            });
        }
        let Event::CertificateImported {
            actor: _,
            serial,
            subject,
            not_after,
            tbs_digest,
            certificate_sha256,
        } = event
        else {
            return None;
        };
        Some(Self {
            serial,
            tbs_digest,
            sha256: certificate_sha256,
            imported: Some((subject, *not_after)),
        })
    }
}

/// Whether an export has the certificate of a record.
pub(crate) fn is_recorded(event: &Event) -> bool {
    Recorded::of(event).is_some()
}

/// Holds a certificate to its record; what it is where it can be read.
pub(crate) fn check(
    record: &Record,
    certificate: &X509,
    issuers: &Issuers,
    findings: &mut Findings,
) -> Option<Certified> {
    let recorded = Recorded::of(&record.draft.event)?;
    let at = record.sequence;
    let der = certificate.to_der().ok()?;
    let hash = Hash::of(&der);
    findings.same(CHECK, at, "certificate_sha256", recorded.sha256, &hash);
    let wanted = "a certificate in DER";
    let Some((signed, parsed)) = read(&der) else {
        findings.hold(false, CHECK, at, "certificate", wanted, "another form");
        return None;
    };
    let digest = Hash::of(&signed.tbs_certificate.to_der().ok()?);
    findings.same(CHECK, at, "tbs_digest", &digest, recorded.tbs_digest);
    let serial = hex::encode(parsed.tbs_certificate().serial_number().as_bytes());
    findings.same(CHECK, at, "serial", &Text::from(serial), recorded.serial);
    let of = issuers.of_certificate(&parsed);
    if !issuers.is_empty() {
        let algorithm = signed.signature_algorithm.to_der().ok()?;
        is_of_ca(at, certificate, &algorithm, &of, findings);
    }
    let certified = certified(&parsed, &signed, &of)?;
    if let Some((subject, not_after)) = recorded.imported {
        let wanted = &certified.not_after;
        findings.same(CHECK, at, "not_after", wanted, &not_after);
        // The text of a name that no policy writes is the signer's own.
        if let Ok(wanted) = Dn::from_name(parsed.tbs_certificate().subject()) {
            let wanted = Text::from(wanted.to_string());
            findings.same(CHECK, at, "subject", &wanted, subject);
        }
    }
    Some(certified)
}

/// One of the CAs that it names signed it, as that CA signs.
fn is_of_ca(
    at: u64,
    certificate: &X509,
    algorithm: &[u8],
    issuers: &[&Issuer],
    findings: &mut Findings,
) {
    let Some(first) = issuers.first() else {
        let wanted = "the name and key identifier of a CA of the export";
        return findings.hold(false, CHECK, at, "issuer", wanted, "others");
    };
    let wanted = hex::encode(&first.ca.issuer.signature_algorithm_der);
    let got = hex::encode(algorithm);
    findings.same(CHECK, at, "signatureAlgorithm", &wanted, &got);
    let verifies = issuers
        .iter()
        .any(|issuer| certificate.verify(&issuer.key).unwrap_or(false));
    let wanted = "the CA's signature";
    findings.hold(verifies, CHECK, at, "signature", wanted, "another one");
}

fn read(der: &[u8]) -> Option<(Signed, Certificate)> {
    let signed = Signed::from_der(der).ok()?;
    // A lenient reader would take other bytes for the same.
    if signed.to_der().ok()? != der {
        return None;
    }
    Some((signed, Certificate::from_der(der).ok()?))
}

fn certified(certificate: &Certificate, signed: &Signed, issuers: &[&Issuer]) -> Option<Certified> {
    let tbs = certificate.tbs_certificate();
    let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
    let sans = extensions
        .iter()
        .find(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME);
    let sans = match sans {
        None => Vec::new(),
        Some(extension) => SubjectAltName::list_from_der(extension.extn_value.as_bytes()).ok()?,
    };
    let names: Vec<String> = sans.iter().map(ToString::to_string).collect();
    Some(Certified {
        not_after: Timestamp::default() + tbs.validity().not_after.to_unix_duration(),
        spki_sha256: Hash::of(&tbs.subject_public_key_info().to_der().ok()?),
        subject: Dn::from_name(tbs.subject())
            .ok()
            .as_ref()
            .and_then(subject_hash),
        sans: names_hash(&names),
        issuers: issuers.iter().map(|issuer| issuer.ca.sha256).collect(),
        ca_key: issuers.first().map(|issuer| issuer.key_sha256),
        signature: Hash::of(signed.signature.raw_bytes()),
    })
}
