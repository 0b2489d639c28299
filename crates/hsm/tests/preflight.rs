//! What keeps a service from starting, each with one line that says how to fix it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use assay_hsm::{Hsm, HsmConfig, KeyAlgorithm, KeyRole, KeyUri, StartError, TokenError};
use openssl::rsa::Rsa;
use support::{Installation, MODULE, PIN, SPY, Token, key};

async fn refusal(config: HsmConfig) -> StartError {
    let error = Hsm::start(config).await.expect_err("the service started");
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    error
}

fn replace_uri(config: &mut HsmConfig, role: KeyRole, uri: &KeyUri) {
    for key in &mut config.keys {
        if key.role == role {
            key.uri = uri.clone();
        }
    }
}

/// Puts a key into the token from outside, as `softhsm2-util --import` does.
fn import(token: &Token, label: &str, id: &str) {
    let file = token.path().join(format!("{label}.pem"));
    let pem = Rsa::generate(2048).unwrap();
    let pem = openssl::pkey::PKey::from_rsa(pem)
        .unwrap()
        .private_key_to_pem_pkcs8()
        .unwrap();
    fs::write(&file, pem).unwrap();
    let status = Command::new("softhsm2-util")
        .args(["--import", file.to_str().unwrap(), "--token", "Test token"])
        .args(["--label", label, "--id", id, "--pin", PIN])
        .envs(token.environment())
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
}

/// Copies a key pair's objects, which SoftHSM allows.
fn duplicate(token: &Token, label: &str, id: &str) {
    for _ in 0..2 {
        let made = Command::new("pkcs11-tool")
            .args(["--module", MODULE, "--token-label", "Test token"])
            .args([
                "--login",
                "--pin",
                PIN,
                "--keypairgen",
                "--key-type",
                "rsa:2048",
            ])
            .args(["--label", label, "--id", id])
            .envs(token.environment())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_by_all_workers_together() {
    let installation = Installation::new().await;
    let trace = installation.token.path().join("trace");
    fs::write(installation.token.path().join("pin"), "wrong-pin").unwrap();
    let mut config = installation.config();
    config.workers = 3;
    config.module = SPY.into();
    config
        .environment
        .push(("PKCS11SPY".to_owned(), MODULE.to_owned()));
    config
        .environment
        .push(("PKCS11SPY_OUTPUT".to_owned(), trace.display().to_string()));
    let error = refusal(config).await;
    assert!(
        matches!(error, StartError::Token(TokenError::WrongPin { .. })),
        "{error}"
    );
    assert!(error.is_final());
    assert!(!error.to_string().contains("wrong-pin"));
    let trace = fs::read_to_string(trace).unwrap();
    assert_eq!(trace.matches("C_Login").count(), 1, "{trace}");
}

#[tokio::test]
async fn a_pin_file_that_others_can_read_is_refused() {
    let installation = Installation::new().await;
    let pin = installation.token.path().join("pin");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o640)).unwrap();
    let error = refusal(installation.config()).await;
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::remove_file(&pin).unwrap();
    let error = refusal(installation.config()).await;
    assert!(
        error.to_string().contains("cannot read the PIN file"),
        "{error}"
    );
}

#[tokio::test]
async fn an_imported_key_is_refused_for_each_attribute_that_is_wrong() {
    let installation = Installation::new().await;
    import(&installation.token, "imported", "0a");
    let mut config = installation.config();
    let uri = installation.token.uri.key("imported", &[0x0a]);
    replace_uri(&mut config, KeyRole::RaDecrypt, &uri);
    let error = refusal(config).await;
    assert!(matches!(error, StartError::KeyAttributes { .. }), "{error}");
    for attribute in [
        "CKA_LOCAL",
        "CKA_NEVER_EXTRACTABLE",
        "CKA_SIGN",
        "CKA_MODIFIABLE",
    ] {
        assert!(
            error.to_string().contains(attribute),
            "{attribute}: {error}"
        );
    }
}

