//! The CAs of an installation by number: the first, and those that take over from it one after the other.

use std::fmt;

use assay_pkcs11::KeyRole;
use assay_policy::{Dn, DnAttribute, Rdn};
use const_oid::db::rfc4519::COMMON_NAME;
use serde::{Deserialize, Serialize};

/// A CA with its RA, and perhaps its responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Generation(u32);

impl Generation {
    /// What `assay-ceremony` makes.
    pub(super) const FIRST: Self = Self(1);

    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its name in hsm.toml.
    pub(super) fn name(self) -> String {
        format!("g{}", self.0)
    }

    /// The folder of its files, relative to the installation.
    pub(super) fn folder(self) -> String {
        match self {
            Self::FIRST => "certificates".to_owned(),
            Self(number) => format!("certificates/{number}"),
        }
    }

    /// A file of its own, relative to the installation.
    pub(super) fn file(self, name: &str) -> String {
        format!("{}/{name}", self.folder())
    }

    /// CKA_LABEL of a key: `ca-sign`, later `ca-sign-g2`, which no tool takes for the former.
    pub(super) fn label(self, role: KeyRole) -> String {
        match self {
            Self::FIRST => role.to_string(),
            Self(number) => format!("{role}-g{number}"),
        }
    }

    /// Whether a key of this label is one of its own.
    pub(super) fn owns(self, label: &str) -> bool {
        KeyRole::ALL
            .into_iter()
            .any(|role| self.label(role) == label)
    }

    /// A subject of its own, made of an earlier one: `CN=Assay CA` becomes `CN=Assay CA G2`, and that `CN=Assay CA G3`.
    /// `None` where there is no common name to mark, or no room in it.
    pub(super) fn mark(self, subject: &Dn) -> Option<Dn> {
        if self == Self::FIRST {
            return Some(subject.clone());
        }
        let mut rdns = subject.rdns().to_vec();
        let (place, common_name) = rdns.iter().enumerate().rev().find_map(|(place, rdn)| {
            let mut attributes = rdn.attributes().iter();
            let found = attributes.find(|attribute| *attribute.oid() == COMMON_NAME)?;
            Some((place, found.value().to_owned()))
        })?;
        let marked = format!("{} G{}", unmarked(&common_name), self.0);
        let marked = DnAttribute::new(COMMON_NAME, marked).ok()?;
        let rdn = rdns.get_mut(place)?;
        let others = rdn.attributes().iter();
        let others = others.filter(|attribute| *attribute.oid() != COMMON_NAME);
        *rdn = Rdn::new(others.cloned().chain([marked]).collect()).ok()?;
        Dn::new(rdns).ok()
    }
}

/// Without the mark of a generation at its end.
fn unmarked(common_name: &str) -> &str {
    match common_name.rsplit_once(" G") {
        Some((name, number))
            if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            name
        }
        Some(_) | None => common_name,
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(generation: Generation, subject: &str) -> Option<String> {
        let subject = Dn::parse_rfc4514(subject).unwrap();
        generation.mark(&subject).map(|marked| marked.to_string())
    }

    #[test]
    fn a_subject_bears_the_number_of_its_generation_once() {
        let second = Generation::FIRST.next();
        for (subject, wanted) in [
            ("CN=Assay Issuing CA", Some("CN=Assay Issuing CA G2")),
            (
                "CN=Issuing CA G1,O=Example",
                Some("CN=Issuing CA G2,O=Example"),
            ),
            (
                "CN=Example Group,O=Example",
                Some("CN=Example Group G2,O=Example"),
            ),
            ("CN=G1,O=Example", Some("CN=G1 G2,O=Example")),
            ("OU=Issuing CA,O=Example", None),
        ] {
            assert_eq!(marked(second, subject).as_deref(), wanted, "{subject}");
        }
        let long = format!("CN={}", "a".repeat(62));
        assert_eq!(marked(second, &long), None);
        let third = second.next();
        assert_eq!(
            marked(third, "CN=Issuing CA G2").as_deref(),
            Some("CN=Issuing CA G3")
        );
        assert_eq!(
            marked(Generation::FIRST, "CN=Issuing CA").as_deref(),
            Some("CN=Issuing CA")
        );
    }

    #[test]
    fn labels_and_files_of_two_generations_never_meet() {
        let (first, second) = (Generation::FIRST, Generation::FIRST.next());
        for role in KeyRole::ALL {
            assert!(first.owns(&first.label(role)) && second.owns(&second.label(role)));
            assert!(!first.owns(&second.label(role)) && !second.owns(&first.label(role)));
        }
        assert_eq!(second.label(KeyRole::CaSign), "ca-sign-g2");
        assert_eq!(first.file("ca.pem"), "certificates/ca.pem");
        assert_eq!(second.file("ca.pem"), "certificates/2/ca.pem");
    }
}
