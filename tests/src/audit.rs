//! Audit records as a reader of the log sees them: JSON, with a kind.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::installation::Installation;
use crate::operator::Operator;
use crate::wait;

/// The kinds that end a request; each request that the signer admitted has exactly one of them.
const TERMINAL: [&str; 5] = [
    "request.issued",
    "request.replayed",
    "request.refused",
    "request.malformed",
    "request.deferred",
];

impl Installation {
    /// Waits until every record that there is now is under a checkpoint.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn under_checkpoint(&self) -> Result<()> {
        let mut operator = Operator::connect(&self.ready().dir).await?;
        let records = operator.audit(0).await?.len();
        wait::until(
            "a checkpoint over all records",
            wait::REACTION,
            async || {
                let note = self.assay(&["audit", "checkpoint"]).await?;
                let size = note.text().lines().nth(1).map(str::parse::<usize>);
                Ok(matches!(size, Some(Ok(size)) if size >= records).then_some(()))
            },
        )
        .await
    }
}

/// One record.
#[derive(Clone, Debug)]
pub struct Record(Value);

impl Record {
    /// Reads the canonical JSON of a record.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub fn parse(json: &str) -> Result<Self> {
        Ok(Self(
            serde_json::from_str(json).with_context(|| json.to_owned())?,
        ))
    }

    /// Position in the log.
    pub fn sequence(&self) -> u64 {
        self.0
            .get("sequence")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// What the record tells of.
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    /// A member that is a string; empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A member that is a list of strings; empty when there is none.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// A member that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// A member that is yes or no; no when there is none.
    pub fn is(&self, name: &str) -> bool {
        self.0
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// Whether it ends a request.
    pub fn is_terminal(&self) -> bool {
        TERMINAL.contains(&self.kind())
    }
}

/// The terminal records among `records`.
pub fn terminal(records: &[Record]) -> Vec<&Record> {
    records
        .iter()
        .filter(|record| record.is_terminal())
        .collect()
}
