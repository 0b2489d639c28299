//! The closed schema of a proposal: every key is asked for once, and none is left over.

use std::collections::{BTreeMap, BTreeSet};

use assay_types::{Hash, Timestamp};
use toml::{Table, Value};

use crate::profile::ProfileName;

/// Why a text is no proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// Longer than any proposal.
    #[error("proposal.toml: longer than {} KiB", super::MAX_PROPOSAL / 1024)]
    TooLarge,
    /// Not text.
    #[error("proposal.toml: not UTF-8")]
    NotUtf8,
    /// Not TOML; the text tells line and key.
    #[error("proposal.toml: {0}")]
    Toml(String),
    /// A key is not there.
    #[error("proposal.toml: the key {key} is missing")]
    Missing {
        /// Which.
        key: String,
    },
    /// A key that no proposal has.
    #[error("proposal.toml: the key {key} is unknown")]
    Unknown {
        /// Which.
        key: String,
    },
    /// A value of another type or out of bounds.
    #[error("proposal.toml: {key}: wanted {wanted}")]
    Value {
        /// Which.
        key: String,
        /// What would be right.
        wanted: String,
    },
    /// The values are right, their text is not.
    #[error(
        "proposal.toml: not the text that `assay policy propose` writes; a proposal has one text only, do not edit it"
    )]
    NotCanonical,
}

/// A table from which each key is taken once.
pub(super) struct Fields {
    path: &'static str,
    table: Table,
}

impl Fields {
    pub(super) fn new(path: &'static str, table: Table) -> Self {
        Self { path, table }
    }

    pub(super) fn wrong(&self, key: &str, wanted: impl Into<String>) -> ProposalError {
        ProposalError::Value {
            key: format!("{}{key}", self.path),
            wanted: wanted.into(),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<u64, ProposalError> {
        let value = self.take(key)?;
        value
            .as_integer()
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| self.wrong(key, "a whole number"))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, ProposalError> {
        let Value::String(text) = self.take(key)? else {
            return Err(self.wrong(key, "a string"));
        };
        Ok(text)
    }

    pub(super) fn hash(&mut self, key: &str) -> Result<Hash, ProposalError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.wrong(key, SHA256))
    }

    /// `""` is none; `when` says when that is right.
    pub(super) fn optional_hash(
        &mut self,
        key: &str,
        when: &str,
    ) -> Result<Option<Hash>, ProposalError> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| self.wrong(key, format!("{SHA256}, or \"\" {when}")))
    }

    pub(super) fn time(&mut self, key: &str) -> Result<Timestamp, ProposalError> {
        let text = self.text(key)?;
        humantime::parse_rfc3339(&text)
            .map(Timestamp::from)
            .map_err(|_| self.wrong(key, "a time such as \"2027-01-01T00:00:00Z\""))
    }

    pub(super) fn profiles(&mut self, key: &str) -> Result<BTreeSet<ProfileName>, ProposalError> {
        let value = self.take(key)?;
        let wrong = || self.wrong(key, "a list of profile names");
        let Value::Array(names) = value else {
            return Err(wrong());
        };
        names
            .iter()
            .map(|name| name.as_str().and_then(ProfileName::parse).ok_or_else(wrong))
            .collect()
    }

    pub(super) fn table(&mut self, key: &'static str) -> Result<Self, ProposalError> {
        let Value::Table(table) = self.take(key)? else {
            return Err(self.wrong(key, "a table"));
        };
        let path = match key {
            "settings" => "settings.",
            _ => "inventories.",
        };
        Ok(Self::new(path, table))
    }

    /// A table of strings under any names.
    pub(super) fn texts(self) -> Result<BTreeMap<String, String>, ProposalError> {
        self.each(|fields, name, value| {
            let text = value.as_str();
            let text = text.ok_or_else(|| fields.wrong(name, "a string"))?;
            Ok((name.to_owned(), text.to_owned()))
        })
    }

    /// A table of hashes, by profile.
    pub(super) fn hashes(self) -> Result<BTreeMap<ProfileName, Hash>, ProposalError> {
        self.each(|fields, name, value| {
            let profile = ProfileName::parse(name)
                .ok_or_else(|| fields.wrong(name, "the name of a profile for a key"))?;
            let head = value.as_str().and_then(|text| text.parse().ok());
            Ok((profile, head.ok_or_else(|| fields.wrong(name, SHA256))?))
        })
    }

    /// Whether every key was asked for.
    pub(super) fn finish(self) -> Result<(), ProposalError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(ProposalError::Unknown {
                key: format!("{}{key}", self.path),
            }),
        }
    }

    fn take(&mut self, key: &str) -> Result<Value, ProposalError> {
        self.table
            .remove(key)
            .ok_or_else(|| ProposalError::Missing {
                key: format!("{}{key}", self.path),
            })
    }

    fn each<K: Ord, V>(
        self,
        read: impl Fn(&Self, &str, &Value) -> Result<(K, V), ProposalError>,
    ) -> Result<BTreeMap<K, V>, ProposalError> {
        self.table
            .iter()
            .map(|(name, value)| read(&self, name, value))
            .collect()
    }
}

const SHA256: &str = "a SHA-256 of 64 lowercase hex digits";
