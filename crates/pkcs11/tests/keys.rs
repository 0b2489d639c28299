//! Keys made by hand: as asked or not at all, and nothing overwritten.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use assay_pkcs11::{
    Access, GenerateKey, KeyAlgorithm, KeyRole, Module, Session, Token, TokenError, TokenUri,
};
use openssl::pkey::{Id, PKey};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The template that demonstrations use.
const TEMPLATE: &str = include_str!("../../../softhsm/softhsm2.conf");
/// Set in the process that runs a test on a token of its own: the file of the PIN.
const PIN_FILE: &str = "ASSAY_TEST_PIN_FILE";

/// Runs a test on a token of its own, in a process of its own: SoftHSM reads the path of its configuration from the
/// environment, which a process cannot safely change for itself. `name` is that of the test that calls this.
fn with_token(name: &str, test: impl FnOnce(&Token, &Session)) {
    if let Ok(pin_file) = std::env::var(PIN_FILE) {
        let uri = format!("pkcs11:token=Test%20token?pin-source=file:{pin_file}");
        let uri = TokenUri::parse(&uri).unwrap();
        let module = Module::load(Path::new(MODULE)).unwrap();
        let token = module.open(&uri, Access::ReadWrite).unwrap();
        return test(&token, &token.session().unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (tokens, config, pin) = (
        path.join("tokens"),
        path.join("softhsm2.conf"),
        path.join("pin"),
    );
    fs::create_dir(&tokens).unwrap();
    fs::write(
        &config,
        TEMPLATE.replace("@TOKEN_DIR@", tokens.to_str().unwrap()),
    )
    .unwrap();
    fs::write(&pin, "token-pin-1234\n").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "Test token"])
        .args(["--so-pin", "so-pin-5678", "--pin", "token-pin-1234"])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &config)
        .env(PIN_FILE, &pin)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{name}: {said}"
    );
}

fn key(role: KeyRole, id: u8, algorithm: KeyAlgorithm) -> GenerateKey {
    GenerateKey {
        role,
        label: role.to_string(),
        id: vec![id],
        algorithm,
    }
}

#[test]
fn every_role_gets_a_key_with_no_use_but_its_own_that_cannot_leave_the_token() {
    with_token(
        "every_role_gets_a_key_with_no_use_but_its_own_that_cannot_leave_the_token",
        every_role_gets_its_key,
    );
}

fn every_role_gets_its_key(token: &Token, session: &Session) {
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
        let made = session.generate(token, &specification).unwrap();
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
        assert_eq!(session.spki_der(&made.uri).unwrap(), made.spki_der);
        assert!(made.uri.token().pin_source().is_some());
        let handles = session.private_keys(&made.uri).unwrap();
        let [handle] = handles.as_slice() else {
            panic!("{role}: {handles:?}");
        };
        let found = session.algorithm(*handle).unwrap();
        assert_eq!(found, Some(algorithm), "{role}");
        assert_eq!(
            session.attribute_problems(*handle, role).unwrap(),
            [""; 0],
            "{role}"
        );
    }
    let listed = session.list(|_| true).unwrap();
    assert_eq!(
        listed.iter().filter(|key| key.class == "private").count(),
        KeyRole::ALL.len()
    );
    assert_eq!(
        listed.iter().filter(|key| key.class == "public").count(),
        KeyRole::ALL.len()
    );
}

#[test]
fn a_taken_id_or_label_is_refused_and_nothing_is_overwritten() {
    with_token(
        "a_taken_id_or_label_is_refused_and_nothing_is_overwritten",
        nothing_is_overwritten,
    );
}

fn nothing_is_overwritten(token: &Token, session: &Session) {
    let first = key(KeyRole::Probe, 1, KeyAlgorithm::P256);
    let made = session.generate(token, &first).unwrap();
    let mut same_id = first.clone();
    same_id.label = "other".to_owned();
    let mut same_label = first.clone();
    same_label.id = vec![9];
    for taken in [first, same_id, same_label] {
        let error = session.generate(token, &taken).unwrap_err();
        assert!(matches!(error, TokenError::Exists { .. }), "{error}");
        assert!(error.to_string().contains("`probe` (id 01)"), "{error}");
    }
    assert_eq!(session.spki_der(&made.uri).unwrap(), made.spki_der);
    assert_eq!(session.list(|_| true).unwrap().len(), 2);
}

#[test]
fn a_key_that_does_not_fit_its_role_is_not_made() {
    with_token(
        "a_key_that_does_not_fit_its_role_is_not_made",
        no_unfit_key_is_made,
    );
}

fn no_unfit_key_is_made(token: &Token, session: &Session) {
    for unfit in [
        key(KeyRole::RaDecrypt, 1, KeyAlgorithm::P256),
        key(KeyRole::RaSign, 1, KeyAlgorithm::Ed25519),
        key(KeyRole::RaSingle, 1, KeyAlgorithm::P384),
        key(KeyRole::CaSign, 1, KeyAlgorithm::Ed25519),
        key(KeyRole::CaSign, 1, KeyAlgorithm::Rsa(1024)),
        key(KeyRole::LogSign, 1, KeyAlgorithm::P384),
        key(KeyRole::LogSign, 1, KeyAlgorithm::Rsa(2048)),
    ] {
        let error = session.generate(token, &unfit).unwrap_err();
        assert!(matches!(error, TokenError::Unfit { .. }), "{error}");
    }
    assert_eq!(session.list(|_| true).unwrap(), []);
}
