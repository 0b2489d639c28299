use std::collections::BTreeSet;

use assay_audit::{Draft, InventoryChange};
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::page::page;
use crate::sql::{Connection, text_column};
use crate::{Page, Span, Store, StoreError, audit};

/// A name that the static challenge of a profile may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryItem {
    /// The exact value.
    pub name: String,
    /// Pins the device's key: SHA-256 of its DER SubjectPublicKeyInfo.
    pub spki_sha256: Option<Hash>,
}

/// A name as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// The exact value.
    pub name: String,
    /// SHA-256 of the pinned SubjectPublicKeyInfo.
    pub spki_sha256: Option<Hash>,
    /// What the static challenge was used for; `None` while it may be used.
    pub serial: Option<Serial>,
    /// The waiting request that the name is kept for.
    pub pending_id: Option<String>,
    /// When it was added.
    pub added_at: Timestamp,
    /// Identity of the operator.
    pub added_by: String,
}

/// Whether the static challenge may be used for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryStatus {
    /// It may.
    Unused,
    /// The name is kept for a request that waits for an operator.
    Reserved,
    /// It was.
    Used,
}

text_column!(InventoryStatus {
    Unused = "unused",
    Reserved = "reserved",
    Used = "used",
});

/// Which names are listed. What is not set filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InventoryQuery {
    /// Whose inventory it is.
    pub profile: String,
    /// The name, whole.
    pub name: Option<String>,
    /// Its status.
    pub status: Option<InventoryStatus>,
    /// What the static challenge was used for.
    pub serial: Option<Serial>,
    /// When the name was added.
    pub added: Span,
    /// Only names after this one, in order without regard to case.
    pub after: Option<String>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

impl InventoryRow {
    /// Whether the static challenge may be used for it.
    pub fn status(&self) -> InventoryStatus {
        match (&self.serial, &self.pending_id) {
            (Some(_), _) => InventoryStatus::Used,
            (None, Some(_)) => InventoryStatus::Reserved,
            (None, None) => InventoryStatus::Unused,
        }
    }
}

/// Who changes which inventory, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRequest {
    /// Profile of the inventory.
    pub profile: String,
    /// Identity of the operator.
    pub by: String,
    /// When this happens.
    pub at: Timestamp,
}

/// Names the exact state of an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryHead {
    /// Number of changes so far.
    pub sequence: u64,
    /// Chain of hashes over them.
    pub hash: Hash,
}

/// The head of an inventory that was never changed.
pub const NO_CHANGES: InventoryHead = InventoryHead {
    sequence: 0,
    hash: Hash::ZERO,
};

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Names changed.
    pub changed: u64,
    /// Names that were so already, or that a reset did not find.
    pub unchanged: u64,
    /// The head after it.
    pub head: InventoryHead,
}

/// The outcome of a removal of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// All of them were.
    Removed(Change),
    /// None was, as these are not in the inventory.
    Unknown {
        /// In order without regard to case.
        names: Vec<String>,
    },
    /// None was, as a request that waits or was approved holds one.
    Reserved {
        /// The name.
        name: String,
        /// Of the request.
        pending_id: String,
    },
    /// None was, as a certificate for one is decided and not yet signed.
    BeingIssued {
        /// The name.
        name: String,
        /// Of the certificate.
        serial: Serial,
    },
}

