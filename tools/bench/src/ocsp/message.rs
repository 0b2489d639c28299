//! OCSP as a relying party speaks it (RFC 6960 section 4), read with none of the responder's code.

use std::time::{Duration, SystemTime};

use const_oid::db::rfc5912::{ID_SHA_1, ID_SHA_256};
use const_oid::db::rfc6960::ID_PKIX_OCSP_BASIC;
use der::asn1::{Any, BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString, Uint};
use der::{Decode, Encode, Sequence};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sha::{sha1, sha256};
use openssl::sign::Verifier;
use openssl::x509::X509;
use x509_cert::Certificate;

use crate::failure::{OrFail, Outcome};

/// `tryLater`, without a signature (RFC 6960 section 4.2.1).
const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
/// IMPLICIT [0] NULL.
const GOOD: &[u8] = &[0x80, 0];
const SUCCESSFUL: &[u8] = &[0x0a, 1, 0];

/// Whose certificates are asked about, and who answers for them.
pub(super) struct Party {
    /// Of the CA, SHA-1 and SHA-256.
    issuers: [Issuer; 2],
    responder: Vec<u8>,
    key: PKey<Public>,
}

struct Issuer {
    algorithm: ObjectIdentifier,
    name_hash: OctetString,
    key_hash: OctetString,
}

/// The hash algorithm of a CertID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
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

#[derive(Sequence)]
struct Request {
    tbs: TbsRequest,
}

#[derive(Sequence)]
struct TbsRequest {
    requests: Vec<SingleRequest>,
}

#[derive(Sequence)]
struct SingleRequest {
    id: CertId,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct CertId {
    algorithm: Algorithm,
    name_hash: OctetString,
    key_hash: OctetString,
    serial: Uint,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<Null>,
}

#[derive(Sequence)]
struct Response {
    status: Any,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    bytes: ResponseBytes,
}

#[derive(Sequence)]
struct ResponseBytes {
    kind: ObjectIdentifier,
    response: OctetString,
}

#[derive(Sequence)]
struct Basic {
    data: Any,
    algorithm: Any,
    signature: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    certificates: Vec<Any>,
}

#[derive(Sequence)]
struct Data {
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    by_key: OctetString,
    produced_at: GeneralizedTime,
    responses: Vec<Single>,
}

#[derive(Sequence)]
struct Single {
    id: CertId,
    status: Any,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    next_update: GeneralizedTime,
}

impl Party {
    /// `ca` and `responder`: DER.
    pub(super) fn new(ca: &[u8], responder: Vec<u8>) -> Outcome<Self> {
        let what = "the CA's or the responder's certificate is unreadable";
        let certificate = Certificate::from_der(ca).or_fail(what)?;
        let tbs = certificate.tbs_certificate();
        let name = tbs.subject().to_der().or_fail(what)?;
        let key = tbs.subject_public_key_info().subject_public_key.raw_bytes();
        let issuer = |algorithm, name_hash: &[u8], key_hash: &[u8]| {
            Ok(Issuer {
                algorithm,
                name_hash: OctetString::new(name_hash).or_fail(what)?,
                key_hash: OctetString::new(key_hash).or_fail(what)?,
            })
        };
        let key_of_responder = X509::from_der(&responder).and_then(|own| own.public_key());
        Ok(Self {
            issuers: [
                issuer(ID_SHA_1, &sha1(&name), &sha1(key))?,
                issuer(ID_SHA_256, &sha256(&name), &sha256(key))?,
            ],
            responder,
            key: key_of_responder.or_fail(what)?,
        })
    }

    /// The DER request about one certificate; `serial` are the content octets of its INTEGER.
    pub(super) fn request(&self, hash: Hash, serial: &[u8]) -> Outcome<Vec<u8>> {
        let what = "a request cannot be built";
        let request = Request {
            tbs: TbsRequest {
                requests: vec![SingleRequest {
                    id: self.id(hash, serial).or_fail(what)?,
                }],
            },
        };
        request.to_der().or_fail(what)
    }

    /// What an answer to that request says at the time `now`.
    pub(super) fn read(&self, hash: Hash, serial: &[u8], answer: &[u8], now: SystemTime) -> Said {
        if answer == TRY_LATER {
            return Said::TryLater;
        }
        self.judge(hash, serial, answer, now)
            .unwrap_or_else(Said::Wrong)
    }

