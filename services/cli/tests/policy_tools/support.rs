//! The command, files for it, and what it should print.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Runs `assay`, which finds no installation.
pub(crate) fn assay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .env_remove("ASSAY_DIR")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn out(run: &Output) -> String {
    String::from_utf8(run.stdout.clone()).unwrap()
}

pub(crate) fn said(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

pub(crate) fn json(run: &Output) -> serde_json::Value {
    serde_json::from_slice(&run.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", out(run), said(run));
    })
}

#[track_caller]
pub(crate) fn exits(run: &Output, code: i32) {
    assert_eq!(run.status.code(), Some(code), "{} {}", out(run), said(run));
}

/// Compares with `golden/NAME`; `ASSAY_BLESS=1` writes it anew.
#[track_caller]
pub(crate) fn golden(name: &str, found: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy_tools/golden");
    let file = here.join(name);
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        found, wanted,
        "{name} is stale: if the new text is right, run the test with ASSAY_BLESS=1"
    );
}

/// A directory of shipped policy files.
pub(crate) fn shipped(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../policy")
        .join(directory)
        .canonicalize()
        .unwrap()
}

pub(crate) fn shipped_text(file: &str) -> String {
    std::fs::read_to_string(shipped(".").join(file)).unwrap()
}

#[track_caller]
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}` must occur once");
    text.replace(from, to)
}

/// Files that go when the test ends.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A copy of a shipped directory in which `file` says `to` in place of `from`.
    pub(crate) fn changed(&self, directory: &str, file: &str, from: &str, to: &str) -> String {
        for entry in std::fs::read_dir(shipped(directory)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let text = if name == file {
                replaced(&text, from, to)
            } else {
                text
            };
            self.write(&format!("changed/{name}"), text);
        }
        self.path("changed")
    }

    /// A PEM CSR of `openssl req`; the subject in OpenSSL's form, extensions as `-addext` takes them.
    pub(crate) fn csr(&self, name: &str, subject: &str, extensions: &[&str], hash: &str) -> String {
        let path = self.path(name);
        let key = key();
        let mut command = Command::new("openssl");
        // No configuration of the host may add extensions of its own.
        command
            .env("OPENSSL_CONF", "/dev/null")
            .args(["req", "-new", "-utf8", "-key", key, "-out", &path])
            .args([&format!("-{hash}"), "-subj", subject])
            .args(["-config", self.write("req.cnf", REQ).as_str()]);
        for extension in extensions {
            command.args(["-addext", extension]);
        }
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", said(&run));
        path
    }
}

const REQ: &str = "[req]\ndistinguished_name = dn\nstring_mask = utf8only\n[dn]\n";

/// One RSA key of 3072 bits, which every shipped profile takes, made once.
pub(crate) fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let id = std::process::id();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-tools-{id}.key"));
        let run = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt"])
            .args(["rsa_keygen_bits:3072", "-out"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", said(&run));
        path.to_str().unwrap().to_owned()
    })
}
