//! Canonical JSON after RFC 8785: one line, keys sorted, no spaces. Integers only, so its number rules fall away.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A value with more than strings, integers, booleans, lists and maps.
#[derive(Debug, thiserror::Error)]
#[error("canonical JSON holds strings, integers and booleans only")]
pub struct Inexpressible;

/// The canonical form of `value`.
///
/// # Errors
/// [`Inexpressible`].
pub fn canonical(value: &impl Serialize) -> Result<String, Inexpressible> {
    let value = serde_json::to_value(value).map_err(|_| Inexpressible)?;
    let mut text = String::with_capacity(1024);
    write(&value, &mut text).ok_or(Inexpressible)?;
    Ok(text)
}

/// Appends the canonical form of `value`; `None` for a number that is not an integer.
fn write(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
        Value::Number(number) if number.is_f64() => return None,
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            // serde_json's own map keeps insertion order if any crate of the build asks for it.
            let sorted: BTreeMap<_, _> = members.iter().collect();
            for (at, (key, member)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(member, out)?;
            }
            out.push('}');
        }
    }
    Some(())
}
