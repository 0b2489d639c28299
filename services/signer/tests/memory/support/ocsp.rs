//! A relying party: questions as frontends pass them on, and responses as OpenSSL reads them.

use assay_proto::v1::enrolment_server::Enrolment;
use assay_proto::v1::ocsp_response_reply::Outcome;
use assay_proto::v1::{OcspHash, OcspIssuer, OcspResponseRequest, OcspSigned};
use assay_runtime::identity::Role;
use assay_types::Timestamp;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::ocsp::{
    OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus, OcspRevokedStatus,
};
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;

use super::{FRONTEND, Stand, by, serial};

/// The status of a certificate in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertStatus {
    Good,
    Revoked(OcspRevokedStatus),
}

impl Stand {
    /// The CA as its frontends are given it, with hashes of this kind.
    pub(crate) async fn ocsp_issuer(&self, hash: OcspHash) -> Option<OcspIssuer> {
        let issuers = self.public_info().await.ocsp_issuers;
        issuers.into_iter().find(|issuer| issuer.hash() == hash)
    }

    /// The answer to a frontend that asks about a serial number.
    pub(crate) async fn ocsp_answer(&self, issuer: OcspIssuer, serial: &[u8]) -> Outcome {
        let request = OcspResponseRequest {
            issuer: Some(issuer),
            serial: serial.to_vec(),
        };
        let request = by(Role::Frontend, FRONTEND, request);
        let reply = self.signer.enrolment().ocsp_response(request).await;
        reply.unwrap().into_inner().outcome.unwrap()
    }

    /// The answer about a certificate under hashes of this kind.
    pub(crate) async fn ocsp_of(&self, hash: OcspHash, certificate: &[u8]) -> Outcome {
        let issuer = self.ocsp_issuer(hash).await.unwrap();
        self.ocsp_answer(issuer, serial(certificate).as_bytes())
            .await
    }

    /// The status of a certificate in the responses of both hashes, with thisUpdate and nextUpdate.
    pub(crate) async fn ocsp_status(
        &self,
        certificate: &[u8],
    ) -> (CertStatus, Timestamp, Timestamp) {
        let mut said = Vec::new();
        for (hash, digest) in [
            (OcspHash::Sha1, MessageDigest::sha1()),
            (OcspHash::Sha256, MessageDigest::sha256()),
        ] {
            let outcome = self.ocsp_of(hash, certificate).await;
            let Outcome::Signed(signed) = outcome else {
                panic!("no response: {outcome:?}");
            };
            said.push(self.read(&signed, certificate, digest));
        }
        assert_eq!(said[0], said[1]);
        said[0]
    }

    /// Verifies a response as a relying party that trusts the CA.
    fn read(
        &self,
        signed: &OcspSigned,
        certificate: &[u8],
        digest: MessageDigest,
    ) -> (CertStatus, Timestamp, Timestamp) {
        let response = OcspResponse::from_der(&signed.response).unwrap();
        assert_eq!(response.status(), OcspResponseStatus::SUCCESSFUL);
        let response = response.basic().unwrap();
        let ca = &self.ca.ca.certificate;
        let mut trusted = X509StoreBuilder::new().unwrap();
        trusted.add_cert(ca.clone()).unwrap();
        // The tests' clock is not the machine's.
        trusted.set_flags(X509VerifyFlags::NO_CHECK_TIME).unwrap();
        let (none, trusted) = (Stack::new().unwrap(), trusted.build());
        response.verify(&none, &trusted, OcspFlag::empty()).unwrap();
        let certificate = X509::from_der(certificate).unwrap();
        let id = OcspCertId::from_cert(digest, &certificate, ca).unwrap();
        let said = response.find_status(&id).unwrap();
        let [this_update, next_update] =
            [signed.this_update, signed.next_update].map(|time| time.unwrap().try_into().unwrap());
        let text = |time: Timestamp| Asn1Time::from_unix(time.seconds()).unwrap().to_string();
        assert_eq!(said.this_update.to_string(), text(this_update));
        assert_eq!(said.next_update().unwrap().to_string(), text(next_update));
        let status = match said.status {
            OcspCertStatus::GOOD => CertStatus::Good,
            OcspCertStatus::REVOKED => CertStatus::Revoked(said.reason),
            other => panic!("{other:?}"),
        };
        (status, this_update, next_update)
    }
}
