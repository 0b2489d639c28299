//! The parts that a state restored from a backup lacks, taken from the journal of the HSM service in one transaction.

use assay_audit::Draft;
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::params;

use crate::sql::Connection;
use crate::writer::Verdict;
use crate::{
    CrlReason, OpenIntent, RevokedEntry, Store, StoreError, audit, certificates, intents, policies,
    tree,
};

/// Everything that a recovery brings into the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Records of the restored state.
    pub restored: u64,
    /// Leaf hashes of the records that it lost.
    pub lost: Vec<Hash>,
    /// The text that was signed.
    pub statement: Vec<u8>,
    /// DER CMS of each who signed it.
    pub approvals: Vec<Vec<u8>>,
    /// The number of the next version of the policy is above it.
    pub policy_floor: u64,
    /// Certificates of the journal that the state does not have, or of which it has an open intent.
    pub certificates: Vec<RecoveredCertificate>,
    /// The last CRL of each CA.
    pub crls: Vec<RecoveredCrl>,
    /// A keyed hash by which the present key of challenges is known again.
    pub challenge_check: Hash,
    /// When it happens.
    pub at: Timestamp,
    /// Who stops the profiles.
    pub actor: String,
    /// Why they are stopped.
    pub reason: String,
}

/// A certificate that the HSM service signed, or was asked to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredCertificate {
    /// Its serial.
    pub serial: Serial,
    /// The CA that signed it.
    pub ca_id: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// SHA-256 of its TBSCertificate.
    pub tbs_digest: Hash,
    /// DER; `None` where the journal has no signature of it, so that nobody can know whether there is one.
    pub der: Option<Vec<u8>>,
    /// Values of its subject, any of which may be its name in an inventory.
    pub names: Vec<String>,
}

/// The last CRL of a CA by the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredCrl {
    /// The CA.
    pub ca_id: String,
    /// Its number.
    pub number: u64,
    /// Its thisUpdate.
    pub this_update: Timestamp,
    /// Everything that it lists.
    pub listed: Vec<RevokedEntry>,
    /// Holds that ended since: the serial, and since when it was on hold.
    pub released: Vec<(Serial, Timestamp)>,
}

/// The subject of a record of a recovery.
#[derive(Debug, Clone, Copy)]
pub enum RecoveryStep<'a> {
    /// The recovery itself.
    Recovered(RecoveryCounts),
    /// A certificate was taken up.
    Certificate(&'a RecoveredCertificate),
    /// A certificate is revoked or on hold since a time, or no longer on hold.
    Status(&'a Serial, Option<(Timestamp, CrlReason)>),
    /// An intent was given up; whether the HSM service was asked for its certificate, so that the next CRL lists it.
    Ended(&'a OpenIntent, bool),
}

/// Counts of the changes that a recovery made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoveryCounts {
    /// Certificates taken up.
    pub certificates: u64,
    /// Certificates whose revocation or hold was taken up or ended.
    pub statuses: u64,
    /// Intents that were given up.
    pub intents: u64,
    /// Challenges that were voided.
    pub challenges: u64,
    /// Waiting requests that were closed.
    pub requests: u64,
    /// Names of inventories that count as used from now on.
    pub names: u64,
    /// Profiles that were stopped.
    pub stops: u64,
}

/// The outcome of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoverOutcome {
    /// On disk.
    Recovered(RecoveryCounts),
    /// The state has another number of records; nothing changed.
    OtherState {
        /// So many.
        records: u64,
    },
}

/// A recovery as it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRow {
    /// Sequence number of its record.
    pub sequence: u64,
    /// Records that the backup had; those after it, up to the record of the recovery, are lost.
    pub restored: u64,
    /// The text that was signed.
    pub statement: Vec<u8>,
    /// DER CMS each.
    pub approvals: Vec<Vec<u8>>,
}

