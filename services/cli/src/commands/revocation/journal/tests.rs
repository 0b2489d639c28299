#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::path::PathBuf;
use std::time::Duration;

use assay_journal::{
    Admission, CertificateRequest, Floors, Journal, Limits, Options, Recorded, Start, create,
    export,
};
use assay_types::Hash;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A journal that is written by steps.
struct Place {
    root: TempDir,
    journal: Journal,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("journal");
        create(&dir, &Floors::default(), NOW).unwrap();
        let options = Options {
            limits: Limits::unlimited(),
            reserve: 1 << 16,
        };
        let (journal, _) = Journal::open(&dir, options).unwrap();
        let place = Self { root, journal };
        place.start(NOW);
        place
    }

    fn start(&self, at: Timestamp) {
        let start = Start {
            configuration: Hash::of(b"hsm.toml"),
            allow_same_user: false,
            version: "0.1.0".to_owned(),
        };
        let started = self.journal.started(start, true, at).unwrap();
        started.wait().unwrap();
    }

    /// Number of the entry in which a certificate is asked for.
    fn ask(&self, issuer: &str, number: &Serial, tbs: &[u8]) -> u64 {
        let request = CertificateRequest {
            issuer: Hash::of(issuer.as_bytes()),
            serial: number,
            not_after: NOW + DAY,
            form: "device",
            tbs,
        };
        let admitted = self.journal.may_sign_certificate(&request, NOW).unwrap();
        let Admission::Sign {
            certificate,
            pending,
        } = admitted
        else {
            panic!("signed before")
        };
        pending.wait().unwrap();
        certificate
    }

    fn sign(&self, entry: u64, signature: &[u8]) {
        let signed = self.journal.signed(entry, signature, NOW).unwrap();
        let Recorded::First(pending) = signed else {
            panic!("signed before")
        };
        pending.wait().unwrap();
    }

    fn export(&self) -> PathBuf {
        let file = self.root.path().join("export");
        let to = File::create(&file).unwrap();
        export(&self.root.path().join("journal"), to).unwrap();
        file
    }
}

/// A certificate, with its TBSCertificate and its signature.
fn certificate() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let key = PKey::generate_ed25519().unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "device").unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    let (begin, end) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
    builder.set_not_before(&begin.unwrap()).unwrap();
    builder.set_not_after(&end.unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::null()).unwrap();
    let der = builder.build().to_der().unwrap();
    let parsed = Certificate::from_der(&der).unwrap();
    let tbs = parsed.tbs_certificate.to_der().unwrap();
    let signature = parsed.signature.raw_bytes().to_vec();
    (der, tbs, signature)
}

fn serial(text: &str) -> Serial {
    text.parse().unwrap()
}

/// Why there is no such certificate; the file is named.
#[track_caller]
fn refused(file: &Path, number: &str) -> String {
    let said = find(file, &serial(number)).unwrap_err().to_string();
    assert!(said.contains(&*file.to_string_lossy()), "{said}");
    said
}

#[test]
fn a_certificate_is_put_together_byte_for_byte_from_its_two_entries() {
    let place = Place::new();
    let (der, tbs, signature) = certificate();
    let first = place.ask("ca", &serial("4a01"), &tbs);
    let other = place.ask("ca", &serial("4a02"), b"another");
    place.sign(other, b"another");
    place.sign(first, &signature);
    let file = place.export();
    assert_eq!(find(&file, &serial("4a01")).unwrap(), der);
    let said = refused(&file, "4a02");
    assert!(
        said.contains("entry 3: 4a02 is not a certificate"),
        "{said}"
    );
}

#[test]
fn one_that_is_unknown_unsigned_or_of_two_cas_is_refused_with_its_entry() {
    let place = Place::new();
    place.ask("ca", &serial("4a01"), b"tbs");
    place.ask("ca", &serial("4a02"), b"tbs 2");
    place.ask("next ca", &serial("4a02"), b"tbs 3");
    let file = place.export();
    let said = refused(&file, "4a03");
    assert!(
        said.contains("no entry has the serial number 4a03"),
        "{said}"
    );
    let said = refused(&file, "4a01");
    assert!(
        said.contains("entry 2: the journal has no signature of 4a01"),
        "{said}"
    );
    let said = refused(&file, "4a02");
    assert!(
        said.contains("entries 3 and 4 have the serial number"),
        "{said}"
    );
}

#[test]
fn one_that_was_pruned_is_refused_with_its_entry_and_its_end() {
    let place = Place::new();
    let entry = place.ask("ca", &serial("4a01"), b"tbs");
    place.sign(entry, b"signature");
    let later = NOW + 400 * DAY;
    place.start(later);
    place.journal.prune(later).unwrap();
    let said = refused(&place.export(), "4a01");
    let end = NOW + DAY;
    let wanted = format!("entry 2: 4a01 was pruned from the journal, as it expired at {end}");
    assert!(said.contains(&wanted), "{said}");
}

/// Also if both entries of the certificate come before the damage.
#[test]
fn nothing_is_found_in_an_export_that_is_damaged_or_cut() {
    let place = Place::new();
    let (_, tbs, signature) = certificate();
    let entry = place.ask("ca", &serial("4a01"), &tbs);
    place.sign(entry, &signature);
    let file = place.export();
    let whole = std::fs::read(&file).unwrap();
    let mut altered = whole.clone();
    *altered.last_mut().unwrap() ^= 1;
    let mut longer = whole.clone();
    longer.push(0);
    for (bytes, wanted) in [
        (
            &whole[..whole.len() - 1],
            "entry 4: the export does not hold at byte",
        ),
        (&altered, "do not lead to the head"),
        (&longer, "bytes follow the end"),
        (&whole[..10], "not the export of a journal"),
        (b"", "not the export of a journal"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let said = refused(&file, "4a01");
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let none = file.with_extension("none");
    assert!(find(&none, &serial("4a01")).is_err());
}
