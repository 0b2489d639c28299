use assay_types::Hash;
use rusqlite::params;

use crate::writer::Verdict;
use crate::{Store, StoreError};

/// Whether challenges are hashed under the key that they were always hashed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It is the first, or the same.
    Same,
    /// It is another: no challenge would be found.
    Other,
}

impl Store {
    /// Holds the key of challenges, by a keyed hash of a fixed text, to the one that was there first.
    ///
    /// # Errors
    /// Where the store cannot be read, or the first one is not on disk.
    pub async fn hold_challenge_key(&self, check: Hash) -> Result<KeyOutcome, StoreError> {
        self.write_if(move |connection| {
            let known = connection.find("SELECT check_value FROM challenge_key", [], |row| {
                row.get::<_, Hash>(0)
            })?;
            match known {
                Some(known) if known == check => Ok(Verdict::Undo(KeyOutcome::Same)),
                Some(_) => Ok(Verdict::Undo(KeyOutcome::Other)),
                None => {
                    connection.change(
                        "INSERT INTO challenge_key (id, check_value) VALUES (1, ?1)",
                        params![check],
                    )?;
                    Ok(Verdict::Keep(KeyOutcome::Same))
                }
            }
        })
        .await
    }
}