impl Store {
    /// Adds all of `items` that are not there yet. `audit` is called once with the outcome, for the record of it.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn add_inventory(
        &self,
        request: ChangeRequest,
        items: Vec<InventoryItem>,
        audit: impl FnOnce(&Change) -> Draft + Send + 'static,
    ) -> Result<Change, StoreError> {
        self.write(move |connection| {
            let names = items.len();
            let mut added = Vec::with_capacity(names);
            for item in items {
                let new = connection.change(
                    "INSERT INTO inventory (profile, name, spki_sha256, added_at, added_by)
                     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                    params![
                        request.profile,
                        item.name,
                        item.spki_sha256,
                        request.at,
                        request.by
                    ],
                )?;
                if new == 1 {
                    added.push((item.name, item.spki_sha256.map(String::from)));
                }
            }
            let change = chain(connection, &request, InventoryChange::Add, names, &added)?;
            audit::append(connection, vec![audit(&change)])?;
            Ok(change)
        })
        .await
    }

    /// Lets the static challenge be used once more for each of `names`.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn reset_inventory(
        &self,
        request: ChangeRequest,
        names: Vec<String>,
        audit: impl FnOnce(&Change) -> Draft + Send + 'static,
    ) -> Result<Change, StoreError> {
        self.write(move |connection| {
            let asked = names.len();
            let mut reset = Vec::with_capacity(asked);
            for name in names {
                let used = connection.change(
                    "UPDATE inventory SET serial = NULL, freed = 0
                     WHERE profile = ?1 AND name = ?2 AND serial IS NOT NULL",
                    params![request.profile, name],
                )?;
                if used == 1 {
                    reset.push((name, None));
                }
            }
            let change = chain(connection, &request, InventoryChange::Reset, asked, &reset)?;
            audit::append(connection, vec![audit(&change)])?;
            Ok(change)
        })
        .await
    }

    /// Strikes all of `names` off, or none. `audit` is called once if they were.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn remove_inventory(
        &self,
        request: ChangeRequest,
        names: BTreeSet<String>,
        audit: impl FnOnce(&Change) -> Draft + Send + 'static,
    ) -> Result<RemoveOutcome, StoreError> {
        self.write(move |connection| {
            if let Some(kept) = kept(connection, &request.profile, &names)? {
                return Ok(kept);
            }
            for name in &names {
                connection.change(
                    "DELETE FROM inventory WHERE profile = ?1 AND name = ?2",
                    params![request.profile, name],
                )?;
            }
            let asked = names.len();
            let names: Vec<_> = names.into_iter().map(|name| (name, None)).collect();
            let change = chain(connection, &request, InventoryChange::Remove, asked, &names)?;
            audit::append(connection, vec![audit(&change)])?;
            Ok(RemoveOutcome::Removed(change))
        })
        .await
    }

    /// One name of a profile's inventory, found without regard to case.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_inventory(
        &self,
        profile: String,
        name: String,
    ) -> Result<Option<InventoryRow>, StoreError> {
        self.read(move |connection| find(connection, &profile, &name))
            .await
    }

    /// A page of an inventory, in the order of its names without regard to case.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_inventory(
        &self,
        query: InventoryQuery,
    ) -> Result<Page<InventoryRow, String>, StoreError> {
        self.read(move |connection| {
            let InventoryQuery {
                profile,
                name,
                status,
                serial,
                added: Span { from, to },
                after,
                rows,
            } = query;
            let named = if name.is_some() { "name = ?7" } else { "?7 IS NULL" };
            let sql = format!(
                "SELECT *,
                     (?2 IS NULL OR iif(serial IS NOT NULL, 'used', iif(pending_id IS NULL, 'unused', 'reserved')) = ?2)
                     AND (?3 IS NULL OR coalesce(serial = ?3, false))
                     AND (?4 IS NULL OR added_at >= ?4) AND (?5 IS NULL OR added_at < ?5) AS hit
                 FROM inventory WHERE profile = ?1 AND name > ?6 AND {named} ORDER BY name"
            );
            // No name is empty.
            let after = after.unwrap_or_default();
            let params = params![profile, status, serial, from, to, after, name];
            page(connection, &sql, params, rows, |row| row.get("name"), read)
        })
        .await
    }

    /// The head of every inventory that was ever changed, by profile. There are no more of them than there ever were
    /// profiles with an inventory.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn inventory_heads(&self) -> Result<Vec<(String, InventoryHead)>, StoreError> {
        self.read(|connection| {
            connection.list(
                "SELECT profile, max(sequence), hash FROM inventory_changes
                 GROUP BY profile ORDER BY profile",
                [],
                |row| {
                    let sequence = row.get::<_, i64>(1)?.cast_unsigned();
                    let hash = row.get(2)?;
                    Ok((row.get(0)?, InventoryHead { sequence, hash }))
                },
            )
        })
        .await
    }

    /// Whether a profile's inventory ever had this head.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn had_inventory_head(
        &self,
        profile: String,
        hash: Hash,
    ) -> Result<bool, StoreError> {
        self.read(move |connection| {
            let found = connection.find(
                "SELECT 1 FROM inventory_changes WHERE profile = ?1 AND hash = ?2",
                params![profile, hash],
                |_| Ok(()),
            )?;
            Ok(found.is_some())
        })
        .await
    }
}

