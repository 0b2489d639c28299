//! OCSP as a relying party uses it: the request about one certificate, and the verification of its answer.

use std::time::SystemTime;

use assay_ocsp::{BasicResponse, CertId, Issuer, Response, ResponseData, Status, Unsuccessful};
use assay_types::CertIdHash;
use der::Decode;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sha::{sha1, sha256};
use openssl::sign::Verifier;
use openssl::x509::X509;
use x509_cert::Certificate;

use crate::failure::{OrFail, Outcome};

/// Whose certificates are asked about, and who answers for them.
pub(super) struct Party {
    /// Of the CA, SHA-1 and SHA-256.
    issuers: [Issuer; 2],
    responder: Vec<u8>,
    key: PKey<Public>,
}

/// The contents of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Verified, of the certificate that was asked about, and it holds at this moment. With the ResponseData, DER.
    Good(Vec<u8>),
    /// It is not at hand.
    TryLater,
    /// It has ended, or begins later; seconds past nextUpdate, or before thisUpdate.
    Ended(u64),
    /// No right answer, and why.
    Wrong(&'static str),
}

impl Party {
    /// `ca` and `responder`: DER.
    pub(super) fn new(ca: &[u8], responder: Vec<u8>) -> Outcome<Self> {
        let what = "the CA's or the responder's certificate is unreadable";
        let ca = Certificate::from_der(ca).or_fail(what)?;
        let of_sha1 = Issuer::of(&ca, CertIdHash::Sha1, |octets| sha1(octets).to_vec());
        let of_sha256 = Issuer::of(&ca, CertIdHash::Sha256, |octets| sha256(octets).to_vec());
        let key_of_responder = X509::from_der(&responder).and_then(|own| own.public_key());
        Ok(Self {
            issuers: [of_sha1.or_fail(what)?, of_sha256.or_fail(what)?],
            responder,
            key: key_of_responder.or_fail(what)?,
        })
    }

    /// The DER request about one certificate; `serial` are the content octets of its INTEGER.
    pub(super) fn request(&self, hash: CertIdHash, serial: &[u8]) -> Outcome<Vec<u8>> {
        let request = self.id(hash, serial).to_request();
        request.or_fail("a request cannot be built")
    }

    /// Reads and verifies an answer to that request at the time `now`.
    pub(super) fn read(
        &self,
        hash: CertIdHash,
        serial: &[u8],
        answer: &[u8],
        now: SystemTime,
    ) -> Said {
        let no_der = "no OCSPResponse with a BasicOCSPResponse";
        match Response::from_der(answer) {
            Ok(Response::Successful(basic)) => self
                .judge(&self.id(hash, serial), basic, now)
                .unwrap_or_else(Said::Wrong),
            Ok(Response::Unsuccessful(Unsuccessful::TryLater)) => Said::TryLater,
            Ok(Response::Unsuccessful(_)) | Err(_) => Said::Wrong(no_der),
        }
    }

