//! URLs: where relying parties find the CRL, the CA's certificate, and OCSP.

use super::LoadRule;
use super::reader::{Item, Reader};
use crate::profile::{CA, MAX_KEY_IDENTIFIER};
use crate::san::{MAX_URI, SubjectAltName};

/// Hex digits of the longest key identifier.
const ROOM: usize = 2 * MAX_KEY_IDENTIFIER;
const BRACES: [char; 2] = ['{', '}'];

/// A URL that may have `{ca}` once. It is kept as written, and sound whatever CA issues.
pub(super) fn of_ca(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = item.text(reader)?;
    let (before, after) = text.split_once(CA).unwrap_or((text, ""));
    if before.contains(BRACES) || after.contains(BRACES) {
        let problem = format!("wanted `{CA}` at most once and no other brace, got \"{text}\"");
        return refuse(item, reader, problem);
    }
    let longest = text.replace(CA, &"f".repeat(ROOM));
    if longest.len() > MAX_URI && longest != text {
        let problem = format!(
            "wanted at most {MAX_URI} characters where `{CA}` stands for {ROOM}, got {}",
            longest.len()
        );
        return refuse(item, reader, problem);
    }
    sound(item, reader, text, &longest)
}

/// A URL that is the same for every CA.
pub(super) fn of_responder(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = item.text(reader)?;
    if text.contains(BRACES) {
        let problem = format!(
            "wanted no brace, got \"{text}\": what is asked of OCSP names the CA by itself; `{CA}` belongs to \
             crl_distribution_points and ca_issuers"
        );
        return refuse(item, reader, problem);
    }
    sound(item, reader, text, text)
}

/// `text`, if the URL that comes of it is one.
fn sound(item: &Item<'_>, reader: &mut Reader<'_>, text: &str, url: &str) -> Option<String> {
    let fetched = ["http://", "https://", "ldap://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if fetched && SubjectAltName::Uri(url.to_owned()).check().is_ok() {
        Some(text.to_owned())
    } else {
        item.refuse(
            reader,
            format!("wanted an http, https or ldap URL, got \"{text}\""),
        )
    }
}

fn refuse(item: &Item<'_>, reader: &mut Reader<'_>, problem: String) -> Option<String> {
    reader.error(item.span.clone(), &item.path, LoadRule::Place, problem);
    None
}
