//! SignedData (RFC 5652 §5), read leniently and borrowed: certificates and identifiers stay raw.

use der::asn1::ObjectIdentifier;

use crate::{
    Limits, Malformed,
    asn1::{
        ber::join_segments,
        oid,
        read::{Element, Fields},
        tag,
    },
    cms::algorithm::AlgorithmIdentifier,
};

/// The content of a ContentInfo of this type (RFC 5652 §3).
pub(crate) fn content_info<'a>(
    der: &'a [u8],
    content_type: &ObjectIdentifier,
) -> Option<Fields<'a>> {
    let mut fields = Element::only(der, tag::SEQUENCE)?.fields();
    let found = fields.take(tag::OBJECT_IDENTIFIER)?.oid()?;
    let mut explicit = fields.take(tag::context_constructed(0))?.fields();
    fields.finish()?;
    let content = explicit.take(tag::SEQUENCE)?;
    explicit.finish()?;
    (found == *content_type).then(|| content.fields())
}

pub(crate) struct SignedData<'a> {
    pub(crate) content_type: ObjectIdentifier,
    /// Value octets of eContent.
    pub(crate) content: Option<Vec<u8>>,
    /// Whole encodings, in the order in which they came.
    pub(crate) certificates: Vec<&'a [u8]>,
    /// CRLs, whole encodings.
    pub(crate) crls: Vec<&'a [u8]>,
    pub(crate) signers: Vec<Element<'a>>,
}

impl<'a> SignedData<'a> {
    /// `der`: a normalised ContentInfo.
    pub(crate) fn parse(der: &'a [u8], limits: &Limits) -> Result<Self, Malformed> {
        const STRUCTURE: Malformed = Malformed::Structure("the SignedData");
        let mut fields = content_info(der, &oid::SIGNED_DATA).ok_or(STRUCTURE)?;
        fields.take(tag::INTEGER).ok_or(STRUCTURE)?;
        fields.take(tag::SET).ok_or(STRUCTURE)?;
        let encapsulated = fields.take(tag::SEQUENCE).ok_or(STRUCTURE)?;
        let (content_type, content) = encapsulated_content(&encapsulated).ok_or(STRUCTURE)?;

        let certificates = choices(&mut fields, 0, "certificates", limits)?;
        let crls = choices(&mut fields, 1, "CRLs", limits)?;
        let signers = fields.take(tag::SET).ok_or(STRUCTURE)?;
        fields.finish().ok_or(STRUCTURE)?;
        Ok(SignedData {
            content_type,
            content,
            certificates,
            crls,
            signers: signers.fields().collect(limits.elements).ok_or(STRUCTURE)?,
        })
    }
}

/// The members of an implicit SET under `[number]` that are SEQUENCEs: the other CertificateChoices and
/// RevocationInfoChoices are context-tagged and of no use here.
fn choices<'a>(
    fields: &mut Fields<'a>,
    number: u8,
    what: &'static str,
    limits: &Limits,
) -> Result<Vec<&'a [u8]>, Malformed> {
    let Some(set) = fields.take_if(tag::context_constructed(number)) else {
        return Ok(Vec::new());
    };
    let limit = limits.certificates;
    let members = set
        .fields()
        .collect(limit)
        .ok_or(Malformed::TooMany { what, limit })?;
    Ok(members
        .into_iter()
        .filter(|choice| choice.tag == tag::SEQUENCE)
        .map(|choice| choice.der)
        .collect())
}

fn encapsulated_content(element: &Element<'_>) -> Option<(ObjectIdentifier, Option<Vec<u8>>)> {
    let mut fields = element.fields();
    let content_type = fields.take(tag::OBJECT_IDENTIFIER)?.oid()?;
    let content = match fields.take_if(tag::context_constructed(0)) {
        None => None,
        // EXPLICIT: one OCTET STRING, which normalisation has made primitive.
        Some(explicit) => Some(
            Element::only(explicit.content, tag::OCTET_STRING)?
                .content
                .to_vec(),
        ),
    };
    fields.finish()?;
    Some((content_type, content))
}

/// An OCTET STRING under `[0] IMPLICIT`, primitive or in segments.
pub(crate) fn implicit_octets(fields: &mut Fields<'_>) -> Option<Vec<u8>> {
    if let Some(primitive) = fields.take_if(tag::context(0)) {
        return Some(primitive.content.to_vec());
    }
    join_segments(fields.take(tag::context_constructed(0))?.content)
}

/// SignerInfo (RFC 5652 §5.3).
pub(crate) struct SignerInfo<'a> {
    pub(crate) identifier: Element<'a>,
    pub(crate) digest_algorithm: AlgorithmIdentifier<'a>,
    pub(crate) signed_attributes: Option<Element<'a>>,
    pub(crate) signature_algorithm: AlgorithmIdentifier<'a>,
    pub(crate) signature: &'a [u8],
}

impl<'a> SignerInfo<'a> {
    pub(crate) fn parse(element: &Element<'a>) -> Option<Self> {
        let mut fields = Element::only(element.der, tag::SEQUENCE)?.fields();
        fields.take(tag::INTEGER)?;
        let info = SignerInfo {
            identifier: fields.any()?,
            digest_algorithm: AlgorithmIdentifier::take(&mut fields)?,
            signed_attributes: fields.take_if(tag::context_constructed(0)),
            signature_algorithm: AlgorithmIdentifier::take(&mut fields)?,
            signature: fields.take(tag::OCTET_STRING)?.content,
        };
        fields.take_if(tag::context_constructed(1));
        fields.finish()?;
        Some(info)
    }
}
