use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a value and bytes do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number other than an integer, or a map whose keys are not strings.
    #[error("canonical JSON holds strings, integers and booleans only")]
    Inexpressible,
    /// Longer than its kind may be.
    #[error("{got} bytes, the maximum is {max}")]
    TooLong {
        /// The length.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Not JSON, or not of this shape: the member and what is wrong with it.
    #[error("{0}")]
    Parse(String),
    /// The same content in another form, or with members that are unknown.
    #[error("not canonical JSON: sorted keys, no spaces, no unknown members")]
    NotCanonical,
}

/// The canonical JSON of `value` (RFC 8785): one line, keys sorted, no spaces. Integers only, so its rules for numbers
/// do not apply.
///
/// # Errors
/// [`CanonicalError::Inexpressible`].
pub fn canonical(value: &impl Serialize) -> Result<String, CanonicalError> {
    let mut value = serde_json::to_value(value).map_err(|_| CanonicalError::Inexpressible)?;
    // serde_json's own map keeps insertion order if any crate of the build asks for it.
    value.sort_all_objects();
    if is_expressible(&value) {
        Ok(value.to_string())
    } else {
        Err(CanonicalError::Inexpressible)
    }
}

/// The canonical JSON of `value`, of at most `max` bytes.
///
/// # Errors
/// [`CanonicalError::Inexpressible`], [`CanonicalError::TooLong`].
pub fn to_canonical(value: &impl Serialize, max: usize) -> Result<Vec<u8>, CanonicalError> {
    let text = canonical(value)?;
    fits(text.len(), max)?;
    Ok(text.into_bytes())
}

/// Reads what [`to_canonical`] wrote, and nothing else.
///
/// # Errors
/// [`CanonicalError`].
pub fn from_canonical<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    max: usize,
) -> Result<T, CanonicalError> {
    fits(bytes.len(), max)?;
    let value: T = serde_json::from_slice(bytes)
        // Read once more for the member's name: it costs time, and is for errors alone.
        .or_else(|_| {
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(bytes))
        })
        .map_err(|error| CanonicalError::Parse(error.to_string()))?;
    if canonical(&value)?.as_bytes() == bytes {
        Ok(value)
    } else {
        Err(CanonicalError::NotCanonical)
    }
}

fn fits(got: usize, max: usize) -> Result<(), CanonicalError> {
    if got > max {
        return Err(CanonicalError::TooLong { got, max });
    }
    Ok(())
}

fn is_expressible(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_expressible),
        Value::Object(members) => members.values().all(is_expressible),
    }
}
