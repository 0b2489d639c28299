#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod damage;
mod exported;
mod full;
mod model;
mod rules;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_types::{Hash, Serial, Timestamp};
use tempfile::TempDir;

use crate::files::Files;
use crate::{
    Admission, CertificateRequest, CheckpointRequest, CrlRequest, Error, Floors, Frontier, Journal,
    Limits, Listed, Options, Reason, Recorded, Refusal, Start, create,
};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const DAY: u64 = 24 * 3_600;
const YEAR: u64 = 365 * DAY;

fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn issuer() -> Hash {
    Hash::of(b"issuer")
}

fn serial(number: u64) -> Serial {
    let bytes = [&[0x40; 8][..], &number.to_be_bytes()].concat();
    Serial::try_from(bytes.as_slice()).unwrap()
}

fn tbs(number: u64) -> Vec<u8> {
    format!("TBS of certificate {number}").into_bytes()
}

fn signature(number: u64) -> Vec<u8> {
    format!("signature {number}").into_bytes()
}

fn leaf(number: u64) -> Hash {
    Hash::of_leaf(&number.to_be_bytes())
}

fn listed(number: u64, reason: Reason) -> Listed {
    Listed {
        serial: serial(number),
        reason,
        date: NOW,
    }
}

/// A journal in a directory that goes with it.
struct Place {
    _root: TempDir,
    dir: PathBuf,
    limits: Limits,
}

impl Place {
    fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            dir: root.path().join("journal"),
            _root: root,
            limits: Limits::unlimited(),
        }
    }

    fn new() -> Self {
        Self::with(&Floors::default())
    }

    fn with(floors: &Floors) -> Self {
        let place = Self::empty();
        create(&place.dir, floors, NOW).unwrap();
        place
    }

    fn options(&self) -> Options {
        Options {
            limits: self.limits.clone(),
            reserve: 1 << 16,
        }
    }

    fn open(&self) -> Journal {
        let (journal, cut) = Journal::open(&self.dir, self.options()).unwrap();
        assert_eq!(cut, None);
        journal
    }

    /// With failures that a test asks for.
    fn open_with(&self, set: impl FnOnce(&Files)) -> Journal {
        let files = Files::open(&self.dir).unwrap();
        set(&files);
        Journal::open_files(files, self.options()).unwrap().0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The requests of the tests, with their answers waited for.
trait Sign {
    fn certificate(&self, number: u64, now: Timestamp) -> Result<u64, Error>;
    fn complete(&self, number: u64, now: Timestamp) -> Result<Vec<u8>, Error>;
    fn crl(&self, number: u64, listed: &[Listed], now: Timestamp) -> Result<(), Error>;
    fn checkpoint(&self, from: u64, to: u64, now: Timestamp) -> Result<(), Error>;
}

impl Sign for Journal {
    /// Number of the certificate's entry.
    fn certificate(&self, number: u64, now: Timestamp) -> Result<u64, Error> {
        let (serial, tbs) = (serial(number), tbs(number));
        let request = CertificateRequest {
            issuer: issuer(),
            serial: &serial,
            not_after: after(30 * DAY),
            form: "device",
            tbs: &tbs,
        };
        match self.may_sign_certificate(&request, now)? {
            Admission::Sign {
                certificate,
                pending,
            } => pending.wait().map(|_| certificate),
            Admission::Signed(_) => panic!("it was signed before"),
        }
    }

    /// The signature that is handed out.
    fn complete(&self, number: u64, now: Timestamp) -> Result<Vec<u8>, Error> {
        let (serial, tbs) = (serial(number), tbs(number));
        let request = CertificateRequest {
            issuer: issuer(),
            serial: &serial,
            not_after: after(30 * DAY),
            form: "device",
            tbs: &tbs,
        };
        let certificate = match self.may_sign_certificate(&request, now)? {
            Admission::Sign {
                certificate,
                pending,
            } => pending.wait().map(|_| certificate)?,
            Admission::Signed(signature) => return Ok(signature),
        };
        let signature = signature(number);
        match self.signed(certificate, &signature, now)? {
            Recorded::First(pending) => pending.wait().map(|_| signature),
            Recorded::Earlier(earlier) => Ok(earlier),
        }
    }

    fn crl(&self, number: u64, listed: &[Listed], now: Timestamp) -> Result<(), Error> {
        let request = CrlRequest {
            issuer: issuer(),
            number,
            this_update: now,
            next_update: now + Duration::from_secs(DAY),
            digest: Hash::of(format!("{number} {listed:?} {now}").as_bytes()),
            listed,
        };
        self.may_sign_crl(&request, now)?.wait().map(|_| ())
    }

    /// A tree of the first `to` leaves, with those after the first `from`.
    fn checkpoint(&self, from: u64, to: u64, now: Timestamp) -> Result<(), Error> {
        let mut tree = Frontier::default();
        (0..to).for_each(|number| tree.push(leaf(number)));
        let leaves: Vec<Hash> = (from..to).map(leaf).collect();
        let request = CheckpointRequest {
            size: to,
            root: tree.root(),
            leaves: &leaves,
        };
        self.may_sign_checkpoint(&request, now)?.wait().map(|_| ())
    }
}

fn start() -> Start {
    Start {
        configuration: Hash::of(b"configuration"),
        allow_same_user: false,
        version: "0.1.0".to_owned(),
    }
}

/// The refusal that a request met.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn damage<T>(result: Result<T, Error>) -> (PathBuf, u64, String) {
    match result.map(|_| ()) {
        Err(Error::Damaged {
            file,
            offset,
            problem,
        }) => (file, offset, problem),
        other => panic!("not damaged: {other:?}"),
    }
}

/// Both files.
fn contents(dir: &Path) -> [Vec<u8>; 2] {
    ["entries", "bodies"].map(|name| std::fs::read(dir.join(name)).unwrap())
}

fn restore(dir: &Path, [entries, bodies]: &[Vec<u8>; 2]) {
    std::fs::write(dir.join("entries"), entries).unwrap();
    std::fs::write(dir.join("bodies"), bodies).unwrap();
}