impl Store {
    /// Brings the state as far as the journal of the HSM service goes, in one transaction, and stops every profile. `audit` makes
    /// the record of each step.
    ///
    /// # Errors
    /// Where it is not on disk; then nothing has changed.
    pub async fn recover(
        &self,
        recovery: Recovery,
        audit: impl Fn(RecoveryStep<'_>) -> Draft + Send + 'static,
    ) -> Result<RecoverOutcome, StoreError> {
        self.write_if(move |connection| {
            let records = tree::last_leaf(connection)?;
            if records != recovery.restored {
                return Ok(Verdict::Undo(RecoverOutcome::OtherState { records }));
            }
            keep(connection, &recovery)?;
            let mut taken = Taken {
                connection,
                at: recovery.at,
                audit: &audit,
                drafts: Vec::new(),
                counts: RecoveryCounts::default(),
            };
            for certificate in &recovery.certificates {
                taken.certificate(certificate)?;
            }
            taken.intents(&recovery.certificates)?;
            for crl in &recovery.crls {
                taken.crl(crl)?;
            }
            taken.void(&recovery)?;
            let Taken { drafts, counts, .. } = taken;
            let first = audit(RecoveryStep::Recovered(counts));
            audit::append(connection, [vec![first], drafts].concat())?;
            Ok(Verdict::Keep(RecoverOutcome::Recovered(counts)))
        })
        .await
    }

    /// Every recovery of this state, the oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn recoveries(&self) -> Result<Vec<RecoveryRow>, StoreError> {
        self.read(|connection| {
            let rows = connection.list(
                "SELECT sequence, restored, statement FROM recoveries ORDER BY sequence",
                [],
                |row| {
                    Ok(RecoveryRow {
                        sequence: row.get::<_, i64>(0)?.cast_unsigned(),
                        restored: row.get::<_, i64>(1)?.cast_unsigned(),
                        statement: row.get(2)?,
                        approvals: Vec::new(),
                    })
                },
            )?;
            rows.into_iter()
                .map(|row| {
                    let approvals = connection.list(
                        "SELECT signature FROM recovery_approvals WHERE sequence = ?1 ORDER BY position",
                        [row.sequence.cast_signed()],
                        |row| row.get(0),
                    )?;
                    Ok(RecoveryRow { approvals, ..row })
                })
                .collect()
        })
        .await
    }
}

/// Records of which only the hash is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lost(Vec<(u64, u64)>);

impl Lost {
    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let ranges = connection.list(
            "SELECT restored, sequence FROM recoveries ORDER BY sequence",
            [],
            |row| {
                let restored = row.get::<_, i64>(0)?.cast_unsigned();
                Ok((restored, row.get::<_, i64>(1)?.cast_unsigned()))
            },
        )?;
        Ok(Self(ranges))
    }

    /// Whether the record with this sequence number is one of them.
    pub(crate) fn has(&self, sequence: u64) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(restored, recovery)| sequence > *restored && sequence < *recovery)
    }
}

/// The number above which that of the next version of the policy has to be.
pub(crate) fn policy_floor(connection: &Connection) -> Result<u64, StoreError> {
    let floor = connection.find("SELECT max(policy_floor) FROM recoveries", [], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    Ok(floor.flatten().unwrap_or_default().cast_unsigned())
}

/// The lost records, and who vouches for them.
fn keep(connection: &Connection, recovery: &Recovery) -> Result<(), StoreError> {
    let mut last = recovery.restored;
    for leaf in &recovery.lost {
        last += 1;
        tree::add_leaf(connection, last, leaf)?;
    }
    let sequence = (last + 1).cast_signed();
    connection.change(
        "INSERT INTO recoveries (sequence, restored, statement, policy_floor) VALUES (?1, ?2, ?3, ?4)",
        params![
            sequence,
            recovery.restored.cast_signed(),
            recovery.statement,
            recovery.policy_floor.cast_signed()
        ],
    )?;
    for (position, signature) in (0_i64..).zip(&recovery.approvals) {
        connection.change(
            "INSERT INTO recovery_approvals (sequence, position, signature) VALUES (?1, ?2, ?3)",
            params![sequence, position, signature],
        )?;
    }
    Ok(())
}

/// The steps of one recovery, with their records.
struct Taken<'a, F> {
    connection: &'a Connection,
    at: Timestamp,
    audit: &'a F,
    drafts: Vec<Draft>,
    counts: RecoveryCounts,
}

