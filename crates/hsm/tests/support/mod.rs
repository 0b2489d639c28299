//! A throw-away SoftHSM token and the structures that tests have signed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "each test binary is a crate of its own and uses a part"
)]

pub mod der;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use assay_hsm::{Health, Hsm, HsmConfig, KeyAlgorithm, KeyConfig, KeyRole, KeyUri};
use assay_pkcs11::{GenerateKey, TokenUri};
use openssl::pkey::{PKey, Public};
use openssl::x509::X509;
use tempfile::TempDir;
use tokio::sync::watch;

pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// OpenSC's tracing module, which logs every call of the library it wraps.
pub const SPY: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so";
pub const PIN: &str = "token-pin-1234";

/// The template that demonstrations use.
const TEMPLATE: &str = include_str!("../../../../softhsm/softhsm2.conf");

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn worker() -> PathBuf {
    env!("CARGO_BIN_EXE_hsm-worker").into()
}

pub struct Token {
    pub directory: TempDir,
    pub uri: TokenUri,
}

impl Token {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("tokens")).unwrap();
        fs::write(
            path.join("softhsm2.conf"),
            TEMPLATE.replace("@TOKEN_DIR@", path.join("tokens").to_str().unwrap()),
        )
        .unwrap();
        let pin_file = path.join("pin");
        fs::write(&pin_file, format!("{PIN}\n")).unwrap();
        fs::set_permissions(&pin_file, fs::Permissions::from_mode(0o600)).unwrap();
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "Test token"])
            .args(["--so-pin", "so-pin-5678", "--pin", PIN])
            .envs(environment(path))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let uri = format!(
            "pkcs11:token=Test%20token?pin-source=file:{}",
            pin_file.display()
        );
        Self {
            uri: TokenUri::parse(&uri).unwrap(),
            directory,
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        environment(self.path())
    }

    /// Starts what makes keys in this token.
    pub fn keys(&self) -> Keys {
        let mut child = Command::new(env!("CARGO_BIN_EXE_test-keys"))
            .args([MODULE, &self.uri.to_string()])
            .envs(self.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Keys {
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }
}

/// The process `test-keys` on one token.
pub struct Keys {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    child: Child,
}

impl Keys {
    /// Makes a key; returns its URI and the DER of its SubjectPublicKeyInfo.
    pub fn generate(&mut self, key: &GenerateKey) -> (KeyUri, Vec<u8>) {
        let id = hex::encode(&key.id);
        let made = self.ask(&format!(
            "generate {} {} {id} {}",
            key.role, key.label, key.algorithm
        ));
        let (uri, spki) = made.split_once(' ').unwrap();
        (KeyUri::parse(uri).unwrap(), hex::decode(spki).unwrap())
    }

    /// Signs whatever it is given.
    pub fn sign(&mut self, key: &KeyUri, data: &[u8]) -> Vec<u8> {
        hex::decode(self.ask(&format!("sign {key} {}", hex::encode(data)))).unwrap()
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn environment(path: &Path) -> Vec<(String, String)> {
    vec![(
        "SOFTHSM2_CONF".to_owned(),
        path.join("softhsm2.conf").display().to_string(),
    )]
}

pub fn key(role: KeyRole, id: u8, algorithm: KeyAlgorithm) -> GenerateKey {
    GenerateKey {
        role,
        label: role.to_string(),
        id: vec![id],
        algorithm,
    }
}

/// A token with every service key, and the certificates of them.
pub struct Installation {
    pub token: Token,
    pub keys: Vec<KeyConfig>,
    pub ca: X509,
    pub ca_name: Vec<u8>,
    pub ra_decrypt: PKey<Public>,
    pub ra_sign: PKey<Public>,
}

impl Installation {
    pub async fn new() -> Self {
        Self::with_ca(KeyAlgorithm::P256).await
    }

    pub async fn with_ca(ca_algorithm: KeyAlgorithm) -> Self {
        Self::with_keys(ca_algorithm, &[], &[]).await
    }

    /// The same with ra-single, as the last of the keys.
    pub async fn with_single_ra() -> Self {
        let single = key(KeyRole::RaSingle, 5, KeyAlgorithm::Rsa(2048));
        Self::with_keys(KeyAlgorithm::P256, &[single], &[]).await
    }

    /// The same with a log key, as the last of the keys.
    pub async fn with_log(algorithm: KeyAlgorithm) -> Self {
        Self::with_keys(
            KeyAlgorithm::P256,
            &[key(KeyRole::LogSign, 6, algorithm)],
            &[],
        )
        .await
    }

    /// The same with ocsp-sign, whose certificate has these extensions.
    pub async fn with_responder(algorithm: KeyAlgorithm, extensions: &[Vec<u8>]) -> Self {
        let responder = key(KeyRole::OcspSign, 6, algorithm);
        Self::with_keys(KeyAlgorithm::P256, &[responder], extensions).await
    }

    async fn with_keys(
        ca_algorithm: KeyAlgorithm,
        further: &[GenerateKey],
        of_the_last: &[Vec<u8>],
    ) -> Self {
        let token = Token::new();
        let mut maker = token.keys();
        let mut specifications = vec![
            key(KeyRole::CaSign, 1, ca_algorithm),
            key(KeyRole::RaDecrypt, 2, KeyAlgorithm::Rsa(2048)),
            key(KeyRole::RaSign, 3, KeyAlgorithm::Rsa(2048)),
            key(KeyRole::Probe, 4, KeyAlgorithm::P256),
        ];
        specifications.extend_from_slice(further);
        let ca_name = der::name("Test CA");
        let signature = der::signature_algorithm(ca_algorithm);
        let mut keys = Vec::new();
        let mut ca_uri = None;
        for specification in specifications {
            let role = specification.role;
            let (uri, spki) = maker.generate(&specification);
            let mut tbs = der::Tbs {
                issuer: ca_name.clone(),
                subject: der::name(role.as_str()),
                spki,
                signature: signature.to_vec(),
                extensions: if role == KeyRole::OcspSign {
                    of_the_last.to_vec()
                } else {
                    vec![]
                },
            };
            if role == KeyRole::CaSign {
                tbs.subject = ca_name.clone();
                tbs.extensions = vec![der::ca_true(), der::key_usage(0x06, 1)];
                ca_uri = Some(uri.clone());
            }
            let tbs = tbs.to_der();
            let value = maker.sign(ca_uri.as_ref().unwrap(), &tbs);
            let certificate = der::signed(&tbs, signature, &value);
            keys.push(KeyConfig {
                role,
                uri,
                certificate: (!matches!(role, KeyRole::Probe | KeyRole::LogSign))
                    .then_some(certificate),
            });
        }
        let certificate =
            |index: usize| X509::from_der(keys[index].certificate.as_ref().unwrap()).unwrap();
        let ca = certificate(0);
        Self {
            ra_decrypt: certificate(1).public_key().unwrap(),
            ra_sign: certificate(2).public_key().unwrap(),
            token,
            ca_name,
            ca,
            keys,
        }
    }

    pub fn config(&self) -> HsmConfig {
        HsmConfig {
            module: MODULE.into(),
            keys: self.keys.clone(),
            log_origin: None,
            threads: 2,
            workers: 1,
            operation_deadline: Duration::from_secs(10),
            queue: 64,
            health_interval: Duration::from_millis(50),
            environment: self.token.environment(),
            program: Some(worker()),
        }
    }

    pub async fn start(&self) -> Hsm {
        Hsm::start(self.config()).await.unwrap()
    }

    /// A TBSCertificate that the CA may sign.
    pub fn tbs(&self) -> der::Tbs {
        der::Tbs {
            issuer: self.ca_name.clone(),
            subject: der::name("device-1"),
            spki: self.ra_sign.public_key_to_der().unwrap(),
            signature: der::signature_algorithm(KeyAlgorithm::P256).to_vec(),
            extensions: vec![der::ca_false(), der::key_usage(0x80, 7)],
        }
    }
}

/// Waits for a state of health.
pub async fn until(
    health: &mut watch::Receiver<Health>,
    wanted: impl FnMut(&Health) -> bool,
) -> Health {
    tokio::time::timeout(PATIENCE, health.wait_for(wanted))
        .await
        .expect("health does not come about")
        .unwrap()
        .clone()
}
