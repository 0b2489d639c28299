//! Hostile and broken messages, each with the class of answer that it deserves.

use std::time::Instant;

use crate::support::*;
use assay_scep::{Algorithms, FailInfo, Limits, Malformed, Request};

/// What becomes of a message, in the order in which a server asks.
#[derive(Debug, PartialEq, Eq)]
enum Class {
    /// HTTP 400.
    Malformed(Malformed),
    Refused(FailInfo, &'static str),
    Accepted,
}

fn classify(bytes: &[u8]) -> Class {
    let request = match Request::parse(bytes, &Limits::default()) {
        Ok(request) => request,
        Err(malformed) => return Class::Malformed(malformed),
    };
    let outcome = request
        .check_algorithms(&Algorithms::default())
        .and_then(|()| request.verify())
        .and_then(|()| request.envelope()?.recipient_index(&[&ra().certificate]));
    match outcome {
        Ok(_) => Class::Accepted,
        Err(refusal) => Class::Refused(refusal.fail_info, refusal.reason),
    }
}

fn attribute(oid_content: &str, values: &[Vec<u8>]) -> Vec<u8> {
    tlv(
        0x30,
        &[
            tlv(0x06, &hex::decode(oid_content).unwrap()),
            tlv(0x31, &values.concat()),
        ]
        .concat(),
    )
}

// OBJECT IDENTIFIER contents.
const TRANSACTION_ID: &str = "6086480186f845010907";
const SENDER_NONCE: &str = "6086480186f845010905";
const CONTENT_TYPE: &str = "2a864886f70d010903";
const MESSAGE_DIGEST: &str = "2a864886f70d010904";

/// A message of which the signed attributes are changed and then signed again.
async fn with_attributes(change: impl Fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let message = message().await;
    let mut signed = Vec::new();
    let cell = std::cell::RefCell::new(&mut signed);
    let message = edit(&message, &path::SIGNED_ATTRIBUTES, &|implicit| {
        let mut attributes = elements(split(implicit).1);
        change(&mut attributes);
        cell.borrow_mut().extend(tlv(0x31, &attributes.concat()));
        tlv(0xa0, &attributes.concat())
    });
    let signature =
        assay_scep::MessageSigner::sign(device(), assay_scep::Digest::Sha256, b"", &signed)
            .await
            .unwrap();
    edit(&message, &path::SIGNATURE, &|_| tlv(0x04, &signature))
}

fn is(attribute: &[u8], oid_content: &str) -> bool {
    hex::encode(attribute).contains(oid_content)
}

fn replace(attributes: &mut Vec<Vec<u8>>, oid_content: &str, replacement: Option<Vec<u8>>) {
    attributes.retain(|attribute| !is(attribute, oid_content));
    attributes.extend(replacement);
    attributes.sort();
}

#[tokio::test]
async fn without_what_a_cert_rep_needs_it_is_malformed() {
    let nonce = |octets: &[u8]| attribute(SENDER_NONCE, &[tlv(0x04, octets)]);
    let id = |tag, text: &[u8]| attribute(TRANSACTION_ID, &[tlv(tag, text)]);
    let cases: [(&str, Option<Vec<u8>>, Malformed); 10] = [
        (TRANSACTION_ID, None, Malformed::TransactionId),
        (
            TRANSACTION_ID,
            Some(id(0x13, b"")),
            Malformed::TransactionId,
        ),
        (
            TRANSACTION_ID,
            Some(id(0x13, &[b'a'; 256])),
            Malformed::TransactionId,
        ),
        (
            TRANSACTION_ID,
            Some(id(0x13, b"line\nbreak")),
            Malformed::TransactionId,
        ),
        (
            TRANSACTION_ID,
            Some(id(0x04, b"octets")),
            Malformed::TransactionId,
        ),
        (SENDER_NONCE, None, Malformed::SenderNonce),
        (SENDER_NONCE, Some(nonce(b"")), Malformed::SenderNonce),
        (SENDER_NONCE, Some(nonce(&[7; 65])), Malformed::SenderNonce),
        (
            SENDER_NONCE,
            Some(attribute(SENDER_NONCE, &[])),
            Malformed::AttributeValues,
        ),
        (
            SENDER_NONCE,
            Some(attribute(SENDER_NONCE, &[tlv(0x04, b"a"), tlv(0x04, b"b")])),
            Malformed::AttributeValues,
        ),
    ];
    for (oid, replacement, expected) in cases {
        let message =
            with_attributes(|attributes| replace(attributes, oid, replacement.clone())).await;
        assert_eq!(classify(&message), Class::Malformed(expected));
    }
    for length in [1, 8, 16, 64] {
        let message = with_attributes(|attributes| {
            replace(attributes, SENDER_NONCE, Some(nonce(&vec![7; length])));
        })
        .await;
        assert_eq!(
            classify(&message),
            Class::Accepted,
            "{length} octets of nonce are echoed"
        );
    }
}

#[tokio::test]
async fn a_duplicate_attribute_is_malformed_and_a_further_one_is_not() {
    for oid in [TRANSACTION_ID, SENDER_NONCE, CONTENT_TYPE, MESSAGE_DIGEST] {
        let twice = with_attributes(|attributes| {
            let duplicate = attributes
                .iter()
                .find(|attribute| is(attribute, oid))
                .unwrap()
                .clone();
            attributes.push(duplicate);
            attributes.sort();
        });
        assert_eq!(
            classify(&twice.await),
            Class::Malformed(Malformed::DuplicateAttribute)
        );
    }
    let further = with_attributes(|attributes| {
        attributes.push(attribute("2a0304", &[tlv(0x0c, b"of another kind")]));
        attributes.sort();
    });
    assert_eq!(classify(&further.await), Class::Accepted);
}

#[tokio::test]
async fn exactly_one_signer() {
    let message = message().await;
    let none = edit(&message, &path::SIGNERS, &|_| tlv(0x31, &[]));
    assert_eq!(
        classify(&none),
        Class::Malformed(Malformed::SignerCount { found: 0 })
    );
    let two = edit(&message, &path::SIGNERS, &|signers| {
        tlv(0x31, &split(signers).1.repeat(2))
    });
    assert_eq!(
        classify(&two),
        Class::Malformed(Malformed::SignerCount { found: 2 })
    );
}

#[tokio::test]
async fn one_message_and_the_whole_of_it() {
    let message = message().await;
    let trailing = [&message[..], b"\0"].concat();
    assert_eq!(
        classify(&trailing),
        Class::Malformed(Malformed::TrailingOctets { octets: 1 })
    );
    for length in [0, 1, 2, 5, message.len() / 2, message.len() - 1] {
        assert!(
            matches!(
                classify(&message[..length]),
                Class::Malformed(Malformed::Encoding { .. })
            ),
            "{length}"
        );
    }
    // The same inside the envelope, honestly signed: public, so that it may be named.
    let envelope = builder().envelope::<()>(&csr()).unwrap();
    for broken in [
        [&envelope[..], b"\0"].concat(),
        envelope[..envelope.len() - 1].to_vec(),
        b"no CMS".to_vec(),
    ] {
        let message = builder()
            .build_around(Some(&broken), device())
            .await
            .unwrap();
        assert_eq!(
            classify(&message),
            Class::Refused(FailInfo::BadRequest, "envelope-structure")
        );
    }
    let absent = builder().build_around(None, device()).await.unwrap();
    assert_eq!(
        classify(&absent),
        Class::Refused(FailInfo::BadRequest, "envelope-missing")
    );
}

#[tokio::test]
async fn counts_are_bounded() {
    let message = message().await;
    let certificates = edit(&message, &path::CERTIFICATES, &|set| {
        tlv(0xa0, &split(set).1.repeat(1_000))
    });
    let limits = Limits::default();
    assert_eq!(
        classify(&certificates),
        Class::Malformed(Malformed::TooLong {
            limit: limits.message
        })
    );
    let small = tlv(0x30, &[]);
    let certificates = edit(&message, &path::CERTIFICATES, &|_| {
        tlv(0xa0, &small.repeat(1_000))
    });
    let expected = Malformed::TooMany {
        what: "certificates",
        limit: limits.certificates,
    };
    assert_eq!(classify(&certificates), Class::Malformed(expected));

    let envelope = builder().envelope::<()>(&csr()).unwrap();
    // ContentInfo, [0], EnvelopedData, recipientInfos; cut down so that 500 stay under the budget of octets.
    let recipients = edit(&envelope, &[1, 0, 1], &|set| {
        let one = edit(split(set).1, &[3], &|_| tlv(0x04, &[0; 16]));
        tlv(0x31, &one.repeat(500))
    });
    let message = builder()
        .build_around(Some(&recipients), device())
        .await
        .unwrap();
    assert!(message.len() < limits.message);
    assert!(matches!(
        classify(&message),
        Class::Malformed(Malformed::TooManyElements { .. } | Malformed::TooMany { .. })
    ));
    let recipients = edit(&envelope, &[1, 0, 1], &|set| {
        tlv(0x31, &split(set).1.repeat(9))
    });
    let message = builder()
        .build_around(Some(&recipients), device())
        .await
        .unwrap();
    let expected = Malformed::TooMany {
        what: "recipients",
        limit: limits.recipients,
    };
    assert_eq!(classify(&message), Class::Malformed(expected));

    let attributes = with_attributes(|attributes| {
        for number in 0..40 {
            attributes.push(attribute(&format!("2a03{number:02x}"), &[tlv(0x0c, b"")]));
        }
        attributes.sort();
    });
    let expected = Malformed::TooMany {
        what: "signed attributes",
        limit: limits.attributes,
    };
    assert_eq!(classify(&attributes.await), Class::Malformed(expected));
}

#[test]
fn bombs_go_off_in_bounded_time() {
    let limits = Limits::default();
    let depth = Class::Malformed(Malformed::TooDeep {
        limit: limits.depth,
    });
    let count = Class::Malformed(Malformed::TooManyElements {
        limit: limits.elements,
    });
    let length = Class::Malformed(Malformed::TooLong {
        limit: limits.message,
    });
    let nested = (0..20_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        if inner.len() < 100_000 {
            tlv(0x30, &inner)
        } else {
            inner
        }
    });
    let half = limits.message / 2;
    let started = Instant::now();
    assert_eq!(classify(&[0x30, 0x80].repeat(half)), depth);
    assert_eq!(classify(&[0x24, 0x80].repeat(half)), depth);
    assert_eq!(classify(&nested), depth);
    assert_eq!(
        classify(&[vec![0x24, 0x80], [0x04, 0x00].repeat(half - 1)].concat()),
        count
    );
    assert_eq!(classify(&tlv(0x30, &[0x05, 0x00].repeat(half - 4))), count);
    assert_eq!(
        classify(
            &[
                vec![0x30, 0x80],
                [0x24, 0x80, 0x00, 0x00].repeat(half / 2 - 1)
            ]
            .concat()
        ),
        count
    );
    assert_eq!(classify(&vec![0x30; limits.message + 1]), length);
    for huge in [
        "3084ffffffff00",
        "3088ffffffffffffffff00",
        "30ff00",
        "3f8101",
        "8080",
        "0000",
        "048000",
    ] {
        let class = classify(&hex::decode(huge).unwrap());
        assert!(
            matches!(
                class,
                Class::Malformed(Malformed::Encoding { .. } | Malformed::Structure(_))
            ),
            "{huge}: {class:?}"
        );
    }
    // What grows faster than the message takes many thousand times as long as hashing eight messages of the largest size.
    let took = started.elapsed();
    let started = Instant::now();
    for _ in 0..8 {
        let hash = openssl::sha::sha256(&vec![0x30; limits.message]);
        assert_ne!(hash, [0; 32]);
    }
    let hashing = started.elapsed();
    assert!(took < hashing * 2_000, "{took:?}, and {hashing:?} to hash");
}

