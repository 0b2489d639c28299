//! CRLs: signed in the token, full, numbered; at once on a revocation, and by schedule so that one is always fresh.

mod list;
mod shared;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use assay_audit::Event;
use assay_hsm::{OperationError, Token};
use assay_runtime::ops::Readiness;
use assay_store::{CrlOutcome, CrlReason, CrlRow, NewCrl, RevokedList, Store, StoreError};
use assay_types::{CRL_ENTRIES_WARNING, Hash, MAX_CRL_ENTRIES, Timestamp};
use x509_cert::ext::pkix::CrlReason as X509Reason;

use crate::clock::ClockJumped;
use crate::generation::Place;
use crate::issuing_ca::{AssembleError, IssuingCa};
use crate::metrics;
use crate::recorder::Recorder;
use crate::settings::CrlConfig;
use list::{Edition, Tbs};
use shared::Shared;

/// The names of this part in `/readyz`.
const COMPONENTS: [&str; 2] = ["crl", "next-crl"];
/// The signer is not ready while a change is on no list for so long.
const UNPUBLISHED: Duration = Duration::from_secs(60);
/// The request id of a CRL's token operation.
const REQUEST_ID: &str = "crl";

/// Makes the CA's CRLs and holds the latest.
pub(crate) struct Revocation {
    token: Arc<dyn Token>,
    store: Store,
    ca: Arc<IssuingCa>,
    place: Place,
    recorder: Arc<Recorder>,
    schedule: CrlConfig,
    latest: RwLock<Option<Arc<CrlRow>>>,
    /// Entries of the latest list.
    entries: AtomicU64,
    /// One list is made at a time: each takes the next number.
    issuing: Shared<Result<u64, Arc<CrlError>>>,
    /// Since when a change is on no list yet; `None` if all are.
    wanted: Mutex<Option<Timestamp>>,
}

