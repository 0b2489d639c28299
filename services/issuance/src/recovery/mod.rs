//! A state that was restored from a backup is brought as far as the journal of the HSM service goes, once enough of the pinned
//! approvers have signed a statement of what is recovered from what.
//!
//! The journal has the leaf hash of each record that was under a signed head, each certificate, and what each CRL lists. It does
//! not have what the lost records say. So whatever they may have used up or ended is void afterwards, and every profile is stopped
//! until people approve a new version of the policy.

mod account;

use std::io::Read;
use std::sync::Arc;

use assay_audit::tree::Frontier;
use assay_audit::{Event, RecoveredCrl as CrlRecord};
use assay_hsm::wire::JournalInfo;
use assay_hsm::{StartError, Token};
use assay_policy::{NewStatement, Purpose, RecoveryStatement};
use assay_store::{
    CrlReason, MAX_LEAVES, OpenIntent, RecoverOutcome, RecoveredCertificate, RecoveredCrl,
    Recovery, RecoveryCounts, RecoveryStep, RevokedEntry, Store, StoreError,
};
use assay_types::{Hash, Serial};

use crate::app::{Environment, StartFailure, past, start_cas};
use crate::challenge_key::ChallengeKey;
use crate::clock::SignerClock;
use crate::own_certificate::recovered;
use crate::pipeline::issuance;
use crate::recorder::Recorder;
use crate::rollover::Generations;
use crate::settings::{GenerationSettings, Settings};
use account::Account;

/// Who stops the profiles.
const ACTOR: &str = "assay://signer/recovery";

/// Why a state is not recovered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
enum NotRecovered {
    #[error("the HSM service has no journal, so that nothing can be recovered from it")]
    NoJournal,
    #[error(
        "the export is of the journal {found}, and the HSM service has the journal {wanted}; export the journal of this service with `assay-hsm journal export`"
    )]
    OtherJournal { found: Hash, wanted: Hash },
    #[error(
        "the export is older than the journal: {what}; export it again with `assay-hsm journal export` and propose the recovery again"
    )]
    StaleExport { what: String },
    #[error(
        "the restored state has a signed checkpoint of {checkpoint} records and the journal one of {journal}: the journal is the older of the two; give the HSM service its newest journal back"
    )]
    OldJournal { journal: u64, checkpoint: u64 },
    #[error(
        "the restored state is not of the log that the HSM service signed for: with the records that the journal has beyond it, its tree of {size} records has another root; restore a backup of this signer's state"
    )]
    OtherLog { size: u64 },
    #[error(
        "nothing is lost: the state has every record, certificate and CRL of the journal; start the signer without --recover"
    )]
    NothingLost,
    #[error(
        "policy floor {floor}: the restored state has version {newest} of the policy; propose with --policy-floor and the highest version number \
         that was ever approved, from {newest} to {}", .newest.saturating_add(MAX_LOST_VERSIONS)
    )]
    Floor { floor: u64, newest: u64 },
    #[error(
        "the statement says {member} {said}, and it is {found}; propose the recovery again and have it approved"
    )]
    OtherStatement {
        member: &'static str,
        said: String,
        found: String,
    },
    #[error("the statement is not approved: {0}")]
    NotApproved(String),
    #[error(
        "entry {entry} of the journal, the certificate {serial}, cannot be taken up: {why}; nothing was recovered"
    )]
    Certificate {
        entry: u64,
        serial: Serial,
        why: String,
    },
    #[error(
        "the state was changed meanwhile: it has {found} records and had {wanted}; propose the recovery again"
    )]
    Changed { found: u64, wanted: u64 },
}

/// Versions of the policy that may have been approved since the backup. The next one has a number above the floor: one far above is a
/// slip that would use up the numbers.
const MAX_LOST_VERSIONS: u64 = 10_000;

/// Refuses a floor below the newest version of the restored state, or far above it.
async fn check_floor(store: &Store, floor: u64) -> Result<(), StartFailure> {
    let newest = store.next_policy_number().await?.saturating_sub(1);
    let allowed = newest..=newest.saturating_add(MAX_LOST_VERSIONS);
    if allowed.contains(&floor) {
        return Ok(());
    }
    Err(NotRecovered::Floor { floor, newest }.into())
}

/// A restored state beside the account of the journal, after both were found to be of one log.
struct Compared {
    account: Account,
    restored: Frontier,
}

