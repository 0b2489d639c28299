//! A state in a file that is put back, and the journal that the HSM service would have meanwhile.

use std::path::{Path, PathBuf};

use assay_hsm::Token;
use assay_hsm::wire::JournalInfo;
use assay_issuance::{Environment, GenerationSettings, StartFailure, propose_recovery, recover};
use assay_journal::{
    Admission, CertificateRequest, CheckpointRequest, CrlRequest, Floors, Journal, Limits, Listed,
    Options as JournalOptions, Reason, Recorded, Start, create, export,
};
use assay_signer::Settings;
use assay_software_token::Signed;
use assay_store::{Options, RecoveryCounts, StateKey, Store};
use assay_types::{Hash, Serial, Timestamp};
use der::Decode;
use x509_cert::TbsCertificate;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};
use x509_cert::time::Time;

use super::{BEGIN, Stand};

pub(crate) fn state_key() -> StateKey {
    zeroize::Zeroizing::new([9; 32]).into()
}

/// A journal that was exported, and what the HSM service says of it in its greeting.
pub(crate) struct Exported {
    pub(crate) bytes: Vec<u8>,
    pub(crate) info: JournalInfo,
}

impl Stand {
    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Copies the state file, which nobody writes meanwhile.
    pub(crate) fn back_up(&self) {
        for file in ["state.db", "state.db-wal"] {
            let copy = file.replace("state", "backup");
            std::fs::copy(self.state(file), self.state(&copy)).unwrap();
        }
    }

    /// Has the signer work on the copy at its next start.
    pub(crate) fn put_back(&mut self) {
        let path = self.state("backup.db");
        self.store = Store::open(&path, &state_key(), &Options::default()).unwrap();
    }

    /// The journal of everything that was signed so far.
    pub(crate) fn export_journal(&self) -> Exported {
        let signed = self.token.signed.lock().unwrap().clone().unwrap();
        let spki = self.ca.ca.certificate.public_key().unwrap();
        let issuer = Hash::of(&spki.public_key_to_der().unwrap());
        written(&self.state("journal"), issuer, &signed)
    }

    /// Writes another key over that of challenges, and says where it is.
    pub(crate) fn replace_challenge_key(&self, key: &[u8]) -> PathBuf {
        let file = self.state("challenge.key");
        std::fs::write(&file, key).unwrap();
        file
    }

    /// Adds records that the HSM service never hears of.
    pub(crate) async fn append_records(&self, count: usize) {
        let draft = |row: assay_store::AuditRow| {
            let record = assay_audit::Record::from_canonical(&row.record).unwrap();
            record.draft
        };
        let first = self.store.audit_after(0, 1).await.unwrap().remove(0);
        let drafts = vec![draft(first); count];
        self.store.append_audit(drafts).await.unwrap();
    }

    fn environment(&self, info: &JournalInfo) -> Environment {
        Environment {
            store: self.store.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            shutdown: self.shutdown.clone(),
            journal: Some(info.clone()),
        }
    }

    fn settings(&self) -> assay_issuance::Settings {
        let settings = Settings::load(&self.state("signer.toml")).unwrap();
        settings.issuance
    }

    /// The statement that people sign.
    pub(crate) async fn propose_recovery(
        &self,
        journal: &Exported,
        floor: u64,
    ) -> Result<Vec<u8>, StartFailure> {
        let (settings, environment) = (self.settings(), self.environment(&journal.info));
        let (export, reason) = (&*journal.bytes, "the disk failed".to_owned());
        let proposed = propose_recovery(&settings, &environment, export, floor, reason);
        Ok(proposed.await?.to_text()?)
    }

    pub(crate) async fn recover(
        &self,
        journal: &Exported,
        statement: &[u8],
        people: &[&str],
    ) -> Result<RecoveryCounts, StartFailure> {
        let approvals = self.people.sign_statement(statement, people).unwrap();
        self.recover_by(journal, statement, approvals).await
    }

    /// By signatures over another text.
    pub(crate) async fn recover_with(
        &self,
        journal: &Exported,
        statement: &[u8],
        signed: &[u8],
    ) -> Result<RecoveryCounts, StartFailure> {
        let people = ["second", "third"];
        let approvals = self.people.sign_statement(signed, &people).unwrap();
        self.recover_by(journal, statement, approvals).await
    }

    async fn recover_by(
        &self,
        journal: &Exported,
        statement: &[u8],
        approvals: Vec<Vec<u8>>,
    ) -> Result<RecoveryCounts, StartFailure> {
        let environment = self.environment(&journal.info);
        let open = async |_: &GenerationSettings| {
            Ok(std::sync::Arc::clone(&self.token) as std::sync::Arc<dyn Token>)
        };
        let (settings, export) = (self.settings(), &*journal.bytes);
        let statement = statement.to_vec();
        recover(settings, environment, export, statement, approvals, open).await
    }
}

