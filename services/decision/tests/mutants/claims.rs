//! What authorises a request, in a form that can be changed, and in the terms of both sides.

use std::time::{Duration, SystemTime};

use assay_policy::{ClaimedNames, Dn, Grant, InventoryEntry, Renewed};
use assay_types::Hash;
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OneTime,
    Static,
    Renewal,
    None,
}

/// One type for all kinds, so that a mutant can turn one into another.
#[derive(Clone)]
pub(crate) struct Claims {
    pub(crate) kind: Kind,
    pub(crate) profile: String,
    /// RFC 4514.
    pub(crate) subject: String,
    pub(crate) sans: Vec<String>,
    /// Of the challenge.
    pub(crate) expires: u64,
    /// Of the renewed certificate.
    pub(crate) not_after: u64,
    pub(crate) old_key: Hash,
    /// Of the renewed certificate: what renewed it before.
    pub(crate) successor: Option<&'static str>,
    pub(crate) entry: Option<Entry>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) pin: Option<Hash>,
    pub(crate) issued: bool,
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Claims {
    /// The outer `None` is for names that neither a challenge nor a certificate can have.
    pub(crate) fn grant(&self) -> Option<Option<Grant>> {
        let profile = self.profile.clone();
        let subject = Dn::parse_rfc4514(&self.subject).ok()?;
        let sans = self.sans.iter().map(|san| san.parse().ok());
        let sans: Vec<_> = sans.collect::<Option<_>>()?;
        let inventory = self.entry.as_ref().map(|entry| InventoryEntry {
            name: entry.name.clone(),
            spki_sha256: entry.pin,
            already_issued: entry.issued,
        });
        let names = ClaimedNames { subject, sans };
        Some(match self.kind {
            Kind::OneTime => {
                let expires = at(self.expires);
                Some(Grant::one_time("c-1".to_owned(), profile, names, expires))
            }
            Kind::Static => Some(Grant::shared("s-1".to_owned(), profile, inventory)),
            Kind::Renewal => {
                let renewed = Renewed {
                    serial: "1f".to_owned(),
                    spki_sha256: self.old_key,
                    successor: self.successor.map(str::to_owned),
                };
                let end = at(self.not_after);
                Some(Grant::renewal(renewed, profile, names, end, inventory))
            }
            Kind::None => None,
        })
    }

    pub(crate) fn json(&self) -> Value {
        let subject = Dn::parse_rfc4514(&self.subject).unwrap();
        let rdns: Vec<Vec<(String, &str)>> = subject
            .rdns()
            .iter()
            .map(|rdn| {
                let attributes = rdn.attributes().iter();
                attributes
                    .map(|attribute| (attribute.oid().to_string(), attribute.value()))
                    .collect()
            })
            .collect();
        let entry = self.entry.as_ref().map(|entry| {
            let pin = entry.pin;
            json!({ "name": entry.name, "pin": pin, "issued": entry.issued })
        });
        let names = json!({ "subject": rdns, "sans": self.sans });
        let mut claims = match self.kind {
            Kind::OneTime => json!({ "kind": "one-time", "expires": self.expires }),
            Kind::Static => json!({ "kind": "static", "entry": entry }),
            Kind::Renewal => json!({
                "kind": "renewal",
                "not_after": self.not_after,
                "old_key": self.old_key.to_string(),
                "successor": self.successor,
                "entry": entry,
            }),
            Kind::None => return json!({ "kind": "none" }),
        };
        claims["profile"] = json!(self.profile);
        if self.kind != Kind::Static {
            claims["subject"] = names["subject"].clone();
            claims["sans"] = names["sans"].clone();
        }
        claims
    }
}
