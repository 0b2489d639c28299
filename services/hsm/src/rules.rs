//! The rules for the keys of each CA, from this service's configuration.

use std::time::Duration;

use assay_hsm::{KeyRole, SignatureAlgorithm};
use assay_journal::{Error, Journal, Known, Listed, Origin, Reason};
use assay_shape::{
    Crl, CrlEntry, CrlRules, Forms, Issuer, Leaf, LeafRules, NextCa, Reserved, Responder,
};
use assay_types::{Hash, Serial, Timestamp};
use der::{Decode, Encode};
use x509_cert::Certificate;

use crate::error::StartError;
use crate::preflight::CheckedKey;
use crate::settings::{CaSettings, Settings};

/// The rules of one CA.
pub(crate) struct CaRules {
    /// SHA-256 of the CA's SubjectPublicKeyInfo, by which the journal knows it.
    pub(crate) key: Hash,
    pub(crate) responder: Option<Responder>,
    /// The announcement that its RA may sign; `None` unless the configuration names a next CA.
    pub(crate) next: Option<NextCa>,
    issuer: Issuer,
    forms: Forms,
    crl_lifetime_max: Duration,
    intent_lifetime: Duration,
    /// Certificates of this CA that the service did not sign, DER.
    ceremony: Vec<Certificate>,
}

impl CaRules {
    pub(crate) fn of(
        settings: &Settings,
        ca: &CaSettings,
        signature: SignatureAlgorithm,
    ) -> Result<Self, StartError> {
        let refused = |reason: String| StartError::Rules {
            ca: ca.name.clone(),
            reason,
        };
        let own = Certificate::from_der(&ca.certificate).map_err(|e| refused(e.to_string()))?;
        let spki = own.tbs_certificate().subject_public_key_info().to_der();
        let issuer = Issuer::new(&ca.certificate, signature.to_der());
        let responder = ca.certificate_of(KeyRole::OcspSign);
        let responder = responder.map(|responder| {
            Responder::new(&ca.certificate, responder, ca.ocsp_lifetime_max).map_err(|error| {
                refused(format!(
                    "{error}; `assay-ceremony ocsp` makes one that is right"
                ))
            })
        });
        let next = ca.next.and_then(|next| settings.cas.get(next));
        let next = next.map(|next| NextCa::new(&next.ca_certificates()));
        Ok(Self {
            key: Hash::of(&spki.map_err(|error| refused(error.to_string()))?),
            issuer: issuer.map_err(|error| refused(error.to_string()))?,
            responder: responder.transpose()?,
            next: next
                .transpose()
                .map_err(|error| refused(error.to_string()))?,
            forms: settings.forms.of_ca(&ca.name),
            crl_lifetime_max: ca.crl_lifetime_max,
            intent_lifetime: settings.intent_lifetime,
            ceremony: ca
                .ceremony_certificates()
                .filter_map(|der| Certificate::from_der(der).ok())
                .filter(|made| made.tbs_certificate().issuer() == own.tbs_certificate().subject())
                .collect(),
        })
    }

    pub(crate) fn forms(&self) -> &Forms {
        &self.forms
    }

    /// A leaf certificate, as [`Leaf::check`] reads it.
    pub(crate) fn leaf(
        &self,
        tbs: &[u8],
        reserved: &Reserved,
        now: Timestamp,
    ) -> Result<Leaf, assay_shape::LeafRefusal> {
        let rules = LeafRules {
            issuer: &self.issuer,
            forms: &self.forms,
            reserved,
            intent_lifetime: self.intent_lifetime,
        };
        Leaf::check(tbs, rules, now)
    }

    /// A CRL, as [`Crl::check`] reads it.
    pub(crate) fn crl(&self, tbs: &[u8], now: Timestamp) -> Result<Crl, assay_shape::CrlRefusal> {
        let rules = CrlRules {
            issuer: &self.issuer,
            lifetime_max: self.crl_lifetime_max,
        };
        Crl::check(tbs, rules, now)
    }

    /// Records the certificates of ceremonies that the configuration names, unless they are recorded.
    pub(crate) fn record_ceremony(&self, journal: &Journal, now: Timestamp) -> Result<(), Error> {
        let known = self.ceremony.iter().filter_map(|certificate| {
            let tbs = certificate.tbs_certificate();
            Some(Known {
                serial: Serial::try_from(tbs.serial_number().as_bytes()).ok()?,
                not_after: tbs.validity().not_after.to_system_time().into(),
            })
        });
        let known: Vec<Known> = known.collect();
        match journal.record_known(Origin::Ceremony, self.key, &known, now)? {
            Some(pending) => pending.wait().map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Names, keys and serial numbers that no leaf of any CA may have: those of each certificate in the configuration, and each key
/// of the service.
pub(crate) fn reserved(settings: &Settings, keys: &[&CheckedKey]) -> Result<Reserved, StartError> {
    let mut reserved = Reserved::default();
    for ca in &settings.cas {
        let refused = |error: assay_shape::CertificateError| StartError::Rules {
            ca: ca.name.clone(),
            reason: format!("a certificate that the configuration names: {error}"),
        };
        let own = std::iter::once(ca.certificate.as_slice());
        let chain = ca.chain.iter().map(Vec::as_slice);
        for certificate in own.chain(chain).chain(ca.ceremony_certificates()) {
            reserved.add(certificate).map_err(refused)?;
        }
    }
    for key in keys {
        let spki = key.public_key.public_key_to_der().ok();
        let added = spki.and_then(|spki| reserved.add_key(&spki).ok());
        added.ok_or_else(|| StartError::System {
            action: "reading a public key",
            reason: format!("that of {} cannot be encoded", key.role),
        })?;
    }
    Ok(reserved)
}

/// The entries of a CRL in the journal's terms.
pub(crate) fn listed(entries: Vec<CrlEntry>) -> Vec<Listed> {
    let listed = entries.into_iter().map(|entry| Listed {
        serial: entry.serial,
        reason: reason(entry.reason),
        date: entry.revoked_at,
    });
    listed.collect()
}

/// Both lists have the codes of RFC 5280, section 5.3.1, without removeFromCRL.
pub(crate) fn reason(reason: assay_shape::Reason) -> Reason {
    Reason::from_code(reason.code()).unwrap_or(Reason::Unspecified)
}
