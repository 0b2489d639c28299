//! The CAs of an export and those above them.

use std::collections::{BTreeMap, BTreeSet};

use assay_decision::{Ca, Evidence, Verdict};
use assay_types::Hash;
use der::Encode;
use openssl::pkey::{PKey, Public};
use openssl::x509::X509;
use x509_cert::Certificate;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

use crate::layout::Place;
use crate::report::{Finding, Findings};
use crate::{Check, ExportFiles, export};

const CHECK: Check = Check::Issuer;
/// Largest certificate.
const MAX_CERTIFICATE: usize = 64 * 1024;
/// CAs above each other at most.
const MAX_CHAIN: usize = 16;
/// CAs of one installation at most, one after the other.
const MAX_CAS: u64 = 1_000;

/// Every CA that the log can tell of, and no other.
#[derive(Debug, Default)]
pub(crate) struct Issuers(Vec<Issuer>);

/// What certificates of one CA are held to.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// As the builder and the lints see it.
    pub(crate) ca: Ca,
    pub(crate) key: PKey<Public>,
    /// SHA-256 of the SubjectPublicKeyInfo: a CA whose certificate was renewed keeps it.
    pub(crate) key_sha256: Hash,
}

impl Issuers {
    /// Reads every CA among `places` and holds each to a pinned one: its certificate, then those above it.
    pub(crate) fn read(
        export: &dyn ExportFiles,
        places: &[Place],
        pinned: Option<&[Vec<Vec<u8>>]>,
        findings: &mut Findings,
    ) -> Self {
        let mut issuers = Vec::new();
        if pinned.is_none() {
            let (wanted, got) = ("the pinned CA certificates", "none to hold them to");
            let place = Place::Issuer(0, 0);
            findings.open(Finding::new(CHECK, &place, "certificate", wanted, got));
        }
        for (n, chain) in chains(export, places, findings) {
            if let Some(pinned) = pinned {
                hold(n, &chain, pinned, findings);
            }
            signed(n, &chain, findings);
            match Issuer::new(&chain) {
                Ok(issuer) => issuers.push(issuer),
                Err(text) => {
                    let wanted = "a CA certificate that certificates are issued under";
                    bad(&Place::Issuer(n, 0), "certificate", wanted, text, findings);
                }
            }
        }
        if issuers.is_empty() {
            let wanted = "a CA that certificates are issued under";
            bad(
                &Place::Issuer(0, 0),
                "certificate",
                wanted,
                "none",
                findings,
            );
        }
        Self(issuers)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The CA with this certificate.
    pub(crate) fn of_sha256(&self, sha256: &Hash) -> Option<&Issuer> {
        self.0.iter().find(|issuer| issuer.ca.sha256 == *sha256)
    }

    /// The CA that a decision is made again under: that which a permit names. Nothing else depends on the CA.
    pub(crate) fn of_decision(&self, evidence: &Evidence) -> Option<&Issuer> {
        match &evidence.verdict {
            Verdict::Permit(permitted) => self.of_sha256(&permitted.issuer_sha256),
            Verdict::Refusal { .. } | Verdict::Pending => self.0.first(),
        }
    }

    /// The CAs that a certificate names by name and key identifier: more than one where a CA's certificate was renewed.
    pub(crate) fn of_certificate(&self, certificate: &Certificate) -> Vec<&Issuer> {
        let tbs = certificate.tbs_certificate();
        let identifier = tbs.get_extension::<AuthorityKeyIdentifier>();
        let identifier = identifier
            .ok()
            .flatten()
            .and_then(|(_, it)| it.key_identifier);
        let (Some(identifier), Ok(name)) = (identifier, tbs.issuer().to_der()) else {
            return Vec::new();
        };
        let named = |issuer: &&Issuer| {
            let ca = &issuer.ca.issuer;
            ca.subject_der == name && ca.key_identifier == identifier.as_bytes()
        };
        self.0.iter().filter(named).collect()
    }

    /// CA keys, each once however many certificates it has.
    pub(crate) fn keys(&self) -> usize {
        let keys: BTreeSet<&Hash> = self.0.iter().map(|it| &it.key_sha256).collect();
        keys.len()
    }
}

impl Issuer {
    fn new(chain: &[Vec<u8>]) -> Result<Self, String> {
        let (own, above) = chain.split_first().ok_or("no file")?;
        let mut ca = Ca::from_der(own).map_err(|error| error.to_string())?;
        // As the signer reads it: with what those above it constrain.
        ca.lint_issuer = ca
            .lint_issuer
            .under(above)
            .map_err(|error| error.to_string())?;
        let key = X509::from_der(own).and_then(|own| own.public_key());
        let key = key.map_err(|error| error.to_string())?;
        let spki = key.public_key_to_der().map_err(|error| error.to_string())?;
        Ok(Self {
            key_sha256: Hash::of(&spki),
            key,
            ca,
        })
    }
}

/// The certificates of each CA by its number; all of them numbered from 0 without a gap.
fn chains(
    export: &dyn ExportFiles,
    places: &[Place],
    findings: &mut Findings,
) -> Vec<(u64, Vec<Vec<u8>>)> {
    let mut numbers: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for place in places {
        if let Place::Issuer(n, k) = place {
            numbers.entry(*n).or_default().insert(*k);
        }
    }
    if numbers.keys().any(|n| *n >= MAX_CAS) {
        let wanted = format!("at most {MAX_CAS} CAs");
        bad(&Place::Issuer(0, 0), "number", &wanted, "more", findings);
    }
    let mut chains: Vec<(u64, Vec<Vec<u8>>)> = Vec::new();
    for (wanted, (n, above)) in (0..MAX_CAS).zip(numbers) {
        let mut chain = Vec::new();
        let mut whole = wanted == n && above.len() <= MAX_CHAIN;
        for (wanted, k) in (0..).zip(above.into_iter().take(MAX_CHAIN)) {
            whole &= wanted == k;
            chain.extend(certificate(export, &Place::Issuer(n, k), findings));
        }
        let place = Place::Issuer(n, 0);
        let (wanted, got) = ("CAs and certificates numbered from 0 on", "a gap");
        findings.hold(whole, CHECK, &place, "number", wanted, got);
        let again = chains
            .iter()
            .any(|(_, other)| other.first() == chain.first());
        let (wanted, got) = ("each CA once", "one of those before");
        findings.hold(!again, CHECK, &place, "certificate", wanted, got);
        chains.push((n, chain));
    }
    chains
}

fn certificate(
    export: &dyn ExportFiles,
    place: &Place,
    findings: &mut Findings,
) -> Option<Vec<u8>> {
    let got = match export::read(export, &place.to_string(), MAX_CERTIFICATE) {
        Ok(Some(der)) => return Some(der),
        Ok(None) => "no such file".to_owned(),
        Err(error) => error.to_string(),
    };
    bad(place, "file", "a certificate", got, findings);
    None
}

/// A CA is a pinned one, with the same certificates above it.
fn hold(n: u64, chain: &[Vec<u8>], pinned: &[Vec<Vec<u8>>], findings: &mut Findings) {
    let shown = |chain: &[Vec<u8>], k: usize| {
        let hash = chain.get(k).map(|der| Hash::of(der).to_string());
        hash.unwrap_or_else(|| "none".to_owned())
    };
    let member = "certificate (SHA-256)";
    let Some(pins) = pinned.iter().find(|pins| pins.first() == chain.first()) else {
        let wanted: Vec<String> = pinned.iter().map(|pins| shown(pins, 0)).collect();
        let wanted = wanted.join(" or ");
        let got = shown(chain, 0);
        return bad(&Place::Issuer(n, 0), member, &wanted, got, findings);
    };
    for (number, k) in (0..).zip(0..chain.len().max(pins.len())) {
        let place = Place::Issuer(n, number);
        findings.same(CHECK, &place, member, &shown(pins, k), &shown(chain, k));
    }
}

/// Each is signed by the one above it, the last one by itself or by one that is not held.
fn signed(n: u64, chain: &[Vec<u8>], findings: &mut Findings) {
    for (k, pair) in (0..).zip(chain.windows(2)) {
        let [below, above] = pair else { continue };
        let verifies = || -> Result<bool, openssl::error::ErrorStack> {
            let key = X509::from_der(above)?.public_key()?;
            X509::from_der(below)?.verify(&key)
        };
        findings.hold(
            verifies().unwrap_or(false),
            CHECK,
            &Place::Issuer(n, k),
            "signature",
            "that of the CA above it",
            "another one",
        );
    }
}

fn bad(
    place: &Place,
    member: &str,
    wanted: &str,
    got: impl std::fmt::Display,
    findings: &mut Findings,
) {
    findings.made(CHECK);
    findings.bad(Finding::new(CHECK, place, member, wanted, got));
}
