//! A PKCSReq ready to be sent (RFC 8894, section 3.3.1).

use std::time::{Duration, SystemTime};

use assay_policy::{StringEncoding, SubjectAltName};
use assay_scep::client::{
    PkiMessageBuilder, assemble_certificate, assemble_csr, new_csr_info, self_signed_tbs,
};
use assay_scep::{Digest, Nonce};
use const_oid::AssociatedOid;
use der::Encode;
use der::asn1::OctetString;
use hyper::body::Bytes;
use openssl::sha::sha256;
use x509_cert::ext::Extension;

use super::{DeviceKey, Wish};
use crate::failure::{OrFail, Outcome};

/// How long the transient certificate says it is valid; nobody runs path validation on it.
const TRANSIENT: Duration = Duration::from_hours(24);
const DIGEST: Digest = Digest::Sha256;

/// The message, and what it takes to recognise its answer.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) message: Bytes,
    pub(crate) transaction_id: String,
    pub(crate) nonce: Vec<u8>,
    /// DER of the transient self-signed certificate, to which the reply is enveloped.
    pub(crate) signer_certificate: Vec<u8>,
}

impl Prepared {
    /// Builds the CSR, the transient certificate and the enveloped, signed message.
    pub(crate) async fn new(wish: &Wish, key: &DeviceKey, recipient: &[u8]) -> Outcome<Self> {
        let what = "cannot build the request";
        let subject = wish.subject.to_der(StringEncoding::Utf8).or_fail(what)?;
        let spki = key.spki_der()?;
        let csr = csr(wish, key, &subject, &spki)?;
        let signer_certificate = transient_certificate(key, &subject, &spki)?;
        // Derived from the key, so that a device that asks again finds its transaction again.
        let transaction_id = hex::encode(sha256(&spki));
        let nonce = Nonce::random().or_fail(what)?.as_bytes().to_vec();
        let message =
            PkiMessageBuilder::new(&signer_certificate, recipient, &transaction_id, &nonce)
                .build(&csr, key)
                .await
                .or_fail(what)?;
        Ok(Self {
            message: message.into(),
            transaction_id,
            nonce,
            signer_certificate,
        })
    }
}

fn csr(wish: &Wish, key: &DeviceKey, subject: &[u8], spki: &[u8]) -> Outcome<Vec<u8>> {
    let what = "cannot build the CSR";
    let extensions = san_extension(&wish.sans)?;
    let info = new_csr_info(subject, spki, Some(&wish.challenge), &extensions);
    let signature = key.sign(DIGEST, &info).or_fail(what)?;
    Ok(assemble_csr(&info, DIGEST, &signature))
}

fn san_extension(sans: &[SubjectAltName]) -> Outcome<Vec<Vec<u8>>> {
    let what = "cannot encode the subject alternative names";
    if sans.is_empty() {
        return Ok(Vec::new());
    }
    let value = SubjectAltName::list_to_der(sans).or_fail(what)?;
    let extension = Extension {
        extn_id: x509_cert::ext::pkix::SubjectAltName::OID,
        critical: false,
        extn_value: OctetString::new(value).or_fail(what)?,
    };
    Ok(vec![extension.to_der().or_fail(what)?])
}

fn transient_certificate(key: &DeviceKey, subject: &[u8], spki: &[u8]) -> Outcome<Vec<u8>> {
    let what = "cannot build the transient certificate";
    let now = SystemTime::now();
    let tbs = self_signed_tbs(subject, spki, &[1], DIGEST, now, now + TRANSIENT).or_fail(what)?;
    let signature = key.sign(DIGEST, &tbs).or_fail(what)?;
    Ok(assemble_certificate(&tbs, DIGEST, &signature))
}
