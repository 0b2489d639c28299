//! How a name of each form is compared with a subtree of its form.

use der::{Tag, TagNumber};

use crate::parse::{children, values};

/// What kind of name; `Other` holds the tag number of a form that is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Mailbox,
    Dns,
    Directory,
    Uri,
    Ip,
    Other(u32),
}

impl Form {
    /// RFC 5280 section 4.2.1.6, the tags of GeneralName.
    pub(super) fn of(tag: Tag) -> Self {
        let Tag::ContextSpecific {
            number: TagNumber(number),
            ..
        } = tag
        else {
            return Self::Other(u32::MAX);
        };
        match number {
            1 => Self::Mailbox,
            2 => Self::Dns,
            4 => Self::Directory,
            6 => Self::Uri,
            7 => Self::Ip,
            other => Self::Other(other),
        }
    }

    pub(super) fn is_understood(self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

/// `a.example.com` lies within `example.com` and, as is common use though not in the RFC, within `.example.com`.
pub(super) fn dns_within(name: &[u8], base: &[u8]) -> bool {
    match base.strip_prefix(b".") {
        Some(parent) => is_below(name, parent),
        None => base.is_empty() || name.eq_ignore_ascii_case(base) || is_below(name, base),
    }
}

/// An excluded `.example.com` excludes `example.com` too, and `*.example.com` meets whatever is below `example.com`.
pub(super) fn dns_meets(name: &[u8], base: &[u8]) -> bool {
    let base = base.strip_prefix(b".").unwrap_or(base);
    let covers = name
        .strip_prefix(b"*.")
        .is_some_and(|parent| is_below(base, parent));
    covers || dns_within(name, base)
}

fn is_below(name: &[u8], parent: &[u8]) -> bool {
    name.len()
        .checked_sub(parent.len() + 1)
        .and_then(|at| name.split_at_checked(at))
        .is_some_and(|(label, rest)| {
            !label.is_empty()
                && rest
                    .split_first()
                    .is_some_and(|(dot, end)| *dot == b'.' && end.eq_ignore_ascii_case(parent))
        })
}

/// An address, and an address with its mask after it, as RFC 4632 writes a network.
pub(super) fn ip_within(address: &[u8], network: &[u8]) -> bool {
    if network.len() != address.len() * 2 {
        return false;
    }
    let (base, mask) = network.split_at(address.len());
    address
        .iter()
        .zip(base)
        .zip(mask)
        .all(|((octet, base), mask)| octet & mask == base & mask)
}

/// A base is a mailbox, a host, or `.` and a domain that holds hosts. The part before the @ is compared exactly.
pub(super) fn mailbox_within(mailbox: &[u8], base: &[u8]) -> bool {
    let Some((local, host)) = split_mailbox(mailbox) else {
        return false;
    };
    match split_mailbox(base) {
        Some((wanted, at)) => local == wanted && host.eq_ignore_ascii_case(at),
        None => base.is_empty() || host_within(host, base),
    }
}

fn split_mailbox(mailbox: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = mailbox.iter().rposition(|octet| *octet == b'@')?;
    let (local, host) = mailbox.split_at_checked(at)?;
    Some((local, host.strip_prefix(b"@")?))
}

/// A host is itself alone; `.` and a domain is every host below it.
pub(super) fn host_within(host: &[u8], base: &[u8]) -> bool {
    match base.strip_prefix(b".") {
        Some(domain) => is_below(host, domain),
        None => host.eq_ignore_ascii_case(base),
    }
}

/// The host name of a URI's authority (RFC 3986 section 3.2.2); none for an address or where there is no authority.
pub(super) fn uri_host(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|octet| *octet == b':')?;
    let rest = uri.get(colon + 1..)?.strip_prefix(b"//")?;
    let end = rest.iter().position(|octet| b"/?#".contains(octet));
    let authority = end.map_or(Some(rest), |end| rest.get(..end))?;
    let host = match authority.iter().rposition(|octet| *octet == b'@') {
        Some(at) => authority.get(at + 1..)?,
        None => authority,
    };
    let port = host.iter().position(|octet| *octet == b':');
    let host = port.map_or(Some(host), |port| host.get(..port))?;
    let is_name = host.iter().any(u8::is_ascii_alphabetic)
        && host
            .iter()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(octet));
    is_name.then_some(host)
}

/// Whether `name` begins with the RDNs of `base`, both whole TLVs of a Name.
pub(super) fn directory_within(name: &[u8], base: &[u8]) -> bool {
    let (Some(name), Some(base)) = (folded(name), folded(base)) else {
        return false;
    };
    name.starts_with(&base)
}

/// Types and values.
type FoldedRdn<'a> = Vec<(&'a [u8], String)>;

/// The RDNs of a Name. As path validation does (RFC 5280 section 7.1): no regard to case, to the string type or
/// to how many spaces.
fn folded(name: &[u8]) -> Option<Vec<FoldedRdn<'_>>> {
    let mut rdns = Vec::new();
    for (_, rdn) in children(name).ok()? {
        let mut attributes = Vec::new();
        for (_, attribute) in values(rdn).ok()? {
            let [(Tag::ObjectIdentifier, oid), (_, value)] = *values(attribute).ok()?.as_slice()
            else {
                return None;
            };
            let text = std::str::from_utf8(value).ok()?.to_lowercase();
            let words: Vec<&str> = text.split_whitespace().collect();
            attributes.push((oid, words.join(" ")));
        }
        attributes.sort();
        rdns.push(attributes);
    }
    Some(rdns)
}
