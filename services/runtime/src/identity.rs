//! Who a process is between the tiers: one URI SAN, `assay://ROLE/NAME`.

use std::fmt;
use std::str::FromStr;

use der::Decode;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const SCHEME: &str = "assay://";

/// A DNS label's length: names are host names or people's short names.
const MAX_NAME_CHARS: usize = 63;

/// A tier, or the people who run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The outer tier.
    Frontend,
    /// The inner tier.
    Signer,
    /// Who runs the service: challenges, requests, revocation, emergency stops.
    Operator,
    /// Who brings policy into force.
    Approver,
    /// Who reads and exports, and changes nothing.
    Auditor,
}

impl Role {
    /// Every role, tiers first.
    pub const ALL: [Self; 5] = [
        Self::Frontend,
        Self::Signer,
        Self::Operator,
        Self::Approver,
        Self::Auditor,
    ];

    /// The roles of people, whom the Administration listener is for.
    pub const PEOPLE: [Self; 3] = [Self::Operator, Self::Approver, Self::Auditor];

    /// As it stands in the URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Signer => "signer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity of a process: its role and its name, compared octet for octet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    role: Role,
    name: String,
}

impl Identity {
    /// An identity of the given role.
    ///
    /// # Errors
    /// [`IdentityError::Name`] where the name is not 1 to 63 of `a-z A-Z 0-9 . _ -`.
    pub fn new(role: Role, name: impl Into<String>) -> Result<Self, IdentityError> {
        let name = name.into();
        let fits = !name.is_empty() && name.len() <= MAX_NAME_CHARS;
        if fits
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            Ok(Self { role, name })
        } else {
            Err(IdentityError::Name { name })
        }
    }

    /// Parses `assay://frontend/dmz1`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(uri: &str) -> Result<Self, IdentityError> {
        let wrong_form = || IdentityError::Form {
            uri: uri.to_owned(),
        };
        let (role, name) = uri
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(wrong_form)?;
        let role = Role::ALL
            .into_iter()
            .find(|known| known.as_str() == role)
            .ok_or_else(|| IdentityError::Role {
                role: role.to_owned(),
            })?;
        Self::new(role, name)
    }

    /// The identity that a certificate carries: it must have exactly one URI SAN. SANs of other types are ignored.
    ///
    /// # Errors
    /// Where it has no URI SAN, several, or one that is no identity.
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = Certificate::from_der(der).map_err(IdentityError::Certificate)?;
        let san = certificate
            .tbs_certificate()
            .get_extension::<SubjectAltName>()
            .map_err(IdentityError::Certificate)?;
        let mut uris = san
            .iter()
            .flat_map(|(_, names)| &names.0)
            .filter_map(|name| {
                if let GeneralName::UniformResourceIdentifier(uri) = name {
                    Some(uri.as_str())
                } else {
                    None
                }
            });
        match (uris.next(), uris.next()) {
            (Some(uri), None) => Self::parse(uri),
            (None, _) => Err(IdentityError::NoUriSan),
            (Some(_), Some(_)) => Err(IdentityError::SeveralUriSans),
        }
    }

    /// The tier.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name within the tier.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        Self::parse(uri)
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;

    fn try_from(uri: String) -> Result<Self, Self::Error> {
        Self::parse(&uri)
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

/// Why something is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not of the form `assay://ROLE/NAME`.
    #[error("identity `{uri}` is not of the form assay://ROLE/NAME")]
    Form {
        /// What was found.
        uri: String,
    },
    /// A role that does not exist.
    #[error("unknown role `{role}`: a role is frontend, signer, operator, approver or auditor")]
    Role {
        /// What was found.
        role: String,
    },
    /// A name that is empty, too long or has other characters.
    #[error("name `{name}` is not 1 to 63 of a-z A-Z 0-9 . _ -")]
    Name {
        /// What was found.
        name: String,
    },
    /// The certificate has no URI SAN.
    #[error("the certificate has no URI subjectAltName; it needs exactly one, assay://ROLE/NAME")]
    NoUriSan,
    /// The certificate has more than one URI SAN.
    #[error(
        "the certificate has several URI subjectAltNames; it needs exactly one, assay://ROLE/NAME"
    )]
    SeveralUriSans,
    /// Not an X.509 certificate as RFC 5280 has it.
    #[error("the certificate cannot be parsed")]
    Certificate(#[source] der::Error),
}