    fn judge(
        &self,
        id: &CertId,
        basic: BasicResponse,
        now: SystemTime,
    ) -> Result<Said, &'static str> {
        if basic.certificate.as_ref() != Some(&self.responder) {
            return Err("the responder's certificate is not that of the installation");
        }
        if !self.verifies(&basic.data, &basic.signature) {
            return Err("the signature does not verify");
        }
        let data =
            ResponseData::from_der(&basic.data).map_err(|_| "no ResponseData of one status")?;
        if data.cert_id != *id {
            return Err("the status of another certificate");
        }
        if data.status != Status::Good {
            return Err("a status that is not good");
        }
        let (begin, end) = (SystemTime::from(data.this_update), data.next_update.into());
        let outside = [now.duration_since(end), begin.duration_since(now)];
        let outside = outside.into_iter().flatten().max().unwrap_or_default();
        Ok(if outside.is_zero() {
            Said::Good(basic.data)
        } else {
            Said::Ended(outside.as_secs())
        })
    }

    fn id(&self, hash: CertIdHash, serial: &[u8]) -> CertId {
        let [of_sha1, of_sha256] = &self.issuers;
        CertId {
            issuer: match hash {
                CertIdHash::Sha1 => of_sha1.clone(),
                CertIdHash::Sha256 => of_sha256.clone(),
            },
            serial: serial.to_vec(),
        }
    }

    /// By the digest that fits the key, as `assay-ceremony` makes them: an elliptic-curve key's own, else SHA-256.
    fn verifies(&self, data: &[u8], signature: &[u8]) -> bool {
        let digest = if self.key.bits() == 384 {
            MessageDigest::sha384()
        } else {
            MessageDigest::sha256()
        };
        Verifier::new(digest, &self.key)
            .and_then(|mut verifier| verifier.verify_oneshot(signature, data))
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::ocsp::OcspRequest;
    use openssl::pkey::Private;
    use openssl::sign::Signer;
    use openssl::x509::X509Name;

    use super::*;

    const SERIAL: &[u8] = &[0x11, 0x22];
    const NOW: u64 = 1_700_000_000;

    /// A CA that answers for itself.
    fn authority() -> (PKey<Private>, Vec<u8>) {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "CA").unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_pubkey(&key).unwrap();
        let day = Asn1Time::days_from_now(0).unwrap();
        certificate.set_not_before(&day).unwrap();
        certificate.set_not_after(&day).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        (key, certificate.build().to_der().unwrap())
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// `change` is made to the ResponseData before it is signed.
    fn response(
        party: &Party,
        key: &PKey<Private>,
        status: Status,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        let data = ResponseData {
            responder: vec![0; 20],
            produced_at: at(NOW).into(),
            cert_id: party.id(CertIdHash::Sha256, SERIAL),
            status,
            this_update: at(NOW).into(),
            next_update: at(NOW + 60).into(),
        };
        let mut data = data.to_der().unwrap();
        change(&mut data);
        let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
        let basic = BasicResponse {
            signature: signer.sign_oneshot_to_vec(&data).unwrap(),
            data,
            algorithm: vec![0x30, 0],
            certificate: Some(party.responder.clone()),
        };
        basic.to_response().unwrap()
    }

    /// CertStatus `unknown` in the place of `good`.
    fn unknown(data: &mut [u8]) {
        let good = data.windows(2).position(|octets| octets == [0x80, 0]);
        data[good.unwrap()] = 0x82;
    }

    #[test]
    fn a_request_is_one_that_openssl_reads_too() {
        let (_, ca) = authority();
        let party = Party::new(&ca, ca.clone()).unwrap();
        for hash in [CertIdHash::Sha1, CertIdHash::Sha256] {
            let request = party.request(hash, SERIAL).unwrap();
            let again = OcspRequest::from_der(&request).unwrap().to_der().unwrap();
            assert_eq!(request, again);
        }
    }

    #[test]
    fn what_is_good_is_told_from_all_else() {
        let (key, ca) = authority();
        let party = Party::new(&ca, ca.clone()).unwrap();
        let answer = response(&party, &key, Status::Good, |_| {});
        let said = |answer: &[u8], now| party.read(CertIdHash::Sha256, SERIAL, answer, at(now));
        assert!(matches!(said(&answer, NOW), Said::Good(_)));
        assert!(matches!(said(&answer, NOW + 60), Said::Good(_)));
        assert_eq!(said(&answer, NOW + 63), Said::Ended(3));
        assert_eq!(said(&answer, NOW - 2), Said::Ended(2));
        assert_eq!(said(&Unsuccessful::TryLater.to_der(), NOW), Said::TryLater);
        let wrong = |said: Said| match said {
            Said::Wrong(why) => why,
            other @ (Said::Good(_) | Said::TryLater | Said::Ended(_)) => panic!("{other:?}"),
        };
        assert!(wrong(said(&[0x30, 3, 0x0a, 1, 6], NOW)).starts_with("no OCSPResponse"));
        assert!(wrong(said(&[], NOW)).starts_with("no OCSPResponse"));
        let other = party.read(CertIdHash::Sha256, &[0x11, 0x23], &answer, at(NOW));
        assert_eq!(wrong(other), "the status of another certificate");
        let other = party.read(CertIdHash::Sha1, SERIAL, &answer, at(NOW));
        assert_eq!(wrong(other), "the status of another certificate");
        let revoked = Status::Revoked {
            at: at(NOW).into(),
            reason: None,
        };
        let revoked = response(&party, &key, revoked, |_| {});
        assert_eq!(wrong(said(&revoked, NOW)), "a status that is not good");
        let unknown = response(&party, &key, Status::Good, |data| unknown(data));
        assert!(wrong(said(&unknown, NOW)).starts_with("no ResponseData"));

        let (foreign, _) = authority();
        let forged = response(&party, &foreign, Status::Good, |_| {});
        assert_eq!(wrong(said(&forged, NOW)), "the signature does not verify");
        let (_, other) = authority();
        let delegated = Party::new(&ca, other).unwrap();
        let said = delegated.read(CertIdHash::Sha256, SERIAL, &answer, at(NOW));
        assert!(wrong(said).starts_with("the responder's certificate"));
    }
}
