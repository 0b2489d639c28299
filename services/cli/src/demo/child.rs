//! A service as the demo's child: started, waited for, stopped.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::process::DRAIN;
use assay_operator::services::{Program, Service};
use assay_runtime::ready::Ready;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::home::Home;
use crate::commands::config::service_binary;

/// How long a service may take to listen: a token with many objects is slow to open.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often the ready file is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of its log shown when a service does not come up.
const LOG_LINES: usize = 5;

/// A service that listens.
pub(super) struct Running {
    pub(super) ready: Ready,
    pub(super) since: Instant,
    child: Child,
}

impl Running {
    /// Starts the service and waits until it listens.
    pub(super) async fn start(service: Service, home: &Home) -> Outcome<Self> {
        let ready_file = service.run_dir(&home.installation).join("ready");
        super::ready::remove(&ready_file)?;
        let log = home
            .installation
            .logs()
            .join(format!("{}.log", service.name()));
        let mut child = spawn(service, home, &ready_file, &log)?;
        let pid = child.id().unwrap_or_default();
        files::replace(
            &home.pid_file(service.name()),
            format!("{pid}\n").as_bytes(),
            files::PUBLIC,
        )?;
        let listening = async {
            loop {
                if let Ok(ready) = Ready::read(&ready_file) {
                    return Ok(ready);
                }
                if let Some(status) = child.try_wait().or_fail("cannot wait for a service")? {
                    return Err(did_not_start(service, &status.to_string(), &log));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let ready = match tokio::time::timeout(START_DEADLINE, listening).await {
            Ok(listening) => listening?,
            Err(_) => return Err(did_not_start(service, "not ready in time", &log)),
        };
        Ok(Self {
            ready,
            since: Instant::now(),
            child,
        })
    }

    pub(super) async fn ended(&mut self) -> Outcome<ExitStatus> {
        self.child.wait().await.or_fail("cannot wait for a service")
    }

    /// SIGTERM, time to drain, then SIGKILL.
    pub(super) async fn stop(&mut self) {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(DRAIN, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

fn spawn(service: Service, home: &Home, ready_file: &Path, log: &Path) -> Outcome<Child> {
    let what = || format!("cannot start {}", service.binary());
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .or_fail(what())?;
    let path = service_binary(service.binary())?;
    let program = Program::of(service, &home.installation, &path).or_fail(what())?;
    Command::from(program.command())
        .arg("--config")
        .arg(service.config(&home.installation))
        .arg("--ready-file")
        .arg(ready_file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().or_fail(what())?)
        .stderr(log)
        // Ctrl-C is for the demo, which stops the frontend before the signer, and that before the HSM service.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .or_fail(what())
}

fn did_not_start(service: Service, why: &str, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(LOG_LINES)..)
        .unwrap_or_default();
    Failure::failed(format!(
        "{} did not start ({why})\n    {}",
        service.binary(),
        last.join("\n    ")
    ))
    .next(format!("its log is {}", log.display()))
}
