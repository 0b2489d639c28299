//! Processes of an installation, found by their configuration file through `/proc`.

use std::path::Path;
use std::time::Duration;

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use rustix::process::{Pid, Signal, kill_process};

/// How long a service may take to drain after SIGTERM before it is killed.
pub const DRAIN: Duration = Duration::from_secs(15);
/// How often a process that is not our child is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Whether the process was started with that configuration file: a number alone may have been given out again.
pub fn runs_with(pid: Pid, config: &Path) -> bool {
    let Ok(command) = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else {
        return false;
    };
    let wanted = config.as_os_str().as_encoded_bytes();
    command
        .split(|byte| *byte == 0)
        .any(|argument| argument == wanted)
}

/// The process that was started with that configuration file, if there is exactly one.
pub fn find(config: &Path) -> Option<u32> {
    let mut found = std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| runs_with(*pid, config));
    match (found.next(), found.next()) {
        (Some(pid), None) => u32::try_from(pid.as_raw_nonzero().get()).ok(),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// SIGTERM, then SIGKILL, until the process is gone.
///
/// # Errors
/// It is still there 15 s after SIGKILL.
pub async fn stop_foreign(pid: Pid, config: &Path) -> Outcome {
    for (signal, patience) in [(Signal::TERM, DRAIN), (Signal::KILL, DRAIN)] {
        // Gone in between is as good.
        let _ = kill_process(pid, signal);
        let gone = async {
            while runs_with(pid, config) {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(patience, gone).await.is_ok() {
            return Ok(());
        }
    }
    Err(Failure::failed(format!(
        "process {} of an earlier demo does not end",
        pid.as_raw_nonzero()
    )))
    .next("end it by hand")
}

/// CPU time of a process in seconds, user and system, its reaped children not included.
///
/// # Errors
/// There is no such process.
pub fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let what = format!("cannot read the CPU time of process {pid}");
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).or_fail(&what)?;
    // proc(5): the second field is the name in parentheses and may hold anything; 14 and 15 are utime and stime.
    let after_name = text
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let ticks: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    let [user, system] = ticks.as_slice() else {
        return Err(Failure::failed(what));
    };
    #[allow(clippy::cast_precision_loss, reason = "100 on every Linux")]
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    Ok((user + system) / hertz)
}
