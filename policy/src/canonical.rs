//! The canonical form of a profile: canonical JSON, the same for files that mean the same.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use assay_types::{CanonicalError, Hash, Timestamp, canonical};
use const_oid::ObjectIdentifier;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::algorithm::extended_key_usage_name;
use crate::attribute::type_name;
use crate::profile::{Profile, RdnRule, ValueRule};
use crate::semantics::Semantics;

/// Domain separation: the model that another semantics reads in the same file has another hash.
fn domain() -> String {
    format!("assay policy semantics {}\n", Semantics::CURRENT)
}

impl Profile {
    /// What the profile says, by the path of each setting: what two versions differ in.
    pub fn settings(&self) -> BTreeMap<String, Value> {
        let mut settings = BTreeMap::new();
        // A profile is loaded with its hash, so that its canonical form is known to exist.
        let model = serde_json::to_value(self).unwrap_or_default();
        leaves(String::new(), model, &mut settings);
        settings
    }

    pub(crate) fn canonical_hash(&self) -> Result<Hash, CanonicalError> {
        let model = canonical(self)?;
        let hasher = Sha256::new().chain_update(domain());
        Ok(hasher.chain_update(model).into())
    }
}

/// A list of values is one setting, a list of tables is as many as the tables have.
fn leaves(path: String, value: Value, settings: &mut BTreeMap<String, Value>) {
    let below = |key: &str| match path.as_str() {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                leaves(below(&key), member, settings);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            for (index, item) in items.into_iter().enumerate() {
                leaves(below(&format!("{index:03}")), item, settings);
            }
        }
        leaf @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => {
            settings.insert(path, leaf);
        }
    }
}

impl Serialize for ValueRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for RdnRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for rule in &self.attributes {
            map.serialize_entry(&type_name(&rule.oid), rule)?;
        }
        if self.optional {
            map.serialize_entry("optional", &true)?;
        }
        map.end()
    }
}

/// A list that means a set.
pub(crate) fn set<T: Serialize + Ord, S: Serializer>(
    items: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort();
    items.serialize(serializer)
}

pub(crate) fn extended_key_usages<S: Serializer>(
    usages: &[ObjectIdentifier],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(usages.iter().map(extended_key_usage_name))
}

/// A list of object identifiers that means a set.
pub(crate) fn oids<S: Serializer>(
    oids: &[ObjectIdentifier],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut oids: Vec<String> = oids.iter().map(ToString::to_string).collect();
    oids.sort();
    oids.serialize(serializer)
}

pub(crate) fn seconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.as_secs().serialize(serializer)
}

pub(crate) fn time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Timestamp::from(*time))
}

pub(crate) fn until<S: Serializer>(
    until: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let until = until.map(|until| Timestamp::from(until).to_string());
    until.serialize(serializer)
}