#[tokio::test]
async fn an_altered_message_is_bad_message_check() {
    let bad = |reason| Class::Refused(FailInfo::BadMessageCheck, reason);
    let message = message().await;

    let signature = edit(&message, &path::SIGNATURE, &|signature| {
        let mut signature = signature.to_vec();
        *signature.last_mut().unwrap() ^= 1;
        signature
    });
    assert_eq!(classify(&signature), bad("signature"));

    let altered = edit(&message, &path::SIGNED_ATTRIBUTES, &|implicit| {
        let text = String::from_utf8_lossy(implicit).find("5b1f").unwrap();
        let at = implicit
            .windows(4)
            .position(|window| window == b"5b1f")
            .unwrap_or(text);
        let mut altered = implicit.to_vec();
        altered[at] ^= 1;
        altered
    });
    assert_eq!(classify(&altered), bad("signature"));

    for at in [20, 400, 500, 700] {
        let content = edit(&message, &path::E_CONTENT, &|content| {
            let mut content = content.to_vec();
            content[at] ^= 1;
            content
        });
        assert_eq!(
            classify(&content),
            bad("message-digest"),
            "octet {at} of the content"
        );
    }

    let no_digest = with_attributes(|attributes| replace(attributes, MESSAGE_DIGEST, None));
    assert_eq!(classify(&no_digest.await), bad("message-digest"));
    let no_type = with_attributes(|attributes| replace(attributes, CONTENT_TYPE, None));
    assert_eq!(classify(&no_type.await), bad("content-type"));
    let signed_data = attribute(
        CONTENT_TYPE,
        &[tlv(0x06, &hex::decode("2a864886f70d010702").unwrap())],
    );
    let other_type =
        with_attributes(|attributes| replace(attributes, CONTENT_TYPE, Some(signed_data.clone())));
    assert_eq!(classify(&other_type.await), bad("content-type"));
    let unsorted = with_attributes(|attributes| attributes.reverse());
    assert_eq!(classify(&unsorted.await), bad("unsorted-attributes"));

    let no_certificate = edit(&message, &path::CERTIFICATES, &|_| tlv(0xa0, &[]));
    assert_eq!(classify(&no_certificate), bad("signer-certificate-missing"));
    let wrong_certificate = edit(&message, &path::CERTIFICATES, &|_| {
        tlv(0xa0, &ra().certificate)
    });
    assert_eq!(
        classify(&wrong_certificate),
        bad("signer-certificate-missing")
    );
    let same_name = Identity::new("device-1", &[]);
    let other_key = edit(&message, &path::CERTIFICATES, &|_| {
        tlv(0xa0, &same_name.certificate)
    });
    assert_eq!(
        classify(&other_key),
        bad("signer-certificate-missing"),
        "the serial differs"
    );
    let foreign = builder().build(&csr(), &same_name).await.unwrap();
    assert_eq!(classify(&foreign), bad("signature"));

    let mut disagreeing = builder();
    disagreeing.signature_algorithm = Some(hex::decode("300d06092a864886f70d01010d0500").unwrap());
    let disagreeing = disagreeing.build(&csr(), device()).await.unwrap();
    assert_eq!(classify(&disagreeing), bad("digest-disagreement"));
}

