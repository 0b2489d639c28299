use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use assay_types::Hash;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Params, Row, ToSql};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::altered;

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// Rows of one answer at most; longer lists are paged.
pub const MAX_ROWS: u32 = 1000;

/// A connection whose statements are compiled once. Its database `main` is the state in memory, `file` is the state file. What
/// changes the state is noted, because the file has to repeat it at the next start.
#[derive(Debug)]
pub(crate) struct Connection {
    sqlite: rusqlite::Connection,
    /// Of the present transaction.
    changes: RefCell<Vec<Change>>,
    /// Version of the file's schema at the start; 0 where there is no file.
    schema: i64,
}

/// A statement that has changed the state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
    /// Rows changed.
    pub(crate) rows: u64,
}

/// A value that a statement was run with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Connection {
    pub(crate) fn new(sqlite: rusqlite::Connection) -> Self {
        let mut connection = Self {
            sqlite,
            changes: RefCell::default(),
            schema: 0,
        };
        connection.schema = connection.schema_version().unwrap_or_default();
        connection
    }

    /// For uses of SQLite's own connection. Their changes of the state are not noted.
    pub(crate) fn with_inner<T>(
        &mut self,
        work: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        work(&mut self.sqlite)
    }

    #[cfg(feature = "inspect")]
    pub(crate) fn into_inner(self) -> rusqlite::Connection {
        self.sqlite
    }

    /// Changes the state; returns how many rows.
    pub(crate) fn change(&self, sql: &str, params: &[&dyn ToSql]) -> Result<usize, StoreError> {
        let rows = self.prepare_cached(sql)?.execute(params)?;
        if rows > 0 {
            let values = params.iter().map(|value| Value::of(*value));
            self.changes.borrow_mut().push(Change {
                sql: sql.to_owned(),
                values: values.collect::<Result<_, _>>()?,
                rows: rows as u64,
            });
        }
        Ok(rows)
    }

    /// Changes the state; whether the one row that was meant was changed.
    pub(crate) fn change_one(&self, sql: &str, params: &[&dyn ToSql]) -> Result<bool, StoreError> {
        Ok(self.change(sql, params)? == 1)
    }

    /// Adds one row to a table of the file, or puts it in the place of one with its key.
    pub(crate) fn insert_into_file(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<(), StoreError> {
        match self.write_file(sql, params)? {
            1 => Ok(()),
            _ => Err(StoreError::Altered("a row that was to be added".to_owned())),
        }
    }

    /// Refuses a file whose tables, triggers or views are not those of the start any more.
    pub(crate) fn check_schema(&self) -> Result<(), StoreError> {
        match self.schema_version()? == self.schema {
            true => Ok(()),
            false => Err(StoreError::Altered("its schema".to_owned())),
        }
    }

    /// SQLite counts the changes of a schema.
    fn schema_version(&self) -> rusqlite::Result<i64> {
        let mut version = self.sqlite.prepare_cached("PRAGMA file.schema_version")?;
        version.query_row([], |row| row.get(0))
    }

    /// Changes a table of the file, whose rows are checked by what the state says of them; returns how many rows.
    pub(crate) fn write_file(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.prepare_cached(sql)?.execute(params)?)
    }

    pub(crate) fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self
            .prepare_cached(sql)?
            .query_row(params, read)
            .optional()?)
    }

    pub(crate) fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Begins, ends or undoes a transaction.
    pub(crate) fn control(&self, sql: &str) -> rusqlite::Result<()> {
        self.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// How many changes of the present transaction are noted.
    pub(crate) fn noted(&self) -> usize {
        self.changes.borrow().len()
    }

    /// Forgets the changes after the first `noted`, which were undone.
    pub(crate) fn forget(&self, noted: usize) {
        self.changes.borrow_mut().truncate(noted);
    }

    /// The changes of the present transaction, which are not noted any more.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        self.changes.take()
    }
}

impl Deref for Connection {
    type Target = rusqlite::Connection;

    fn deref(&self) -> &rusqlite::Connection {
        &self.sqlite
    }
}

impl Value {
    fn of(value: &dyn ToSql) -> rusqlite::Result<Self> {
        let output = value.to_sql()?;
        let value = match &output {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => value.into(),
            _ => return Err(rusqlite::Error::InvalidQuery),
        };
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Text(_) => Self::Text(value.as_str()?.to_owned()),
            ValueRef::Blob(value) => Self::Blob(value.to_owned()),
            // No column is of this type.
            ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// `LIMIT` for what a caller asked; 0 asks for as many as there may be. More is an error, as a list that is cut without a
/// word reads as a whole one.
pub(crate) fn limit(asked: u32) -> Result<u32, StoreError> {
    match asked {
        0 => Ok(MAX_ROWS),
        1..=MAX_ROWS => Ok(asked),
        asked => Err(StoreError::TooManyRows { asked }),
    }
}

/// The content that the file has for a digest of the state. The error names it as `what`.
pub(crate) fn content(
    what: impl fmt::Display,
    digest: Option<Hash>,
    found: Option<Vec<u8>>,
) -> rusqlite::Result<Option<Vec<u8>>> {
    match (digest, found) {
        (None, _) => Ok(None),
        (Some(digest), Some(found)) if Hash::of(&found) == digest => Ok(Some(found)),
        (Some(_), _) => Err(altered(what.to_string())),
    }
}

/// A duration as its column holds it, in seconds.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Reads what [`seconds`] made.
pub(crate) fn duration(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Duration>> {
    let seconds = row.get::<_, Option<i64>>(column)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
}

/// A value that serde reads from one column.
pub(crate) struct Json<T>(pub(crate) T);

/// A list of texts in one column.
pub(crate) type Texts = Json<Vec<String>>;

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// An enum of this crate as the text that the schema's CHECKs name.
macro_rules! text_column {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            /// As it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl rusqlite::types::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(
                value: rusqlite::types::ValueRef<'_>,
            ) -> rusqlite::types::FromSqlResult<Self> {
                match value.as_str()? {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(rusqlite::types::FromSqlError::InvalidType),
                }
            }
        }
    };
}
pub(crate) use text_column;