/// The statement that approvers sign before `environment`'s state is recovered by the `export` of the journal.
///
/// # Errors
/// Where nothing is lost, or the state, the export and the HSM service do not go together.
pub async fn propose_recovery(
    settings: &Settings,
    environment: &Environment,
    export: impl Read,
    policy_floor: u64,
    reason: String,
) -> Result<RecoveryStatement, StartFailure> {
    let Compared { account, restored } = Compared::read(environment, export).await?;
    check_floor(&environment.store, policy_floor).await?;
    let now = environment.clock.wall();
    // The key of challenges is needed to apply it.
    ChallengeKey::load(&settings.challenge_key)?;
    Ok(RecoveryStatement::new(NewStatement {
        journal: account.head.identity,
        journal_entries: account.head.size,
        journal_head: account.head.hash,
        log_size: account.log_size,
        log_root: account.log_root,
        restored_size: restored.size(),
        restored_root: restored.root(),
        policy_floor,
        reason,
        time: now.into(),
    })?)
}

/// Recovers `environment`'s state by the `export` of the journal, as `statement` says, which enough of the pinned
/// approvers have signed. Keys of the CAs are opened by `open`.
///
/// # Errors
/// Where anything does not go together. Nothing was changed then.
pub async fn recover(
    settings: Settings,
    environment: Environment,
    export: impl Read,
    statement: Vec<u8>,
    approvals: Vec<Vec<u8>>,
    open: impl AsyncFn(&GenerationSettings) -> Result<Arc<dyn Token>, StartError>,
) -> Result<RecoveryCounts, StartFailure> {
    let said = RecoveryStatement::parse(&statement)?;
    let approvers = &settings.terms.approvers;
    let people = approvers
        .examine_recovery(&statement, &approvals, Purpose::Activation)
        .map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            NotRecovered::NotApproved(problems.join("; "))
        })?;
    let Compared { account, restored } = Compared::read(&environment, export).await?;
    hold(&said, &account, &restored)?;
    check_floor(&environment.store, said.policy_floor).await?;
    let Environment {
        store,
        clock,
        random,
        journal,
        ..
    } = environment;
    let challenge_key = ChallengeKey::load(&settings.challenge_key)?;
    let past = past(&store, journal.as_ref()).await?;
    let clock = SignerClock::new(clock, &past);
    clock.check()?;
    let recorder = Arc::new(Recorder::new(settings.config_hash, clock, &*random)?);
    let (crl, mut first, mut rollover) = (settings.crl, settings.first, settings.rollover);
    // No response is signed here.
    first.ocsp = None;
    if let Some(rollover) = &mut rollover {
        rollover.next.ocsp = None;
    }
    let generations = start_cas(first, rollover, crl, &store, &recorder, &open).await?;

    let certificates = certificates(&account, &generations)?;
    let crls: Vec<(String, RecoveredCrl)> = crls(&account, &generations)?;
    let policy_hash = store.active_policy().await?.map(|it| it.info.model_hash);
    let records = Records {
        statement_sha256: Hash::of(&statement),
        people,
        crls: crls
            .iter()
            .map(|(key_id, crl)| {
                Ok(CrlRecord {
                    key_id: key_id.as_str().into(),
                    issuer: crl.ca_id.parse()?,
                    number: crl.number,
                    this_update: crl.this_update,
                })
            })
            .collect::<Result<_, assay_types::NotAHash>>()?,
        said: said.clone(),
        generations,
    };
    let recovery = Recovery {
        restored: said.restored_size,
        lost: account.lost,
        statement,
        approvals,
        policy_floor: said.policy_floor,
        certificates,
        crls: crls.into_iter().map(|(_, crl)| crl).collect(),
        challenge_check: challenge_key.check_value()?,
        at: recorder.timestamp(),
        actor: ACTOR.to_owned(),
        reason: format!("recovered from a backup: {}", said.reason),
    };
    let wanted = recovery.restored;
    let recovered = store.recover(recovery, move |step| {
        let of = match step {
            RecoveryStep::Ended(intent, _) => Some(intent.policy_hash),
            RecoveryStep::Recovered(_)
            | RecoveryStep::Certificate(_)
            | RecoveryStep::Status(_, _) => policy_hash,
        };
        recorder.draft(of, records.event(step))
    });
    match recovered.await? {
        RecoverOutcome::Recovered(counts) => Ok(counts),
        RecoverOutcome::OtherState { records: found } => {
            Err(NotRecovered::Changed { found, wanted }.into())
        }
    }
}

