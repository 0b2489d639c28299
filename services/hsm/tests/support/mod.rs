//! A throw-away SoftHSM token, the service over it, and the structures that tests have signed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "each test binary is a crate of its own and uses a part"
)]

pub mod der;
#[path = "../../../../tests/src/restarted.rs"]
pub mod restarted;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use assay_hsm::{CaCertificates, CaKeys, Health, Hsm, HsmConfig, KeyAlgorithm, KeyRole, User};
use assay_pkcs11::{GenerateKey, KeyUri, TokenUri};
use openssl::pkey::{PKey, Public};
use openssl::sha::sha1;
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

/// The service under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_assay-hsm");

/// What makes keys, beside the tests of this build.
fn test_keys() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/test-keys")
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
        let mut child = Command::new(test_keys())
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
    pub keys: Vec<Key>,
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
        let keys = certified(&mut maker, specifications, &ca_name, of_the_last);
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

    /// The keys of another CA in the same token.
    pub fn another_ca(&self, name: &[u8]) -> Vec<Key> {
        let key = |role: KeyRole, id, algorithm| GenerateKey {
            label: format!("{role}-g2"),
            ..key(role, id, algorithm)
        };
        let specifications = vec![
            key(KeyRole::CaSign, 0x11, KeyAlgorithm::P256),
            key(KeyRole::RaDecrypt, 0x12, KeyAlgorithm::Rsa(2048)),
            key(KeyRole::RaSign, 0x13, KeyAlgorithm::Rsa(2048)),
        ];
        certified(&mut self.token.keys(), specifications, name, &[])
    }

    pub fn config(&self) -> Config {
        Config {
            directory: self.token.path().to_owned(),
            module: MODULE.into(),
            keys: self.keys.clone(),
            log_origin: None,
            threads: 2,
            operation_deadline: Duration::from_secs(10),
            queue: 64,
            health_interval: Duration::from_millis(50),
            environment: self.token.environment(),
            metrics_file: None,
            needs: "write = [\".\"]\n".to_owned(),
            more: String::new(),
        }
    }

    pub async fn start(&self) -> Service {
        self.config().start().await
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

/// Makes keys, the CA's first, and certificates of that CA over them; the last one has these extensions.
fn certified(
    maker: &mut Keys,
    specifications: Vec<GenerateKey>,
    ca_name: &[u8],
    of_the_last: &[Vec<u8>],
) -> Vec<Key> {
    let signature = der::signature_algorithm(specifications[0].algorithm);
    let mut keys = Vec::new();
    let mut ca_uri = None;
    for specification in specifications {
        let role = specification.role;
        let (uri, spki) = maker.generate(&specification);
        let mut tbs = der::Tbs {
            issuer: ca_name.to_vec(),
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
            tbs.subject = ca_name.to_vec();
            tbs.extensions = vec![der::ca_true(), der::key_usage(0x06, 1)];
            ca_uri = Some(uri.clone());
        }
        let tbs = tbs.to_der();
        let value = maker.sign(ca_uri.as_ref().unwrap(), &tbs);
        let certificate = der::signed(&tbs, signature, &value);
        keys.push(Key {
            role,
            uri,
            certificate: (!matches!(role, KeyRole::Probe | KeyRole::LogSign))
                .then_some(certificate),
        });
    }
    keys
}

/// One key of the service.
#[derive(Clone, Debug)]
pub struct Key {
    pub role: KeyRole,
    pub uri: KeyUri,
    pub certificate: Option<Vec<u8>>,
}

/// The configuration of the service, and its client.
#[derive(Clone)]
pub struct Config {
    pub directory: PathBuf,
    pub module: PathBuf,
    pub keys: Vec<Key>,
    pub log_origin: Option<String>,
    pub threads: usize,
    pub operation_deadline: Duration,
    pub queue: usize,
    pub health_interval: Duration,
    pub environment: Vec<(String, String)>,
    pub metrics_file: Option<PathBuf>,
    /// The declared needs of the library, as lines of [module].
    pub needs: String,
    /// Further tables, at the end of the file.
    pub more: String,
}

impl Config {
    pub fn key(&self, role: KeyRole) -> Option<&Key> {
        self.keys.iter().find(|key| key.role == role)
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("run/hsm.sock")
    }

    /// Writes hsm.toml and the certificates that it names.
    pub fn write(&self) -> PathBuf {
        let own = rustix::process::geteuid().as_raw();
        let environment = self.environment.iter();
        let environment: Vec<_> = environment
            .map(|(name, value)| format!("{name} = {value:?}"))
            .collect();
        let metrics = self.metrics_file.as_ref();
        let metrics = metrics.map_or_else(String::new, |file| format!("metrics_file = {file:?}\n"));
        let mut text = format!(
            "{metrics}socket = \"run/hsm.sock\"\nstate = \"state\"\npeer = {own}\nallow_same_user = true\n\
             threads = {}\noperation_deadline = \"{}ms\"\n\
             [module]\npath = {:?}\nenvironment = {{ {} }}\n{}",
            self.threads,
            self.operation_deadline.as_millis(),
            self.module,
            environment.join(", "),
            self.needs,
        );
        if let Some(key) = self.key(KeyRole::LogSign) {
            let origin = self.log_origin.as_deref().unwrap_or("log.example");
            text += &format!("[log]\norigin = {origin:?}\nkey = \"{}\"\n", key.uri);
        }
        if let Some(key) = self.key(KeyRole::Probe) {
            text += &format!("[probe]\nkey = \"{}\"\n", key.uri);
        }
        text += &self.ca_table();
        text += &self.more;
        let file = self.directory.join("hsm.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// The table of a CA with these keys.
    pub fn ca_table(&self) -> String {
        let mut text = "[[ca]]\n".to_owned();
        let pem = |key: &Key| -> Option<String> {
            let name = format!("{}.pem", hex::encode(sha1(key.certificate.as_ref()?)));
            let certificate = X509::from_der(key.certificate.as_ref()?).unwrap();
            let path = self.directory.join(&name);
            fs::write(path, certificate.to_pem().unwrap()).unwrap();
            Some(name)
        };
        if let Some(ca) = self.key(KeyRole::CaSign) {
            let certificate = pem(ca).unwrap();
            text += &format!("key = \"{}\"\ncertificate = \"{certificate}\"\n", ca.uri);
        }
        for (role, table) in [
            (KeyRole::RaDecrypt, "ra.decrypt"),
            (KeyRole::RaSign, "ra.sign"),
            (KeyRole::RaSingle, "ra.single"),
            (KeyRole::OcspSign, "ocsp"),
        ] {
            if let Some(key) = self.key(role) {
                text += &format!("[ca.{table}]\nkey = \"{}\"\n", key.uri);
                if let Some(certificate) = pem(key) {
                    text += &format!("certificate = \"{certificate}\"\n");
                }
            }
        }
        text
    }

    /// The command that runs the service.
    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--config")
            .arg(self.write())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// The service, started again whenever it ends, and a connection to it.
    pub async fn start(&self) -> Service {
        self.write();
        let log = self.directory.join("log");
        let file = self.directory.join("hsm.toml");
        let process = restarted::Restarted::start(move || {
            let output = fs::File::options().create(true).append(true).open(&log);
            let mut command = Command::new(PROGRAM);
            command.arg("--config").arg(&file).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(output.unwrap());
            command
        });
        let hsm = self.connect().await;
        Service {
            keys: self.ca(&hsm),
            hsm,
            process: process.unwrap(),
            directory: self.directory.clone(),
        }
    }

    pub fn client(&self) -> HsmConfig {
        HsmConfig {
            socket: self.socket(),
            user: User::from_uid(rustix::process::geteuid().as_raw()).unwrap(),
            queue: self.queue,
            health_interval: self.health_interval,
            program: "tests".to_owned(),
        }
    }

    pub async fn connect(&self) -> Hsm {
        Hsm::connect(self.client()).await.unwrap()
    }

    /// The keys of the CA of this configuration.
    pub fn ca(&self, hsm: &Hsm) -> CaKeys {
        let of = |role| self.key(role).and_then(|key| key.certificate.as_deref());
        hsm.ca(&CaCertificates {
            ca: of(KeyRole::CaSign).unwrap(),
            ra_decrypt: of(KeyRole::RaDecrypt).unwrap(),
            ra_sign: of(KeyRole::RaSign).unwrap(),
            ra_single: of(KeyRole::RaSingle),
            ocsp: of(KeyRole::OcspSign),
        })
        .unwrap()
    }

    /// The one line with which the service does not start.
    pub fn refusal(&self) -> String {
        let ended = self.command().output().unwrap();
        assert!(!ended.status.success(), "the service started");
        let said = String::from_utf8(ended.stderr).unwrap();
        let reasons: Vec<String> = said.lines().filter_map(reason).collect();
        let [reason] = reasons.as_slice() else {
            panic!("not one line: {said}");
        };
        assert!(!reason.contains('\n'), "one line: {reason}");
        reason.clone()
    }
}

/// The line that says why the service does not start.
fn reason(line: &str) -> Option<String> {
    if let Some(reason) = line.strip_prefix("assay-hsm: ") {
        return Some(reason.to_owned());
    }
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    let is_ours = fields["message"] == "the token cannot be used";
    is_ours.then(|| fields["error"].as_str().unwrap().to_owned())
}

/// A service at work; what may be asked of its CA's keys may be asked of it.
pub struct Service {
    pub hsm: Hsm,
    pub keys: CaKeys,
    pub process: restarted::Restarted,
    directory: PathBuf,
}

impl Service {
    /// All that it logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// Closes the connection and ends the service in order.
    pub async fn shutdown(self) {
        self.hsm.shutdown().await;
        let ended = self.process.stop();
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    }
}

impl Deref for Service {
    type Target = CaKeys;

    fn deref(&self) -> &CaKeys {
        &self.keys
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
