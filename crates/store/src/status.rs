use crate::{Store, StoreError, tree};

/// How much the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Serials issued, those given up included.
    pub certificates: u64,
    /// Permits without a result yet.
    pub open_intents: u64,
    /// Records in the audit log.
    pub audit_records: u64,
}

impl Store {
    /// Bytes of the state file, free pages included, without its write-ahead log.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn file_bytes(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let bytes = connection.find(
                "SELECT (SELECT page_count FROM pragma_page_count WHERE schema = 'file')
                      * (SELECT page_size FROM pragma_page_size WHERE schema = 'file')",
                [],
                |row| row.get::<_, i64>(0),
            )?;
            Ok(bytes.unwrap_or_default().cast_unsigned())
        })
        .await
    }

    /// Counts that cost the same however much there is.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(|connection| {
            // One statement, so that both numbers are of one moment. Rows are never deleted: the last position is their number.
            let (serials, open) = connection
                .find(
                    "SELECT (SELECT coalesce(max(position), 0) FROM certificates),
                            (SELECT count(*) FROM certificates WHERE state = 'intent')",
                    [],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
                )?
                .unwrap_or_default();
            Ok(Counts {
                certificates: (serials - open).cast_unsigned(),
                open_intents: open.cast_unsigned(),
                audit_records: tree::last_leaf(connection)?,
            })
        })
        .await
    }
}
