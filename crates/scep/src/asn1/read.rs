//! A strict reader of DER elements, one after the other.

use der::asn1::ObjectIdentifier;

use super::{
    ber::{Header, Length},
    tag,
};

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// Content octets.
    pub(crate) content: &'a [u8],
    /// The whole encoding.
    pub(crate) der: &'a [u8],
}

impl<'a> Element<'a> {
    /// The one element that `der` is, with nothing after it.
    pub(crate) fn only(der: &'a [u8], tag: u8) -> Option<Self> {
        let mut fields = Fields::new(der);
        fields.take(tag).filter(|_| fields.is_empty())
    }

    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields::new(self.content)
    }

    pub(crate) fn oid(&self) -> Option<ObjectIdentifier> {
        (self.tag == tag::OBJECT_IDENTIFIER)
            .then(|| ObjectIdentifier::from_bytes(self.content).ok())?
    }

    /// Octets of a BIT STRING without unused bits.
    pub(crate) fn bit_string(&self) -> Option<&'a [u8]> {
        match self.content.split_first()? {
            (0, octets) if self.tag == tag::BIT_STRING => Some(octets),
            _ => None,
        }
    }

    /// Magnitude of a non-negative INTEGER, without leading zeros.
    pub(crate) fn magnitude(&self) -> Option<&'a [u8]> {
        let (&first, _) = self
            .content
            .split_first()
            .filter(|_| self.tag == tag::INTEGER)?;
        let zeros = self.content.iter().take_while(|octet| **octet == 0).count();
        (first < 0x80).then(|| self.content.get(zeros..))?
    }

    /// A non-negative INTEGER of no more than 32 bits.
    pub(crate) fn small_number(&self) -> Option<u32> {
        let magnitude = self.magnitude()?;
        if magnitude.len() > size_of::<u32>() {
            return None;
        }
        Some(
            magnitude
                .iter()
                .fold(0, |number, octet| number << 8 | u32::from(*octet)),
        )
    }
}

/// The elements of a constructed value. `None` from its methods is a structure that is not as defined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(content: &'a [u8]) -> Self {
        Fields { rest: content }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Option<Element<'a>> {
        let header = Header::read(self.rest)?;
        let Length::Definite {
            octets,
            minimal: true,
        } = header.length
        else {
            return None;
        };
        let (der, rest) = self
            .rest
            .split_at_checked(header.size.checked_add(octets)?)?;
        self.rest = rest;
        Some(Element {
            tag: header.tag,
            content: der.get(header.size..)?,
            der,
        })
    }

    /// The next element, which is to have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        self.any().filter(|element| element.tag == tag)
    }

    /// The next element if it has this tag; else nothing is taken.
    pub(crate) fn take_if(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.take(tag)?;
        *self = ahead;
        Some(element)
    }

    /// Done, where nothing is left.
    pub(crate) fn finish(self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// The rest, element by element; `None` where there are more than `limit`, or one is broken.
    pub(crate) fn collect(mut self, limit: usize) -> Option<Vec<Element<'a>>> {
        let mut elements = Vec::new();
        while !self.is_empty() && elements.len() <= limit {
            elements.push(self.any()?);
        }
        (elements.len() <= limit).then_some(elements)
    }
}
