//! The state outlives the process as a chain of commits in the file: each has the statements that changed the state, with their
//! values, and a tag over itself and all before it. A start runs those after the newest snapshot again.
//!
//! The tag is HMAC-SHA-256 under a key that is not in the file. So a program that can write the file can take commits from its end,
//! and nothing else; that commits are gone from the end shows by the head of the log, which the HSM service keeps.

use std::collections::HashMap;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use rusqlite::{OptionalExtension, params, params_from_iter};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::snapshot::{self, Header};
use crate::sql::{COMMIT, Change, Connection, Value};
use crate::{OpenFault, StoreError};

/// The secret under which a state file is authenticated: 32 bytes that are not in the file.
pub struct StateKey(Zeroizing<[u8; 32]>);

impl From<Zeroizing<[u8; 32]>> for StateKey {
    fn from(octets: Zeroizing<[u8; 32]>) -> Self {
        Self(octets)
    }
}

/// The subject of the tags of this version.
const PURPOSE: &[u8] = b"assay state commits 1";

/// Commits that one transaction of a start runs: what it changes is in memory twice meanwhile.
const COMMITS_AT_ONCE: u64 = 1000;

pub(crate) type Tag = [u8; 32];

/// The end of the chain.
pub(crate) struct Chain {
    key: PKey<Private>,
    /// Of the last commit; 0 before the first.
    number: u64,
    tag: Tag,
    /// The commit that the newest snapshot was taken after.
    snapshot: u64,
    /// By their text; the first commit that runs one defines it.
    statements: HashMap<String, u32>,
}

/// A commit that is not on disk yet.
#[must_use]
pub(crate) struct Sealed {
    number: u64,
    content: Vec<u8>,
    tag: Tag,
    defined: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// Statements that no earlier commit has, numbered on from theirs.
    defined: Vec<String>,
    changes: Vec<Run>,
}

#[derive(Serialize, Deserialize)]
struct Run {
    statement: u32,
    values: Vec<Value>,
    rows: u64,
}

impl Chain {
    /// The chain before its first commit.
    pub(crate) fn new(key: &StateKey) -> Result<Self, ErrorStack> {
        let key = PKey::hmac(key.0.as_slice())?;
        Ok(Self {
            tag: hmac(&key, &[PURPOSE])?,
            key,
            number: 0,
            snapshot: 0,
            statements: HashMap::new(),
        })
    }

    /// Writes the first row of a new file, whose tag tells under which key the file is.
    pub(crate) fn begin(&self, file: &rusqlite::Connection) -> rusqlite::Result<()> {
        let insert = "INSERT INTO commits (number, content, tag) VALUES (0, x'', ?1)";
        file.execute(insert, [self.tag]).map(drop)
    }

    /// Rebuilds the state, which has to be empty, from the newest snapshot of the file and the commits after it.
    pub(crate) fn replay(&mut self, connection: &mut Connection) -> Result<(), OpenFault> {
        let first = "SELECT tag FROM file.commits WHERE number = 0";
        let first: Option<Tag> = connection
            .query_row(first, [], |row| row.get(0))
            .optional()?;
        if first.is_none_or(|first| !memcmp::eq(&first, &self.tag)) {
            return Err(OpenFault::OtherKey);
        }
        let mut statements = Vec::new();
        if let Some(snapshot) = snapshot::restore(connection, &self.key)? {
            (self.number, self.tag) = (snapshot.number, snapshot.tag);
            statements = snapshot.statements;
        }
        self.snapshot = self.number;
        let mut next = connection.prepare(
            "SELECT number, content, tag FROM file.commits WHERE number > ?1 ORDER BY number",
        )?;
        let mut rows = next.query([self.number.cast_signed()])?;
        // Deferred: it only reads the file, which a signer may have open.
        connection.control("BEGIN")?;
        while let Some(row) = rows.next()? {
            let number = self.number + 1;
            if row.get::<_, i64>(0)?.cast_unsigned() != number {
                return Err(OpenFault::CommitMissing(number));
            }
            let content = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let tag = self.next_tag(content)?;
            if !memcmp::eq(&row.get::<_, Tag>(2)?, &tag) {
                return Err(OpenFault::CommitAltered(number));
            }
            // From here on it is what this program wrote.
            run(connection, &mut statements, content, number)?;
            (self.number, self.tag) = (number, tag);
            if number.is_multiple_of(COMMITS_AT_ONCE) {
                connection.control(COMMIT)?;
                connection.control("BEGIN")?;
            }
        }
        connection.control(COMMIT)?;
        self.statements = (0..).zip(statements).map(|(at, sql)| (sql, at)).collect();
        Ok(())
    }

