//! From the DER of a CSR's parts to [`Facts`].

use std::collections::BTreeSet;
use std::time::SystemTime;

use assay_types::Digest;
use const_oid::db::rfc5280 as oids;
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{Any, SetOfVec};
use der::{Decode, Encode, Sequence, Tag, Tagged, ValueOrd};
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName as SanExtension,
};

use super::{Attribute, Facts, Malformed};
use crate::grant::Grant;
use crate::key::PublicKeyFacts;
use crate::san::SubjectAltName;

/// An extension request of a CSR: borrowed parts.
#[derive(Clone, Copy, Debug)]
pub struct RequestedExtension<'a> {
    /// extnID.
    pub oid: ObjectIdentifier,
    /// extnValue, the DER inside the OCTET STRING.
    pub value: &'a [u8],
}

/// AttributeTypeAndValue as it came: unlike x509-cert's, kept apart from what policy builds.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
struct RawAttribute {
    kind: ObjectIdentifier,
    value: Any,
}

impl Facts {
    /// Reads a request. Never fails: what cannot be read is listed in [`Facts::malformed`] and refused by the
    /// decision, with the rule that says so.
    #[expect(
        clippy::too_many_arguments,
        reason = "one argument a fact; a builder would let one be forgotten"
    )]
    pub fn from_request(
        subject_der: &[u8],
        spki_der: &[u8],
        extensions: &[RequestedExtension<'_>],
        profile: &str,
        now: SystemTime,
        csr_digest: Digest,
        message_digest: Digest,
        grant: Option<Grant>,
    ) -> Self {
        let mut facts = Self {
            profile: profile.to_owned(),
            now,
            subject: Vec::new(),
            sans: None,
            key: PublicKeyFacts::from_spki(spki_der),
            key_usage: None,
            extended_key_usage: None,
            basic_constraints_ca: None,
            other_extensions: Vec::new(),
            malformed: Vec::new(),
            ignored_extensions: 0,
            csr_digest,
            message_digest,
            grant,
        };
        match subject_from_der(subject_der) {
            Ok(subject) => facts.subject = subject,
            Err(error) => facts.note("subject", &error),
        }
        let mut seen = BTreeSet::new();
        for extension in extensions {
            if seen.insert(extension.oid) {
                facts.read_extension(extension);
            } else {
                facts.note(
                    &extension_name(&extension.oid),
                    &"the extension occurs twice",
                );
            }
        }
        facts
    }

    fn read_extension(&mut self, extension: &RequestedExtension<'_>) {
        let RequestedExtension { oid, value } = *extension;
        let outcome = if oid == SanExtension::OID {
            SubjectAltName::list_from_der(value)
                .map(|sans| self.sans = Some(sans))
                .map_err(|error| error.to_string())
        } else if oid == KeyUsage::OID {
            KeyUsage::from_der(value)
                .map(|usage| self.key_usage = Some(usage.0.bits()))
                .map_err(|error| error.to_string())
        } else if oid == ExtendedKeyUsage::OID {
            ExtendedKeyUsage::from_der(value)
                .map(|usages| self.extended_key_usage = Some(usages.0))
                .map_err(|error| error.to_string())
        } else if oid == BasicConstraints::OID {
            self.read_basic_constraints(value)
        } else {
            if oid == oids::ID_CE_SUBJECT_KEY_IDENTIFIER
                || oid == oids::ID_CE_AUTHORITY_KEY_IDENTIFIER
            {
                self.ignored_extensions += 1;
            } else {
                self.other_extensions.push(oid);
            }
            Ok(())
        };
        if let Err(reason) = outcome {
            self.note(&extension_name(&oid), &reason);
        }
    }

    fn read_basic_constraints(&mut self, value: &[u8]) -> Result<(), String> {
        let constraints = BasicConstraints::from_der(value).map_err(|error| error.to_string())?;
        self.basic_constraints_ca = Some(constraints.ca);
        match constraints.path_len_constraint {
            Some(_) if !constraints.ca => Err("pathLenConstraint without CA:TRUE".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    fn note(&mut self, field: &str, reason: &dyn std::fmt::Display) {
        self.malformed.push(Malformed {
            field: field.to_owned(),
            reason: reason.to_string(),
        });
    }
}

fn subject_from_der(der: &[u8]) -> der::Result<Vec<Vec<Attribute>>> {
    let name = Vec::<SetOfVec<RawAttribute>>::from_der(der)?;
    // X.501 section 9.2: an RDN has one attribute at least.
    if name.iter().any(SetOfVec::is_empty) {
        return Err(Tag::Set.length_error().into());
    }
    Ok(name
        .into_iter()
        .map(|rdn| {
            rdn.iter()
                .map(|attribute| Attribute {
                    oid: attribute.kind,
                    tag: tag_octet(attribute.value.tag()),
                    value: attribute.value.value().to_vec(),
                })
                .collect()
        })
        .collect())
}

/// The identifier octet; 0, which no string type has, for a tag of several octets.
fn tag_octet(tag: Tag) -> u8 {
    match tag.to_der().as_deref() {
        Ok([octet]) => *octet,
        Ok(_) | Err(_) => 0,
    }
}

/// The name an auditor knows, or the dotted OID.
pub(crate) fn extension_name(oid: &ObjectIdentifier) -> String {
    let name = if *oid == oids::ID_CE_SUBJECT_ALT_NAME {
        "subjectAltName"
    } else if *oid == oids::ID_CE_KEY_USAGE {
        "keyUsage"
    } else if *oid == oids::ID_CE_EXT_KEY_USAGE {
        "extendedKeyUsage"
    } else if *oid == oids::ID_CE_BASIC_CONSTRAINTS {
        "basicConstraints"
    } else {
        return oid.to_string();
    };
    name.to_owned()
}
