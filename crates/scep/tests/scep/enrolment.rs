//! A whole enrolment: our client, our server, and OpenSSL reading and writing in between.

use crate::support::*;
use assay_scep::{
    Algorithms, Cipher, Csr, Digest, FailInfo, KeyTransport, Limits, Malformed, MessageType,
    Outcome, PkiStatus, ReplyContext, Request, cert_rep, client::CertRep,
};

/// Takes a message the way a server does, up to the CSR.
async fn accept(bytes: &[u8], algorithms: &Algorithms) -> (Request, Csr) {
    let request = parse(bytes);
    assert_eq!(request.message_type(), Ok(MessageType::PkcsReq));
    request.check_algorithms(algorithms).unwrap();
    request.verify().unwrap();
    let envelope = request.envelope().unwrap();
    let ra_certificates: [&[u8]; 2] = [&device().certificate, &ra().certificate];
    assert_eq!(envelope.recipient_index(&ra_certificates), Ok(1));
    let plaintext = envelope
        .open(ra(), &ra().certificate)
        .await
        .unwrap()
        .unwrap();
    let csr = Csr::parse(&plaintext, &Limits::default()).unwrap();
    csr.verify_proof_of_possession().unwrap();
    assert!(csr.has_key_of(request.signer().unwrap()));
    (request, csr)
}

async fn reply(request: &Request, outcome: &Outcome, digest: Digest, cipher: Cipher) -> Vec<u8> {
    let context = ReplyContext {
        request,
        ra_certificate: &ra().certificate,
        digest,
        cipher,
        password: None,
    };
    cert_rep(&context, outcome, ra()).await.unwrap()
}

fn everything() -> Algorithms {
    Algorithms {
        digests: Digest::ALL.to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        ..Algorithms::default()
    }
}

#[tokio::test]
async fn every_algorithm_goes_both_ways() {
    let transports = Algorithms::default().key_transports;
    for ((digest, cipher), transport) in Digest::ALL
        .into_iter()
        .zip(Cipher::ALL)
        .zip(transports.iter().cycle())
    {
        let mut builder = builder();
        (builder.digest, builder.cipher, builder.key_transport) = (digest, cipher, *transport);
        let bytes = builder.build(&csr(), device()).await.unwrap();

        let (request, csr) = accept(&bytes, &everything()).await;
        assert_eq!(request.digest(), Some(digest));
        assert_eq!(request.envelope().unwrap().cipher(), cipher);
        assert_eq!(csr.challenge_password().unwrap().expose(), CHALLENGE);

        let certificates = vec![device().certificate.clone(), ra().certificate.clone()];
        let outcome = Outcome::Success {
            certificates: certificates.clone(),
        };
        let reply = CertRep::parse(
            &reply(&request, &outcome, digest, cipher).await,
            &Limits::default(),
        )
        .unwrap();
        reply.verify(&ra().certificate).unwrap();
        assert_eq!(reply.status(), PkiStatus::Success);
        assert_eq!(reply.transaction_id().as_str(), TRANSACTION);
        assert_eq!(reply.recipient_nonce().unwrap().as_bytes(), NONCE);
        assert_ne!(reply.sender_nonce().as_bytes(), NONCE);
        assert_eq!(
            reply
                .open(device(), &device().certificate)
                .await
                .unwrap()
                .unwrap(),
            certificates
        );
    }
}