pub(crate) fn find(
    connection: &Connection,
    profile: &str,
    name: &str,
) -> Result<Option<InventoryRow>, StoreError> {
    connection.find(
        "SELECT * FROM inventory WHERE profile = ?1 AND name = ?2",
        params![profile, name],
        read,
    )
}

/// Why `names` cannot be struck off.
fn kept(
    connection: &Connection,
    profile: &str,
    names: &BTreeSet<String>,
) -> Result<Option<RemoveOutcome>, StoreError> {
    let mut unknown = Vec::new();
    for name in names {
        let Some(row) = find(connection, profile, name)? else {
            unknown.push(name.clone());
            continue;
        };
        let name = name.clone();
        if let Some(pending_id) = row.pending_id {
            return Ok(Some(RemoveOutcome::Reserved { name, pending_id }));
        }
        if let Some(serial) = row.serial {
            let open = connection.find(
                "SELECT 1 FROM certificates WHERE serial = ?1 AND state = 'intent'",
                [&serial],
                |_| Ok(()),
            )?;
            if open.is_some() {
                return Ok(Some(RemoveOutcome::BeingIssued { name, serial }));
            }
        }
    }
    Ok((!unknown.is_empty()).then_some(RemoveOutcome::Unknown { names: unknown }))
}

/// Uses the static challenge up for a name; `false` if it was used before is reserved, or the name is unknown.
pub(crate) fn take(
    connection: &Connection,
    profile: &str,
    name: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE inventory SET serial = ?3
         WHERE profile = ?1 AND name = ?2 AND serial IS NULL AND pending_id IS NULL",
        params![profile, name, serial],
    )
}

/// Gives a name back that was used for `serial`, once until an operator resets it.
pub(crate) fn free(
    connection: &Connection,
    serial: &Serial,
    profile: &str,
    name: &str,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE inventory SET serial = NULL, freed = 1
         WHERE profile = ?1 AND name = ?2 AND serial = ?3 AND freed = 0",
        params![profile, name, serial],
    )
}

fn head(connection: &Connection, profile: &str) -> Result<InventoryHead, StoreError> {
    let last = connection.find(
        "SELECT sequence, hash FROM inventory_changes
         WHERE profile = ?1 ORDER BY sequence DESC LIMIT 1",
        [profile],
        |row| {
            let sequence = row.get::<_, i64>(0)?.cast_unsigned();
            Ok(InventoryHead {
                sequence,
                hash: row.get(1)?,
            })
        },
    )?;
    Ok(last.unwrap_or(NO_CHANGES))
}

/// Links a change to those before it. What changed nothing leaves the head as it was.
fn chain(
    connection: &Connection,
    request: &ChangeRequest,
    operation: InventoryChange,
    asked: usize,
    names: &[(String, Option<String>)],
) -> Result<Change, StoreError> {
    let mut head = head(connection, &request.profile)?;
    if !names.is_empty() {
        let content = serde_json::to_string(&serde_json::json!({
            "at": request.at,
            "by": request.by,
            "names": names,
            "operation": operation,
        }))?;
        let linked = [head.hash.as_bytes().as_slice(), content.as_bytes()].concat();
        head = InventoryHead {
            sequence: head.sequence + 1,
            hash: Hash::of(&linked),
        };
        connection.change(
            "INSERT INTO inventory_changes (profile, sequence, content, hash)
             VALUES (?1, ?2, ?3, ?4)",
            params![
                request.profile,
                head.sequence.cast_signed(),
                content,
                head.hash
            ],
        )?;
    }
    let changed = names.len() as u64;
    Ok(Change {
        changed,
        unchanged: asked as u64 - changed,
        head,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<InventoryRow> {
    Ok(InventoryRow {
        name: row.get("name")?,
        spki_sha256: row.get("spki_sha256")?,
        serial: row.get("serial")?,
        pending_id: row.get("pending_id")?,
        added_at: row.get("added_at")?,
        added_by: row.get("added_by")?,
    })
}
