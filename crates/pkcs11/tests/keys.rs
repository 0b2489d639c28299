//! Keys made by hand: as asked or not at all, and nothing overwritten.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use assay_hsm::{CeremonyError, KeyAlgorithm, KeyRole, KeyUri, Pin, init_token};
use openssl::pkey::{Id, PKey};
use openssl::x509::{X509, X509Req};
use support::{MODULE, Token, der, key, worker};

#[tokio::test]
async fn every_role_gets_a_key_with_no_use_but_its_own_that_cannot_leave_the_token() {
    let token = Token::new().await;
    let ceremony = token.ceremony().await;
    let cases = [
        (
            key(KeyRole::RaDecrypt, 1, KeyAlgorithm::Rsa(2048)),
            "CKM_RSA_PKCS CKM_RSA_PKCS_OAEP",
        ),
        (
            key(KeyRole::RaSign, 2, KeyAlgorithm::Rsa(2048)),
            "CKM_SHA1_RSA_PKCS CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS CKM_SHA512_RSA_PKCS",
        ),
        (key(KeyRole::CaSign, 3, KeyAlgorithm::P256), "CKM_ECDSA"),
        (key(KeyRole::LogSign, 4, KeyAlgorithm::Ed25519), "CKM_EDDSA"),
        (key(KeyRole::Probe, 5, KeyAlgorithm::P384), "CKM_ECDSA"),
        (
            key(KeyRole::RootSign, 6, KeyAlgorithm::Rsa(3072)),
            "CKM_SHA256_RSA_PKCS",
        ),
        (
            key(KeyRole::RaSingle, 7, KeyAlgorithm::Rsa(2048)),
            "CKM_RSA_PKCS CKM_RSA_PKCS_OAEP \
             CKM_SHA1_RSA_PKCS CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS CKM_SHA512_RSA_PKCS",
        ),
        (
            key(KeyRole::OcspSign, 8, KeyAlgorithm::Rsa(2048)),
            "CKM_SHA256_RSA_PKCS",
        ),
    ];
    assert_eq!(cases.len(), KeyRole::ALL.len());
    for (specification, mechanisms) in cases {
        let role = specification.role;
        let algorithm = specification.algorithm;
        let made = ceremony.generate(specification).await.unwrap();
        let attributes: BTreeMap<_, _> = made.attributes.iter().cloned().collect();
        let decrypts = [KeyRole::RaDecrypt, KeyRole::RaSingle].contains(&role);
        let signs = role != KeyRole::RaDecrypt;
        for (name, value) in [
            ("CKA_TOKEN", "true"),
            ("CKA_PRIVATE", "true"),
            ("CKA_SENSITIVE", "true"),
            ("CKA_ALWAYS_SENSITIVE", "true"),
            ("CKA_EXTRACTABLE", "false"),
            ("CKA_NEVER_EXTRACTABLE", "true"),
            ("CKA_LOCAL", "true"),
            ("CKA_MODIFIABLE", "false"),
            ("CKA_COPYABLE", "false"),
            ("CKA_DECRYPT", if decrypts { "true" } else { "false" }),
            ("CKA_SIGN", if signs { "true" } else { "false" }),
            ("CKA_SIGN_RECOVER", "false"),
            ("CKA_UNWRAP", "false"),
            ("CKA_DERIVE", "false"),
            ("CKA_KEY_TYPE", &algorithm.to_string()),
        ] {
            assert_eq!(
                attributes.get(name).map(String::as_str),
                Some(value),
                "{role} {name}"
            );
        }
        let allowed: Vec<&str> = attributes["CKA_ALLOWED_MECHANISMS"].split(' ').collect();
        for mechanism in mechanisms.split(' ') {
            assert!(allowed.contains(&mechanism), "{role}: {allowed:?}");
        }
        assert_eq!(
            allowed.len(),
            mechanisms.split(' ').count(),
            "{role}: {allowed:?}"
        );

        let public = PKey::public_key_from_der(&made.spki_der).unwrap();
        let kind = match algorithm {
            KeyAlgorithm::Rsa(bits) => {
                assert_eq!(public.bits(), bits);
                Id::RSA
            }
            KeyAlgorithm::P256 | KeyAlgorithm::P384 => Id::EC,
            KeyAlgorithm::Ed25519 => Id::ED25519,
        };
        assert_eq!(public.id(), kind);
        let uri = KeyUri::parse(&made.uri).unwrap();
        assert_eq!(ceremony.public_key(&uri).await.unwrap(), made.spki_der);
        assert!(uri.token().pin_source().is_some());
    }
    let listed = ceremony.list_keys().await.unwrap();
    assert_eq!(
        listed.iter().filter(|key| key.class == "private").count(),
        KeyRole::ALL.len()
    );
    assert_eq!(
        listed.iter().filter(|key| key.class == "public").count(),
        KeyRole::ALL.len()
    );
    ceremony.close().await;
}

#[tokio::test]
async fn a_taken_id_or_label_is_refused_and_nothing_is_overwritten() {
    let token = Token::new().await;
    let ceremony = token.ceremony().await;
    let first = key(KeyRole::Probe, 1, KeyAlgorithm::P256);
    let made = ceremony.generate(first.clone()).await.unwrap();
    let mut same_id = first.clone();
    same_id.label = "other".to_owned();
    let mut same_label = first.clone();
    same_label.id = vec![9];
    for taken in [first, same_id, same_label] {
        let error = ceremony.generate(taken).await.unwrap_err();
        assert!(matches!(error, CeremonyError::Exists { .. }), "{error}");
        assert!(error.to_string().contains("`probe` (id 01)"), "{error}");
    }
    let uri = KeyUri::parse(&made.uri).unwrap();
    assert_eq!(ceremony.public_key(&uri).await.unwrap(), made.spki_der);
    assert_eq!(ceremony.list_keys().await.unwrap().len(), 2);
    ceremony.close().await;
}