#[tokio::test]
async fn exactly_one_key_must_match() {
    let installation = Installation::new().await;
    let token = &installation.token.uri;
    let mut config = installation.config();
    replace_uri(&mut config, KeyRole::CaSign, &token.key("ca-sign", &[9]));
    let error = refusal(config.clone()).await;
    assert!(matches!(error, StartError::KeyNotFound { .. }), "{error}");
    assert!(error.to_string().contains("`ca-sign` (id 01)"), "{error}");

    duplicate(&installation.token, "twin", "0b");
    replace_uri(&mut config, KeyRole::CaSign, &token.key("twin", &[0x0b]));
    let error = refusal(config).await;
    assert!(
        matches!(error, StartError::KeyAmbiguous { count: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_key_is_refused_for_signing_and_for_decryption() {
    let installation = Installation::new().await;
    for (role, other) in [
        (KeyRole::RaSign, 1),
        (KeyRole::RaDecrypt, 2),
        (KeyRole::CaSign, 1),
    ] {
        let mut config = installation.config();
        let foreign = installation.keys[other].certificate.clone();
        for key in &mut config.keys {
            if key.role == role {
                key.certificate.clone_from(&foreign);
            }
        }
        let error = refusal(config).await;
        assert!(
            matches!(error, StartError::CertificateMismatch { .. }),
            "{role}: {error}"
        );
    }
}

#[tokio::test]
async fn a_key_of_another_kind_than_its_role_needs_is_refused() {
    let installation = Installation::new().await;
    let specification = key(KeyRole::LogSign, 0x0c, KeyAlgorithm::P256);
    let (uri, _) = installation.token.keys().generate(&specification);
    let mut config = installation.config();
    replace_uri(&mut config, KeyRole::RaSign, &uri);
    let error = refusal(config).await;
    assert!(matches!(error, StartError::KeyKind { .. }), "{error}");
}

/// Takes the public key object of a key away and puts another key's in its place.
fn exchange_public(token: &Token, label: &str, id: &str) {
    let file = token.path().join(format!("{label}.spki"));
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let other = openssl::ec::EcKey::generate(&group).unwrap();
    fs::write(&file, other.public_key_to_der().unwrap()).unwrap();
    for action in [
        vec!["--delete-object"],
        vec!["--write-object", file.to_str().unwrap()],
    ] {
        let done = Command::new("pkcs11-tool")
            .args(["--module", MODULE, "--token-label", "Test token"])
            .args(["--login", "--pin", PIN])
            .args(&action)
            .args(["--type", "pubkey", "--label", label, "--id", id])
            .envs(token.environment())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

#[tokio::test]
async fn a_public_key_that_is_not_the_private_keys_is_refused() {
    for (role, id) in [(KeyRole::Probe, "04"), (KeyRole::LogSign, "06")] {
        let installation = Installation::with_log(KeyAlgorithm::P256).await;
        exchange_public(&installation.token, role.as_str(), id);
        let error = refusal(installation.config()).await;
        let text = error.to_string();
        assert!(
            matches!(error, StartError::PublicKeyMismatch { .. }),
            "{text}"
        );
        assert!(text.contains(role.as_str()), "{text}");
    }
}

#[tokio::test]
async fn configuration_that_cannot_be_right_names_its_field() {
    let installation = Installation::new().await;
    let with = |change: &dyn Fn(&mut HsmConfig)| {
        let mut config = installation.config();
        change(&mut config);
        config
    };
    let cases = [
        (with(&|config| config.workers = 0), "workers"),
        (with(&|config| config.threads = 1000), "threads"),
        (with(&|config| config.queue = 0), "queue"),
        (
            with(&|config| config.keys.retain(|key| key.role != KeyRole::Probe)),
            "probe",
        ),
        (
            with(&|config| config.keys.push(config.keys[0].clone())),
            "ca-sign",
        ),
        (
            with(&|config| config.keys[0].role = KeyRole::RootSign),
            "ca-sign",
        ),
        (
            with(&|config| config.keys[0].certificate = None),
            "certificate of the ca-sign key",
        ),
        (
            with(&|config| config.module = "/nonexistent.so".into()),
            "/nonexistent.so",
        ),
        (
            with(&|config| config.program = Some("/nonexistent".into())),
            "worker",
        ),
        (
            with(&|config| {
                let other = "pkcs11:token=Test%20token;object=probe;id=%04?module-path=/other.so";
                config.keys[3].uri = KeyUri::parse(other).unwrap();
            }),
            "module-path",
        ),
        (
            with(&|config| {
                let other = "pkcs11:token=Another;object=probe;id=%04";
                config.keys[3].uri = KeyUri::parse(other).unwrap();
            }),
            "one token",
        ),
        (
            with(&|config| {
                let other = "pkcs11:token=Another;object=ca-sign;id=%01";
                config.keys[0].uri = KeyUri::parse(other).unwrap();
            }),
            "`Test token`",
        ),
        (
            with(&|config| {
                let other = "pkcs11:token=Test%20token;object=ca-sign;id=%01";
                config.keys[0].uri = KeyUri::parse(other).unwrap();
            }),
            "pin-source",
        ),
    ];
    for (config, word) in cases {
        let error = refusal(config).await;
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}
