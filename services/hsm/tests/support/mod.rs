//! A throw-away SoftHSM token, the service over it, and the structures that tests have signed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "each test binary is a crate of its own and uses a part"
)]

pub mod der;
pub mod reply;
#[path = "../../../../tests/src/restarted.rs"]
pub mod restarted;
#[path = "../../../../crates/shape/tests/shape/support.rs"]
pub mod shape;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use assay_hsm::{CaCertificates, CaKeys, Health, Hsm, HsmConfig, KeyAlgorithm, KeyRole, User};
use assay_journal::{ExportReader, Item};
use assay_pkcs11::{GenerateKey, KeyUri, TokenUri};
use openssl::encrypt::Encrypter;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Padding;
use openssl::sha::sha1;
use openssl::x509::X509;
use rustix::process::{Pid, Signal, kill_process};
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
    pub ca_algorithm: KeyAlgorithm,
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
    pub async fn with_responder(algorithm: KeyAlgorithm, extensions: &[der::Extension]) -> Self {
        let responder = key(KeyRole::OcspSign, 6, algorithm);
        Self::with_keys(KeyAlgorithm::P256, &[responder], extensions).await
    }

    /// The same with these keys; the certificate of ocsp-sign has these extensions.
    pub async fn with_keys(
        ca_algorithm: KeyAlgorithm,
        further: &[GenerateKey],
        of_the_last: &[der::Extension],
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
            ca_algorithm,
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
            peer: None,
            name: "first".to_owned(),
            chain: Vec::new(),
            next: None,
            log_origin: None,
            threads: 2,
            operation_deadline: Duration::from_secs(10),
            queue: 64,
            health_interval: Duration::from_millis(50),
            environment: self.token.environment(),
            metrics_file: None,
            needs: "write = [\".\"]\n".to_owned(),
            variables: Vec::new(),
            limits: String::new(),
            forms: der::FORM.to_owned(),
            more: String::new(),
        }
    }

    pub async fn start(&self) -> Service {
        self.config().start().await
    }

    /// A TBSCertificate that the CA may sign, with a serial number of its own.
    pub fn tbs(&self) -> der::Parts {
        der::leaf(&self.ca_name, &self.ca_key_id(), self.signature())
    }

    /// A TBSCertList that the CA may sign.
    pub fn list(&self, number: u64) -> der::List {
        der::List {
            algorithm: self.signature().to_vec(),
            issuer: self.ca_name.clone(),
            issuer_key: self.ca_key_id(),
            number,
            this_update: der::now(),
            next_update: der::now() + der::DAY,
            entries: Vec::new(),
            further: Vec::new(),
        }
    }

    /// SHA-256 of the CA's certificate, by which operations name it.
    pub fn fingerprint(&self) -> [u8; 32] {
        openssl::sha::sha256(&self.ca.to_der().unwrap())
    }

    fn ca_key_id(&self) -> Vec<u8> {
        self.ca.subject_key_id().unwrap().as_slice().to_vec()
    }

    /// AlgorithmIdentifier of the CA's signatures.
    fn signature(&self) -> &'static [u8] {
        der::signature_algorithm(self.ca_algorithm)
    }
}

/// Encrypts to an RA key.
pub fn encrypt(key: &PKey<Public>, padding: Padding, data: &[u8]) -> Vec<u8> {
    let mut encrypter = Encrypter::new(key).unwrap();
    encrypter.set_rsa_padding(padding).unwrap();
    let mut ciphertext = vec![0; encrypter.encrypt_len(data).unwrap()];
    let length = encrypter.encrypt(data, &mut ciphertext).unwrap();
    ciphertext.truncate(length);
    ciphertext
}