#[tokio::test]
async fn a_key_that_does_not_fit_its_role_is_not_made() {
    let token = Token::new().await;
    let ceremony = token.ceremony().await;
    for unfit in [
        key(KeyRole::RaDecrypt, 1, KeyAlgorithm::P256),
        key(KeyRole::RaSign, 1, KeyAlgorithm::Ed25519),
        key(KeyRole::RaSingle, 1, KeyAlgorithm::P384),
        key(KeyRole::CaSign, 1, KeyAlgorithm::Ed25519),
        key(KeyRole::CaSign, 1, KeyAlgorithm::Rsa(1024)),
    ] {
        let error = ceremony.generate(unfit).await.unwrap_err();
        assert!(matches!(error, CeremonyError::Refused { .. }), "{error}");
    }
    assert_eq!(ceremony.list_keys().await.unwrap(), []);
    ceremony.close().await;
}

#[tokio::test]
async fn a_root_signs_cas_only_and_a_ca_anything_but() {
    let token = Token::new().await;
    let ceremony = token.ceremony().await;
    let root = ceremony
        .generate(key(KeyRole::RootSign, 1, KeyAlgorithm::P384))
        .await
        .unwrap();
    let uri = KeyUri::parse(&root.uri).unwrap();
    let name = der::name("Root");
    let signature = der::signature_algorithm(KeyAlgorithm::P384);
    let mut authority = der::Tbs {
        issuer: name.clone(),
        subject: name.clone(),
        spki: root.spki_der.clone(),
        signature: signature.to_vec(),
        extensions: vec![der::ca_true(), der::key_usage(0x06, 1)],
    };
    let tbs = authority.to_der();
    let value = ceremony
        .sign_certificate(&uri, KeyRole::RootSign, &name, &tbs)
        .await
        .unwrap();
    let certificate = X509::from_der(&der::signed(&tbs, signature, &value)).unwrap();
    let public = PKey::public_key_from_der(&root.spki_der).unwrap();
    assert!(certificate.verify(&public).unwrap());

    let refused = |role, issuer: Vec<u8>, tbs: Vec<u8>| {
        let (ceremony, uri) = (&ceremony, &uri);
        async move {
            let result = ceremony.sign_certificate(uri, role, &issuer, &tbs).await;
            matches!(result, Err(CeremonyError::Refused { .. }))
        }
    };
    assert!(refused(KeyRole::CaSign, name.clone(), tbs.clone()).await);
    assert!(refused(KeyRole::Probe, name.clone(), tbs.clone()).await);
    assert!(refused(KeyRole::RootSign, der::name("Other"), tbs).await);
    authority.extensions = vec![der::ca_true()];
    assert!(refused(KeyRole::RootSign, name.clone(), authority.to_der()).await);
    authority.extensions = vec![der::ca_false()];
    assert!(refused(KeyRole::RootSign, name.clone(), authority.to_der()).await);
    let leaf = authority.to_der();
    ceremony
        .sign_certificate(&uri, KeyRole::CaSign, &name, &leaf)
        .await
        .unwrap();
    ceremony.close().await;
}

#[tokio::test]
async fn a_request_is_signed_for_its_own_key_only() {
    let token = Token::new().await;
    let ceremony = token.ceremony().await;
    let ca = ceremony
        .generate(key(KeyRole::CaSign, 1, KeyAlgorithm::P256))
        .await
        .unwrap();
    let other = ceremony
        .generate(key(KeyRole::Probe, 2, KeyAlgorithm::P256))
        .await
        .unwrap();
    let uri = KeyUri::parse(&ca.uri).unwrap();
    let info = der::request_info(&der::name("Issuing CA"), &ca.spki_der);
    let value = ceremony.sign_csr(&uri, &info).await.unwrap();
    let algorithm = der::signature_algorithm(KeyAlgorithm::P256);
    let request = X509Req::from_der(&der::signed(&info, algorithm, &value)).unwrap();
    assert!(request.verify(&request.public_key().unwrap()).unwrap());

    let foreign = der::request_info(&der::name("Issuing CA"), &other.spki_der);
    let certificate = der::Tbs {
        issuer: der::name("x"),
        subject: der::name("x"),
        spki: ca.spki_der,
        signature: algorithm.to_vec(),
        extensions: vec![der::ca_true()],
    };
    for bytes in [foreign, certificate.to_der(), vec![]] {
        let error = ceremony.sign_csr(&uri, &bytes).await.unwrap_err();
        assert!(matches!(error, CeremonyError::Refused { .. }), "{error}");
    }
    ceremony.close().await;
}

#[tokio::test]
async fn a_token_label_is_initialised_once() {
    let token = Token::new().await;
    let again = init_token(
        Path::new(MODULE),
        &token.environment(),
        Some(&worker()),
        "Test token",
        &Pin::new("so-pin-5678".to_owned()),
        &Pin::new("1234567".to_owned()),
    )
    .await;
    assert!(
        matches!(again, Err(CeremonyError::Exists { .. })),
        "{again:?}"
    );
    token.ceremony().await.close().await;
}
