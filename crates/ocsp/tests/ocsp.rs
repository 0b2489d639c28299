//! Requests and responses against octets written by hand after the RFCs, and against OpenSSL as a second reader.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

use assay_ocsp::{
    BasicResponse, CertId, CrlReason, Error, Issuer, MAX_REQUEST, MAX_RESPONSE, MAX_RESPONSE_DATA,
    Response, ResponseData, Status, Unsuccessful,
};
use assay_types::{CertIdHash, Timestamp};
use openssl::ocsp::{OcspRequest, OcspResponse, OcspResponseStatus};
use proptest::prelude::*;

const SHA1: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
/// As `openssl ocsp -no_nonce -reqout` writes it.
const REQUEST: &[u8] =
    b"\x30\x46\x30\x44\x30\x42\x30\x40\x30\x3e\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\
    \x04\x14aaaaaaaaaaaaaaaaaaaa\x04\x14bbbbbbbbbbbbbbbbbbbb\x02\x05\x12\x34\x56\x78\x9a";
const GOOD: &[u8] = b"\x80\x00";

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn request_with(change: impl FnOnce(&mut Vec<u8>)) -> Result<CertId, Error> {
    let mut request = REQUEST.to_vec();
    change(&mut request);
    CertId::from_request(&request)
}

fn data(status: Status) -> ResponseData {
    let this_update = Timestamp::from_seconds(1_700_000_000);
    ResponseData {
        responder: vec![3; 20],
        produced_at: this_update,
        cert_id: CertId {
            issuer: Issuer {
                hash: CertIdHash::Sha1,
                name_hash: vec![1; 20],
                key_hash: vec![2; 20],
            },
            serial: vec![0x80],
        },
        status,
        this_update,
        next_update: Timestamp::from_seconds(1_700_000_060),
    }
}

/// By hand, as RFC 6960 has it.
fn data_by_hand(algorithm: &[u8], serial: &[u8], status: &[u8]) -> Vec<u8> {
    let this_update = tlv(0x18, &[b"20231114221320Z"]);
    let next_update = tlv(0x18, &[b"20231114221420Z"]);
    let cert_id = tlv(
        0x30,
        &[
            algorithm,
            &tlv(0x04, &[&[1; 20]]),
            &tlv(0x04, &[&[2; 20]]),
            serial,
        ],
    );
    let single = tlv(
        0x30,
        &[&cert_id, status, &this_update, &tlv(0xa0, &[&next_update])],
    );
    let by_key = tlv(0xa2, &[&tlv(0x04, &[&[3; 20]])]);
    tlv(0x30, &[&by_key, &this_update, &tlv(0x30, &[&single])])
}

fn basic() -> BasicResponse {
    BasicResponse {
        data: data(Status::Good).to_der().unwrap(),
        algorithm: SHA1.to_vec(),
        signature: b"signature".to_vec(),
        certificate: None,
    }
}

#[test]
fn the_certificate_of_a_request_is_found() {
    let id = CertId::from_request(REQUEST).unwrap();
    assert_eq!(id.issuer.hash, CertIdHash::Sha1);
    assert_eq!(id.issuer.name_hash, [b'a'; 20]);
    assert_eq!(id.issuer.key_hash, [b'b'; 20]);
    assert_eq!(id.serial, [0x12, 0x34, 0x56, 0x78, 0x9a]);
}

#[test]
fn a_request_is_written_as_openssl_writes_it() {
    let id = CertId::from_request(REQUEST).unwrap();
    assert_eq!(id.to_request().unwrap(), REQUEST);
    let of_sha256 = CertId {
        issuer: Issuer {
            hash: CertIdHash::Sha256,
            name_hash: vec![4; 32],
            key_hash: vec![5; 32],
        },
        serial: vec![0x11, 0x22],
    };
    let request = of_sha256.to_request().unwrap();
    let again = OcspRequest::from_der(&request).unwrap().to_der().unwrap();
    assert_eq!(request, again);
    assert_eq!(CertId::from_request(&request), Ok(of_sha256));
}

#[test]
fn a_request_that_is_cut_lengthened_or_not_der_is_malformed() {
    for length in 0..REQUEST.len() {
        let cut = CertId::from_request(&REQUEST[..length]);
        assert_eq!(cut.unwrap_err(), Error::Malformed, "{length}");
    }
    let longer = request_with(|request| request.push(0));
    assert_eq!(longer.unwrap_err(), Error::Malformed);
    let negative = request_with(|request| *request.iter_mut().nth_back(4).unwrap() = 0x92);
    assert_eq!(negative.unwrap_err(), Error::Malformed);
    let nothing = b"\x30\x04\x30\x02\x30\x00";
    assert_eq!(CertId::from_request(nothing).unwrap_err(), Error::Malformed);
}