impl Compared {
    async fn read(environment: &Environment, export: impl Read) -> Result<Self, StartFailure> {
        let store = &environment.store;
        let journal = environment.journal.as_ref();
        let journal = journal.ok_or(NotRecovered::NoJournal)?;
        let log = store.check_log(0).await??;
        let account = Account::read(export, store, log.records).await?;
        is_newest(&account, journal)?;
        let (size, checkpoint) = (account.log_size, log.frontier.size());
        if size < checkpoint {
            let journal = size;
            return Err(NotRecovered::OldJournal {
                journal,
                checkpoint,
            }
            .into());
        }
        let (restored, mut whole) = trees(store, log.records, size).await?;
        for leaf in &account.lost {
            whole.append(*leaf);
        }
        if (whole.size(), whole.root()) != (size, account.log_root) {
            return Err(NotRecovered::OtherLog { size }.into());
        }
        if !is_behind(&account, store, log.records).await? {
            return Err(NotRecovered::NothingLost.into());
        }
        Ok(Self { account, restored })
    }
}

/// The trees over all `records`, and over the first `size` of them at most.
async fn trees(store: &Store, records: u64, size: u64) -> Result<(Frontier, Frontier), StoreError> {
    let (mut all, mut first) = (Frontier::new(), Frontier::new());
    while all.size() < records {
        let leaves = store.leaf_hashes(all.size(), MAX_LEAVES).await?;
        if leaves.is_empty() {
            return Err(StoreError::NotInTree);
        }
        for leaf in leaves {
            if all.size() < size {
                first.append(leaf);
            }
            all.append(leaf);
        }
    }
    Ok((all, first))
}

/// The export is of the journal that the HSM service has, and goes as far.
fn is_newest(account: &Account, journal: &JournalInfo) -> Result<(), NotRecovered> {
    let wanted = Hash::from(journal.identity);
    let found = account.head.identity;
    if found != wanted {
        return Err(NotRecovered::OtherJournal { found, wanted });
    }
    let stale = |what: String| Err(NotRecovered::StaleExport { what });
    let (size, root) = (journal.log_size, Hash::from(journal.log_root));
    if (account.log_size, account.log_root) != (size, root) {
        return stale(format!(
            "its last checkpoint is of {} records, that of the HSM service of {size}",
            account.log_size
        ));
    }
    for (serial, tbs) in &journal.unlogged {
        let known = Serial::try_from(serial.as_slice());
        if !known.is_ok_and(|serial| account.has(&serial, &Hash::from(*tbs))) {
            return stale(format!("it lacks the certificate {}", hex::encode(serial)));
        }
    }
    let crls = account.crls();
    for number in journal.crl_numbers.iter().flatten() {
        if !crls.iter().any(|(_, crl)| crl.number == *number) {
            return stale(format!("it lacks CRL {number}"));
        }
    }
    Ok(())
}

