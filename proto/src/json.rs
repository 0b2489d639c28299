//! How members are printed that prost keeps in a form of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serializer;
use serde::ser::Error;

use crate::Named;

/// The name of a value of `E`.
///
/// # Errors
/// Where this release does not know the value.
pub(crate) fn name<E: Named, S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(known::<E, S::Error>(*value)?.as_str())
}

/// The name of a value of `E`, or null.
///
/// # Errors
/// Where this release does not know the value.
pub(crate) fn optional_name<E: Named, S: Serializer>(
    value: &Option<i32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => name::<E, S>(value, serializer),
        None => serializer.serialize_none(),
    }
}

fn known<E: Named, R: Error>(value: i32) -> Result<E, R> {
    let unknown = || R::custom(format!("this release does not know the value {value}"));
    E::try_from(value).map_err(|_| unknown())
}

/// Bytes as base64 (RFC 4648 section 4).
///
/// # Errors
/// Those of the serializer.
pub(crate) fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// Each of several as base64.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn base64_each<S: Serializer>(
    all: &[Vec<u8>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(|bytes| STANDARD.encode(bytes)))
}
