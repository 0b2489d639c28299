//! The state as one image, so that a start does not run every commit there ever was.

use std::time::Duration;

use openssl::memcmp;
use openssl::pkey::{PKey, Private};
use rusqlite::backup::Backup;
use rusqlite::{MAIN_DB, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use assay_types::Hash;

use crate::commits::{Tag, hmac};
use crate::sql::{BEGIN, COMMIT, Connection, ROLLBACK};
use crate::{OpenFault, StoreError};

/// The subject of the tags of this version.
const PURPOSE: &[u8] = b"assay state snapshot 1";
/// Bytes of a part.
const PART: usize = 16 << 20;
/// Bytes of the description at most: the statements of this crate are a few hundred KiB.
const MAX_DESCRIPTION: u32 = 4 << 20;
/// Pages that are copied at once.
const PAGES: i32 = 100_000;

/// Where the chain of commits continues.
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) tag: Tag,
    /// The statements that commits have defined, in their order.
    pub(crate) statements: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    number: u64,
    tag: Tag,
    statements: Vec<String>,
    /// SHA-256 and length of the image.
    image: (Tag, u64),
}

/// Brings the state to that of the snapshot; `None` where the file has none.
pub(crate) fn restore(
    connection: &mut Connection,
    key: &PKey<Private>,
) -> Result<Option<Header>, OpenFault> {
    let too_long = connection
        .query_row(
            "SELECT length(content) > ?1 FROM file.snapshots WHERE part = 0",
            [MAX_DESCRIPTION],
            |row| row.get::<_, bool>(0),
        )
        .optional()?;
    if too_long == Some(true) {
        return Err(OpenFault::Snapshot);
    }
    let first = "SELECT content, tag FROM file.snapshots WHERE part = 0";
    let first: Option<(Vec<u8>, Tag)> = connection
        .query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((content, tag)) = first else {
        return Ok(None);
    };
    if !memcmp::eq(&tag, &hmac(key, &[PURPOSE, &content])?) {
        return Err(OpenFault::Snapshot);
    }
    let described: Description = postcard::from_bytes(&content).map_err(|_| OpenFault::Snapshot)?;
    let (digest, length) = described.image;
    // Before it is read: rows that somebody added could be more than there is memory.
    let found: i64 = connection.query_row(
        "SELECT coalesce(sum(length(content)), 0) FROM file.snapshots WHERE part > 0",
        [],
        |row| row.get(0),
    )?;
    if found.cast_unsigned() != length {
        return Err(OpenFault::Snapshot);
    }
    let image = image(connection)?;
    if *Hash::of(&image).as_bytes() != digest || image.len() as u64 != length {
        return Err(OpenFault::Snapshot);
    }
    let mut source = rusqlite::Connection::open_in_memory()?;
    source.deserialize_read_exact(MAIN_DB, image.as_slice(), image.len(), true)?;
    drop(image);
    connection.with_inner(|state| {
        Backup::new(&source, state)?.run_to_completion(PAGES, Duration::ZERO, None)
    })?;
    Ok(Some(Header {
        number: described.number,
        tag: described.tag,
        statements: described.statements,
    }))
}

/// The parts of the image, one after the other.
fn image(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    let mut parts =
        connection.prepare("SELECT content FROM file.snapshots WHERE part > 0 ORDER BY part")?;
    let mut rows = parts.query([])?;
    let mut image = Vec::new();
    while let Some(row) = rows.next()? {
        image.extend_from_slice(row.get_ref(0)?.as_blob()?);
    }
    Ok(image)
}

/// Puts a snapshot of the present state into the file, in place of the last one and of the commits that led to it.
pub(crate) fn take(
    connection: &mut Connection,
    key: &PKey<Private>,
    header: Header,
) -> Result<(), StoreError> {
    let image = connection.with_inner(|state| Ok(state.serialize(MAIN_DB)?.to_vec()))?;
    let described = Description {
        number: header.number,
        tag: header.tag,
        statements: header.statements,
        image: (*Hash::of(&image).as_bytes(), image.len() as u64),
    };
    let content = postcard::to_allocvec(&described).map_err(|_| StoreError::Commit)?;
    let tag = hmac(key, &[PURPOSE, &content]).map_err(|_| StoreError::Commit)?;
    connection.control(BEGIN)?;
    let written = write(connection, &described, &image, (&content, &tag));
    let ended = written.and_then(|()| Ok(connection.control(COMMIT)?));
    if ended.is_err() && !connection.is_autocommit() {
        connection.control(ROLLBACK)?;
    }
    ended
}

fn write(
    connection: &Connection,
    described: &Description,
    image: &[u8],
    (content, tag): (&[u8], &Tag),
) -> Result<(), StoreError> {
    connection.write_file("DELETE FROM file.snapshots", [])?;
    let parts = image.chunks(PART).map(|part| (part, None));
    let parts = [(content, Some(tag))].into_iter().chain(parts);
    for (number, (content, tag)) in (0_i64..).zip(parts) {
        connection.insert_into_file(
            "INSERT INTO file.snapshots (part, content, tag) VALUES (?1, ?2, ?3)",
            params![number, content, tag],
        )?;
    }
    connection.write_file(
        "DELETE FROM file.commits WHERE number BETWEEN 1 AND ?1",
        [described.number.cast_signed()],
    )?;
    Ok(())
}
