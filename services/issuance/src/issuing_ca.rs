//! The issuing CA as the pipeline sees it: names, public keys, and how a signed TBS becomes a certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_hsm::SignatureAlgorithm;
use assay_lint::{Finding, IssuerCertificate, IssuerError};
use assay_policy::{Issuer, Profile, Quirks};
use assay_scep::Request;
use assay_types::der_header;
use der::asn1::BitString;
use der::{Decode, Encode};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sha::sha256;
use openssl::sign::Verifier;
use openssl::x509::{X509, X509Ref};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::app::digest_of;
use crate::ra::{NoSingleRa, Ra};
use crate::settings::Certificates;

/// One issuing CA with its RA.
pub struct IssuingCa {
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// Its own issuers, DER.
    chain: Vec<Vec<u8>>,
    ra_pair: Arc<Ra>,
    ra_single: Option<Arc<Ra>>,
    /// SHA-256 of the CA certificate's SubjectPublicKeyInfo, hex: the CA of a transaction.
    pub(crate) id: String,
    pub(crate) issuer: Issuer,
    /// Its subject key identifier, hex.
    pub(crate) key_id: String,
    /// The CA certificate as the lints read it, with what those above it constrain.
    pub(crate) lint_issuer: IssuerCertificate,
    ca_key: PKey<Public>,
    ca_digest: MessageDigest,
}

/// Why the configured certificates cannot serve as those of a CA and its RA.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuingCaError {
    #[error("{table}.{key}: not a certificate that can be read")]
    Encoding {
        table: &'static str,
        key: &'static str,
        #[source]
        source: der::Error,
    },
    #[error(
        "{table}.ca: it has no subject key identifier, which every certificate issued under it must name"
    )]
    NoKeyIdentifier { table: &'static str },
    #[error(
        "{table}.{key}: expired at {at}; replace it before the signer can issue (after a rollover: `assay-ceremony next finish`)"
    )]
    Expired {
        table: &'static str,
        key: &'static str,
        at: humantime::Rfc3339Timestamp,
    },
    #[error(
        "{table}.{key}: not issued by {table}.ca: CA and RA are of different generations; name the RA certificates that \
         the ceremony of this CA made"
    )]
    ForeignRa {
        table: &'static str,
        key: &'static str,
    },
    #[error("{table}.ca: not fit for an issuer")]
    Issuer {
        table: &'static str,
        #[source]
        source: IssuerError,
    },
    #[error("{table}.ca: nothing that it issues would pass")]
    Unfit {
        table: &'static str,
        #[source]
        source: Finding,
    },
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
}

/// Whether requests to the RA are still to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RaState {
    Answers,
    Ended,
}

/// A signature that does not verify, or a part that does not encode: nothing of it may leave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    #[error("the token's signature does not verify")]
    Signature,
    #[error("the certificate cannot be encoded")]
    Encoding(#[from] der::Error),
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
}

/// SEQUENCE.
const SEQUENCE: u8 = 0x30;