#[tokio::test]
async fn what_the_profile_does_not_take_is_bad_alg_before_any_decryption() {
    type Change = fn(&mut assay_scep::client::PkiMessageBuilder<'static>);
    let changes: [(Change, &str); 3] = [
        (|builder| builder.digest = Digest::Sha1, "digest-algorithm"),
        (
            |builder| builder.cipher = Cipher::DesEde3Cbc,
            "content-encryption-algorithm",
        ),
        (
            |builder| {
                builder.key_transport = KeyTransport::Oaep {
                    digest: Digest::Sha256,
                    mgf: Digest::Sha256,
                }
            },
            "key-transport-algorithm",
        ),
    ];
    for (change, reason) in changes {
        let mut builder = builder();
        change(&mut builder);
        let request = parse(&builder.build(&csr(), device()).await.unwrap());
        request.verify().unwrap();
        let refusal = request
            .check_algorithms(&Algorithms::default())
            .unwrap_err();
        assert_eq!(
            (refusal.fail_info, refusal.reason),
            (FailInfo::BadAlg, reason)
        );
    }
}

#[tokio::test]
async fn pss_is_verified() {
    let mut builder = builder();
    builder.signature_algorithm = Some(Pss::algorithm());
    let bytes = builder.build(&csr(), &Pss(device())).await.unwrap();
    accept(&bytes, &Algorithms::default()).await;

    builder.digest = Digest::Sha512;
    let disagreeing = parse(&builder.build(&csr(), &Pss(device())).await.unwrap());
    assert_eq!(
        disagreeing.verify().unwrap_err().reason,
        "digest-disagreement"
    );
}

#[tokio::test]
async fn failure_and_pending_carry_no_content_and_both_cms_attributes() {
    let request = parse(&message().await);
    let refused = Outcome::Failure {
        fail_info: FailInfo::BadRequest,
        text: Some("SUB-02 größer".to_owned()),
    };
    for (outcome, status) in [
        (refused, PkiStatus::Failure),
        (Outcome::Pending, PkiStatus::Pending),
    ] {
        let bytes = reply(&request, &outcome, Digest::Sha256, Cipher::Aes128Cbc).await;
        let reply = CertRep::parse(&bytes, &Limits::default()).unwrap();
        reply.verify(&ra().certificate).unwrap();
        assert_eq!(reply.status(), status);
        assert_eq!(reply.fail_info().is_some(), status == PkiStatus::Failure);
        assert_eq!(
            reply.fail_info_text().is_some(),
            status == PkiStatus::Failure
        );
        assert!(
            reply
                .open(device(), &device().certificate)
                .await
                .unwrap()
                .is_err()
        );

        let file = ra().file("reply.der", &bytes);
        let printed = openssl(&[
            "cms",
            "-cmsout",
            "-print",
            "-noout",
            "-inform",
            "DER",
            "-in",
            file.to_str().unwrap(),
        ]);
        let printed = String::from_utf8_lossy(&printed);
        assert!(!printed.contains("eContent: <ABSENT>"), "{printed}");
        let lines: Vec<&str> = printed.lines().map(str::trim).collect();
        for attribute in ["contentType (1.2", "messageDigest (1.2"] {
            let object = format!("object: {attribute}");
            assert!(
                lines.iter().any(|line| line.starts_with(&object)),
                "{attribute}: {printed}"
            );
        }
        // strongSwan takes no other.
        let algorithm = [
            "signatureAlgorithm:",
            "algorithm: rsaEncryption (1.2.840.113549.1.1.1)",
            "parameter: NULL",
        ];
        assert!(
            lines.windows(3).any(|window| window == algorithm),
            "{printed}"
        );
    }
}

#[tokio::test]
async fn openssl_verifies_and_decrypts_what_we_write() {
    let bytes = message().await;
    let message_file = device().file("message.der", &bytes);
    let envelope = openssl(&[
        "cms",
        "-verify",
        "-noverify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        message_file.to_str().unwrap(),
    ]);
    let envelope_file = device().file("envelope.der", &envelope);
    let ra_key = ra().key_file.to_str().unwrap();
    let decrypt = [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-in",
        envelope_file.to_str().unwrap(),
        "-inkey",
        ra_key,
    ];
    assert_eq!(openssl(&decrypt), csr());

    let outcome = Outcome::Success {
        certificates: vec![device().certificate.clone()],
    };
    let bytes = reply(&parse(&bytes), &outcome, Digest::Sha384, Cipher::Aes256Cbc).await;
    let reply_file = ra().file("success.der", &bytes);
    let envelope = openssl(&[
        "cms",
        "-verify",
        "-noverify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        reply_file.to_str().unwrap(),
    ]);
    let envelope_file = ra().file("success-envelope.der", &envelope);
    let device_key = device().key_file.to_str().unwrap();
    let decrypt = [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-in",
        envelope_file.to_str().unwrap(),
        "-inkey",
        device_key,
    ];
    let list_file = ra().file("list.der", &openssl(&decrypt));
    let certificates = openssl(&[
        "pkcs7",
        "-print_certs",
        "-inform",
        "DER",
        "-in",
        list_file.to_str().unwrap(),
    ]);
    assert!(
        String::from_utf8(certificates)
            .unwrap()
            .contains("CN = device-1")
    );
}

#[tokio::test]
async fn openssl_envelopes_open() {
    let csr_file = device().file("csr.der", &csr());
    let ra_file = ra().file(
        "ra.pem",
        &openssl(&[
            "x509",
            "-inform",
            "DER",
            "-in",
            ra().certificate_file.to_str().unwrap(),
        ]),
    );
    let variants: [&[&str]; 6] = [
        &["-aes128"],
        &["-aes256", "-keyid"],
        // Indefinite lengths and a segmented encryptedContent, as jscep and Apple send.
        &["-aes128", "-stream"],
        &["-aes192", "-keyopt", "rsa_padding_mode:oaep"],
        &[
            "-aes128",
            "-stream",
            "-keyid",
            "-keyopt",
            "rsa_padding_mode:oaep",
        ],
        &["-des3"],
    ];
    for options in variants {
        let mut arguments = vec![
            "cms",
            "-encrypt",
            "-binary",
            "-outform",
            "DER",
            "-in",
            csr_file.to_str().unwrap(),
        ];
        // -keyopt belongs to the -recip before it.
        arguments.extend(options.iter().take_while(|option| **option != "-keyopt"));
        arguments.extend(["-recip", ra_file.to_str().unwrap()]);
        arguments.extend(options.iter().skip_while(|option| **option != "-keyopt"));
        let envelope = openssl(&arguments);
        assert_eq!(
            options.contains(&"-stream"),
            envelope[1] == 0x80,
            "indefinite exactly where streamed"
        );
        let bytes = builder()
            .build_around(Some(&envelope), device())
            .await
            .unwrap();
        accept(&bytes, &everything()).await;
    }
}

#[tokio::test]
async fn odd_signer_certificates_are_taken() {
    // certmonger and Cisco: v1; sscep: 32 octets of serial.
    let serial = format!("0x{}", "c5".repeat(32));
    let v3 = Identity::new("odd", &["-set_serial", &serial]);
    let request_file = v3.file("odd.csr", &v3.csr(CSR_CONFIGURATION, &[]));
    let v1 = openssl(&[
        "x509",
        "-req",
        "-inform",
        "DER",
        "-outform",
        "DER",
        "-days",
        "1",
        "-set_serial",
        &serial,
        "-in",
        request_file.to_str().unwrap(),
        "-signkey",
        v3.key_file.to_str().unwrap(),
    ]);
    for certificate in [&v3.certificate, &v1] {
        let mut builder = builder();
        builder.signer_certificate = certificate;
        let request = parse(
            &builder
                .build(&v3.csr(CSR_CONFIGURATION, &[]), &v3)
                .await
                .unwrap(),
        );
        request.verify().unwrap();
        let signer = request.signer().unwrap();
        assert_eq!(signer.serial(), [&[0][..], &[0xc5; 32]].concat());

        let outcome = Outcome::Success {
            certificates: vec![ra().certificate.clone()],
        };
        let reply = reply(&request, &outcome, Digest::Sha256, Cipher::Aes128Cbc).await;
        let reply = CertRep::parse(&reply, &Limits::default()).unwrap();
        assert_eq!(
            reply.open(&v3, certificate).await.unwrap().unwrap(),
            [ra().certificate.clone()]
        );
    }
}

#[tokio::test]
async fn the_reply_is_for_the_signer_and_no_other_certificate_of_the_bag() {
    let other = Identity::new("bystander", &[]);
    let mut builder = builder();
    builder.certificates = Some(vec![&other.certificate, &device().certificate]);
    let request = parse(&builder.build(&csr(), device()).await.unwrap());
    request.verify().unwrap();
    assert_eq!(request.signer().unwrap().der(), device().certificate);

    let outcome = Outcome::Success {
        certificates: vec![ra().certificate.clone()],
    };
    let reply = CertRep::parse(
        &reply(&request, &outcome, Digest::Sha256, Cipher::Aes128Cbc).await,
        &Limits::default(),
    )
    .unwrap();
    assert!(
        reply
            .open(&other, &other.certificate)
            .await
            .unwrap()
            .is_err()
    );
    assert!(
        reply
            .open(device(), &device().certificate)
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn no_reply_verifies_with_another_key_or_another_request() {
    let request = parse(&message().await);
    let bytes = reply(
        &request,
        &Outcome::Pending,
        Digest::Sha256,
        Cipher::Aes128Cbc,
    )
    .await;
    let reply = CertRep::parse(&bytes, &Limits::default()).unwrap();
    assert!(reply.verify(&device().certificate).is_err());
    assert!(
        CertRep::parse(&message().await, &Limits::default()).is_err(),
        "a request is no CertRep"
    );
}

#[test]
fn a_streamed_signature_of_openssl_is_read_through() {
    let content = device().file("content", &[0x2a; 5000]);
    let certificate = device().certificate_file.to_str().unwrap();
    let pem = device().file(
        "cert.pem",
        &openssl(&["x509", "-inform", "DER", "-in", certificate]),
    );
    let signed = openssl(&[
        "cms",
        "-sign",
        "-stream",
        "-nodetach",
        "-binary",
        "-nosmimecap",
        "-outform",
        "DER",
        "-in",
        content.to_str().unwrap(),
        "-signer",
        pem.to_str().unwrap(),
        "-inkey",
        device().key_file.to_str().unwrap(),
    ]);
    assert_eq!(signed[1], 0x80, "an indefinite length");
    // Everything is there but for what makes it a pkiMessage.
    let read = Request::parse(&signed, &Limits::default());
    assert_eq!(read.unwrap_err(), Malformed::TransactionId);
}

#[tokio::test]
async fn a_signer_named_by_key_identifier_is_answered_by_it() {
    let certificate = openssl::x509::X509::from_der(&device().certificate).unwrap();
    let key_identifier = tlv(0x80, certificate.subject_key_id().unwrap().as_slice());
    // The signature does not cover the SignerIdentifier.
    let bytes = edit(&message().await, &path::SIGNER_IDENTIFIER, &|_| {
        key_identifier.clone()
    });
    let (request, _) = accept(&bytes, &Algorithms::default()).await;

    let outcome = Outcome::Success {
        certificates: vec![ra().certificate.clone()],
    };
    let bytes = reply(&request, &outcome, Digest::Sha256, Cipher::Aes128Cbc).await;
    let reply = CertRep::parse(&bytes, &Limits::default()).unwrap();
    let opened = reply.open(device(), &device().certificate).await.unwrap();
    assert_eq!(opened.unwrap(), [ra().certificate.clone()]);
    // EnvelopedData version 2, KeyTransRecipientInfo version 2 and the same identifier (RFC 5652 §6).
    let envelope = split(&elements(split(&bytes).1)[1]).1.to_vec();
    let names_it = [&[2, 1, 2][..], &key_identifier].concat();
    assert!(
        envelope
            .windows(names_it.len())
            .any(|window| window == names_it)
    );

    let unknown = edit(&message().await, &path::SIGNER_IDENTIFIER, &|_| {
        tlv(0x80, &[7; 20])
    });
    assert_eq!(
        parse(&unknown).verify().unwrap_err().fail_info,
        FailInfo::BadMessageCheck
    );
}
