use assay_audit::Draft;
use assay_types::{Hash, Timestamp};
use rusqlite::{Row, params};

use crate::page::{before, page};
use crate::sql::{Connection, Texts};
use crate::writer::Verdict;
use crate::{Page, Span, Store, StoreError, audit, recovery, stops};

/// A set of policy files that was approved and comes into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPolicy {
    /// As by [`Store::next_policy_number`].
    pub number: u64,
    /// SHA-256 of the proposal of the version in force; `None` before the first.
    pub predecessor: Option<Hash>,
    /// SHA-256 over the files.
    pub file_hash: Hash,
    /// SHA-256 over the canonical model.
    pub model_hash: Hash,
    /// Names of its profiles.
    pub profiles: Vec<String>,
    /// Names and contents, byte for byte.
    pub files: Vec<(String, Vec<u8>)>,
    /// The text that was signed.
    pub proposal: Vec<u8>,
    /// Who wrote it.
    pub author: String,
    /// DER CMS.
    pub author_signature: Vec<u8>,
    /// People whose approvals count.
    pub approvers: Vec<String>,
    /// DER CMS each.
    pub approvals: Vec<Vec<u8>>,
    /// Stopped profiles that issue again, where they were stopped before `not_before`.
    pub resumes: Vec<String>,
    /// When the proposal begins to hold.
    pub not_before: Timestamp,
    /// When it came into force.
    pub activated_at: Timestamp,
    /// Identity of the operator.
    pub activated_by: String,
}

/// The outcome of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivateOutcome {
    /// On disk, and in force.
    Activated,
    /// Another version is in force than the one that it follows; nothing changed.
    NotNext,
}

/// A version, without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Only rises.
    pub number: u64,
    /// SHA-256 over the files.
    pub file_hash: Hash,
    /// SHA-256 over the canonical model.
    pub model_hash: Hash,
    /// Names of its profiles.
    pub profiles: Vec<String>,
    /// The text that was signed.
    pub proposal: Vec<u8>,
    /// Who wrote it.
    pub author: String,
    /// People whose approvals counted.
    pub approvers: Vec<String>,
    /// When it came into force.
    pub activated_at: Timestamp,
    /// Identity of the operator.
    pub activated_by: String,
    /// Whether it is the newest.
    pub active: bool,
}

/// A version with its files and signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// All but the files and the signatures.
    pub info: PolicyInfo,
    /// Names and contents, byte for byte, by name.
    pub files: Vec<(String, Vec<u8>)>,
    /// DER CMS.
    pub author_signature: Vec<u8>,
    /// DER CMS each, in the order in which they came.
    pub approvals: Vec<Vec<u8>>,
}

/// Which versions are listed. What is not set filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyQuery {
    /// Versions that have this profile.
    pub profile: Option<String>,
    /// When the version was activated.
    pub activated: Span,
    /// Only versions before this number.
    pub before: Option<u64>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

impl Store {
    /// Puts a policy in force if it follows the one that is, and lifts the stops that it resumes. `audit` is called once
    /// with the profiles resumed, for the record of it.
    ///
    /// # Errors
    /// Where it is not on disk; then the policy before stays in force.
    pub async fn activate_policy(
        &self,
        policy: NewPolicy,
        audit: impl FnOnce(Vec<String>) -> Draft + Send + 'static,
    ) -> Result<ActivateOutcome, StoreError> {
        self.write_if(move |connection| {
            if !follows(connection, &policy)? {
                return Ok(Verdict::Undo(ActivateOutcome::NotNext));
            }
            insert(connection, &policy)?;
            let resumed = stops::lift(connection, &policy.resumes, policy.not_before)?;
            audit::append(connection, vec![audit(resumed)])?;
            Ok(Verdict::Keep(ActivateOutcome::Activated))
        })
        .await
    }

    /// The newest version; `None` before the first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn active_policy(&self) -> Result<Option<Policy>, StoreError> {
        self.read(|connection| {
            let newest = format!("{LIST} LIMIT 1");
            let info = connection.find(&newest, [], read)?;
            info.map(|info| whole(connection, info)).transpose()
        })
        .await
    }

    /// One version by its number.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn policy(&self, number: u64) -> Result<Option<Policy>, StoreError> {
        self.read(move |connection| {
            let info = connection.find(ONE, [number.cast_signed()], read)?;
            info.map(|info| whole(connection, info)).transpose()
        })
        .await
    }

    /// The newest version of this model hash.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn policy_of_model(&self, model_hash: Hash) -> Result<Option<Policy>, StoreError> {
        const OF_MODEL: &str = "SELECT *, number = (SELECT max(number) FROM policies) AS active
             FROM policies WHERE model_hash = ?1 ORDER BY number DESC LIMIT 1";
        self.read(move |connection| {
            let info = connection.find(OF_MODEL, [model_hash], read)?;
            info.map(|info| whole(connection, info)).transpose()
        })
        .await
    }

    /// A page of the versions, newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_policies(&self, query: PolicyQuery) -> Result<Page<PolicyInfo>, StoreError> {
        const PAGE: &str = "SELECT *, number = (SELECT max(number) FROM policies) AS active,
                 (?1 IS NULL OR EXISTS (SELECT 1 FROM main.json_each(profiles) WHERE value = ?1))
                 AND (?2 IS NULL OR activated_at >= ?2) AND (?3 IS NULL OR activated_at < ?3) AS hit
             FROM policies WHERE number < ?4 ORDER BY number DESC";
        self.read(move |connection| {
            let PolicyQuery {
                profile,
                activated: Span { from, to },
                before: end,
                rows,
            } = query;
            let params = params![profile, from, to, before(end)];
            let cursor = |row: &Row<'_>| Ok(row.get::<_, i64>("number")?.cast_unsigned());
            page(connection, PAGE, params, rows, cursor, read)
        })
        .await
    }

    /// Names of all profiles that any version ever had, in byte order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn profiles_ever(&self) -> Result<Vec<String>, StoreError> {
        self.read(all_profiles).await
    }

    /// The number of the next version: one more than that of the newest, and than each that was ever approved by what a
    /// recovery knows.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn next_policy_number(&self) -> Result<u64, StoreError> {
        self.read(next_number).await
    }

    /// Numbers of the versions up to `last`, in order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn policy_numbers(&self, last: u64) -> Result<Vec<u64>, StoreError> {
        self.read(move |connection| {
            let numbers = "SELECT number FROM policies WHERE number <= ?1 ORDER BY number";
            connection.list(numbers, [last.cast_signed()], |row| {
                Ok(row.get::<_, i64>(0)?.cast_unsigned())
            })
        })
        .await
    }
}