/// Makes keys, the CA's first, and certificates of that CA over them; the last one has these extensions.
fn certified(
    maker: &mut Keys,
    specifications: Vec<GenerateKey>,
    ca_name: &[u8],
    of_the_last: &[der::Extension],
) -> Vec<Key> {
    let signature = der::signature_algorithm(specifications[0].algorithm);
    let mut keys = Vec::new();
    let mut ca_uri = None;
    for specification in specifications {
        let role = specification.role;
        let (uri, spki) = maker.generate(&specification);
        let (mut subject, mut extensions) = (der::name(role.as_str()), Vec::new());
        if role == KeyRole::CaSign {
            subject = ca_name.to_vec();
            extensions = vec![der::ca_true(), der::key_usage(0x06, 1)];
            ca_uri = Some(uri.clone());
        }
        if role == KeyRole::OcspSign {
            extensions = of_the_last.to_vec();
        }
        let tbs = der::certificate(ca_name, &subject, &spki, signature, extensions).der();
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
    /// The user that may connect; this process's own, as for a trial, if absent.
    pub peer: Option<u32>,
    /// Name of the CA.
    pub name: String,
    /// Certificates of the CAs above it, DER.
    pub chain: Vec<Vec<u8>>,
    /// Name of the next CA.
    pub next: Option<String>,
    pub log_origin: Option<String>,
    pub threads: usize,
    pub operation_deadline: Duration,
    pub queue: usize,
    pub health_interval: Duration,
    pub environment: Vec<(String, String)>,
    pub metrics_file: Option<PathBuf>,
    /// The declared needs of the library, as lines of [module].
    pub needs: String,
    /// Further variables of the process itself.
    pub variables: Vec<(String, String)>,
    /// Keys of `[limits]`, a line each.
    pub limits: String,
    /// Tables `[[form]]`.
    pub forms: String,
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
        let peer = match self.peer {
            Some(peer) => format!("peer = {peer}"),
            None => format!(
                "peer = {}\nallow_same_user = true",
                rustix::process::geteuid().as_raw()
            ),
        };
        let environment = self.environment.iter();
        let environment: Vec<_> = environment
            .map(|(name, value)| format!("{name} = {value:?}"))
            .collect();
        let metrics = self.metrics_file.as_ref();
        let metrics = metrics.map_or_else(String::new, |file| format!("metrics_file = {file:?}\n"));
        let mut text = format!(
            "{metrics}socket = \"run/hsm.sock\"\nstate = \"state\"\n{peer}\n\
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
        text += &format!("[limits]\n{}\n", self.limits);
        text += &self.ca_table();
        text += &self.forms;
        text += &self.more;
        let file = self.directory.join("hsm.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// The table of a CA with these keys.
    pub fn ca_table(&self) -> String {
        let mut text = format!("[[ca]]\nname = {:?}\n", self.name);
        let file = |certificate: &[u8]| -> String {
            let name = format!("{}.pem", hex::encode(sha1(certificate)));
            let certificate = X509::from_der(certificate).unwrap();
            let path = self.directory.join(&name);
            fs::write(path, certificate.to_pem().unwrap()).unwrap();
            name
        };
        let pem = |key: &Key| key.certificate.as_deref().map(file);
        let chain: Vec<String> = self.chain.iter().map(|above| file(above)).collect();
        text += &format!("chain = {chain:?}\n");
        if let Some(next) = &self.next {
            text += &format!("next = {next:?}\n");
        }
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

    /// The command that runs the service, on a new journal if there is none.
    pub fn command(&self) -> Command {
        if !self.journal().exists() {
            // Where it cannot be made, the service says why.
            let _ = self.run(&["journal", "create", "--unused"]);
        }
        let mut command = Command::new(PROGRAM);
        command
            .arg("--config")
            .arg(self.write())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// The output of a command of the program about this configuration.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.write());
        command.envs(self.variables.clone()).output().unwrap()
    }

    /// The answer of a command that succeeds.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one line of a command that is refused.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        // The service's log is JSON.
        let (log, lines): (Vec<&str>, Vec<&str>) =
            said.lines().partition(|line| line.starts_with('{'));
        assert!(arguments.is_empty() || log.is_empty(), "{said}");
        let [line] = lines.as_slice() else {
            panic!("not one line: {said}");
        };
        (*line).to_owned()
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        self.directory.join("state/journal")
    }

    /// Makes the journal of an installation that was not used, unless there is one.
    pub fn create_journal(&self) {
        if !self.journal().exists() {
            self.done(&["journal", "create", "--unused"]);
        }
    }

    /// Every entry of the journal by `journal export`, each proven.
    pub fn export(&self) -> Vec<Item> {
        let exported = self.run(&["journal", "export"]);
        assert!(exported.status.success(), "{exported:?}");
        let items = ExportReader::new(exported.stdout.as_slice()).unwrap();
        items.collect::<Result<_, _>>().unwrap()
    }

    /// The service, started again whenever it ends, and a connection to it.
    pub async fn start(&self) -> Service {
        self.write();
        self.create_journal();
        let log = self.directory.join("log");
        let file = self.directory.join("hsm.toml");
        let variables = self.variables.clone();
        let process = restarted::Restarted::start(move || {
            let output = fs::File::options().create(true).append(true).open(&log);
            let mut command = Command::new(PROGRAM);
            command.arg("--config").arg(&file).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(output.unwrap());
            command.envs(variables.clone());
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

    pub fn pid(&self) -> Pid {
        let pid = self.hsm.health().borrow().pid.unwrap();
        Pid::from_raw(pid.try_into().unwrap()).unwrap()
    }

    /// Kills the process, and waits for the connection to the next one.
    pub async fn kill(&self) {
        let mut health = self.hsm.health();
        let before = health.borrow().reconnections;
        kill_process(self.pid(), Signal::KILL).unwrap();
        until(&mut health, |health| {
            health.ready && health.reconnections > before
        })
        .await;
    }

    /// Waits until the key of a role has done this number of operations since the service started, and no more.
    pub async fn counted(&self, role: KeyRole, count: u64) {
        let mut health = self.hsm.health();
        let probes = |health: &Health| health.operations.get("probe").copied();
        let before = probes(&health.borrow());
        // A probe that left after everything that was asked for.
        let health = until(&mut health, |health| {
            probes(health) > before.map(|before| before + 1)
        })
        .await;
        let done = health.operations.get(role.as_str()).copied();
        assert_eq!(done.unwrap_or_default(), count, "{role}");
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