impl<F: Fn(RecoveryStep<'_>) -> Draft> Taken<'_, F> {
    /// Enters a certificate, or ends the intent of it.
    fn certificate(&mut self, certificate: &RecoveredCertificate) -> Result<(), StoreError> {
        let RecoveredCertificate { serial, der, .. } = certificate;
        let connection = self.connection;
        let closed = match der {
            Some(der) => connection.change(
                "UPDATE certificates SET state = 'issued', sha256 = ?3, closed_at = ?4, tbs = NULL, request = NULL
                 WHERE serial = ?1 AND state = 'intent' AND tbs_digest = ?2",
                params![serial, certificate.tbs_digest, Hash::of(der), self.at],
            )?,
            None => 0,
        };
        let known = "SELECT 1 FROM certificates WHERE serial = ?1";
        let new = match connection.find(known, [serial], |_| Ok(()))? {
            None => self.enter(certificate)?,
            Some(()) => closed > 0,
        };
        if !new {
            return Ok(());
        }
        if let Some(der) = der {
            certificates::keep(connection, serial, der)?;
        }
        self.counts.certificates += 1;
        self.drafts
            .push((self.audit)(RecoveryStep::Certificate(certificate)));
        if der.is_none() {
            let revoked = Some((self.at, CrlReason::Unspecified));
            self.status(serial, revoked);
        }
        Ok(())
    }

    fn enter(&self, certificate: &RecoveredCertificate) -> Result<bool, StoreError> {
        let revoked_at = certificate.der.is_none().then_some(self.at);
        self.connection.change_one(
            "INSERT INTO certificates (serial, state, ca_id, subject, sans, not_before, not_after, tbs_digest,
                 created_at, closed_at, sha256, revoked_at)
             VALUES (?1, 'recovered', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10)",
            params![
                certificate.serial,
                certificate.ca_id,
                certificate.subject,
                serde_json::to_string(&certificate.sans)?,
                certificate.not_before,
                certificate.not_after,
                certificate.tbs_digest,
                self.at,
                certificate.der.as_deref().map(Hash::of),
                revoked_at,
            ],
        )
    }

    fn status(&mut self, serial: &Serial, revoked: Option<(Timestamp, CrlReason)>) {
        self.counts.statuses += 1;
        self.drafts
            .push((self.audit)(RecoveryStep::Status(serial, revoked)));
    }

    /// Each certificate that the CRL lists is revoked with its date and reason, and the next number follows its own.
    fn crl(&mut self, crl: &RecoveredCrl) -> Result<(), StoreError> {
        for RevokedEntry {
            serial,
            revoked_at,
            reason,
        } in &crl.listed
        {
            let changed = self.connection.change(
                "UPDATE certificates SET revoked_at = ?3, revocation_reason = ?4, revoke_at = NULL
                 WHERE serial = ?1 AND ca_id = ?2
                     AND (revoked_at IS NOT ?3 OR coalesce(revocation_reason, 0) <> ?4)",
                params![serial, crl.ca_id, revoked_at, reason],
            )?;
            if changed > 0 {
                self.status(serial, Some((*revoked_at, *reason)));
            }
        }
        for (serial, since) in &crl.released {
            let changed = self.connection.change(
                "UPDATE certificates SET revoked_at = NULL, revocation_reason = NULL
                 WHERE serial = ?1 AND ca_id = ?2 AND revoked_at = ?3 AND revocation_reason = ?4
                     AND state IN ('issued', 'recovered')",
                params![serial, crl.ca_id, since, CrlReason::CertificateHold],
            )?;
            if changed > 0 {
                self.status(serial, None);
            }
        }
        self.connection.change(
            "INSERT INTO crl_floors (ca_id, number, this_update) VALUES (?1, ?2, ?3)
             ON CONFLICT (ca_id) DO UPDATE SET number = excluded.number, this_update = excluded.this_update",
            params![crl.ca_id, crl.number.cast_signed(), crl.this_update],
        )?;
        Ok(())
    }

    /// Gives up the intents of which the journal has no certificate. One that the HSM service was asked for may have been signed.
    fn intents(&mut self, asked: &[RecoveredCertificate]) -> Result<(), StoreError> {
        for intent in intents::all_open(self.connection)? {
            let may_be_signed = asked
                .iter()
                .any(|it| it.serial == intent.serial && it.tbs_digest == intent.tbs_digest);
            let draft = (self.audit)(RecoveryStep::Ended(&intent, may_be_signed));
            // The record says the date that the CRL has.
            let at = draft.moment.wall_ms.seconds();
            intents::abandon(self.connection, &intent.serial, at, may_be_signed)?;
            self.counts.intents += 1;
            self.drafts.push(draft);
        }
        Ok(())
    }

    /// Ends everything that somebody could still use and that the lost records may have used up.
    fn void(&mut self, recovery: &Recovery) -> Result<(), StoreError> {
        let connection = self.connection;
        self.counts.requests = connection.change(
            "UPDATE pending SET state = 'expired', decided_at = coalesce(decided_at, ?1)
             WHERE state IN ('waiting', 'approved')",
            params![self.at],
        )? as u64;
        self.counts.challenges = connection.change(
            "UPDATE challenges SET state = 'revoked', pending_id = NULL WHERE state IN ('open', 'reserved')",
            params![],
        )? as u64;
        connection.change(
            "INSERT INTO challenge_key (id, check_value) VALUES (1, ?1)
             ON CONFLICT (id) DO UPDATE SET check_value = excluded.check_value",
            params![recovery.challenge_check],
        )?;
        connection.change(
            "UPDATE inventory SET pending_id = NULL WHERE pending_id IS NOT NULL",
            params![],
        )?;
        let inventories = connection.list("SELECT DISTINCT profile FROM inventory", [], |row| {
            row.get::<_, String>(0)
        })?;
        for certificate in &recovery.certificates {
            for (profile, name) in inventories
                .iter()
                .flat_map(|profile| certificate.names.iter().map(move |name| (profile, name)))
            {
                self.counts.names += connection.change(
                    "UPDATE inventory SET serial = ?3 WHERE profile = ?1 AND name = ?2 AND serial IS NULL",
                    params![profile, name, certificate.serial],
                )? as u64;
            }
        }
        for profile in policies::all_profiles(connection)? {
            self.counts.stops += connection.change(
                "INSERT INTO stops (profile, reason, stopped_at, stopped_by)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![profile, recovery.reason, self.at, recovery.actor],
            )? as u64;
        }
        Ok(())
    }
}
