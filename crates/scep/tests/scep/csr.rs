use assay_scep::{
    Csr, CsrError, Digest, Limits,
    client::{assemble_csr, new_csr_info, new_csr_info_with},
};

use crate::support::*;

fn read(der: &[u8]) -> Result<Csr, CsrError> {
    Csr::parse(der, &Limits::default())
}

/// A CSR with any attributes, signed by OpenSSL.
async fn csr_with(attributes: Vec<Vec<u8>>) -> Vec<u8> {
    let info = new_csr_info_with(
        &tlv(0x30, &[]),
        &device().key.public_key_to_der().unwrap(),
        attributes,
    );
    let signature = assay_scep::MessageSigner::sign(device(), Digest::Sha256, b"", &info)
        .await
        .unwrap();
    assemble_csr(&info, Digest::Sha256, &signature)
}

fn attribute(oid: &str, value: &[u8]) -> Vec<u8> {
    tlv(
        0x30,
        &[tlv(0x06, &hex::decode(oid).unwrap()), tlv(0x31, value)].concat(),
    )
}

const CHALLENGE_PASSWORD: &str = "2a864886f70d010907";
const EXTENSION_REQUEST: &str = "2a864886f70d01090e";
const LEGACY_EXTENSION_REQUEST: &str = "6086480186f845010908";

#[test]
fn what_openssl_asks_for_is_read() {
    let csr = read(&csr()).unwrap();
    csr.verify_proof_of_possession().unwrap();
    assert_eq!(csr.challenge_password().unwrap().expose(), CHALLENGE);
    assert_eq!(csr.signature_digest(), Digest::Sha256);
    assert_eq!(csr.spki_der(), device().key.public_key_to_der().unwrap());
    let name = openssl::x509::X509Req::from_der(csr.der())
        .unwrap()
        .subject_name()
        .to_der()
        .unwrap();
    assert_eq!(csr.subject_der(), name);
    let asked: Vec<_> = csr
        .extensions()
        .iter()
        .map(|asked| (asked.oid.to_string(), asked.critical))
        .collect();
    assert_eq!(
        asked,
        [
            ("2.5.29.17".to_owned(), false),
            ("2.5.29.15".to_owned(), true)
        ]
    );
    assert_eq!(
        csr.extensions()[0].value,
        tlv(0x30, &tlv(0x82, b"device-1.example.org"))
    );
    assert_eq!(csr.extensions()[1].value, [3, 2, 7, 0x80]);
    assert_eq!(
        format!("{csr:?} {:?}", csr.challenge_password())
            .matches("horse")
            .count(),
        0
    );
}

#[test]
fn every_signature_that_openssl_makes_proves_possession() {
    let pss = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:digest",
    ];
    for (name, digest) in [
        ("-sha1", Digest::Sha1),
        ("-sha256", Digest::Sha256),
        ("-sha384", Digest::Sha384),
        ("-sha512", Digest::Sha512),
    ] {
        for options in [&[name][..], &[&[name], &pss[..]].concat()] {
            let csr = read(&device().csr(CSR_CONFIGURATION, options)).unwrap();
            assert_eq!(csr.signature_digest(), digest);
            csr.verify_proof_of_possession().unwrap();
        }
    }
    assert_eq!(
        read(&device().csr(CSR_CONFIGURATION, &["-md5"])).unwrap_err(),
        CsrError::SignatureAlgorithm
    );
}

#[test]
fn another_keys_signature_proves_nothing() {
    let other = ra().csr(CSR_CONFIGURATION, &[]);
    let key = edit(&other, &[0, 2], &|_| {
        device().key.public_key_to_der().unwrap()
    });
    assert_eq!(
        read(&key).unwrap().verify_proof_of_possession(),
        Err(CsrError::ProofOfPossession)
    );
    let subject = edit(&csr(), &[0, 1], &|_| tlv(0x30, &[]));
    assert_eq!(
        read(&subject).unwrap().verify_proof_of_possession(),
        Err(CsrError::ProofOfPossession)
    );
    let signer = assay_scep::SignerCertificate::parse(&device().certificate).unwrap();
    assert!(!read(&other).unwrap().has_key_of(&signer));
    assert!(read(&csr()).unwrap().has_key_of(&signer));
}

#[tokio::test]
async fn our_own_csr_is_one_to_openssl() {
    let subject = openssl::x509::X509::from_der(&device().certificate)
        .unwrap()
        .subject_name()
        .to_der()
        .unwrap();
    let spki = device().key.public_key_to_der().unwrap();
    let extension = hex::decode("300f0603551d13040830060101ff020100").unwrap();
    for challenge in ["plain", "with ünïcode & *"] {
        let info = new_csr_info(
            &subject,
            &spki,
            Some(challenge),
            std::slice::from_ref(&extension),
        );
        let signature = assay_scep::MessageSigner::sign(device(), Digest::Sha384, b"", &info)
            .await
            .unwrap();
        let der = assemble_csr(&info, Digest::Sha384, &signature);
        let file = device().file("own.csr", &der);
        openssl(&[
            "req",
            "-verify",
            "-noout",
            "-inform",
            "DER",
            "-in",
            file.to_str().unwrap(),
        ]);
        let csr = read(&der).unwrap();
        csr.verify_proof_of_possession().unwrap();
        assert_eq!(csr.challenge_password().unwrap().expose(), challenge);
        assert_eq!(csr.extensions().len(), 1);
    }
}

