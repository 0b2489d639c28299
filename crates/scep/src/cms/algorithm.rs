//! AlgorithmIdentifiers (RFC 5754, RFC 4055, RFC 8017) to and from what they mean.

use der::asn1::ObjectIdentifier;
use openssl::sha;

use crate::{
    Cipher, Digest, KeyTransport,
    asn1::{
        oid,
        read::{Element, Fields},
        tag, write,
    },
    key::PublicKey,
};

pub(crate) struct AlgorithmIdentifier<'a> {
    pub(crate) oid: ObjectIdentifier,
    parameters: Option<Element<'a>>,
}

impl<'a> AlgorithmIdentifier<'a> {
    pub(crate) fn take(fields: &mut Fields<'a>) -> Option<Self> {
        Self::parse(&fields.take(tag::SEQUENCE)?)
    }

    /// Of an element that is one but for its tag.
    pub(crate) fn parse(element: &Element<'a>) -> Option<Self> {
        let mut fields = element.fields();
        let oid = fields.take(tag::OBJECT_IDENTIFIER)?.oid()?;
        let parameters = if fields.is_empty() {
            None
        } else {
            Some(fields.any()?)
        };
        fields.finish()?;
        Some(AlgorithmIdentifier { oid, parameters })
    }

    /// Absent and NULL mean the same (RFC 5754 §2, RFC 8017 A.2.4).
    pub(crate) fn has_no_parameters(&self) -> bool {
        self.parameters
            .is_none_or(|parameters| parameters.tag == tag::NULL && parameters.content.is_empty())
    }

    /// The parameters, whole encoding, where there are any but NULL.
    pub(crate) fn parameters_der(&self) -> Option<&'a [u8]> {
        let parameters = self.parameters.filter(|_| !self.has_no_parameters());
        parameters.map(|parameters| parameters.der)
    }

    /// The parameters where they are one object identifier.
    pub(crate) fn parameters_oid(&self) -> Option<ObjectIdentifier> {
        self.parameters?.oid()
    }

    /// The single digest behind `[n] EXPLICIT AlgorithmIdentifier`, SHA-1 where it is absent.
    fn explicit_digest(fields: &mut Fields<'a>, number: u8) -> Option<Digest> {
        let Some(explicit) = fields.take_if(tag::context_constructed(number)) else {
            return Some(Digest::Sha1);
        };
        Digest::from_identifier(&AlgorithmIdentifier::take(&mut explicit.fields())?)
    }

    /// The digest of `[1] EXPLICIT MaskGenAlgorithm`, MGF1 with SHA-1 where it is absent.
    fn explicit_mgf1(fields: &mut Fields<'a>) -> Option<Digest> {
        let Some(explicit) = fields.take_if(tag::context_constructed(1)) else {
            return Some(Digest::Sha1);
        };
        let mgf = AlgorithmIdentifier::take(&mut explicit.fields())?;
        if mgf.oid != oid::MGF1 {
            return None;
        }
        Digest::from_identifier(&AlgorithmIdentifier::parse(&mgf.parameters?)?)
    }
}

/// What a message says of a digest.
pub(crate) trait DigestExt: Sized {
    fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<Self>;
    fn of_hmac(identifier: &AlgorithmIdentifier<'_>) -> Option<Self>;
    fn oid(self) -> ObjectIdentifier;
    /// RFC 8018 B.1.
    fn hmac_oid(self) -> ObjectIdentifier;
    fn hash(self, data: &[u8]) -> Vec<u8>;
    /// Parameters absent (RFC 5754 §2).
    fn identifier(self) -> Vec<u8>;
    /// DigestInfo of EMSA-PKCS1-v1_5, parameters NULL (RFC 8017 §9.2).
    fn info(self, hash: &[u8]) -> Vec<u8>;
    /// AlgorithmIdentifier of RSASSA-PKCS1-v1_5 with this digest, for certificates and CSRs.
    fn with_rsa(self) -> Vec<u8>;
    /// The AlgorithmIdentifier by which `key` signs with this digest: PKCS#1 v1.5 or ECDSA.
    fn signed_by(self, key: &PublicKey) -> Vec<u8>;
}

impl DigestExt for Digest {
    fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        Digest::ALL
            .into_iter()
            .find(|digest| digest.oid() == identifier.oid && identifier.has_no_parameters())
    }

    fn of_hmac(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        Digest::ALL
            .into_iter()
            .find(|digest| digest.hmac_oid() == identifier.oid && identifier.has_no_parameters())
    }

