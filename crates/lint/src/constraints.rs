//! Name constraints (RFC 5280 section 4.2.1.10). Where a rule leaves room, a name is refused.

mod form;

use const_oid::ObjectIdentifier;
use der::{Reader, SliceReader, Tag, TagNumber};

use crate::issuer::IssuerError;
use crate::parse::{children, tlv, values};
use form::{
    Form, directory_within, dns_meets, dns_within, host_within, ip_within, mailbox_within, uri_host,
};

/// Most subtrees read of one certificate.
const MAX_SUBTREES: usize = 256;
pub(crate) const EMAIL_ADDRESS: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// The subtrees of one CA certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Subtree {
    form: Form,
    base: Vec<u8>,
}

/// A name of the certificate: its form, and the content that a subtree of this form is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    form: Form,
    value: &'a [u8],
}

impl<'a> Name<'a> {
    /// A GeneralName, of tag and content.
    pub(crate) fn general(tag: Tag, value: &'a [u8]) -> Self {
        Self {
            form: Form::of(tag),
            value,
        }
    }

    /// The whole TLV of a Name.
    pub(crate) fn directory(name: &'a [u8]) -> Self {
        Self {
            form: Form::Directory,
            value: name,
        }
    }

    /// An emailAddress attribute of a subject, which is held to the rfc822Name subtrees.
    pub(crate) fn mailbox(value: &'a [u8]) -> Self {
        Self {
            form: Form::Mailbox,
            value,
        }
    }
}

impl NameConstraints {
    /// `NameConstraints ::= SEQUENCE { permitted [0] GeneralSubtrees OPTIONAL, excluded [1] … OPTIONAL }`.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, IssuerError> {
        let mut constraints = Self::default();
        let mut last = None;
        for (tag, content) in children(value)? {
            let list = match list_number(tag) {
                Some(number) if last.is_none_or(|last| last < number) => {
                    last = Some(number);
                    if number == 0 {
                        &mut constraints.permitted
                    } else {
                        &mut constraints.excluded
                    }
                }
                Some(_) | None => return Err(IssuerError::NameConstraints("wanted [0], then [1]")),
            };
            let subtrees = values(content)?;
            if subtrees.is_empty() || subtrees.len() > MAX_SUBTREES {
                return Err(IssuerError::NameConstraints("wanted 1 to 256 subtrees"));
            }
            for (tag, subtree) in subtrees {
                tag.assert_eq(Tag::Sequence)?;
                list.push(Subtree::parse(subtree)?);
            }
        }
        if last.is_none() {
            return Err(IssuerError::NameConstraints("wanted subtrees, got none"));
        }
        Ok(constraints)
    }

    /// Whether a name lies within a permitted subtree of its form, if there is one, and within no excluded one.
    pub(crate) fn check(&self, name: Name<'_>) -> Result<(), &'static str> {
        let of_form = |subtrees: &'_ [Subtree]| -> Vec<Subtree> {
            subtrees
                .iter()
                .filter(|subtree| subtree.form == name.form)
                .cloned()
                .collect()
        };
        let (permitted, excluded) = (of_form(&self.permitted), of_form(&self.excluded));
        if permitted.is_empty() && excluded.is_empty() {
            return Ok(());
        }
        if !name.form.is_understood() {
            return Err("a form whose constraints are not understood here");
        }
        if name.form == Form::Uri && uri_host(name.value).is_none() {
            return Err("a URI without a host name, which cannot be compared");
        }
        if !permitted.is_empty() && !permitted.iter().any(|tree| tree.contains(name.value)) {
            return Err("outside of the permitted subtrees");
        }
        if excluded.iter().any(|tree| tree.meets(name.value)) {
            return Err("in an excluded subtree");
        }
        Ok(())
    }
}

/// 0 for the permitted subtrees, 1 for the excluded ones.
fn list_number(tag: Tag) -> Option<u32> {
    let Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number @ (0 | 1)),
    } = tag
    else {
        return None;
    };
    Some(number)
}

impl Subtree {
    /// `GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }`; this profile
    /// of X.509 has neither of the two.
    fn parse(content: &[u8]) -> Result<Self, IssuerError> {
        let mut reader = SliceReader::new(content)?;
        let (tag, base) = tlv(&mut reader)?;
        if !reader.is_finished() {
            return Err(IssuerError::NameConstraints("minimum or maximum is set"));
        }
        let form = Form::of(tag);
        if form == Form::Ip && !matches!(base.len(), 8 | 32) {
            return Err(IssuerError::NameConstraints(
                "wanted an address and a mask of 8 or 32 octets",
            ));
        }
        Ok(Self {
            form,
            base: base.to_vec(),
        })
    }

    /// Whether all that `name` stands for lies within.
    fn contains(&self, name: &[u8]) -> bool {
        match self.form {
            Form::Dns => dns_within(name, &self.base),
            Form::Ip => ip_within(name, &self.base),
            Form::Mailbox => mailbox_within(name, &self.base),
            Form::Uri => uri_host(name).is_some_and(|host| host_within(host, &self.base)),
            Form::Directory => directory_within(name, &self.base),
            Form::Other(_) => false,
        }
    }

    /// Whether some of what `name` stands for lies within: a wildcard stands for many.
    fn meets(&self, name: &[u8]) -> bool {
        match self.form {
            Form::Dns => dns_meets(name, &self.base),
            Form::Other(_) => true,
            Form::Ip | Form::Mailbox | Form::Uri | Form::Directory => self.contains(name),
        }
    }
}