/// Why there is no new CRL. The old one stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrlError {
    #[error("the store gave no entries, or does not keep the list")]
    Store(#[from] StoreError),
    #[error("the list cannot be encoded")]
    Encoding(#[from] der::Error),
    #[error("the list was not signed")]
    Sign(#[from] OperationError),
    #[error("the list was signed and thrown away")]
    Assemble(#[from] AssembleError),
    #[error("another list took number {0}")]
    Outrun(u64),
    #[error("no list is signed")]
    Clock(#[from] ClockJumped),
}

impl Revocation {
    pub(crate) async fn load(
        token: Arc<dyn Token>,
        store: Store,
        ca: Arc<IssuingCa>,
        place: Place,
        recorder: Arc<Recorder>,
        schedule: CrlConfig,
    ) -> Result<Self, StoreError> {
        let latest = store.latest_crl(ca.id.clone()).await?;
        // What was revoked just before a crash may be on no list yet.
        let listed_until = latest
            .as_ref()
            .map_or(Timestamp::MIN, |latest| latest.this_update);
        let revoked = store.revoked_entries(ca.id.clone(), None).await?;
        let late = revoked.entries.iter();
        let late: Vec<_> = late
            .filter(|entry| entry.revoked_at >= listed_until)
            .collect();
        let wanted = !list::has_all(latest.as_ref().map_or(&[], |latest| &latest.der), &late);
        Ok(Self {
            token,
            store,
            ca,
            place,
            recorder,
            schedule,
            latest: RwLock::new(latest.map(Arc::new)),
            entries: AtomicU64::new(revoked.entries.len() as u64),
            issuing: Shared::new(),
            wanted: Mutex::new(wanted.then_some(listed_until)),
        })
    }

    /// The latest CRL; `None` only until the first is signed.
    pub(crate) fn latest(&self) -> Option<Arc<CrlRow>> {
        self.latest
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks for a new list as soon as one can be signed.
    pub(crate) fn want(&self) {
        let now = self.recorder.timestamp();
        self.wanted().get_or_insert(now);
    }

    /// Whether a change is on no list yet.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted().is_some()
    }

    fn wanted(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a change waits for a list, or the latest one is old enough for a new one.
    pub(crate) fn is_due(&self) -> bool {
        let now = self.recorder.timestamp();
        // One of the future is from before an accepted jump backwards.
        let is_old = |latest: &CrlRow| {
            latest.this_update + self.schedule.refresh <= now || latest.this_update > now
        };
        self.is_wanted() || self.latest().is_none_or(|latest| is_old(&latest))
    }

    /// Says how old the latest list is, and warns where one is overdue.
    pub(crate) fn tell(&self, readiness: &Readiness) {
        let now = self.recorder.timestamp();
        let component = self.place.component(COMPONENTS);
        let wanted = *self.wanted();
        let waits = |since| format!("a revocation or release of {since} is on no CRL yet");
        match wanted {
            Some(since) if now - UNPUBLISHED >= since => {
                readiness.set_cause(component, waits(since));
            }
            Some(_) | None => readiness.clear(component),
        }
        let Some(latest) = self.latest() else {
            return readiness.tell(component, "none yet".to_owned());
        };
        let end = latest.next_update;
        metrics::crl(
            self.place,
            now.seconds_since(latest.this_update),
            end.seconds_since(now),
        );
        readiness.tell(
            component,
            format!(
                "number {}, of {}, until {end}",
                latest.number, latest.this_update
            ),
        );
        // Half of the overlap is gone: what should have been signed again by now was not.
        let overlap = self.schedule.validity.saturating_sub(self.schedule.refresh);
        let late = end < now + overlap / 2;
        let late =
            late.then(|| format!("the latest list ends {end} and no newer one could be signed"));
        readiness.warn(
            component,
            wanted.map(waits).or(late).or_else(|| self.long()),
        );
    }

    /// A warning once a list is so long that there has to be another CA soon.
    fn long(&self) -> Option<String> {
        let entries = self.entries.load(Ordering::Relaxed);
        (entries >= u64::from(CRL_ENTRIES_WARNING)).then(|| {
            format!(
                "the latest list has {entries} entries; at {MAX_CRL_ENTRIES} nothing further can be revoked: issue from a new CA (docs/rollover.md)"
            )
        })
    }

    /// Has a list signed that has everything revoked by now, and returns its number. The calls that wait while a list is
    /// made share the next one, so that many revocations at one time lead to few lists.
    pub(crate) async fn issue(&self, policy_hash: Option<Hash>) -> Result<u64, Arc<CrlError>> {
        let make = async || {
            // Before the entries are read: what is revoked from here on asks again.
            let wanted = self.wanted().take();
            let outcome = self.issue_next(policy_hash).await.map_err(Arc::new);
            if outcome.is_err()
                && let Some(since) = wanted
            {
                *self.wanted() = Some(since);
            }
            outcome
        };
        self.issuing.attempt(make).await
    }

    async fn issue_next(&self, policy_hash: Option<Hash>) -> Result<u64, CrlError> {
        self.recorder.check_clock()?;
        let ca_id = self.ca.id.clone();
        let number = self.store.next_crl_number(ca_id.clone()).await?;
        let this_update = self.recorder.timestamp();
        let keep_since = self.recorder.keep_since(this_update);
        let revoked = self.store.revoked_entries(ca_id.clone(), keep_since);
        let revoked = revoked.await?;
        let next_update = this_update + self.schedule.validity;
        let edition = Edition {
            number,
            this_update: this_update.into(),
            next_update: next_update.into(),
        };
        let RevokedList { entries, covers } = revoked;
        let count = entries.len() as u64;
        let tbs = Tbs::new(&self.ca.issuer, edition, &entries)?;
        // A list of 500,000 entries is in memory once less for each of these.
        drop(entries);
        let signature = self.token.sign_crl(REQUEST_ID, &tbs.der).await?;
        let der = self.ca.assemble(&tbs.der, &signature)?;
        let (tbs_digest, entries_sha256) = (Hash::of(&tbs.der), tbs.entries_sha256);
        drop(tbs);

        let sha256 = Hash::of(&der);
        let event = Event::CrlIssued {
            number,
            crl_sha256: sha256,
            tbs_digest,
            this_update,
            next_update,
            entries: count,
            entries_sha256,
            covers,
            key_id: self.ca.key_id.as_str().into(),
            token_serial: self.token.token_serial().into(),
        };
        let new = NewCrl {
            ca_id,
            number,
            der: der.clone(),
            this_update,
            next_update,
        };
        let draft = self.recorder.draft(policy_hash, event);
        match self.store.insert_crl(new, vec![draft]).await? {
            CrlOutcome::Kept => {}
            CrlOutcome::Outrun { next } => return Err(CrlError::Outrun(next.saturating_sub(1))),
        }
        self.entries.store(count, Ordering::Relaxed);
        tracing::info!(number, entries = count, "CRL issued");
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(CrlRow {
            number,
            der,
            sha256,
            this_update,
            next_update,
        }));
        Ok(number)
    }
}

/// As it is written in an OCSP response.
pub(crate) fn x509_reason(reason: CrlReason) -> X509Reason {
    match reason {
        CrlReason::Unspecified => X509Reason::Unspecified,
        CrlReason::KeyCompromise => X509Reason::KeyCompromise,
        CrlReason::CaCompromise => X509Reason::CaCompromise,
        CrlReason::AffiliationChanged => X509Reason::AffiliationChanged,
        CrlReason::Superseded => X509Reason::Superseded,
        CrlReason::CessationOfOperation => X509Reason::CessationOfOperation,
        CrlReason::CertificateHold => X509Reason::CertificateHold,
        CrlReason::PrivilegeWithdrawn => X509Reason::PrivilegeWithdrawn,
        CrlReason::AaCompromise => X509Reason::AaCompromise,
    }
}
