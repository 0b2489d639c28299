//! Attributes of a CSR: the challengePassword and the extensions asked for (RFC 2985 §5.4).

use der::asn1::ObjectIdentifier;

use super::CsrError;
use crate::{
    Limits, Secret,
    asn1::{
        oid,
        read::{Element, Fields},
        tag,
    },
    directory_string,
};

/// What is read of the attributes of a CertificationRequestInfo.
pub(super) struct Attributes {
    pub(super) challenge_password: Option<Secret>,
    pub(super) extensions: Vec<RequestedExtension>,
    /// All but the challengePassword, as they came, one after the other.
    pub(super) public: Vec<u8>,
}

impl Attributes {
    pub(super) fn parse(set: Fields<'_>, limits: &Limits) -> Result<Self, CsrError> {
        const STRUCTURE: CsrError = CsrError::Structure("attribute");
        let mut attributes = Attributes {
            challenge_password: None,
            extensions: Vec::new(),
            public: Vec::new(),
        };
        let mut seen: Vec<ObjectIdentifier> = Vec::new();
        for attribute in set.collect(limits.attributes).ok_or(STRUCTURE)? {
            let mut fields = Element::only(attribute.der, tag::SEQUENCE)
                .ok_or(STRUCTURE)?
                .fields();
            let attribute_type = fields
                .take(tag::OBJECT_IDENTIFIER)
                .and_then(|oid| oid.oid())
                .ok_or(STRUCTURE)?;
            let mut values = fields
                .take(tag::SET)
                .filter(|_| fields.is_empty())
                .ok_or(STRUCTURE)?
                .fields();
            if seen.contains(&attribute_type) {
                return Err(CsrError::DuplicateAttribute);
            }
            seen.push(attribute_type);
            if attribute_type != oid::CHALLENGE_PASSWORD {
                attributes.public.extend_from_slice(attribute.der);
            }
            match attribute_type {
                oid::CHALLENGE_PASSWORD => {
                    let value = values
                        .any()
                        .filter(|_| values.is_empty())
                        .ok_or(CsrError::ChallengePassword)?;
                    if value.content.len() > limits.challenge_password {
                        return Err(CsrError::ChallengePassword);
                    }
                    let text =
                        directory_string::decode(&value).ok_or(CsrError::ChallengePassword)?;
                    attributes.challenge_password = Some(Secret::new(text));
                }
                oid::EXTENSION_REQUEST | oid::LEGACY_EXTENSION_REQUEST => {
                    let value = values
                        .take(tag::SEQUENCE)
                        .filter(|_| values.is_empty())
                        .ok_or(STRUCTURE)?;
                    attributes.request_extensions(value.fields(), limits)?;
                }
                _ => {}
            }
        }
        Ok(attributes)
    }

    fn request_extensions(&mut self, list: Fields<'_>, limits: &Limits) -> Result<(), CsrError> {
        const STRUCTURE: CsrError = CsrError::Structure("extension request");
        for element in list.collect(limits.extensions).ok_or(STRUCTURE)? {
            let extension = RequestedExtension::parse(&element).ok_or(STRUCTURE)?;
            if self
                .extensions
                .iter()
                .any(|other| other.oid == extension.oid)
            {
                return Err(CsrError::DuplicateExtension);
            }
            self.extensions.push(extension);
        }
        Ok(())
    }
}

/// An extension that a CSR asks for. Nothing of it reaches a certificate unless a policy matched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedExtension {
    /// extnID.
    pub oid: ObjectIdentifier,
    /// critical.
    pub critical: bool,
    /// Content of extnValue.
    pub value: Vec<u8>,
}

impl RequestedExtension {
    fn parse(element: &Element<'_>) -> Option<Self> {
        let mut fields = Element::only(element.der, tag::SEQUENCE)?.fields();
        let oid = fields.take(tag::OBJECT_IDENTIFIER)?.oid()?;
        // An explicit FALSE is not DER, and yet sent.
        let critical = match fields
            .take_if(tag::BOOLEAN)
            .map(|critical| critical.content)
        {
            None | Some([0]) => false,
            Some([0xff]) => true,
            Some(_) => return None,
        };
        let value = fields.take(tag::OCTET_STRING)?.content.to_vec();
        fields.finish()?;
        Some(RequestedExtension {
            oid,
            critical,
            value,
        })
    }
}