const LIST: &str = "SELECT *, number = (SELECT max(number) FROM policies) AS active
     FROM policies ORDER BY number DESC";

const ONE: &str = "SELECT *, number = (SELECT max(number) FROM policies) AS active
     FROM policies WHERE number = ?1";

/// Names of all profiles that any version ever had, in byte order.
pub(crate) fn all_profiles(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let profiles =
        "SELECT DISTINCT value FROM policies, main.json_each(policies.profiles) ORDER BY value";
    connection.list(profiles, [], |row| row.get(0))
}

fn next_number(connection: &Connection) -> Result<u64, StoreError> {
    let newest = connection.find("SELECT max(number) FROM policies", [], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    let newest = newest.flatten().unwrap_or_default().cast_unsigned();
    Ok(newest
        .max(recovery::policy_floor(connection)?)
        .saturating_add(1))
}

/// Whether the newest version is still the one of this model, where there is any: what was decided under another is not
/// recorded any more.
pub(crate) fn is_newest(connection: &Connection, model_hash: &Hash) -> Result<bool, StoreError> {
    let newest = connection.find(
        "SELECT model_hash FROM policies ORDER BY number DESC LIMIT 1",
        [],
        |row| row.get::<_, Hash>(0),
    )?;
    Ok(newest.is_none_or(|newest| newest == *model_hash))
}

/// The check and the insertion are one transaction: of two versions of the same number the second does not follow.
fn follows(connection: &Connection, policy: &NewPolicy) -> Result<bool, StoreError> {
    let newest = connection.find(&format!("{LIST} LIMIT 1"), [], read)?;
    let hash = |info: &PolicyInfo| Hash::of(&info.proposal);
    Ok(
        policy.number == next_number(connection)?
            && policy.predecessor == newest.as_ref().map(hash),
    )
}

fn insert(connection: &Connection, policy: &NewPolicy) -> Result<(), StoreError> {
    let number = policy.number.cast_signed();
    connection.change(
        "INSERT INTO policies (number, file_hash, model_hash, profiles, activated_at,
                               activated_by, proposal, author, author_signature, approvers)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            number,
            policy.file_hash,
            policy.model_hash,
            serde_json::to_string(&policy.profiles)?,
            policy.activated_at,
            policy.activated_by,
            policy.proposal,
            policy.author,
            policy.author_signature,
            serde_json::to_string(&policy.approvers)?,
        ],
    )?;
    for (name, content) in &policy.files {
        connection.change(
            "INSERT INTO policy_files (number, name, content) VALUES (?1, ?2, ?3)",
            params![number, name, content],
        )?;
    }
    for (position, signature) in (0_i64..).zip(&policy.approvals) {
        connection.change(
            "INSERT INTO policy_approvals (number, position, signature) VALUES (?1, ?2, ?3)",
            params![number, position, signature],
        )?;
    }
    Ok(())
}

fn whole(connection: &Connection, info: PolicyInfo) -> Result<Policy, StoreError> {
    let number = info.number.cast_signed();
    let files = connection.list(
        "SELECT name, content FROM policy_files WHERE number = ?1 ORDER BY name",
        [number],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let author_signature = connection.find(
        "SELECT author_signature FROM policies WHERE number = ?1",
        [number],
        |row| row.get(0),
    )?;
    let approvals = connection.list(
        "SELECT signature FROM policy_approvals WHERE number = ?1 ORDER BY position",
        [number],
        |row| row.get(0),
    )?;
    Ok(Policy {
        info,
        files,
        author_signature: author_signature.unwrap_or_default(),
        approvals,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<PolicyInfo> {
    Ok(PolicyInfo {
        number: row.get::<_, i64>("number")?.cast_unsigned(),
        file_hash: row.get("file_hash")?,
        model_hash: row.get("model_hash")?,
        profiles: row.get::<_, Texts>("profiles")?.0,
        proposal: row.get("proposal")?,
        author: row.get("author")?,
        approvers: row.get::<_, Texts>("approvers")?.0,
        activated_at: row.get("activated_at")?,
        activated_by: row.get("activated_by")?,
        active: row.get("active")?,
    })
}
