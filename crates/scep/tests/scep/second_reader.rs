//! What this crate writes, read by the cms crate: strict types of RFC 5652 that share nothing with ours.

use crate::support::*;
use assay_scep::{Cipher, Digest, FailInfo, Outcome, ReplyContext, cert_rep};
use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::enveloped_data::{EnvelopedData, RecipientInfo};
use cms::signed_data::SignedData;
use der::asn1::{Null, ObjectIdentifier, OctetString};
use der::{Decode, Encode};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.3");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");

async fn reply(outcome: &Outcome) -> SignedData {
    let request = parse(&builder().build(&csr(), device()).await.unwrap());
    let context = ReplyContext {
        request: &request,
        ra_certificate: &ra().certificate,
        digest: Digest::Sha256,
        cipher: Cipher::Aes256Cbc,
        password: None,
    };
    let bytes = cert_rep(&context, outcome, ra()).await.unwrap();
    let info = ContentInfo::from_der(&bytes).unwrap();
    info.content.decode_as().unwrap()
}

#[tokio::test]
async fn a_success_is_one_signature_around_one_envelope() {
    let signed = reply(&Outcome::Success {
        certificates: vec![device().certificate.clone()],
    })
    .await;
    assert_eq!(signed.version, CmsVersion::V1);
    assert_eq!(signed.encap_content_info.econtent_type, DATA);
    let certificates = signed.certificates.unwrap();
    let carried = certificates.0.as_slice();
    assert!(matches!(
        carried,
        [CertificateChoices::Certificate(ra_certificate)]
            if ra_certificate.to_der().unwrap() == ra().certificate
    ));
    let [signer] = signed.signer_infos.0.as_slice() else {
        panic!("one SignerInfo is expected");
    };
    assert_eq!(signer.version, CmsVersion::V1);
    assert!(signer.digest_alg.parameters.is_none());
    // strongSwan up to 5.9.8 takes no other identifier here.
    assert_eq!(signer.signature_algorithm.oid, RSA_ENCRYPTION);
    let parameters = signer.signature_algorithm.parameters.as_ref().unwrap();
    parameters.decode_as::<Null>().unwrap();

    let content: OctetString = signed
        .encap_content_info
        .econtent
        .unwrap()
        .decode_as()
        .unwrap();
    let info = ContentInfo::from_der(content.as_bytes()).unwrap();
    assert_eq!(info.content_type, ENVELOPED_DATA);
    let enveloped: EnvelopedData = info.content.decode_as().unwrap();
    assert_eq!(enveloped.version, CmsVersion::V0);
    assert!(matches!(
        enveloped.recip_infos.0.as_slice(),
        [RecipientInfo::Ktri(recipient)]
            if recipient.key_enc_alg.oid == RSA_ENCRYPTION && recipient.version == CmsVersion::V0
    ));
    assert_eq!(enveloped.encrypted_content.content_enc_alg.oid, AES_256_CBC);
}

#[tokio::test]
async fn failure_and_pending_carry_an_empty_content() {
    let failure = Outcome::Failure {
        fail_info: FailInfo::BadRequest,
        text: None,
    };
    for outcome in [failure, Outcome::Pending] {
        let signed = reply(&outcome).await;
        assert_eq!(signed.encap_content_info.econtent_type, DATA);
        let content: OctetString = signed
            .encap_content_info
            .econtent
            .unwrap()
            .decode_as()
            .unwrap();
        assert!(content.as_bytes().is_empty());
        assert_eq!(signed.signer_infos.0.len(), 1);
    }
}
