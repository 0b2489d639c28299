//! Keeps the journal of an HSM service beside the log of a [`Maker`], as a list of steps that a test may alter before the
//! journal is written.

use std::path::PathBuf;
use std::time::Duration;

use assay_journal::{
    Admission, CertificateRequest, CheckpointRequest, CrlRequest, Floors, Head, Journal, Known,
    Limit, Limits, Listed, LogFloor, Origin, Reason, Recorded, Start, create, export,
};
use assay_types::{Hash, Serial, Timestamp, TimestampMillis};
use assay_verify::{Options, Report, Trust};
use der::asn1::{Any, BitString};
use der::{Decode, Sequence};
use tempfile::TempDir;

use crate::export::{Export, Parts, note};
use crate::keys::{FIRST, keys};
use crate::maker::{Hidden, Maker, files};
use crate::scenes::{DEVICE, asks};

const DAY: Duration = Duration::from_secs(86_400);

/// The records of the service.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Start(Start),
    Reload(Start),
    Certificate {
        ca: usize,
        serial: Serial,
        not_after: Timestamp,
        tbs: Vec<u8>,
    },
    Signed {
        serial: Serial,
        signature: Vec<u8>,
    },
    Crl {
        ca: usize,
        number: u64,
        digest: Hash,
        listed: Vec<Listed>,
    },
    Checkpoint(u64),
    Suspend,
    Resume,
    Lift,
    Known(Serial),
    AcceptClock,
    Prune,
}

/// A log and the steps of its journal.
pub(crate) struct Keeper {
    pub(crate) maker: Maker,
    pub(crate) steps: Vec<(Timestamp, Step)>,
    /// The CA that issues.
    pub(crate) ca: usize,
    pub(crate) listed: Vec<Listed>,
    crls: u64,
}

/// A log and its journal, both exported.
pub(crate) struct Pair {
    _folder: TempDir,
    pub(crate) parts: Parts,
    pub(crate) journal: PathBuf,
    pub(crate) head: Head,
    /// The head after each checkpoint but the last, with its size.
    pub(crate) earlier: Vec<(u64, Head)>,
}

#[derive(Sequence)]
struct Certificate {
    tbs: Any,
    algorithm: Any,
    signature: BitString,
}

pub(crate) fn configuration(name: &str) -> Start {
    Start {
        configuration: Hash::of(name.as_bytes()),
        allow_same_user: false,
        version: "0.1.0".to_owned(),
    }
}

pub(crate) fn serial(text: &str) -> Serial {
    text.parse().unwrap()
}

impl Keeper {
    /// Both have started, and a version is in force that names the configuration of the service.
    pub(crate) fn started() -> Self {
        let mut keeper = Self::of(FIRST);
        keeper.maker.hsm_configuration = Some(configuration("hsm.toml").configuration);
        keeper.maker.activate(&files("CHG-1"), &[]);
        keeper
    }

    /// The same before a version is in force, with this CA.
    pub(crate) fn of(ca: usize) -> Self {
        let mut maker = Maker::with(&[ca]);
        maker.under(ca);
        let mut keeper = Self {
            maker,
            steps: Vec::new(),
            ca,
            listed: Vec::new(),
            crls: 0,
        };
        keeper.step(Step::Start(configuration("hsm.toml")));
        keeper.maker.start();
        keeper
    }

    /// The journal of a service that signed all of a log.
    pub(crate) fn of_history(maker: Maker) -> Pair {
        let record: serde_json::Value = serde_json::from_slice(&maker.parts.records[0]).unwrap();
        let begin = TimestampMillis::from_millis(record["wall_ms"].as_i64().unwrap()).seconds();
        let last = Step::Checkpoint(maker.parts.records.len() as u64);
        let end = (maker.now(), last);
        let mut keeper = Self {
            steps: vec![(begin, Step::Start(configuration("hsm.toml")))],
            ca: FIRST,
            listed: Vec::new(),
            crls: 0,
            maker,
        };
        let mut before = begin;
        for (at, step) in keeper.maker.history.clone().into_iter().chain([end]) {
            // The service stood still for longer than it takes for granted.
            if before + 6 * DAY < at {
                keeper.steps.push((at, Step::AcceptClock));
            }
            keeper.steps.push((at, step));
            before = at;
        }
        keeper.pair()
    }

    /// Every kind of thing that both record.
    pub(crate) fn whole() -> Self {
        let mut keeper = Self::started();
        keeper.crl();
        let revoked = keeper.issue();
        keeper.issue();
        keeper.abandon();
        keeper.checkpoint();
        keeper.maker.pass(600_000);
        keeper.revoke(&revoked);
        keeper.crl();
        keeper.maker.pass(600_000);
        keeper.finish();
        keeper
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.steps.push((self.maker.now(), step));
    }

