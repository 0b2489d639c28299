//! Lints of the extensions that refer to elsewhere: policies, CRL, the issuer's certificate, OCSP.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use der::{Tag, TagNumber};

use crate::parse::{Tbs, children, hexadecimal, values};
use crate::{Expectation, IssuerCertificate, Verdict};

pub(crate) fn policies(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let mut got = Vec::new();
    for (_, information) in list(tbs, &oids::ID_CE_CERTIFICATE_POLICIES)? {
        match values(information).map_err(unreadable)?.as_slice() {
            [(Tag::ObjectIdentifier, oid)] => got.push(identifier(oid)?),
            _ => return Err("wanted policies without qualifiers".to_owned()),
        }
    }
    same(expectation.policies, &got)
}

pub(crate) fn distribution_points(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let points = list(tbs, &oids::ID_CE_CRL_DISTRIBUTION_POINTS)?;
    let got = match points.as_slice() {
        [] => Vec::new(),
        [(_, point)] => {
            // distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] … } }, and nothing else.
            let name = only(&values(point).map_err(unreadable)?, context(0, true))?;
            let names = only(&values(name).map_err(unreadable)?, context(0, true))?;
            let names = values(names).map_err(unreadable)?;
            names.into_iter().map(url).collect::<Result<_, _>>()?
        }
        _ => return Err(format!("wanted one, got {}", points.len())),
    };
    let wanted = places(expectation.crl_distribution_points, expectation.issuer);
    same(&wanted, &got)
}

pub(crate) fn access(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let mut got = Vec::new();
    for (_, description) in list(tbs, &oids::ID_PE_AUTHORITY_INFO_ACCESS)? {
        match values(description).map_err(unreadable)?.as_slice() {
            [(Tag::ObjectIdentifier, method), location] => {
                got.push((identifier(method)?, url(*location)?));
            }
            _ => return Err("wanted a method and a location".to_owned()),
        }
    }
    let of = |method: ObjectIdentifier, urls: &'_ [String]| -> Vec<(ObjectIdentifier, String)> {
        urls.iter().map(|url| (method, url.clone())).collect()
    };
    let certificates = places(expectation.ca_issuers, expectation.issuer);
    let mut wanted = of(oids::ID_AD_CA_ISSUERS, &certificates);
    wanted.extend(of(oids::ID_AD_OCSP, expectation.ocsp));
    same(&wanted, &got)
}

/// Empty where the extension is absent.
fn list<'a>(tbs: &Tbs<'a>, oid: &ObjectIdentifier) -> Result<Vec<(Tag, &'a [u8])>, String> {
    tbs.extension(oid).map_or(Ok(Vec::new()), |extension| {
        children(extension.value).map_err(unreadable)
    })
}

fn only<'a>(values: &[(Tag, &'a [u8])], wanted: Tag) -> Result<&'a [u8], String> {
    match values {
        [(tag, content)] if *tag == wanted => Ok(content),
        _ => Err(format!("wanted {wanted} alone")),
    }
}

fn url((tag, value): (Tag, &[u8])) -> Result<String, String> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    // Where RFC 5280 sections 4.2.1.13 and 4.2.2.1 look for a CRL or a certificate.
    let fetched = ["http://", "https://", "ldap://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    // RFC 3986 has no braces: one that is left stands for a CA that was not put there.
    let written = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'{' | b'}');
    if tag == context(6, false) && fetched && text.bytes().all(written) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "wanted an http, https or ldap URL without braces, got {tag} `{text}`"
        ))
    }
}

fn identifier(oid: &[u8]) -> Result<ObjectIdentifier, String> {
    ObjectIdentifier::from_bytes(oid).map_err(|error| format!("wanted an OID: {error}"))
}

fn context(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    }
}

/// The URLs of this issuer: a profile writes `{ca}` for its key identifier.
fn places(patterns: &[String], issuer: &IssuerCertificate) -> Vec<String> {
    let identifier = hexadecimal(&issuer.key_identifier);
    let place = |pattern: &String| match pattern.split_once("{ca}") {
        Some((before, after)) => [before, &identifier, after].concat(),
        None => pattern.clone(),
    };
    patterns.iter().map(place).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(wanted: &[T], got: &[T]) -> Verdict {
    if wanted == got {
        Ok(())
    } else {
        Err(format!("wanted {wanted:?}, got {got:?}"))
    }
}

fn unreadable(error: der::Error) -> String {
    format!("wanted DER: {error}")
}