#[tokio::test]
async fn the_challenge_is_read_in_every_string_type() {
    let utf16: Vec<u8> = "pässwörd"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let utf32: Vec<u8> = "pässwörd"
        .chars()
        .flat_map(|char| u32::from(char).to_be_bytes())
        .collect();
    let cases = [
        (tlv(0x0c, "pässwörd".as_bytes()), Some("pässwörd")),
        (tlv(0x13, b"password"), Some("password")),
        (tlv(0x16, b"p@ssword"), Some("p@ssword")),
        (tlv(0x14, b"p\xe4ssw\xf6rd"), Some("pässwörd")),
        (tlv(0x14, "pässwörd".as_bytes()), Some("pässwörd")),
        (tlv(0x1e, &utf16), Some("pässwörd")),
        (tlv(0x1c, &utf32), Some("pässwörd")),
        (tlv(0x0c, &[b'x'; 8 * 1024]), Some(&*"x".repeat(8 * 1024))),
        (tlv(0x0c, &[b'x'; 8 * 1024 + 1]), None),
        (tlv(0x0c, b"\xff"), None),
        (tlv(0x13, "ä".as_bytes()), None),
        (tlv(0x1e, b"odd"), None),
        (tlv(0x1e, &[0xd8, 0x00]), None),
        (tlv(0x1c, &[0, 0x11, 0, 0]), None),
        (tlv(0x04, b"octets"), None),
        ([tlv(0x0c, b"one"), tlv(0x0c, b"two")].concat(), None),
        (vec![], None),
    ];
    for (value, expected) in cases {
        let csr = read(&csr_with(vec![attribute(CHALLENGE_PASSWORD, &value)]).await);
        match expected {
            Some(text) => assert_eq!(csr.unwrap().challenge_password().unwrap().expose(), text),
            None => assert_eq!(
                csr.unwrap_err(),
                CsrError::ChallengePassword,
                "{}",
                hex::encode(value)
            ),
        }
    }
}

#[tokio::test]
async fn extensions_are_read_under_either_identifier_and_once() {
    let extension = hex::decode("300f0603551d13040830060101ff020100").unwrap();
    let once = tlv(0x30, &extension);
    let twice = tlv(0x30, &extension.repeat(2));
    for oid in [EXTENSION_REQUEST, LEGACY_EXTENSION_REQUEST] {
        assert_eq!(
            read(&csr_with(vec![attribute(oid, &once)]).await)
                .unwrap()
                .extensions()
                .len(),
            1
        );
        let duplicate = read(&csr_with(vec![attribute(oid, &twice)]).await);
        assert_eq!(duplicate.unwrap_err(), CsrError::DuplicateExtension);
    }
    let both = vec![
        attribute(EXTENSION_REQUEST, &once),
        attribute(LEGACY_EXTENSION_REQUEST, &once),
    ];
    assert_eq!(
        read(&csr_with(both).await).unwrap_err(),
        CsrError::DuplicateExtension
    );
    let attribute_twice = vec![attribute(EXTENSION_REQUEST, &once); 2];
    assert_eq!(
        read(&csr_with(attribute_twice).await).unwrap_err(),
        CsrError::DuplicateAttribute
    );
}

#[tokio::test]
async fn other_attributes_are_passed_over() {
    let friendly_name = attribute("2a864886f70d010914", &tlv(0x1e, b"\0x"));
    let csr = read(&csr_with(vec![friendly_name]).await).unwrap();
    assert!(csr.challenge_password().is_none());
    assert!(csr.extensions().is_empty());
}

#[test]
fn nothing_but_one_der_csr() {
    let der = csr();
    let indefinite = [&[0x30, 0x80], split(&der).1, &[0, 0]].concat();
    let version = edit(&der, &[0, 0], &|_| tlv(0x02, &[1]));
    for (bytes, expected) in [
        ([&der[..], b"\0"].concat(), CsrError::Encoding),
        (der[..der.len() - 1].to_vec(), CsrError::Encoding),
        (indefinite, CsrError::Encoding),
        (version, CsrError::Structure("CertificationRequest")),
        (tlv(0x30, &[]), CsrError::Structure("CertificationRequest")),
        (Vec::new(), CsrError::Encoding),
    ] {
        assert_eq!(read(&bytes).unwrap_err(), expected);
    }
}

#[tokio::test]
async fn without_its_challenge_a_csr_is_the_same_but_for_that() {
    let whole = read(&csr()).unwrap();
    let shown = whole.without_challenge();
    let parsed = openssl::x509::X509Req::from_der(&shown).unwrap();
    let key = parsed.public_key().unwrap();
    assert_eq!(key.public_key_to_der().unwrap(), whole.spki_der());
    assert!(!parsed.verify(&key).unwrap());

    let public = read(&shown).unwrap();
    assert!(public.challenge_password().is_none());
    assert_eq!(public.subject_der(), whole.subject_der());
    assert_eq!(public.spki_der(), whole.spki_der());
    assert_eq!(public.extensions(), whole.extensions());
    assert_eq!(public.signature_digest(), whole.signature_digest());
    assert_eq!(
        public.verify_proof_of_possession(),
        Err(CsrError::ProofOfPossession)
    );
    assert_eq!(public.without_challenge(), shown);

    let other = attribute("2a864886f70d010902", &tlv(0x0c, b"unstructured"));
    let bare = csr_with(vec![other]).await;
    assert_eq!(read(&bare).unwrap().without_challenge(), bare);
    let none = csr_with(vec![]).await;
    assert_eq!(read(&none).unwrap().without_challenge(), none);
}
