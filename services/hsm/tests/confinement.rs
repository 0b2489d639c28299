//! The service can use what its configuration declares, and nothing else. A hostile library in the real process tries.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use support::{Config, Installation, MODULE, PATIENCE};

/// SIGSYS.
const BAD_CALL: i32 = 31;

/// A configuration whose library tries to use what is outside the token's directory.
struct Scene {
    config: Config,
    outside: tempfile::TempDir,
    tcp: TcpListener,
    _unix: UnixListener,
}

impl Scene {
    fn new(installation: &Installation, attempt: &str) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let path = |name: &str| outside.path().join(name);
        let (file, socket) = (path("file"), path("socket"));
        fs::write(&file, "secret").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port().to_string();
        let unix = UnixListener::bind(&socket).unwrap();
        let mut config = installation.config();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/hostile.c");
        config.module = config.directory.join("hostile.so");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-o"])
            .arg(&config.module);
        assert!(compiler.arg(source).status().unwrap().success());
        let shown = |path: PathBuf| path.display().to_string();
        for (name, value) in [
            ("HOSTILE", attempt.to_owned()),
            ("HOSTILE_FILE", shown(file)),
            ("HOSTILE_PORT", port),
            ("HOSTILE_SOCKET", shown(socket)),
            ("REAL_MODULE", MODULE.to_owned()),
        ] {
            config.environment.push((name.to_owned(), value));
        }
        Self {
            config,
            outside,
            tcp,
            _unix: unix,
        }
    }

    /// Runs the service until it serves, and takes what it printed.
    async fn ran(&self) -> Output {
        let ready = self.config.directory.join("ready");
        let _ = fs::remove_file(&ready);
        let mut command = self.config.command();
        command.arg("--ready-file").arg(&ready);
        let mut service = command
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        while !ready.exists() && service.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < PATIENCE, "it neither serves nor ends");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let pid = i32::try_from(service.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        service.wait_with_output().unwrap()
    }

    async fn said(&self) -> String {
        let ran = self.ran().await;
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success(), "{} {said}", ran.status);
        said
    }
}

#[tokio::test]
async fn a_library_that_declares_nothing_reaches_nothing() {
    let installation = Installation::new().await;
    let scene = Scene::new(&installation, "reach");
    let said = scene.said().await;
    for attempt in [
        "read: Permission denied",
        "write: Permission denied",
        "tcp: Operation not permitted",
        "unix: Operation not permitted",
        "shared memory: Operation not permitted",
    ] {
        assert!(said.contains(attempt), "{attempt}: {said}");
    }
}

#[tokio::test]
async fn a_library_reaches_what_it_declares() {
    let installation = Installation::new().await;
    let mut scene = Scene::new(&installation, "reach");
    let port = scene.tcp.local_addr().unwrap().port();
    scene.config.needs = format!(
        "write = [\".\", {:?}]\nconnect_tcp = [{port}]\nunix_sockets = true\nshared_memory = true\n",
        scene.outside.path()
    );
    let said = scene.said().await;
    for attempt in ["read", "write", "tcp", "unix", "shared memory"] {
        assert!(
            said.contains(&format!("{attempt}: allowed")),
            "{attempt}: {said}"
        );
    }

    scene.config.needs = format!("write = [\".\"]\nread = [{:?}]\n", scene.outside.path());
    let said = scene.said().await;
    assert!(said.contains("read: allowed"), "{said}");
    assert!(said.contains("write: Permission denied"), "{said}");
}

#[tokio::test]
async fn a_library_that_starts_a_program_ends_the_process() {
    let installation = Installation::new().await;
    let ran = Scene::new(&installation, "exec").ran().await;
    assert_eq!(ran.status.signal(), Some(BAD_CALL), "{ran:?}");
    assert!(!ran.status.core_dumped());
}

#[tokio::test]
async fn a_token_directory_that_is_not_declared_is_said_in_one_line() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.needs = String::new();
    let refused = config.refusal();
    assert!(
        refused.contains("[module] of hsm.toml declares"),
        "{refused}"
    );

    config.needs = "write = [\"absent\"]\n".to_owned();
    let refused = config.refusal();
    assert!(refused.contains("absent: cannot be allowed"), "{refused}");
}

/// No thread was there before the filter.
#[tokio::test]
async fn every_thread_of_a_service_at_work_is_confined() {
    let installation = Installation::new().await;
    let service = installation.start().await;
    let pid = service.process.pid().unwrap().as_raw_nonzero();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses: Vec<String> = tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect();
    assert!(statuses.len() > 3, "{}", statuses.len());
    for status in statuses {
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
    assert!(service.log().contains("confined"), "{}", service.log());
    service.shutdown().await;
}
