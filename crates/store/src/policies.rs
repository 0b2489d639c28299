use assay_audit::Draft;
use rusqlite::{Connection, Row, params};

use crate::sql::{MAX_ROWS, Sql, Texts};
use crate::{Store, StoreError, audit};

/// A set of policy files that comes into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPolicy {
    /// SHA-256 over the files.
    pub file_hash: [u8; 32],
    /// SHA-256 over the canonical model.
    pub model_hash: [u8; 32],
    /// Names of its profiles.
    pub profiles: Vec<String>,
    /// Names and contents, byte for byte.
    pub files: Vec<(String, Vec<u8>)>,
    /// Unix seconds.
    pub activated_at: i64,
    /// Identity of the operator.
    pub activated_by: String,
}

/// A version, without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Only rises.
    pub number: u64,
    /// SHA-256 over the files.
    pub file_hash: [u8; 32],
    /// SHA-256 over the canonical model.
    pub model_hash: [u8; 32],
    /// Names of its profiles.
    pub profiles: Vec<String>,
    /// Unix seconds.
    pub activated_at: i64,
    /// Identity of the operator.
    pub activated_by: String,
    /// Whether it is in force.
    pub active: bool,
}

/// A version with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// All but the files.
    pub info: PolicyInfo,
    /// Names and contents, byte for byte, by name.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Store {
    /// Puts a policy in force under the next number. `audit` is called once with that number.
    ///
    /// # Errors
    /// Where it is not on disk; then the policy before stays in force.
    pub async fn activate_policy(
        &self,
        policy: NewPolicy,
        audit: impl FnOnce(u64) -> Draft + Send + 'static,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let number = insert(connection, &policy)?;
            audit::append(connection, vec![audit(number.cast_unsigned())])?;
            Ok(number.cast_unsigned())
        })
        .await
    }

    /// The policy in force; `None` before the first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn active_policy(&self) -> Result<Option<Policy>, StoreError> {
        self.read(|connection| {
            let newest = format!("{LIST} LIMIT 1");
            let Some(info) = connection.find(&newest, [], read)? else {
                return Ok(None);
            };
            let files = connection.list(
                "SELECT name, content FROM policy_files WHERE number = ?1 ORDER BY name",
                [info.number.cast_signed()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok(Some(Policy { info, files }))
        })
        .await
    }

    /// Newest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_policies(&self) -> Result<Vec<PolicyInfo>, StoreError> {
        self.read(|connection| {
            let some = format!("{LIST} LIMIT {MAX_ROWS}");
            connection.list(&some, [], read)
        })
        .await
    }
}

const LIST: &str = "SELECT *, number = (SELECT max(number) FROM policies) AS active
     FROM policies ORDER BY number DESC";

fn insert(connection: &Connection, policy: &NewPolicy) -> Result<i64, StoreError> {
    let number = connection
        .find(
            "INSERT INTO policies (number, file_hash, model_hash, profiles, activated_at,
                                   activated_by)
             SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4, ?5 FROM policies
             RETURNING number",
            params![
                policy.file_hash,
                policy.model_hash,
                serde_json::to_string(&policy.profiles)?,
                policy.activated_at,
                policy.activated_by
            ],
            |row| row.get::<_, i64>(0),
        )?
        .ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    for (name, content) in &policy.files {
        connection.change(
            "INSERT INTO policy_files (number, name, content) VALUES (?1, ?2, ?3)",
            params![number, name, content],
        )?;
    }
    Ok(number)
}

fn read(row: &Row<'_>) -> rusqlite::Result<PolicyInfo> {
    Ok(PolicyInfo {
        number: row.get::<_, i64>("number")?.cast_unsigned(),
        file_hash: row.get("file_hash")?,
        model_hash: row.get("model_hash")?,
        profiles: row.get::<_, Texts>("profiles")?.0,
        activated_at: row.get("activated_at")?,
        activated_by: row.get("activated_by")?,
        active: row.get("active")?,
    })
}