    fn oid(self) -> ObjectIdentifier {
        match self {
            Digest::Sha1 => oid::SHA1,
            Digest::Sha256 => oid::SHA256,
            Digest::Sha384 => oid::SHA384,
            Digest::Sha512 => oid::SHA512,
        }
    }

    fn hmac_oid(self) -> ObjectIdentifier {
        match self {
            Digest::Sha1 => oid::HMAC_WITH_SHA1,
            Digest::Sha256 => oid::HMAC_WITH_SHA256,
            Digest::Sha384 => oid::HMAC_WITH_SHA384,
            Digest::Sha512 => oid::HMAC_WITH_SHA512,
        }
    }

    fn hash(self, data: &[u8]) -> Vec<u8> {
        match self {
            Digest::Sha1 => sha::sha1(data).to_vec(),
            Digest::Sha256 => sha::sha256(data).to_vec(),
            Digest::Sha384 => sha::sha384(data).to_vec(),
            Digest::Sha512 => sha::sha512(data).to_vec(),
        }
    }

    fn identifier(self) -> Vec<u8> {
        write::sequence(&[&write::oid(&self.oid())])
    }

    fn info(self, hash: &[u8]) -> Vec<u8> {
        let identifier = write::sequence(&[&write::oid(&self.oid()), &write::null()]);
        write::sequence(&[&identifier, &write::octet_string(hash)])
    }

    fn with_rsa(self) -> Vec<u8> {
        let oid = match self {
            Digest::Sha1 => oid::SHA1_WITH_RSA,
            Digest::Sha256 => oid::SHA256_WITH_RSA,
            Digest::Sha384 => oid::SHA384_WITH_RSA,
            Digest::Sha512 => oid::SHA512_WITH_RSA,
        };
        write::sequence(&[&write::oid(&oid), &write::null()])
    }

    fn signed_by(self, key: &PublicKey) -> Vec<u8> {
        match key {
            PublicKey::Rsa(_) => self.with_rsa(),
            PublicKey::Ec(_) => with_ecdsa(self),
        }
    }
}

/// AlgorithmIdentifier of ECDSA with a digest, parameters absent (RFC 5758 §3.2).
fn with_ecdsa(digest: Digest) -> Vec<u8> {
    let oid = match digest {
        Digest::Sha1 => oid::ECDSA_WITH_SHA1,
        Digest::Sha256 => oid::ECDSA_WITH_SHA256,
        Digest::Sha384 => oid::ECDSA_WITH_SHA384,
        Digest::Sha512 => oid::ECDSA_WITH_SHA512,
    };
    write::sequence(&[&write::oid(&oid)])
}

/// How a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5. `rsaEncryption` names no digest (RFC 3370 §3.2): the SignerInfo's holds.
    Pkcs1v15 { digest: Option<Digest> },
    /// RSASSA-PSS (RFC 4056).
    Pss {
        digest: Digest,
        mgf: Digest,
        salt_length: i32,
    },
    /// ECDSA (RFC 5753 §2.1, RFC 5758 §3.2).
    Ecdsa { digest: Digest },
}

impl SignatureScheme {
    pub(crate) fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        if identifier.oid == oid::RSASSA_PSS {
            return Self::pss(identifier.parameters?);
        }
        let ecdsa = match identifier.oid {
            oid::ECDSA_WITH_SHA1 => Some(Digest::Sha1),
            oid::ECDSA_WITH_SHA256 => Some(Digest::Sha256),
            oid::ECDSA_WITH_SHA384 => Some(Digest::Sha384),
            oid::ECDSA_WITH_SHA512 => Some(Digest::Sha512),
            _ => None,
        };
        if let Some(digest) = ecdsa {
            let scheme = SignatureScheme::Ecdsa { digest };
            return identifier.has_no_parameters().then_some(scheme);
        }
        let digest = match identifier.oid {
            oid::RSA_ENCRYPTION => None,
            oid::SHA1_WITH_RSA | oid::SHA1_WITH_RSA_OIW => Some(Digest::Sha1),
            oid::SHA256_WITH_RSA => Some(Digest::Sha256),
            oid::SHA384_WITH_RSA => Some(Digest::Sha384),
            oid::SHA512_WITH_RSA => Some(Digest::Sha512),
            _ => return None,
        };
        identifier
            .has_no_parameters()
            .then_some(SignatureScheme::Pkcs1v15 { digest })
    }

    /// RSASSA-PSS-params (RFC 8017 A.2.3).
    fn pss(parameters: Element<'_>) -> Option<Self> {
        /// RFC 8017 A.2.3.
        const DEFAULT_SALT_LENGTH: i32 = 20;
        let mut fields = parameters.fields();
        let digest = AlgorithmIdentifier::explicit_digest(&mut fields, 0)?;
        let mgf = AlgorithmIdentifier::explicit_mgf1(&mut fields)?;
        let salt_length = match fields.take_if(tag::context_constructed(2)) {
            None => DEFAULT_SALT_LENGTH,
            // One octet: a salt is no longer than a digest in practice.
            Some(explicit) => match explicit.fields().take(tag::INTEGER)?.magnitude()? {
                [] => 0,
                [length] => i32::from(*length),
                _ => return None,
            },
        };
        // trailerField is 1 wherever it is given.
        if let Some(trailer) = fields.take_if(tag::context_constructed(3))
            && trailer.fields().take(tag::INTEGER)?.magnitude()? != [1]
        {
            return None;
        }
        fields.finish()?;
        Some(SignatureScheme::Pss {
            digest,
            mgf,
            salt_length,
        })
    }

    /// The digest that the scheme itself names.
    pub(crate) fn digest(self) -> Option<Digest> {
        match self {
            SignatureScheme::Pkcs1v15 { digest } => digest,
            SignatureScheme::Pss { digest, .. } | SignatureScheme::Ecdsa { digest } => Some(digest),
        }
    }
}