    /// A certificate in both; its serial number.
    pub(crate) fn issue(&mut self) -> String {
        let san = "dns:a.example.com";
        let by = self.maker.challenge("devices", DEVICE, &[san]);
        let opened = self.maker.open(&asks("devices", DEVICE, &[san], by));
        let asked = Step::Certificate {
            ca: self.ca,
            serial: serial(opened.issuance.serial.as_str()),
            not_after: opened.not_after,
            tbs: opened.tbs.clone(),
        };
        self.step(asked);
        let text = self.maker.finish(opened, false);
        let (_, der) = self.maker.parts.certificates.last_key_value().unwrap();
        let signature = Certificate::from_der(der).unwrap().signature;
        self.step(Step::Signed {
            serial: serial(&text),
            signature: signature.raw_bytes().to_vec(),
        });
        text
    }

    /// An intent that is given up after the service was asked, and listed from then on.
    fn abandon(&mut self) {
        let san = "dns:a.example.com";
        let by = self.maker.challenge("devices", DEVICE, &[san]);
        let opened = self.maker.open(&asks("devices", DEVICE, &[san], by));
        let abandoned = serial(opened.issuance.serial.as_str());
        let (tbs, not_after) = (opened.tbs.clone(), opened.not_after);
        self.ask(&abandoned, not_after, tbs);
        self.list(abandoned, Reason::Unspecified);
        self.maker.abandon(opened);
    }

    /// The service is asked for a certificate.
    pub(crate) fn ask(&mut self, serial: &Serial, not_after: Timestamp, tbs: Vec<u8>) {
        self.step(Step::Certificate {
            ca: self.ca,
            serial: serial.clone(),
            not_after,
            tbs,
        });
    }

    /// A certificate of the journal alone.
    pub(crate) fn hide(&mut self) -> Hidden {
        let hidden = self.maker.hidden();
        let text = serial(&hidden.serial);
        self.ask(&text, hidden.not_after, hidden.tbs.clone());
        self.step(Step::Signed {
            serial: text,
            signature: hidden.signature.clone(),
        });
        hidden
    }

    pub(crate) fn list(&mut self, serial: Serial, reason: Reason) {
        let date = self.maker.now();
        self.listed.push(Listed {
            serial,
            reason,
            date,
        });
    }

    pub(crate) fn revoke(&mut self, text: &str) {
        self.list(serial(text), Reason::KeyCompromise);
        self.maker.revoke(text);
    }

    /// A CRL in both.
    pub(crate) fn crl(&mut self) {
        self.crl_in_journal();
        self.maker.crl_as("01", self.crls);
    }

    /// A CRL that the signer had signed and did not record.
    pub(crate) fn crl_in_journal(&mut self) {
        self.crls += 1;
        let digest = format!("list {} of 01", self.crls);
        self.step(Step::Crl {
            ca: self.ca,
            number: self.crls,
            digest: Hash::of(digest.as_bytes()),
            listed: self.listed.clone(),
        });
    }

    /// A checkpoint of what is recorded.
    pub(crate) fn checkpoint(&mut self) {
        let size = self.maker.parts.records.len() as u64;
        self.step(Step::Checkpoint(size));
    }

    /// The signer stops, and the last checkpoint is signed.
    pub(crate) fn finish(&mut self) {
        self.maker.stop();
        self.checkpoint();
    }

    /// Where a step is.
    pub(crate) fn place(&self, which: impl Fn(&Step) -> bool) -> usize {
        self.steps.iter().position(|(_, step)| which(step)).unwrap()
    }

    /// The last CRL.
    pub(crate) fn last_crl(&mut self) -> (&mut Hash, &mut Vec<Listed>) {
        let crls = self.steps.iter_mut().rev();
        let mut crls = crls.filter_map(|(_, step)| {
            let Step::Crl { digest, listed, .. } = step else {
                return None;
            };
            Some((digest, listed))
        });
        crls.next().unwrap()
    }

    pub(crate) fn pair(&self) -> Pair {
        self.pair_with(&Floors::default())
    }

    pub(crate) fn pair_with(&self, floors: &Floors) -> Pair {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("journal");
        let (begin, _) = self.steps.first().unwrap();
        create(&dir, floors, *begin).unwrap();
        let options = assay_journal::Options {
            limits: Limits::unlimited(),
            reserve: 1 << 16,
        };
        let (journal, _) = Journal::open(&dir, options).unwrap();
        let leaves = self.maker.parts.leaves();
        let floor = floors.log.as_ref().map_or(0, |log| log.size);
        let mut writer = Writer {
            journal,
            leaves,
            size: usize::try_from(floor).unwrap(),
            numbers: Vec::new(),
            heads: Vec::new(),
            latest: *begin,
        };
        for (at, step) in &self.steps {
            writer.write(*at, step);
            writer.latest = *at;
        }
        drop(writer.journal);
        let path = folder.path().join("journal.export");
        export(&dir, std::fs::File::create(&path).unwrap()).unwrap();
        let (_, head) = writer.heads.pop().unwrap();
        Pair {
            _folder: folder,
            parts: self.maker.parts.clone(),
            journal: path,
            head,
            earlier: writer.heads,
        }
    }
}

