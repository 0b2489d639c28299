use assay_audit::Draft;
use assay_types::{Serial, Timestamp};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Row, ToSql, params};

use crate::page::{before, page};
use crate::sql::{Connection, Texts, text_column};
use crate::{Page, Span, Store, StoreError, audit};

/// How often a challenge may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// For one certificate.
    OneTime,
    /// Once for each name of its profile's inventory.
    Static,
}

text_column!(ChallengeKind { OneTime = "one-time", Static = "static" });

/// Whether a challenge can still be used; expiry is apart, as it comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeState {
    /// Usable until it expires.
    Open,
    /// Kept for a request that waits for an operator.
    Reserved,
    /// Its one use is taken.
    Spent,
    /// Taken back by an operator.
    Revoked,
}

text_column!(ChallengeState {
    Open = "open",
    Reserved = "reserved",
    Spent = "spent",
    Revoked = "revoked",
});

/// The state of a challenge at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeStatus {
    /// Usable.
    Open,
    /// Kept for a request that waits for an operator.
    Reserved,
    /// Its one use is taken.
    Spent,
    /// Taken back by an operator.
    Revoked,
    /// Was open when its time ended.
    Expired,
}

text_column!(ChallengeStatus {
    Open = "open",
    Reserved = "reserved",
    Spent = "spent",
    Revoked = "revoked",
    Expired = "expired",
});

/// Which challenges are listed. What is not set filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChallengeQuery {
    /// The profile it is for.
    pub profile: Option<String>,
    /// Its status at `now`.
    pub status: Option<ChallengeStatus>,
    /// RFC 4514 text of the subject that it allows.
    pub subject: Option<String>,
    /// One of the subject alternative names that it allows.
    pub san: Option<String>,
    /// The certificate that it was spent on.
    pub serial: Option<Serial>,
    /// The SCEP transaction that it was spent in, or that reserves it.
    pub transaction_id: Option<String>,
    /// When it was issued.
    pub issued: Span,
    /// The present time.
    pub now: Timestamp,
    /// Only those before this position.
    pub before: Option<u64>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

/// HMAC-SHA-256 of a challenge's secret. Its key lies outside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedHash([u8; 32]);

impl From<[u8; 32]> for KeyedHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl ToSql for KeyedHash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

/// A challenge to be kept: never the secret, only a keyed hash to find it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChallenge {
    /// Public id, unique.
    pub id: String,
    /// Keyed hash of the secret, unique.
    pub lookup: KeyedHash,
    /// How often it may be used.
    pub kind: ChallengeKind,
    /// The one profile it is for.
    pub profile: String,
    /// RFC 4514 text, for people; empty for a static challenge.
    pub subject: String,
    /// The subject alternative names that it allows, typed texts.
    pub sans: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires; required for a one-time challenge.
    pub expires_at: Option<Timestamp>,
    /// Identity of the operator.
    pub issued_by: String,
}

/// A challenge as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeRow {
    /// Public id.
    pub id: String,
    /// How often it may be used.
    pub kind: ChallengeKind,
    /// The one profile it is for.
    pub profile: String,
    /// RFC 4514 text.
    pub subject: String,
    /// The subject alternative names that it allows.
    pub sans: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Identity of the operator.
    pub issued_by: String,
    /// Whether it can still be used.
    pub state: ChallengeState,
    /// The certificate that it was spent on.
    pub serial: Option<Serial>,
    /// The waiting request that it is kept for.
    pub pending_id: Option<String>,
}

/// The outcome of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Now revoked.
    Revoked,
    /// It was in this state already and stays so.
    Unchanged(ChallengeState),
    /// No challenge has this id.
    Unknown,
}

