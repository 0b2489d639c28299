//! When two values of a name are equal: one comparison for each type of subject alternative name and of attribute.
//!
//! Values that are equal have the same canonical form, so that sets and duplicates are judged by it. Cases are those of
//! ASCII: an internationalised domain is written as A-labels (RFC 5280 section 7.2).

use const_oid::ObjectIdentifier;
use const_oid::db::rfc3280::EMAIL_ADDRESS;
use const_oid::db::rfc4519::DOMAIN_COMPONENT;

use crate::san::SanKind;

crate::algorithm::words! {
    /// How two values of a type are compared.
    Comparison {
        /// Octet by octet.
        Exact = "exact",
        /// Without regard to case: DNS names (RFC 1034 section 3.1, RFC 5280 sections 7.2 and 7.3).
        CaseIgnore = "case-ignore",
        /// What follows the last `@` without regard to case, what precedes it exactly (RFC 5280 section 7.5).
        DomainCaseIgnore = "domain-case-ignore",
        /// What precedes the first `:` without regard to case, the rest exactly (RFC 3986 section 3.1).
        SchemeCaseIgnore = "scheme-case-ignore",
    }
}

impl Comparison {
    /// The comparison of subject alternative names of a type.
    pub fn of_san(kind: SanKind) -> Self {
        match kind {
            SanKind::Dns => Self::CaseIgnore,
            SanKind::Email | SanKind::Upn => Self::DomainCaseIgnore,
            SanKind::Uri | SanKind::MicrosoftSid => Self::SchemeCaseIgnore,
            SanKind::Ip | SanKind::OtherName => Self::Exact,
        }
    }

    /// The comparison of values of an attribute type in a subject.
    pub fn of_attribute(oid: &ObjectIdentifier) -> Self {
        match *oid {
            DOMAIN_COMPONENT => Self::CaseIgnore,
            EMAIL_ADDRESS => Self::DomainCaseIgnore,
            _ => Self::Exact,
        }
    }

    /// The one form of all values that are equal to this one, in lower case where case does not matter.
    pub fn canonical(self, value: &str) -> String {
        match self {
            Self::Exact => value.to_owned(),
            Self::CaseIgnore => value.to_ascii_lowercase(),
            Self::DomainCaseIgnore => match value.rsplit_once('@') {
                Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
                None => value.to_owned(),
            },
            Self::SchemeCaseIgnore => match value.split_once(':') {
                Some((scheme, rest)) => format!("{}:{rest}", scheme.to_ascii_lowercase()),
                None => value.to_owned(),
            },
        }
    }

    /// Whether two values are the same.
    pub fn equal(self, one: &str, other: &str) -> bool {
        self.canonical(one) == self.canonical(other)
    }
}

#[cfg(test)]
mod tests {
    use super::Comparison;

    #[test]
    fn case_matters_except_where_the_standard_of_the_type_says_otherwise() {
        use Comparison::{CaseIgnore, DomainCaseIgnore, Exact, SchemeCaseIgnore};
        for (comparison, one, other, equal) in [
            (Exact, "Device", "device", false),
            (Exact, "device", "device", true),
            (CaseIgnore, "R1.Example.org", "r1.example.ORG", true),
            (CaseIgnore, "r1.example.org", "r2.example.org", false),
            // Only ASCII letters have a case here.
            (CaseIgnore, "\u{c4}", "\u{e4}", false),
            (CaseIgnore, "k", "\u{212a}", false),
            (DomainCaseIgnore, "Jo@Example.org", "Jo@example.ORG", true),
            (DomainCaseIgnore, "Jo@example.org", "jo@example.org", false),
            (DomainCaseIgnore, "A@b@Example.org", "A@b@example.org", true),
            (
                DomainCaseIgnore,
                "A@B@example.org",
                "A@b@example.org",
                false,
            ),
            (DomainCaseIgnore, "NoDomain", "nodomain", false),
            (
                SchemeCaseIgnore,
                "IntuneDeviceId://A",
                "intunedeviceid://A",
                true,
            ),
            (
                SchemeCaseIgnore,
                "intunedeviceid://A",
                "intunedeviceid://a",
                false,
            ),
            (SchemeCaseIgnore, "URN:Uuid:1", "urn:uuid:1", false),
        ] {
            assert_eq!(
                comparison.equal(one, other),
                equal,
                "{comparison}: {one}, {other}"
            );
            assert_eq!(
                comparison.equal(other, one),
                equal,
                "{comparison}: {other}, {one}"
            );
        }
    }
}