struct Writer {
    journal: Journal,
    leaves: Vec<Hash>,
    size: usize,
    numbers: Vec<(Serial, u64)>,
    heads: Vec<(u64, Head)>,
    /// Time of the last entry.
    latest: Timestamp,
}

impl Writer {
    fn write(&mut self, now: Timestamp, step: &Step) {
        let journal = &self.journal;
        let pending = match step {
            Step::Start(start) => journal.started(start.clone(), true, now).unwrap(),
            Step::Reload(start) => {
                let limits = Limits::unlimited();
                journal.reloaded(start.clone(), limits, now).unwrap()
            }
            Step::Certificate {
                ca,
                serial,
                not_after,
                tbs,
            } => {
                let request = CertificateRequest {
                    issuer: keys().ca_key_sha256(*ca),
                    serial,
                    not_after: *not_after,
                    form: "device",
                    tbs,
                };
                let admitted = journal.may_sign_certificate(&request, now).unwrap();
                let Admission::Sign {
                    certificate,
                    pending,
                } = admitted
                else {
                    panic!("signed before")
                };
                self.numbers.push((serial.clone(), certificate));
                pending
            }
            Step::Signed { serial, signature } => {
                let numbers = &self.numbers;
                let (_, number) = numbers.iter().find(|(it, _)| it == serial).unwrap();
                let Recorded::First(pending) = journal.signed(*number, signature, now).unwrap()
                else {
                    panic!("signed before")
                };
                pending
            }
            Step::Crl {
                ca,
                number,
                digest,
                listed,
            } => {
                let request = CrlRequest {
                    issuer: keys().ca_key_sha256(*ca),
                    number: *number,
                    this_update: now,
                    next_update: now + 7 * DAY,
                    digest: *digest,
                    listed,
                };
                journal.may_sign_crl(&request, now).unwrap()
            }
            Step::Checkpoint(size) => return self.checkpoint(*size, now),
            Step::Suspend => journal.suspend(now).unwrap(),
            Step::Resume => journal.resume(now).unwrap(),
            Step::Lift => {
                let limit = Limit::ALL[0];
                journal.lift(limit, 9_000, now + DAY, now).unwrap()
            }
            Step::Known(serial) => {
                let known = Known {
                    serial: serial.clone(),
                    not_after: Timestamp::LAST,
                };
                let issuer = keys().ca_key_sha256(FIRST);
                let origin = Origin::Ceremony;
                let recorded = journal.record_known(origin, issuer, &[known], now);
                recorded.unwrap().unwrap()
            }
            Step::AcceptClock => {
                // The steps are in the order of their times.
                journal.accept_clock(self.latest, now, now).unwrap()
            }
            Step::Prune => {
                journal.prune(now).unwrap();
                return;
            }
        };
        pending.wait().unwrap();
    }

    fn checkpoint(&mut self, size: u64, now: Timestamp) {
        let upto = usize::try_from(size).unwrap();
        let request = CheckpointRequest {
            size,
            root: crate::tiles::root(&self.leaves[..upto]),
            leaves: &self.leaves[self.size..upto],
        };
        let pending = self.journal.may_sign_checkpoint(&request, now).unwrap();
        self.heads.push((size, pending.wait().unwrap()));
        self.size = upto;
    }
}

impl Pair {
    /// The checkpoint of the log with this extension line, signed and cosigned.
    pub(crate) fn export(&self, line: &str) -> Export {
        let text = format!("{}{line}\n", self.parts.checkpoint_text());
        let signers = [&keys().log, &keys().witness];
        self.parts.with_checkpoint(note(&text, &signers))
    }

    /// What an auditor has pinned.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            journals: vec![self.head.identity],
            ..keys().trust_of(&[FIRST, crate::keys::NEXT, crate::keys::RSA_CA])
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            journal: Some(self.journal.clone()),
            ..Options::default()
        }
    }

    /// Other records under a checkpoint that states this journal, as whoever holds the log's key makes it.
    pub(crate) fn verify_other(&self, parts: &Parts, options: &Options) -> Report {
        let text = format!("{}{}\n", parts.checkpoint_text(), self.head);
        let signed = note(&text, &[&keys().log, &keys().witness]);
        let options = Options {
            journal: Some(self.journal.clone()),
            ..options.clone()
        };
        let export = parts.with_checkpoint(signed);
        export.verify_with(Some(&self.trust()), &options)
    }

    pub(crate) fn verify(&self) -> Report {
        let export = self.export(&self.head.to_string());
        export.verify_with(Some(&self.trust()), &self.options())
    }

    /// The tree of the first `size` records, as a journal begins with it.
    pub(crate) fn floor(parts: &Parts, size: usize) -> LogFloor {
        let leaves = &parts.leaves()[..size];
        let mut frontier = assay_journal::Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        LogFloor {
            size: size as u64,
            root: frontier.root(),
            frontier: frontier.nodes().to_vec(),
        }
    }
}
