//! The state as a database, for tests and benchmarks: to look at it from outside the process that has it, and to change it in ways
//! that no use of the store would.

use std::path::Path;

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::commits::Chain;
use crate::schema::{self, Names};
use crate::store::memory;
use crate::{OpenError, StateKey, Store, StoreError};

/// The state of a file as it is now, in memory of its own. A signer may have the file open. Changes to it go nowhere.
///
/// # Errors
/// As [`Store::open`], of which this takes no lock.
pub fn peek(path: &Path, key: &StateKey) -> Result<rusqlite::Connection, OpenError> {
    schema::check_path(path)?;
    schema::check_file(path)?;
    let replayed = || {
        let mut chain = Chain::new(key)?;
        let mut connection = schema::open_writer(&Names {
            state: memory("peek"),
            file: schema::on_disk(path)?,
        })?;
        chain.replay(&mut connection)?;
        Ok(connection.into_inner())
    };
    replayed().map_err(|source| OpenError::State {
        path: path.to_owned(),
        source,
    })
}

/// All rows of all tables of a state, as text.
///
/// # Errors
/// Where it cannot be read.
pub fn dump(state: &rusqlite::Connection) -> rusqlite::Result<String> {
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut tables = state.prepare(tables)?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
    let mut text = String::new();
    for table in tables {
        let table = table?;
        let keys =
            format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk");
        let mut keys = state.prepare(&keys)?;
        let keys = keys.query_map([], |row| row.get::<_, String>(0))?;
        let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
        let order = keys.join(", ");
        let mut rows = state.prepare(&format!("SELECT * FROM main.{table} ORDER BY {order}"))?;
        let columns = rows.column_count();
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            text.push_str(&table);
            for column in 0..columns {
                text.push_str(&format!(" {:?}", row.get::<_, Value>(column)?));
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// A table of the state or of the file.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its stored columns, in their order.
    pub columns: Vec<String>,
    /// Whether it is in the file.
    pub in_file: bool,
}

fn tables(state: &rusqlite::Connection) -> rusqlite::Result<Vec<Table>> {
    let tables = "SELECT name, FALSE FROM main.sqlite_schema WHERE type = 'table'
                  UNION ALL SELECT name, TRUE FROM file.sqlite_schema WHERE type = 'table'";
    let mut statement = state.prepare(tables)?;
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut found = Vec::new();
    for table in tables {
        let (name, in_file): (String, bool) = table?;
        let schema = if in_file { "file" } else { "main" };
        let mut columns = state.prepare("SELECT name FROM pragma_table_info(?1, ?2)")?;
        let columns = columns.query_map([name.as_str(), schema], |row| row.get(0))?;
        found.push(Table {
            columns: columns.collect::<Result<_, _>>()?,
            name,
            in_file,
        });
    }
    Ok(found)
}

impl Store {
    /// All tables of the state and of the file.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn tables(&self) -> Result<Vec<Table>, StoreError> {
        self.read(|connection| Ok(tables(connection)?)).await
    }

    /// As [`dump`], of the state that this process has.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn dump(&self) -> Result<String, StoreError> {
        self.read(|connection| Ok(dump(connection)?)).await
    }

    /// Runs a statement on the state, as the store's own methods do.
    ///
    /// # Errors
    /// Where it fails.
    pub async fn alter(&self, sql: String, values: Vec<Value>) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let values: Vec<&dyn rusqlite::ToSql> = values
                .iter()
                .map(|value| value as &dyn rusqlite::ToSql)
                .collect();
            connection.change(&sql, &values)
        })
        .await
    }

    /// From here on every change fails, as on a file system that became read-only; or none does any more.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.trouble().set_read_only(is_read_only);
    }

    /// Runs a statement on the tables of the file.
    ///
    /// # Errors
    /// Where it fails.
    pub async fn alter_file(&self, sql: String, values: Vec<Value>) -> Result<usize, StoreError> {
        self.write(move |connection| connection.write_file(&sql, params_from_iter(values)))
            .await
    }
}