impl Store {
    /// Keeps all of `challenges` or none; returns the sequence number of the last record.
    ///
    /// # Errors
    /// Also where an id or a lookup hash is taken.
    pub async fn insert_challenges(
        &self,
        challenges: Vec<NewChallenge>,
        audit: Vec<Draft>,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| {
            for challenge in &challenges {
                insert(connection, challenge)?;
            }
            audit::append(connection, audit)
        })
        .await
    }

    /// A page of the challenges, newest first. A filter by profile goes by an index.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_challenges(
        &self,
        query: ChallengeQuery,
    ) -> Result<Page<ChallengeRow>, StoreError> {
        self.read(move |connection| {
            let ChallengeQuery {
                profile,
                status,
                subject,
                san,
                serial,
                transaction_id,
                issued: Span { from, to },
                now,
                before: end,
                rows,
            } = query;
            let of_profile = if profile.is_some() { "profile = ?1" } else { "?1 IS NULL" };
            let sql = format!(
                "SELECT *,
                     (?2 IS NULL OR iif(state = 'open' AND coalesce(expires_at <= ?8, false), 'expired', state) = ?2)
                     AND (?3 IS NULL OR subject = ?3)
                     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM main.json_each(sans) WHERE value = ?4))
                     AND (?5 IS NULL OR coalesce(serial = ?5, false))
                     AND (?6 IS NULL OR issued_at >= ?6) AND (?7 IS NULL OR issued_at < ?7)
                     AND (?10 IS NULL
                          OR EXISTS (SELECT 1 FROM certificates c WHERE c.serial = challenges.serial AND c.transaction_id = ?10)
                          OR EXISTS (SELECT 1 FROM pending p WHERE p.id = challenges.pending_id AND p.transaction_id = ?10)) AS hit
                 FROM challenges WHERE {of_profile} AND position < ?9 ORDER BY position DESC"
            );
            let end = before(end);
            let params = params![
                profile, status, subject, san, serial, from, to, now, end, transaction_id
            ];
            let cursor = |row: &Row<'_>| Ok(row.get::<_, i64>("position")?.cast_unsigned());
            page(connection, &sql, params, rows, cursor, read)
        })
        .await
    }

    /// Takes an open challenge back. `audit` is appended only if that happened.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn revoke_challenge(
        &self,
        id: String,
        audit: Vec<Draft>,
    ) -> Result<Revocation, StoreError> {
        self.write(move |connection| {
            let revoked = connection.change(
                "UPDATE challenges SET state = 'revoked' WHERE id = ?1 AND state = 'open'",
                params![id],
            )?;
            if revoked == 1 {
                audit::append(connection, audit)?;
                return Ok(Revocation::Revoked);
            }
            let found = find_by_id(connection, &id)?;
            Ok(found.map_or(Revocation::Unknown, |row| Revocation::Unchanged(row.state)))
        })
        .await
    }
}

impl ChallengeRow {
    /// State and expiry in one, at `now`.
    pub fn status(&self, now: Timestamp) -> ChallengeStatus {
        match self.state {
            ChallengeState::Open if self.expires_at.is_some_and(|end| end <= now) => {
                ChallengeStatus::Expired
            }
            ChallengeState::Open => ChallengeStatus::Open,
            ChallengeState::Reserved => ChallengeStatus::Reserved,
            ChallengeState::Spent => ChallengeStatus::Spent,
            ChallengeState::Revoked => ChallengeStatus::Revoked,
        }
    }
}

fn insert(connection: &Connection, challenge: &NewChallenge) -> Result<(), StoreError> {
    connection.change(
        "INSERT INTO challenges (id, lookup, kind, profile, subject, sans,
                                 issued_at, expires_at, issued_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            challenge.id,
            challenge.lookup,
            challenge.kind,
            challenge.profile,
            challenge.subject,
            serde_json::to_string(&challenge.sans)?,
            challenge.issued_at,
            challenge.expires_at,
            challenge.issued_by,
        ],
    )?;
    Ok(())
}

pub(crate) fn find_by_lookup(
    connection: &Connection,
    lookup: &KeyedHash,
) -> Result<Option<ChallengeRow>, StoreError> {
    connection.find("SELECT * FROM challenges WHERE lookup = ?1", [lookup], read)
}

pub(crate) fn find_by_id(
    connection: &Connection,
    id: &str,
) -> Result<Option<ChallengeRow>, StoreError> {
    connection.find("SELECT * FROM challenges WHERE id = ?1", [id], read)
}

/// Spends a one-time challenge; `false` if it cannot be spent any more.
pub(crate) fn spend(
    connection: &Connection,
    id: &str,
    serial: &Serial,
    now: Timestamp,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE challenges SET state = 'spent', serial = ?2
         WHERE id = ?1 AND kind = 'one-time' AND state = 'open' AND expires_at > ?3",
        params![id, serial, now],
    )
}

/// Gives a challenge back that was spent on `serial`, once in its life.
pub(crate) fn free(connection: &Connection, serial: &Serial, id: &str) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE challenges SET state = 'open', serial = NULL, freed = 1
         WHERE id = ?1 AND serial = ?2 AND state = 'spent' AND freed = 0",
        params![id, serial],
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChallengeRow> {
    Ok(ChallengeRow {
        id: row.get("id")?,
        kind: row.get("kind")?,
        profile: row.get("profile")?,
        subject: row.get("subject")?,
        sans: row.get::<_, Texts>("sans")?.0,
        issued_at: row.get("issued_at")?,
        expires_at: row.get("expires_at")?,
        issued_by: row.get("issued_by")?,
        state: row.get("state")?,
        serial: row.get("serial")?,
        pending_id: row.get("pending_id")?,
    })
}