    /// The next commit, of these changes; `None` where there are none.
    pub(crate) fn seal(&self, changes: Vec<Change>) -> Result<Option<Sealed>, StoreError> {
        if changes.is_empty() {
            return Ok(None);
        }
        let mut defined = Vec::new();
        let runs = changes.into_iter().map(|change| Run {
            statement: self.statement(change.sql, &mut defined),
            values: change.values,
            rows: change.rows,
        });
        let changes = runs.collect();
        let content = Content { defined, changes };
        let octets = postcard::to_allocvec(&content).map_err(|_| StoreError::Commit)?;
        Ok(Some(Sealed {
            number: self.number + 1,
            tag: self.next_tag(&octets).map_err(|_| StoreError::Commit)?,
            content: octets,
            defined: content.defined,
        }))
    }

    /// The number of a statement, which is defined if it has none yet.
    fn statement(&self, sql: String, defined: &mut Vec<String>) -> u32 {
        let number = |known: usize| u32::try_from(known).unwrap_or(u32::MAX);
        if let Some(known) = self.statements.get(&sql) {
            return *known;
        }
        let at = defined.iter().position(|other| *other == sql);
        let at = at.unwrap_or_else(|| {
            defined.push(sql);
            defined.len() - 1
        });
        number(self.statements.len() + at)
    }

    /// Continues after a commit that is on disk.
    pub(crate) fn advance(&mut self, sealed: Sealed) {
        (self.number, self.tag) = (sealed.number, sealed.tag);
        for sql in sealed.defined {
            let number = u32::try_from(self.statements.len()).unwrap_or(u32::MAX);
            self.statements.insert(sql, number);
        }
    }

    /// Takes a snapshot if so many commits came since the last one.
    pub(crate) fn take_snapshot(
        &mut self,
        connection: &mut Connection,
        commits: u64,
    ) -> Result<(), StoreError> {
        if self.number - self.snapshot < commits {
            return Ok(());
        }
        let mut statements: Vec<(&String, &u32)> = self.statements.iter().collect();
        statements.sort_by_key(|(_, number)| **number);
        let header = Header {
            number: self.number,
            tag: self.tag,
            statements: statements.into_iter().map(|(sql, _)| sql.clone()).collect(),
        };
        snapshot::take(connection, &self.key, header)?;
        self.snapshot = self.number;
        Ok(())
    }

    fn next_tag(&self, content: &[u8]) -> Result<Tag, ErrorStack> {
        let number = (self.number + 1).to_be_bytes();
        hmac(&self.key, &[&self.tag, &number, content])
    }
}

impl Sealed {
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        connection.insert_into_file(
            "INSERT INTO file.commits (number, content, tag) VALUES (?1, ?2, ?3)",
            params![self.number.cast_signed(), self.content, self.tag],
        )
    }
}

/// Runs the statements of one commit.
fn run(
    connection: &Connection,
    statements: &mut Vec<String>,
    content: &[u8],
    number: u64,
) -> Result<(), OpenFault> {
    let form = || OpenFault::CommitForm(number);
    let content: Content = postcard::from_bytes(content).map_err(|_| form())?;
    statements.extend(content.defined);
    for run in content.changes {
        let sql = statements.get(run.statement as usize).ok_or_else(form)?;
        let values = params_from_iter(&run.values);
        let changed = connection.prepare_cached(sql)?.execute(values)?;
        if changed as u64 != run.rows {
            return Err(form());
        }
    }
    Ok(())
}

pub(crate) fn hmac(key: &PKey<Private>, parts: &[&[u8]]) -> Result<Tag, ErrorStack> {
    let mut signer = Signer::new(MessageDigest::sha256(), key)?;
    for part in parts {
        signer.update(part)?;
    }
    let mut tag = Tag::default();
    signer.sign(&mut tag)?;
    Ok(tag)
}
