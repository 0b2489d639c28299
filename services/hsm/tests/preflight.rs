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

use assay_hsm::{KeyAlgorithm, KeyRole};
use assay_pkcs11::KeyUri;
use openssl::rsa::Rsa;
use support::{Config, Installation, MODULE, PIN, PROGRAM, SPY, Token, der, key};

fn replace_uri(config: &mut Config, role: KeyRole, uri: &KeyUri) {
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
async fn a_wrong_pin_is_tried_once_until_an_operator_clears_the_marker() {
    let installation = Installation::new().await;
    let trace = installation.token.path().join("trace");
    fs::write(installation.token.path().join("pin"), "wrong-pin").unwrap();
    let mut config = installation.config();
    config.module = SPY.into();
    for (name, value) in [
        ("PKCS11SPY", MODULE.to_owned()),
        ("PKCS11SPY_OUTPUT", trace.display().to_string()),
    ] {
        config.environment.push((name.to_owned(), value));
    }
    let tried = || {
        let trace = fs::read_to_string(&trace).unwrap();
        trace.matches("C_Login").count()
    };
    let error = config.refusal();
    assert!(error.contains("refused the PIN"), "{error}");
    assert!(!error.contains("wrong-pin"));
    assert_eq!(tried(), 1);
    let error = config.refusal();
    assert!(error.contains("clear-pin-marker"), "{error}");
    assert_eq!(tried(), 1);

    let cleared = Command::new(PROGRAM)
        .args(["clear-pin-marker", "--config"])
        .arg(config.write())
        .output()
        .unwrap();
    assert!(cleared.status.success(), "{cleared:?}");
    let error = config.refusal();
    assert!(error.contains("refused the PIN"), "{error}");
    assert_eq!(tried(), 2);
}

#[tokio::test]
async fn a_pin_file_that_others_can_read_is_refused() {
    let installation = Installation::new().await;
    let pin = installation.token.path().join("pin");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o640)).unwrap();
    let error = installation.config().refusal();
    assert!(error.contains("chmod 600"), "{error}");
    fs::remove_file(&pin).unwrap();
    let error = installation.config().refusal();
    assert!(error.contains("cannot read the PIN file"), "{error}");
}

#[tokio::test]
async fn an_imported_key_is_refused_for_each_attribute_that_is_wrong() {
    let installation = Installation::new().await;
    import(&installation.token, "imported", "0a");
    let mut config = installation.config();
    let uri = installation.token.uri.key("imported", &[0x0a]);
    replace_uri(&mut config, KeyRole::RaDecrypt, &uri);
    let error = config.refusal();
    assert!(error.contains("is not fit for service"), "{error}");
    for attribute in [
        "CKA_LOCAL",
        "CKA_NEVER_EXTRACTABLE",
        "CKA_SIGN",
        "CKA_MODIFIABLE",
    ] {
        assert!(error.contains(attribute), "{attribute}: {error}");
    }
}

#[tokio::test]
async fn exactly_one_key_must_match() {
    let installation = Installation::new().await;
    let token = &installation.token.uri;
    let mut config = installation.config();
    replace_uri(&mut config, KeyRole::CaSign, &token.key("ca-sign", &[9]));
    let error = config.refusal();
    assert!(error.contains("no private key for"), "{error}");
    assert!(error.contains("`ca-sign` (id 01)"), "{error}");

    duplicate(&installation.token, "twin", "0b");
    replace_uri(&mut config, KeyRole::CaSign, &token.key("twin", &[0x0b]));
    let error = config.refusal();
    assert!(error.contains("2 private keys"), "{error}");
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
        let error = config.refusal();
        assert!(error.contains("does not belong to"), "{role}: {error}");
    }
}

#[tokio::test]
async fn a_key_of_another_kind_than_its_role_needs_is_refused() {
    let installation = Installation::new().await;
    let specification = key(KeyRole::LogSign, 0x0c, KeyAlgorithm::P256);
    let (uri, _) = installation.token.keys().generate(&specification);
    let mut config = installation.config();
    replace_uri(&mut config, KeyRole::RaSign, &uri);
    let error = config.refusal();
    assert!(error.contains("is needed"), "{error}");
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
        let error = installation.config().refusal();
        assert!(error.contains("is not its own"), "{error}");
        assert!(error.contains(role.as_str()), "{error}");
    }
}

