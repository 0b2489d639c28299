//! Serde form of a [`Duration`] as people write it: `"30s"`, `"5m"`, `"1h 30m"`.
//!
//! Use as `#[serde(with = "assay_config::duration")]`.

use std::time::Duration;

use assay_types::duration;
use serde::{Deserialize, Deserializer, Serializer, de};

/// Reads a duration such as `"250ms"`.
///
/// # Errors
/// Where the text is no duration, or is zero: every wait in a service is a positive one.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match duration::parse(&text) {
        Ok(Duration::ZERO) => Err(de::Error::custom("must be longer than zero")),
        Ok(value) => Ok(value),
        Err(error) => Err(de::Error::custom(format!(
            "`{text}` is no duration such as \"30s\" or \"5m\": {error}"
        ))),
    }
}

/// Writes a duration in the same form.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&duration::text(*value))
}
