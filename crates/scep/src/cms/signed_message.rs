//! A SignedData with one signer, kept in parts: what a pkiMessage is in either direction.

use crate::{
    Algorithms, Digest, Limits, Malformed, Refusal, SignerCertificate,
    asn1::{ber, oid, tag},
    certificate::CertificateParts,
    cms::{
        algorithm::{DigestExt, SignatureScheme},
        attributes::SignedAttributes,
        signed_data::{SignedData, SignerInfo},
    },
    key::PublicKey,
};

#[derive(Debug, Clone)]
pub(crate) struct SignedMessage {
    /// eContentType is id-data.
    content_is_data: bool,
    content: Option<Vec<u8>>,
    attributes: SignedAttributes,
    /// SignerIdentifier as it came.
    signer_identifier: Vec<u8>,
    signer: Option<SignerCertificate>,
    digest: Option<Digest>,
    scheme: Option<SignatureScheme>,
    signature: Vec<u8>,
    /// The messageDigest attribute is the content's.
    digest_matches: bool,
}

impl SignedMessage {
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Malformed> {
        let der = ber::normalise(bytes, limits)?;
        let signed_data = SignedData::parse(&der, limits)?;
        let [signer] = signed_data.signers.as_slice() else {
            return Err(Malformed::SignerCount {
                found: signed_data.signers.len(),
            });
        };
        let signer = SignerInfo::parse(signer).ok_or(Malformed::Structure("the SignerInfo"))?;
        // Without any there is no transactionID either.
        let attributes = signer.signed_attributes.ok_or(Malformed::TransactionId)?;
        let attributes = SignedAttributes::parse(&attributes, limits)?;

        let certificate = signed_data.certificates.iter().find(|certificate| {
            CertificateParts::parse(certificate)
                .is_some_and(|parts| parts.is_named_by(&signer.identifier))
        });
        let digest = Digest::from_identifier(&signer.digest_algorithm);
        let hash =
            digest.map(|digest| digest.hash(signed_data.content.as_deref().unwrap_or_default()));
        Ok(SignedMessage {
            content_is_data: signed_data.content_type == oid::DATA,
            digest_matches: hash.is_some()
                && attributes.value(&oid::MESSAGE_DIGEST, tag::OCTET_STRING) == hash.as_deref(),
            content: signed_data.content,
            attributes,
            signer_identifier: signer.identifier.der.to_vec(),
            signer: certificate.and_then(|certificate| SignerCertificate::parse(certificate)),
            digest,
            scheme: SignatureScheme::from_identifier(&signer.signature_algorithm),
            signature: signer.signature.to_vec(),
        })
    }

    pub(crate) fn attributes(&self) -> &SignedAttributes {
        &self.attributes
    }

    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether the content is the one that the signed attributes speak of.
    pub(crate) fn digest_matches(&self) -> bool {
        self.digest_matches
    }

    pub(crate) fn signer_identifier(&self) -> &[u8] {
        &self.signer_identifier
    }

    pub(crate) fn signer(&self) -> Result<&SignerCertificate, Refusal> {
        self.signer
            .as_ref()
            .ok_or(Refusal::bad_message_check("signer-certificate-missing"))
    }

    /// Digest and signature are of kinds that can be verified, the key makes such signatures, and `algorithms` has the
    /// digest, and the curve where there is one.
    pub(crate) fn check_algorithms(&self, algorithms: &Algorithms) -> Result<(), Refusal> {
        let digest = self
            .digest
            .filter(|digest| algorithms.digests.contains(digest));
        digest.ok_or(Refusal::bad_algorithm("digest-algorithm"))?;
        let scheme = self
            .scheme
            .ok_or(Refusal::bad_algorithm("signature-algorithm"))?;
        let Some(signer) = &self.signer else {
            return Ok(());
        };
        let key = signer.key()?;
        if key
            .curve()
            .is_some_and(|curve| !algorithms.curves.contains(&curve))
        {
            return Err(Refusal::bad_algorithm("signer-key-algorithm"));
        }
        if !key.makes(scheme) {
            return Err(Refusal::bad_algorithm("signature-algorithm"));
        }
        Ok(())
    }

    /// Verifies the signature with the signer certificate of the message.
    pub(crate) fn verify(&self) -> Result<(), Refusal> {
        self.verify_with(self.signer()?.key()?)
    }

    /// RFC 5652 §5.4, §5.6, §11.1, §11.2 and RFC 8933 §4.
    pub(crate) fn verify_with(&self, key: &PublicKey) -> Result<(), Refusal> {
        let digest = self
            .digest
            .ok_or(Refusal::bad_algorithm("digest-algorithm"))?;
        let scheme = self
            .scheme
            .ok_or(Refusal::bad_algorithm("signature-algorithm"))?;
        if scheme
            .digest()
            .is_some_and(|of_signature| of_signature != digest)
        {
            return Err(Refusal::bad_message_check("digest-disagreement"));
        }
        let content_type = self
            .attributes
            .value(&oid::CONTENT_TYPE, tag::OBJECT_IDENTIFIER);
        if content_type != Some(oid::DATA.as_bytes()) || !self.content_is_data {
            return Err(Refusal::bad_message_check("content-type"));
        }
        if !self.digest_matches {
            return Err(Refusal::bad_message_check("message-digest"));
        }
        if !self.attributes.is_sorted() {
            return Err(Refusal::bad_message_check("unsorted-attributes"));
        }
        if !key.verify(scheme, digest, self.attributes.der(), &self.signature) {
            return Err(Refusal::bad_message_check("signature"));
        }
        Ok(())
    }
}