impl Cipher {
    /// The cipher and its IV (RFC 3565 §4.1, RFC 3370 §5.1).
    pub(crate) fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<(Self, Vec<u8>)> {
        let cipher = Cipher::ALL
            .into_iter()
            .find(|cipher| cipher.oid() == identifier.oid)?;
        let iv = identifier
            .parameters
            .filter(|iv| iv.tag == tag::OCTET_STRING)?
            .content;
        (iv.len() == cipher.block_length()).then(|| (cipher, iv.to_vec()))
    }

    fn oid(self) -> ObjectIdentifier {
        match self {
            Cipher::DesEde3Cbc => oid::DES_EDE3_CBC,
            Cipher::Aes128Cbc => oid::AES128_CBC,
            Cipher::Aes192Cbc => oid::AES192_CBC,
            Cipher::Aes256Cbc => oid::AES256_CBC,
        }
    }

    pub(crate) fn identifier(self, iv: &[u8]) -> Vec<u8> {
        write::sequence(&[&write::oid(&self.oid()), &write::octet_string(iv)])
    }
}

pub(crate) trait KeyTransportExt: Sized {
    fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<Self>;
    fn identifier(self) -> Vec<u8>;
}

impl KeyTransportExt for KeyTransport {
    fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        match identifier.oid {
            oid::RSA_ENCRYPTION => identifier
                .has_no_parameters()
                .then_some(KeyTransport::Pkcs1v15),
            oid::RSAES_OAEP => oaep(identifier.parameters),
            _ => None,
        }
    }

    fn identifier(self) -> Vec<u8> {
        match self {
            KeyTransport::Pkcs1v15 => rsa_encryption(),
            KeyTransport::Oaep { digest, mgf } => {
                let mgf1 = write::sequence(&[&write::oid(&oid::MGF1), &mgf.identifier()]);
                let parameters = write::sequence(&[
                    &write::context(0, &[&digest.identifier()]),
                    &write::context(1, &[&mgf1]),
                ]);
                write::sequence(&[&write::oid(&oid::RSAES_OAEP), &parameters])
            }
        }
    }
}

/// RSAES-OAEP-params (RFC 8017 A.2.1); the label is to be empty.
fn oaep(parameters: Option<Element<'_>>) -> Option<KeyTransport> {
    let mut fields = match parameters {
        Some(parameters) => Element::only(parameters.der, tag::SEQUENCE)?.fields(),
        None => Fields::new(&[]),
    };
    let digest = AlgorithmIdentifier::explicit_digest(&mut fields, 0)?;
    let mgf = AlgorithmIdentifier::explicit_mgf1(&mut fields)?;
    if let Some(explicit) = fields.take_if(tag::context_constructed(2)) {
        let source = AlgorithmIdentifier::take(&mut explicit.fields())?;
        let label = source
            .parameters
            .filter(|label| label.tag == tag::OCTET_STRING)?;
        if source.oid != oid::P_SPECIFIED || !label.content.is_empty() {
            return None;
        }
    }
    fields.finish()?;
    Some(KeyTransport::Oaep { digest, mgf })
}

/// `rsaEncryption` with NULL: as signatureAlgorithm it is the only one that strongSwan up to 5.9.8 takes.
pub(crate) fn rsa_encryption() -> Vec<u8> {
    write::sequence(&[&write::oid(&oid::RSA_ENCRYPTION), &write::null()])
}