impl IssuingCa {
    /// `signature_algorithm` is what the CA key signs with. Of a CA that was taken over from, the RA may have ended.
    pub(crate) fn new(
        certificates: Certificates,
        signature_algorithm: SignatureAlgorithm,
        ra: RaState,
        now: SystemTime,
    ) -> Result<Self, IssuingCaError> {
        let Certificates {
            table,
            ca: ca_der,
            ra_enc,
            ra_sign,
            ra_single,
            chain,
        } = certificates;
        let encoding = |source| IssuingCaError::Encoding {
            table,
            key: "ca",
            source,
        };
        let ca = decode(table, "ca", &ca_der, now)?;
        let tbs = ca.tbs_certificate();
        let spki = tbs.subject_public_key_info().to_der().map_err(encoding)?;
        let ca_key = PKey::public_key_from_der(&spki)?;
        let single = ra_single.iter().map(|der| ("ra_single", der));
        for (key, der) in [("ra_enc", &ra_enc), ("ra_sign", &ra_sign)]
            .into_iter()
            .chain(single)
        {
            let valid_at = match ra {
                RaState::Answers => now,
                RaState::Ended => SystemTime::UNIX_EPOCH,
            };
            decode(table, key, der, valid_at)?;
            if !X509::from_der(der)?.verify(&ca_key)? {
                return Err(IssuingCaError::ForeignRa { table, key });
            }
        }
        let (_, key_identifier) = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .map_err(encoding)?
            .ok_or(IssuingCaError::NoKeyIdentifier { table })?;
        let lint_issuer = IssuerCertificate::from_der(&ca_der)
            .and_then(|issuer| issuer.under(&chain))
            .map_err(|source| IssuingCaError::Issuer { table, source })?;
        if let Some(source) = lint_issuer.unfit() {
            return Err(IssuingCaError::Unfit { table, source });
        }
        Ok(Self {
            id: hex::encode(sha256(&spki)),
            issuer: Issuer {
                subject_der: tbs.subject().to_der().map_err(encoding)?,
                key_identifier: key_identifier.0.as_bytes().to_vec(),
                not_before: UNIX_EPOCH + tbs.validity().not_before.to_unix_duration(),
                not_after: not_after(&ca),
                signature_algorithm_der: signature_algorithm.to_der().to_vec(),
            },
            ca_key,
            ca_digest: digest_of(signature_algorithm),
            key_id: hex::encode(key_identifier.0.as_bytes()),
            lint_issuer,
            ra_pair: Arc::new(Ra::pair(ra_enc, ra_sign)?),
            ra_single: ra_single.map(Ra::single).transpose()?.map(Arc::new),
            certificate: ca_der,
            chain,
        })
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its name, key identifier and times.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whether its key made the signature of a certificate.
    pub(crate) fn has_signed(&self, certificate: &X509Ref) -> bool {
        certificate.verify(&self.ca_key).unwrap_or(false)
    }

    /// The RA that GetCACert names where these exceptions are in force.
    pub(crate) fn ra(&self, quirks: Quirks) -> &Arc<Ra> {
        match &self.ra_single {
            Some(single) if quirks.single_ra => single,
            Some(_) | None => &self.ra_pair,
        }
    }

    /// The certificates of its RA, of every kind that it has, DER.
    pub(crate) fn all_ra(&self) -> Vec<&[u8]> {
        let single = self.ra_single.iter().flat_map(|ra| ra.certificates());
        self.ra_pair
            .certificates()
            .into_iter()
            .chain(single)
            .collect()
    }

    /// The RA that a request is enveloped to, and that answers it. The pair is always there, for a device that kept the
    /// list of before an exception.
    pub(crate) fn addressed(&self, request: &Request, quirks: Quirks) -> Option<&Arc<Ra>> {
        [self.ra(quirks), &self.ra_pair]
            .into_iter()
            .find(|ra| ra.receives(request))
    }

    /// Whether there is the RA that a profile wants.
    pub(crate) fn serves(&self, profile: &Profile, now: SystemTime) -> Result<(), NoSingleRa> {
        if profile.quirks_at(now).single_ra && self.ra_single.is_none() {
            return Err(NoSingleRa {
                profile: profile.name().to_string(),
            });
        }
        Ok(())
    }

    /// The issuing CA, then those above it, DER.
    pub fn issuers(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.certificate)
            .chain(&self.chain)
            .cloned()
            .collect()
    }

    /// GetCACert's list: RA certificates, issuing CA, chain (jscep expects the RA first).
    pub fn ca_certificates(&self, quirks: Quirks) -> Vec<Vec<u8>> {
        let ra = self.ra(quirks).certificates().into_iter();
        let ca = std::iter::once(&self.certificate).chain(&self.chain);
        ra.chain(ca.map(Vec::as_slice))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// What a SUCCESS carries: the issued certificate first, and the chain where the profile's clients want it.
    pub(crate) fn with_chain(&self, issued: Vec<u8>, chain: bool) -> Vec<Vec<u8>> {
        let mut certificates = vec![issued];
        if chain {
            certificates.push(self.certificate.clone());
            certificates.extend(self.chain.iter().cloned());
        }
        certificates
    }

    /// The certificate or CRL of `tbs` and `signature`, once the signature verified in software.
    pub(crate) fn assemble(&self, tbs: &[u8], signature: &[u8]) -> Result<Vec<u8>, AssembleError> {
        let mut verifier = Verifier::new(self.ca_digest, &self.ca_key)?;
        if !verifier.verify_oneshot(signature, tbs).unwrap_or(false) {
            return Err(AssembleError::Signature);
        }
        // By hand, as a CRL may have 25 MB, of which there is one copy this way.
        let algorithm = &self.issuer.signature_algorithm_der;
        let signature = BitString::from_bytes(signature)?.to_der()?;
        let length = tbs.len() + algorithm.len() + signature.len();
        let header = der_header(SEQUENCE, length);
        let mut der = Vec::with_capacity(header.len() + length);
        for part in [&header, tbs, algorithm, &signature] {
            der.extend_from_slice(part);
        }
        Ok(der)
    }
}

fn decode(
    table: &'static str,
    key: &'static str,
    der: &[u8],
    now: SystemTime,
) -> Result<Certificate, IssuingCaError> {
    let certificate = Certificate::from_der(der).map_err(|source| IssuingCaError::Encoding {
        table,
        key,
        source,
    })?;
    let end = not_after(&certificate);
    if end <= now {
        let at = humantime::format_rfc3339_seconds(end);
        return Err(IssuingCaError::Expired { table, key, at });
    }
    Ok(certificate)
}

fn not_after(certificate: &Certificate) -> SystemTime {
    let since_epoch: Duration = certificate
        .tbs_certificate()
        .validity()
        .not_after
        .to_unix_duration();
    UNIX_EPOCH + since_epoch
}