#[tokio::test]
async fn configuration_that_cannot_be_right_names_its_field() {
    let installation = Installation::new().await;
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = installation.config();
        change(&mut config);
        config
    };
    let cases = [
        (with(&|config| config.threads = 1000), "threads"),
        (
            with(&|config| config.operation_deadline = std::time::Duration::from_millis(1)),
            "operation_deadline",
        ),
        (
            with(&|config| config.keys.retain(|key| key.role != KeyRole::Probe)),
            "missing key `probe`",
        ),
        (
            with(&|config| config.keys.retain(|key| key.role != KeyRole::CaSign)),
            "missing key `key`",
        ),
        (
            with(&|config| config.keys.retain(|key| key.role != KeyRole::RaSign)),
            "missing key `sign`",
        ),
        (
            with(&|config| config.more = "[other]\n".to_owned()),
            "`other`",
        ),
        (
            with(&|config| {
                let twin = Config {
                    name: "twin".to_owned(),
                    ..config.clone()
                };
                config.more = twin.ca_table();
            }),
            "is the key of ca-sign too",
        ),
        (
            with(&|config| config.more = config.ca_table()),
            "`first` names two CAs",
        ),
        (
            with(&|config| config.next = Some("second".to_owned())),
            "no other [[ca]] has the name `second`",
        ),
        (
            with(&|config| config.next = Some("first".to_owned())),
            "no other [[ca]] has the name `first`",
        ),
        (
            with(&|config| config.module = "/nonexistent.so".into()),
            "/nonexistent.so",
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
                let pin = config.directory.join("pin");
                let other = format!(
                    "pkcs11:token=Another;object=ca-sign;id=%01?pin-source=file:{}",
                    pin.display()
                );
                config.keys[0].uri = KeyUri::parse(&other).unwrap();
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
        let error = config.refusal();
        assert!(error.contains(word), "{word}: {error}");
    }
}

/// The form of the tests with one line in another way.
fn form(line: &str, instead: &str) -> String {
    assert!(der::FORM.contains(line), "{line}");
    der::FORM.replace(line, instead)
}

#[tokio::test]
async fn a_form_that_is_unsafe_is_refused_by_name_before_anything_starts() {
    const PURPOSES: &str = "extended_key_usage = [\"clientAuth\"]";
    const USAGES: &str = "key_usage = [\"digitalSignature\"]";
    let installation = Installation::new().await;
    let mut config = installation.config();
    let checked = config.done(&["--check"]);
    assert!(checked.contains("hsm.toml: ok"), "{checked}");
    for (forms, reason) in [
        (
            form(USAGES, "key_usage = [\"keyCertSign\"]"),
            "`keyCertSign` makes a CA",
        ),
        (
            form(USAGES, "key_usage = [\"digitalSignature\", \"cRLSign\"]"),
            "`cRLSign` makes a CA",
        ),
        (
            form(USAGES, "key_usage = []"),
            "key_usage: the set is empty",
        ),
        (
            form(PURPOSES, "extended_key_usage = []"),
            "extended_key_usage: the set is empty",
        ),
        (form(PURPOSES, ""), "missing key `extended_key_usage`"),
        (
            form(PURPOSES, "extended_key_usage = [\"anyExtendedKeyUsage\"]"),
            "anyExtendedKeyUsage allows every purpose",
        ),
        (
            form(
                PURPOSES,
                "extended_key_usage = [\"clientAuth\", \"2.5.29.37.0\"]",
            ),
            "anyExtendedKeyUsage allows every purpose",
        ),
        (
            form(PURPOSES, "extended_key_usage = [\"OCSPSigning\"]"),
            "OCSPSigning makes a responder",
        ),
        (
            form("keys = { curves = [\"p256\"] }", "keys = {}"),
            "keys: wanted rsa, curves or both",
        ),
        (
            form("lifetime_max = \"90d\"", "lifetime_max = \"11years\""),
            "lifetime_max",
        ),
        (der::FORM.repeat(2), "another form has it"),
        (
            form(
                PURPOSES,
                "ca = \"second\"\nextended_key_usage = [\"clientAuth\"]",
            ),
            "form `device`: no [[ca]] has the name `second`; there is first",
        ),
    ] {
        config.forms = forms;
        let refused = config.refused(&["--check"]);
        assert!(refused.contains(reason), "{reason}: {refused}");
        assert!(refused.contains("hsm.toml"), "{refused}");
    }
}