#[test]
fn a_request_about_several_certificates_or_with_another_hash_says_so() {
    let one = &REQUEST[6..];
    let list = [&[0x30, 0x81, 0x84][..], one, one].concat();
    let tbs = [&[0x30, 0x81, 0x87][..], &list].concat();
    let several = [&[0x30, 0x81, 0x8a][..], &tbs].concat();
    assert_eq!(
        CertId::from_request(&several).unwrap_err(),
        Error::SeveralCertificates
    );
    // 1.3.14.3.2.27 is not a hash of a CertID.
    let other = request_with(|request| request[18] = 0x1b);
    assert_eq!(other.unwrap_err(), Error::UnsupportedHash);
}

#[test]
fn every_input_has_a_limit() {
    let single = &REQUEST[6..];
    let with_nonce = |octets: usize| {
        let extensions = tlv(0xa2, &[&tlv(0x04, &[&vec![0; octets]])]);
        tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[single]), &extensions])])
    };
    let most = 4_000 + MAX_REQUEST - with_nonce(4_000).len();
    assert_eq!(with_nonce(most).len(), MAX_REQUEST);
    assert!(CertId::from_request(&with_nonce(most)).is_ok());
    assert_eq!(
        CertId::from_request(&with_nonce(most + 1)),
        Err(Error::Malformed)
    );

    let with_serial = |octets: usize| {
        let mut data = data(Status::Good);
        data.cert_id.serial = vec![1; octets];
        data.to_der().unwrap()
    };
    let most = 700 + MAX_RESPONSE_DATA - with_serial(700).len();
    assert!(ResponseData::from_der(&with_serial(most)).is_ok());
    assert_eq!(
        ResponseData::from_der(&with_serial(most + 1)),
        Err(Error::Malformed)
    );

    let signed = |octets: usize| BasicResponse {
        signature: vec![1; octets],
        ..basic()
    };
    let small = 16_000 + MAX_RESPONSE - signed(16_000).to_der().unwrap().len();
    let largest = signed(small).to_der().unwrap();
    assert!(BasicResponse::from_der(&largest).is_ok());
    let larger = signed(small + 1).to_der().unwrap();
    assert_eq!(BasicResponse::from_der(&larger), Err(Error::Malformed));
    let whole = signed(small).to_response().unwrap();
    assert_eq!(Response::from_der(&whole), Err(Error::Malformed));
}

#[test]
fn a_good_status_is_encoded_as_the_rfc_has_it() {
    let good = data(Status::Good);
    let by_hand = data_by_hand(SHA1, b"\x02\x02\x00\x80", GOOD);
    assert_eq!(good.to_der().unwrap(), by_hand);
    let mut with_sign = good.clone();
    with_sign.cert_id.serial = vec![0x00, 0x80];
    assert_eq!(with_sign.to_der().unwrap(), by_hand);
    assert_eq!(ResponseData::from_der(&by_hand), Ok(good));
}

#[test]
fn a_revoked_status_has_its_time_and_a_reason_that_says_something() {
    let at = Timestamp::from_seconds(1_700_000_000);
    let revoked = |reason| data(Status::Revoked { at, reason });
    let serial = b"\x02\x02\x00\x80";
    let with_reason = data_by_hand(
        SHA1,
        serial,
        b"\xa1\x16\x18\x0f20231114221320Z\xa0\x03\x0a\x01\x06",
    );
    let hold = revoked(Some(CrlReason::CertificateHold));
    assert_eq!(hold.to_der().unwrap(), with_reason);
    assert_eq!(ResponseData::from_der(&with_reason), Ok(hold));
    let without = data_by_hand(SHA1, serial, b"\xa1\x11\x18\x0f20231114221320Z");
    let unspecified = revoked(Some(CrlReason::Unspecified));
    assert_eq!(unspecified.to_der().unwrap(), without);
    assert_eq!(ResponseData::from_der(&without), Ok(revoked(None)));
}

#[test]
fn only_the_one_encoding_of_response_data_is_read() {
    let serial: &[u8] = b"\x02\x02\x00\x80";
    for (what, data, error) in [
        (
            "the status unknown",
            data_by_hand(SHA1, serial, b"\x82\x00"),
            Error::Malformed,
        ),
        (
            "a serial with a needless sign octet",
            data_by_hand(SHA1, b"\x02\x03\x00\x00\x80", GOOD),
            Error::Malformed,
        ),
        (
            "a hash without parameters",
            data_by_hand(b"\x30\x07\x06\x05\x2b\x0e\x03\x02\x1a", serial, GOOD),
            Error::Malformed,
        ),
        (
            "a NULL with content",
            data_by_hand(
                b"\x30\x0a\x06\x05\x2b\x0e\x03\x02\x1a\x05\x01\x00",
                serial,
                GOOD,
            ),
            Error::Malformed,
        ),
        (
            "another hash",
            data_by_hand(
                b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1b\x05\x00",
                serial,
                GOOD,
            ),
            Error::UnsupportedHash,
        ),
        (
            "trailing octets",
            [data_by_hand(SHA1, serial, GOOD), vec![0]].concat(),
            Error::Malformed,
        ),
    ] {
        assert_eq!(ResponseData::from_der(&data), Err(error), "{what}");
    }
}

