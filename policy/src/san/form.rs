//! What the value of each type of subject alternative name must look like; an error says what would be right.

use std::net::Ipv4Addr;

use const_oid::ObjectIdentifier;
use der::Decode;
use der::asn1::AnyRef;

use super::{MICROSOFT_SID_PREFIX, UPN};
use crate::dn::check_text;

/// RFC 1035 section 2.3.4, less the root's length octet and dot.
const MAX_DNS_NAME: usize = 253;
const MAX_DNS_LABEL: usize = 63;
/// RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.3.
const MAX_EMAIL: usize = 254;
/// Our own bound: no client was seen with longer ones.
pub(crate) const MAX_URI: usize = 1024;

/// RFC 1034 section 3.5 as RFC 5280 wants it. A left-most `*` is that literal label (RFC 9525).
pub(super) fn check_dns(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_DNS_NAME {
        return Err("a DNS name has 1 to 253 octets");
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err("an IP address is of type ip, not dns");
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    if host.split('.').all(is_dns_label) {
        Ok(())
    } else {
        Err(
            "a DNS name is ASCII labels of letters, digits and inner hyphens (A-labels), no trailing dot",
        )
    }
}

fn is_dns_label(label: &str) -> bool {
    (1..=MAX_DNS_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// RFC 5280 section 4.2.1.6: a Mailbox without display name; local part as dot-atom of RFC 5321.
pub(super) fn check_email(address: &str) -> Result<(), &'static str> {
    const WANTED: &str =
        "an address is local@domain, local part as a dot-atom, domain as a DNS name";
    let (local, domain) = address.rsplit_once('@').ok_or(WANTED)?;
    let atom = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    let sound = address.len() <= MAX_EMAIL
        && local.split('.').all(atom)
        && !domain.starts_with("*.")
        && check_dns(domain).is_ok();
    if sound { Ok(()) } else { Err(WANTED) }
}

/// RFC 3986: an absolute URI of printable ASCII.
pub(super) fn check_uri(uri: &str) -> Result<(), &'static str> {
    const WANTED: &str =
        "a URI is absolute, of printable ASCII without spaces: scheme:rest (RFC 3986)";
    let (scheme, rest) = uri.split_once(':').ok_or(WANTED)?;
    let scheme_sound = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let rest_sound = !rest.is_empty()
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    if scheme_sound && rest_sound && uri.len() <= MAX_URI {
        Ok(())
    } else {
        Err(WANTED)
    }
}

/// A security identifier as Windows reads it, its prefix spelt as Microsoft spells it.
pub(super) fn check_microsoft_sid(uri: &str) -> Result<(), &'static str> {
    check_uri(uri)?;
    match uri.strip_prefix(MICROSOFT_SID_PREFIX) {
        Some(sid) if !sid.is_empty() => Ok(()),
        Some(_) | None => Err(
            "a tag of microsoft.com is a security identifier: tag:microsoft.com,2022-09-14:sid:SID",
        ),
    }
}

pub(super) fn check_upn(name: &str) -> Result<(), &'static str> {
    check_text(name)?;
    match name.split_once('@') {
        Some((user, realm))
            if !user.is_empty()
                && !realm.is_empty()
                && !realm.contains('@')
                && name.len() <= MAX_URI =>
        {
            Ok(())
        }
        Some(_) | None => Err("a user principal name is user@realm"),
    }
}

pub(super) fn check_other_name(oid: &ObjectIdentifier, der: &[u8]) -> Result<(), &'static str> {
    if *oid == UPN {
        return Err("a user principal name is of type upn");
    }
    AnyRef::from_der(der).map_err(|_| "the value of an otherName is one DER value")?;
    Ok(())
}