#[tokio::test]
async fn algorithms_never_taken_are_bad_alg() {
    let bad = |reason| Class::Refused(FailInfo::BadAlg, reason);
    let algorithm = |oid: &str, parameters: &[u8]| {
        tlv(
            0x30,
            &[tlv(0x06, &hex::decode(oid).unwrap()), parameters.to_vec()].concat(),
        )
    };
    let message = message().await;
    let (md5, ecdsa) = ("2a864886f70d0205", "2a8648ce3d040302");
    let digest = edit(&message, &path::DIGEST_ALGORITHM, &|_| {
        algorithm(md5, &[5, 0])
    });
    assert_eq!(classify(&digest), bad("digest-algorithm"));
    let signature = edit(&message, &path::SIGNATURE_ALGORITHM, &|_| {
        algorithm(ecdsa, &[])
    });
    assert_eq!(classify(&signature), bad("signature-algorithm"));

    let envelope = builder().envelope::<()>(&csr()).unwrap();
    let (single_des, aes, ec) = (
        "2b0e030207",
        "60864801650304010 2".replace(' ', ""),
        "2a8648ce3d0201",
    );
    let content = |identifier: Vec<u8>| edit(&envelope, &[1, 0, 2, 1], &|_| identifier.clone());
    let password = edit(&envelope, &[1, 0, 1, 0], &|info| tlv(0xa3, split(info).1));
    let transport = edit(&envelope, &[1, 0, 1, 0, 2], &|_| algorithm(ec, &[]));
    let nobody = edit(&envelope, &[1, 0, 1], &|_| tlv(0x31, &[]));
    let cases = [
        (
            content(algorithm(single_des, &tlv(4, &[0; 8]))),
            "content-encryption-algorithm",
        ),
        (
            content(algorithm(&aes, &[])),
            "content-encryption-algorithm",
        ),
        (
            content(algorithm(&aes, &tlv(4, &[0; 8]))),
            "content-encryption-algorithm",
        ),
        (password, "recipient-kind"),
        (nobody, "recipient-kind"),
        (transport, "key-transport-algorithm"),
    ];
    for (envelope, reason) in cases {
        let message = builder()
            .build_around(Some(&envelope), device())
            .await
            .unwrap();
        assert_eq!(classify(&message), bad(reason));
    }

    let ec = Identity::with_key(
        "ec",
        &[
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ],
        &[],
    );
    let mut by_ec = builder();
    by_ec.signer_certificate = &ec.certificate;
    assert_eq!(
        classify(&by_ec.build(&csr(), device()).await.unwrap()),
        bad("signer-key-algorithm")
    );
}

#[tokio::test]
async fn keys_out_of_bounds_are_not_calculated_with() {
    let small = Identity::with_key("small", &["-newkey", "rsa:768", "-nodes"], &[]);
    let mut by_small = builder();
    by_small.signer_certificate = &small.certificate;
    let message = by_small.build(&csr(), device()).await.unwrap();
    assert_eq!(
        classify(&message),
        Class::Refused(FailInfo::BadRequest, "signer-key-size")
    );
}

#[tokio::test]
async fn an_envelope_for_others_is_refused() {
    let mut elsewhere = builder();
    elsewhere.recipients = vec![&device().certificate];
    let message = elsewhere.build(&csr(), device()).await.unwrap();
    assert_eq!(
        classify(&message),
        Class::Refused(FailInfo::BadRequest, "not-for-this-ra")
    );
}

#[tokio::test]
async fn only_listed_message_types() {
    for value in [
        "18",
        "1",
        "019",
        "+19",
        " 19",
        "19 ",
        "0",
        "99999999999999999999",
        "",
    ] {
        let mut builder = builder();
        builder.message_type = value;
        let request = parse(&builder.build(&csr(), device()).await.unwrap());
        assert_eq!(request.message_type(), Err(value.to_owned()));
    }
}