#[test]
fn times_that_der_cannot_express_are_refused() {
    for seconds in [-1, Timestamp::LAST.seconds() + 1] {
        let data = ResponseData {
            next_update: Timestamp::from_seconds(seconds),
            ..data(Status::Good)
        };
        assert_eq!(data.to_der(), Err(Error::Unencodable), "{seconds}");
    }
}

#[test]
fn the_certificate_is_added_to_what_was_kept_without() {
    let kept = basic().to_der().unwrap();
    let certificate = b"\x30\x03\x02\x01\x07";
    let basic = BasicResponse {
        certificate: Some(certificate.to_vec()),
        ..BasicResponse::from_der(&kept).unwrap()
    };
    let whole = basic.to_response().unwrap();
    assert!(whole.ends_with(b"\xa0\x07\x30\x05\x30\x03\x02\x01\x07"));
    let parsed = OcspResponse::from_der(&whole).unwrap();
    assert_eq!(parsed.status(), OcspResponseStatus::SUCCESSFUL);
    assert_eq!(Response::from_der(&whole), Ok(Response::Successful(basic)));
}

#[test]
fn an_answer_without_a_status_is_one_that_openssl_reads() {
    for (answer, status) in [
        (
            Unsuccessful::MalformedRequest,
            OcspResponseStatus::MALFORMED_REQUEST,
        ),
        (Unsuccessful::TryLater, OcspResponseStatus::TRY_LATER),
        (Unsuccessful::Unauthorized, OcspResponseStatus::UNAUTHORIZED),
    ] {
        let der = answer.to_der();
        assert_eq!(OcspResponse::from_der(&der).unwrap().status(), status);
        assert_eq!(Response::from_der(&der), Ok(Response::Unsuccessful(answer)));
    }
    // successful, but nothing in it.
    let nothing = Response::from_der(&[0x30, 3, 0x0a, 1, 0]);
    assert_eq!(nothing, Err(Error::Malformed));
}

/// The fuzzers begin with what OpenSSL writes and this profile takes.
#[test]
fn the_seeds_of_the_fuzzers_are_read() {
    for request in [
        &include_bytes!("../fuzz/seeds/ocsp_request/openssl-sha1")[..],
        include_bytes!("../fuzz/seeds/ocsp_request/openssl-sha256"),
        include_bytes!("../fuzz/seeds/ocsp_request/openssl-nonce"),
    ] {
        CertId::from_request(request).unwrap();
    }
    for response in [
        &include_bytes!("../fuzz/seeds/ocsp_response/openssl-good")[..],
        include_bytes!("../fuzz/seeds/ocsp_response/openssl-revoked"),
    ] {
        let Ok(Response::Successful(basic)) = Response::from_der(response) else {
            panic!("not a signed status");
        };
        ResponseData::from_der(&basic.data).unwrap();
    }
    for data in [
        &include_bytes!("../fuzz/seeds/ocsp_response/data-good")[..],
        include_bytes!("../fuzz/seeds/ocsp_response/data-revoked"),
    ] {
        ResponseData::from_der(data).unwrap();
    }
}

proptest! {
    #[test]
    fn a_changed_message_never_panics_and_what_is_read_is_written_alike(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bend = |message: &[u8]| {
            let mut message = message.to_vec();
            for (at, octet) in &changes {
                let at = at.index(message.len());
                message[at] = *octet;
            }
            let cut = cut.index(message.len() * 2).min(message.len());
            message.truncate(cut);
            message
        };
        if let Ok(id) = CertId::from_request(&bend(REQUEST)) {
            prop_assert_eq!(CertId::from_request(&id.to_request().unwrap()), Ok(id));
        }
        let data = bend(&basic().data);
        if let Ok(read) = ResponseData::from_der(&data) {
            prop_assert_eq!(read.to_der().unwrap(), data);
        }
        if let Ok(Response::Successful(read)) =
            Response::from_der(&bend(&basic().to_response().unwrap()))
        {
            let again = read.to_response().unwrap();
            prop_assert_eq!(Response::from_der(&again), Ok(Response::Successful(read)));
        }
    }

    #[test]
    fn no_octets_make_a_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = CertId::from_request(&octets);
        let _ = ResponseData::from_der(&octets);
        let _ = Response::from_der(&octets);
    }
}