/// A journal of what was signed, whose rules every entry has to meet. It is made once, and continued afterwards.
fn written(dir: &Path, issuer: Hash, signed: &[Signed]) -> Exported {
    let is_new = !dir.exists();
    if is_new {
        create(dir, &Floors::default(), BEGIN).unwrap();
    }
    let options = JournalOptions {
        limits: Limits::unlimited(),
        reserve: 1 << 16,
    };
    let (journal, _) = Journal::open(dir, options).unwrap();
    let mark = dir.with_extension("entries");
    let done: usize = match std::fs::read_to_string(&mark) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 0,
    };
    let mut now = journal.read(|state| state.clock()).max(BEGIN);
    if is_new {
        let start = Start {
            configuration: Hash::ZERO,
            allow_same_user: false,
            version: "test".to_owned(),
        };
        journal.started(start, true, now).unwrap().wait().unwrap();
    }
    for entry in &signed[done..] {
        write(&journal, issuer, entry, &mut now);
    }
    std::fs::write(mark, signed.len().to_string()).unwrap();
    let info = journal.read(|state| JournalInfo {
        identity: *state.head().identity.as_bytes(),
        log_size: state.tree().size(),
        log_root: *state.root().as_bytes(),
        newest_entry: state.clock().seconds(),
        crl_numbers: vec![state.last_crl(&issuer).map(|crl| crl.number)],
        unlogged: state
            .unlogged(1_000)
            .map(|(serial, tbs)| (serial.as_bytes().to_vec(), *tbs.as_bytes()))
            .collect(),
    });
    drop(journal);
    let mut bytes = Vec::new();
    export(dir, &mut bytes).unwrap();
    Exported { bytes, info }
}

fn write(journal: &Journal, issuer: Hash, entry: &Signed, now: &mut Timestamp) {
    match entry {
        Signed::Certificate { tbs, signature } => {
            let read = TbsCertificate::from_der(tbs).unwrap();
            let serial = Serial::try_from(read.serial_number().as_bytes()).unwrap();
            let not_after = at(read.validity().not_after);
            let request = CertificateRequest {
                issuer,
                serial: &serial,
                not_after,
                form: "device",
                tbs,
            };
            let admitted = journal.may_sign_certificate(&request, *now).unwrap();
            let Admission::Sign {
                certificate,
                pending,
            } = admitted
            else {
                return;
            };
            pending.wait().unwrap();
            if let Some(signature) = signature
                && let Recorded::First(pending) =
                    journal.signed(certificate, signature, *now).unwrap()
            {
                pending.wait().unwrap();
            }
        }
        Signed::Crl(tbs) => {
            let read =
                x509_cert::crl::TbsCertList::<x509_cert::certificate::Rfc5280>::from_der(tbs);
            let read = read.unwrap();
            *now = at(read.this_update);
            let listed: Vec<Listed> = read
                .revoked_certificates
                .iter()
                .flatten()
                .map(|entry| {
                    let extensions = entry.crl_entry_extensions.iter().flatten();
                    let mut reasons = extensions.map(|extension| {
                        CrlReason::from_der(extension.extn_value.as_bytes()).unwrap()
                    });
                    let reason = reasons.next().map_or(0, |reason| reason as u8);
                    Listed {
                        serial: Serial::try_from(entry.serial_number.as_bytes()).unwrap(),
                        reason: Reason::from_code(reason).unwrap(),
                        date: at(entry.revocation_date),
                    }
                })
                .collect();
            let extensions = read.crl_extensions.unwrap();
            let number = CrlNumber::from_der(extensions[1].extn_value.as_bytes()).unwrap();
            let number = number.0.as_bytes().iter();
            let request = CrlRequest {
                issuer,
                number: number.fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                this_update: *now,
                next_update: at(read.next_update.unwrap()),
                digest: Hash::of(tbs),
                listed: &listed,
            };
            journal
                .may_sign_crl(&request, *now)
                .unwrap()
                .wait()
                .unwrap();
        }
        Signed::Checkpoint(size, root, leaves) => {
            let request = CheckpointRequest {
                size: *size,
                root: *root,
                leaves,
            };
            let pending = journal.may_sign_checkpoint(&request, *now).unwrap();
            pending.wait().unwrap();
        }
    }
}

fn at(time: Time) -> Timestamp {
    Timestamp::default() + time.to_unix_duration()
}
