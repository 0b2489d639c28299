//! The syntax of RFC 7512, section 2.3, apart from what the attributes mean.

use std::fmt::Write;

use super::UriError;

/// Longest URI read, in octets: a PIN path of PATH_MAX (4,096) has no place in one, all else
/// together stays under 1 KiB.
const MAX_URI: usize = 2048;

/// Attributes of the query; all others belong to the path.
const QUERY: [&str; 4] = ["pin-source", "pin-value", "module-name", "module-path"];

/// Attributes as they stood, decoded, until each is taken.
pub(super) struct Attributes(Vec<(String, Vec<u8>)>);

impl Attributes {
    pub(super) fn parse(uri: &str) -> Result<Self, UriError> {
        if uri.len() > MAX_URI {
            return Err(UriError::TooLong { limit: MAX_URI });
        }
        let rest = uri.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = path
            .split(';')
            .filter(|_| !path.is_empty())
            .map(|pair| (pair, false));
        let query = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .map(|pair| (pair, true));
        let mut attributes: Vec<(String, Vec<u8>)> = Vec::new();
        for (index, (pair, in_query)) in path.chain(query).enumerate() {
            let form = UriError::Form {
                position: index + 1,
            };
            let (name, value) = pair.split_once('=').ok_or(form)?;
            if name == "pin-value" {
                return Err(UriError::PinValue);
            }
            if QUERY.contains(&name) != in_query {
                return Err(UriError::Misplaced {
                    attribute: name.to_owned(),
                });
            }
            if attributes.iter().any(|(seen, _)| seen == name) {
                return Err(UriError::Repeated {
                    attribute: name.to_owned(),
                });
            }
            let value = unescape(value, in_query).ok_or_else(|| UriError::Encoding {
                attribute: name.to_owned(),
            })?;
            attributes.push((name.to_owned(), value));
        }
        Ok(Self(attributes))
    }

    /// Takes an attribute as octets; an empty one is an error, as it would match anything.
    pub(super) fn bytes(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, UriError> {
        let Some(index) = self.0.iter().position(|(seen, _)| seen == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(index);
        if value.is_empty() {
            return Err(UriError::Value {
                attribute: name,
                right: "non-empty",
            });
        }
        Ok(Some(value))
    }

    /// Takes an attribute as UTF-8.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, UriError> {
        self.bytes(name)?
            .map(|value| {
                String::from_utf8(value).map_err(|_| UriError::Encoding {
                    attribute: name.to_owned(),
                })
            })
            .transpose()
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self, known: &'static str) -> Result<(), UriError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((attribute, _)) => Err(UriError::Unknown { attribute, known }),
        }
    }
}

/// Percent-encodes all but the unreserved characters.
pub(super) fn escape(value: &[u8]) -> String {
    escape_but(value, is_unreserved)
}

/// As [`escape`], but leaves what paths are made of readable.
pub(super) fn escape_source(value: &str) -> String {
    escape_but(value.as_bytes(), |octet| {
        is_unreserved(octet) || matches!(octet, b':' | b'/')
    })
}

fn escape_but(value: &[u8], keep: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(value.len());
    for &octet in value {
        if keep(octet) {
            escaped.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{octet:02X}");
        }
    }
    escaped
}

fn unescape(value: &str, in_query: bool) -> Option<Vec<u8>> {
    let mut octets = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'%' => hex_digit(octets.next()?)? << 4 | hex_digit(octets.next()?)?,
            _ if is_allowed(octet, in_query) => octet,
            _ => return None,
        });
    }
    Some(decoded)
}

fn hex_digit(octet: u8) -> Option<u8> {
    let digit = char::from(octet).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// `pk11-res-avail` with `&` for the path, with `/?|` for the query.
fn is_allowed(octet: u8, in_query: bool) -> bool {
    is_unreserved(octet)
        || b":[]@!$'()*+,=".contains(&octet)
        || if in_query {
            matches!(octet, b'/' | b'?' | b'|')
        } else {
            octet == b'&'
        }
}