    fn judge(
        &self,
        hash: Hash,
        serial: &[u8],
        answer: &[u8],
        now: SystemTime,
    ) -> Result<Said, &'static str> {
        let no_der = "no OCSPResponse with a BasicOCSPResponse";
        let response = Response::from_der(answer).map_err(|_| no_der)?;
        let status = response.status.to_der().map_err(|_| no_der)?;
        if status != SUCCESSFUL || response.bytes.kind != ID_PKIX_OCSP_BASIC {
            return Err(no_der);
        }
        let basic = Basic::from_der(response.bytes.response.as_bytes()).map_err(|_| no_der)?;
        let data = basic.data.to_der().map_err(|_| no_der)?;
        let carried = basic.certificates.first().and_then(|one| one.to_der().ok());
        if carried.as_ref() != Some(&self.responder) {
            return Err("the responder's certificate is not that of the installation");
        }
        if !self.verifies(&data, basic.signature.raw_bytes()) {
            return Err("the signature does not verify");
        }
        let parsed = Data::from_der(&data).map_err(|_| no_der)?;
        let [single] = parsed.responses.as_slice() else {
            return Err("not one status");
        };
        if Ok(&single.id) != self.id(hash, serial).as_ref() {
            return Err("the status of another certificate");
        }
        if single.status.to_der().is_ok_and(|status| status == GOOD) {
            let outside = [
                now.duration_since(time(&single.next_update)),
                time(&single.this_update).duration_since(now),
            ];
            let outside = outside.into_iter().flatten().max().unwrap_or_default();
            return Ok(if outside.is_zero() {
                Said::Good(data)
            } else {
                Said::Ended(outside.as_secs())
            });
        }
        Err("a status that is not good")
    }

    fn id(&self, hash: Hash, serial: &[u8]) -> der::Result<CertId> {
        let [of_sha1, of_sha256] = &self.issuers;
        let issuer = match hash {
            Hash::Sha1 => of_sha1,
            Hash::Sha256 => of_sha256,
        };
        Ok(CertId {
            algorithm: Algorithm {
                oid: issuer.algorithm,
                parameters: Some(Null),
            },
            name_hash: issuer.name_hash.clone(),
            key_hash: issuer.key_hash.clone(),
            serial: Uint::new(serial)?,
        })
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

fn time(time: &GeneralizedTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.to_unix_duration().as_secs())
}

#[cfg(test)]
mod tests {
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

    fn any(der: &[u8]) -> Any {
        Any::from_der(der).unwrap()
    }

    fn response(party: &Party, key: &PKey<Private>, status: &[u8]) -> Vec<u8> {
        let time =
            |seconds| GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).unwrap();
        let data = Data {
            by_key: OctetString::new([0; 20]).unwrap(),
            produced_at: time(NOW),
            responses: vec![Single {
                id: party.id(Hash::Sha256, SERIAL).unwrap(),
                status: any(status),
                this_update: time(NOW),
                next_update: time(NOW + 60),
            }],
        };
        let data = data.to_der().unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&data).unwrap();
        let basic = Basic {
            data: any(&data),
            algorithm: any(&[0x30, 0]),
            signature: BitString::from_bytes(&signature).unwrap(),
            certificates: vec![any(&party.responder)],
        };
        let response = Response {
            status: any(SUCCESSFUL),
            bytes: ResponseBytes {
                kind: ID_PKIX_OCSP_BASIC,
                response: OctetString::new(basic.to_der().unwrap()).unwrap(),
            },
        };
        response.to_der().unwrap()
    }

    #[test]
    fn a_request_is_one_that_openssl_reads_too() {
        let (_, ca) = authority();
        let party = Party::new(&ca, ca.clone()).unwrap();
        for hash in [Hash::Sha1, Hash::Sha256] {
            let request = party.request(hash, SERIAL).unwrap();
            let again = OcspRequest::from_der(&request).unwrap().to_der().unwrap();
            assert_eq!(request, again);
        }
    }

    #[test]
    fn what_is_good_is_told_from_all_else() {
        let (key, ca) = authority();
        let party = Party::new(&ca, ca.clone()).unwrap();
        let answer = response(&party, &key, GOOD);
        let said = |answer: &[u8], now| party.read(Hash::Sha256, SERIAL, answer, at(now));
        assert!(matches!(said(&answer, NOW), Said::Good(_)));
        assert!(matches!(said(&answer, NOW + 60), Said::Good(_)));
        assert_eq!(said(&answer, NOW + 63), Said::Ended(3));
        assert_eq!(said(&answer, NOW - 2), Said::Ended(2));
        assert_eq!(said(TRY_LATER, NOW), Said::TryLater);
        let wrong = |said: Said| match said {
            Said::Wrong(why) => why,
            other @ (Said::Good(_) | Said::TryLater | Said::Ended(_)) => panic!("{other:?}"),
        };
        assert!(wrong(said(&[0x30, 3, 0x0a, 1, 6], NOW)).starts_with("no OCSPResponse"));
        assert!(wrong(said(&[], NOW)).starts_with("no OCSPResponse"));
        let other = party.read(Hash::Sha256, &[0x11, 0x23], &answer, at(NOW));
        assert_eq!(wrong(other), "the status of another certificate");
        let other = party.read(Hash::Sha1, SERIAL, &answer, at(NOW));
        assert_eq!(wrong(other), "the status of another certificate");
        let unknown = response(&party, &key, &[0x82, 0]);
        assert_eq!(wrong(said(&unknown, NOW)), "a status that is not good");

        let (foreign, _) = authority();
        let forged = response(&party, &foreign, GOOD);
        assert_eq!(wrong(said(&forged, NOW)), "the signature does not verify");
        let (_, other) = authority();
        let delegated = Party::new(&ca, other).unwrap();
        let said = delegated.read(Hash::Sha256, SERIAL, &answer, at(NOW));
        assert!(wrong(said).starts_with("the responder's certificate"));
    }
}