/// Whether the journal has something that the state does not have.
async fn is_behind(account: &Account, store: &Store, records: u64) -> Result<bool, StoreError> {
    let open = store.open_serials().await?;
    let mut certificates = account.certificates.iter();
    if records < account.log_size || certificates.any(|asked| !open.contains(&asked.serial)) {
        return Ok(true);
    }
    for (ca_id, crl) in account.crls() {
        if store.next_crl_number(ca_id).await? <= crl.number {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The statement is about this state and this export.
fn hold(
    said: &RecoveryStatement,
    account: &Account,
    restored: &Frontier,
) -> Result<(), NotRecovered> {
    let members = [
        (
            "journal",
            said.journal.to_string(),
            account.head.identity.to_string(),
        ),
        (
            "journal_entries",
            said.journal_entries.to_string(),
            account.head.size.to_string(),
        ),
        (
            "journal_head",
            said.journal_head.to_string(),
            account.head.hash.to_string(),
        ),
        (
            "log_size",
            said.log_size.to_string(),
            account.log_size.to_string(),
        ),
        (
            "log_root",
            said.log_root.to_string(),
            account.log_root.to_string(),
        ),
        (
            "restored_size",
            said.restored_size.to_string(),
            restored.size().to_string(),
        ),
        (
            "restored_root",
            said.restored_root.to_string(),
            restored.root().to_string(),
        ),
    ];
    let other = members.into_iter().find(|(_, said, found)| said != found);
    match other {
        None => Ok(()),
        Some((member, said, found)) => Err(NotRecovered::OtherStatement {
            member,
            said,
            found,
        }),
    }
}

/// Each certificate as it is taken up, once its signature was verified.
fn certificates(
    account: &Account,
    generations: &Generations,
) -> Result<Vec<RecoveredCertificate>, NotRecovered> {
    let mut taken = Vec::with_capacity(account.certificates.len());
    for asked in &account.certificates {
        let refused = |why: String| NotRecovered::Certificate {
            entry: asked.entry,
            serial: asked.serial.clone(),
            why,
        };
        let generation = generations.of(&asked.issuer.to_string());
        let Some(generation) = generation else {
            return Err(refused(
                "its CA is not in signer.toml; name the CA there until the recovery is done"
                    .to_owned(),
            ));
        };
        // A body is pruned a year after the certificate has ended, so that nobody relies on it.
        let Some(tbs) = &asked.tbs else { continue };
        let certificate = recovered(&generation.ca, tbs, asked.signature.as_deref());
        taken.push(certificate.map_err(|error| refused(assay_runtime::telemetry::chain(&error)))?);
    }
    Ok(taken)
}

/// The last CRL of each CA, with the CA's key identifier.
fn crls(
    account: &Account,
    generations: &Generations,
) -> Result<Vec<(String, RecoveredCrl)>, StartFailure> {
    let mut crls = Vec::new();
    for generation in generations.all() {
        let Some(crl) = account.crl(&generation.ca.id) else {
            continue;
        };
        let entries = crl.listed.into_iter().map(|listed| {
            Ok(RevokedEntry {
                serial: listed.serial,
                revoked_at: listed.date,
                reason: CrlReason::try_from(listed.reason.code())?,
            })
        });
        let recovered = RecoveredCrl {
            ca_id: generation.ca.id.clone(),
            number: crl.last.number,
            this_update: crl.last.this_update,
            listed: entries.collect::<Result<_, assay_store::BadReason>>()?,
            released: crl.released,
        };
        crls.push((generation.ca.key_id.clone(), recovered));
    }
    Ok(crls)
}

/// The members that records of a recovery share.
struct Records {
    statement_sha256: Hash,
    people: Vec<String>,
    crls: Vec<CrlRecord>,
    said: RecoveryStatement,
    generations: Generations,
}

impl Records {
    fn event(&self, step: RecoveryStep<'_>) -> Event {
        match step {
            RecoveryStep::Recovered(counts) => self.recovered(counts),
            RecoveryStep::Certificate(certificate) => Event::CertificateRecovered {
                serial: certificate.serial.to_string().into(),
                subject: certificate.subject.as_str().into(),
                not_after: certificate.not_after,
                tbs_digest: certificate.tbs_digest,
                certificate_sha256: certificate.der.as_deref().map(Hash::of),
            },
            RecoveryStep::Status(serial, revoked) => Event::StatusRecovered {
                serial: serial.to_string().into(),
                revoked_at: revoked.map(|(at, _)| at),
                reason: revoked.map(|(_, reason)| reason.as_str().into()),
            },
            RecoveryStep::Ended(intent, may_be_signed) => self.ended(intent, may_be_signed),
        }
    }

    fn recovered(&self, counts: RecoveryCounts) -> Event {
        let RecoveryCounts {
            certificates,
            statuses,
            intents,
            challenges,
            requests,
            names,
            stops: _,
        } = counts;
        let said = &self.said;
        Event::StateRecovered {
            statement_sha256: self.statement_sha256,
            journal: said.journal,
            log_size: said.log_size,
            log_root: said.log_root,
            restored_size: said.restored_size,
            restored_root: said.restored_root,
            policy_floor: said.policy_floor,
            approvers: self.people.iter().map(|it| it.as_str().into()).collect(),
            crls: self.crls.clone(),
            certificates,
            statuses,
            intents,
            challenges,
            requests,
            names,
        }
    }

    fn ended(&self, intent: &OpenIntent, may_be_signed: bool) -> Event {
        let generation = self.generations.of(&intent.transaction.ca_id);
        let generation = generation.unwrap_or(self.generations.first());
        Event::IntentAbandoned {
            issuance: issuance(generation, intent),
            request: intent.request.clone(),
            listed_until: may_be_signed.then_some(intent.not_after),
            detail:
                "the state was recovered from a backup, and the journal has no certificate of it"
                    .into(),
        }
    }
}
