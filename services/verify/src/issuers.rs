//! The issuing CA and those above it.

use assay_audit::Hash;
use assay_decision::Ca;
use openssl::pkey::{PKey, Public};
use openssl::x509::X509;

use crate::layout::Place;
use crate::report::{Finding, Findings};
use crate::{Check, Source, source};

/// Largest certificate.
const MAX_CERTIFICATE: usize = 64 * 1024;
/// CAs above each other at most.
const MAX_CHAIN: u64 = 16;

/// What certificates are held to.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// As the builder and the lints see it.
    pub(crate) ca: Ca,
    pub(crate) key: PKey<Public>,
}

impl Issuer {
    /// SHA-256 of the issuing CA's certificate.
    pub(crate) fn sha256(&self) -> Hash {
        self.ca.sha256
    }

    /// Reads the issuers of an export and holds them to the pinned ones.
    pub(crate) fn read(
        source: &dyn Source,
        pinned: Option<&[Vec<u8>]>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let chain = chain(source, findings);
        if let Some(pinned) = pinned {
            for k in 0..chain.len().max(pinned.len()) {
                let shown = |chain: &[Vec<u8>]| {
                    let hash = chain.get(k).map(|der| Hash::of(der).to_string());
                    hash.unwrap_or_else(|| "none".to_owned())
                };
                let place = Place::Issuer(k as u64);
                let member = "certificate (SHA-256)";
                findings.same(
                    Check::Issuer,
                    &place,
                    member,
                    &shown(pinned),
                    &shown(&chain),
                );
            }
        } else {
            let wanted = "the pinned CA certificates";
            let got = "none to hold them to";
            let place = Place::Issuer(0);
            findings.open(Finding::new(
                Check::Issuer,
                &place,
                "certificate",
                wanted,
                got,
            ));
        }
        signed(&chain, findings);
        let wanted = "a CA certificate that certificates are issued under";
        match issuer(&chain) {
            Ok(issuer) => Some(issuer),
            Err(text) => {
                findings.made(Check::Issuer);
                let place = Place::Issuer(0);
                findings.bad(Finding::new(
                    Check::Issuer,
                    &place,
                    "certificate",
                    wanted,
                    text,
                ));
                None
            }
        }
    }
}

fn chain(source: &dyn Source, findings: &mut Findings) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    for k in 0..MAX_CHAIN {
        let place = Place::Issuer(k);
        match source::read(source, &place.to_string(), MAX_CERTIFICATE) {
            Ok(Some(der)) => chain.push(der),
            Ok(None) => break,
            Err(error) => {
                findings.made(Check::Issuer);
                findings.bad(Finding::new(
                    Check::Issuer,
                    &place,
                    "file",
                    "a certificate",
                    error,
                ));
                break;
            }
        }
    }
    chain
}

/// Each is signed by the one above it, the last one by itself or by one that is not held.
fn signed(chain: &[Vec<u8>], findings: &mut Findings) {
    for (k, pair) in (0..).zip(chain.windows(2)) {
        let [below, above] = pair else { continue };
        let verifies = || -> Result<bool, openssl::error::ErrorStack> {
            let key = X509::from_der(above)?.public_key()?;
            X509::from_der(below)?.verify(&key)
        };
        findings.hold(
            verifies().unwrap_or(false),
            Check::Issuer,
            &Place::Issuer(k),
            "signature",
            "that of the CA above it",
            "another one",
        );
    }
}

fn issuer(chain: &[Vec<u8>]) -> Result<Issuer, String> {
    let (own, above) = chain.split_first().ok_or("no file")?;
    let mut ca = Ca::from_der(own).map_err(|error| error.to_string())?;
    // As the signer reads it: with what those above it constrain.
    ca.lint_issuer = ca
        .lint_issuer
        .under(above)
        .map_err(|error| error.to_string())?;
    let key = X509::from_der(own).and_then(|own| own.public_key());
    Ok(Issuer {
        key: key.map_err(|error| error.to_string())?,
        ca,
    })
}
