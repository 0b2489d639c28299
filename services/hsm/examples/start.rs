//! Measures a start of the service, from its exec to its ready file, beside a journal of many certificates and a real token.
//!
//! With an installation that is thrown away afterwards, such as `assay demo` leaves behind, as the user of its HSM service:
//!
//!     rm -r assay-demo/hsm/journal
//!     cargo run --release -p assay-journal --example rebuild -- assay-demo/hsm/journal 1000000
//!     cargo build --release -p assay-hsm-service --bins --example start
//!     target/release/examples/start assay-demo/hsm.toml assay-demo/run/hsm/ready

#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: start HSM_TOML READY_FILE";
const STARTS: usize = 5;
/// How exactly a start is measured.
const POLL: Duration = Duration::from_millis(1);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let config = arguments.next().ok_or(USAGE)?;
    let ready = arguments.next().ok_or(USAGE)?;
    // The examples lie in a folder beside the program.
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).ok_or(USAGE)?;
    for _ in 0..STARTS {
        let (took, processor) = start(&folder.join("assay-hsm"), &config, Path::new(&ready))?;
        println!("ready after {took:?}, {processor:?} of it on a processor");
    }
    Ok(())
}

/// One start, and the end of the service: how long it took, and how much of that its main thread had a processor. That is what
/// a machine with two idle processors takes; another thread reads the journal ahead of the main one.
fn start(program: &Path, config: &str, ready: &Path) -> Result<(Duration, Duration), Failure> {
    if ready.exists() {
        fs::remove_file(ready)?;
    }
    let mut command = Command::new(program);
    command
        .args(["--config", config, "--ready-file"])
        .arg(ready);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let mut service = command.spawn()?;
    while !ready.exists() {
        if let Some(status) = service.try_wait()? {
            return Err(format!("the service ended: {status}").into());
        }
        thread::park_timeout(POLL);
    }
    let took = begin.elapsed();
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", service.id()))?;
    let nanoseconds = stat.split_whitespace().next().ok_or("no schedstat")?;
    let processor = Duration::from_nanos(nanoseconds.parse()?);
    let pid = i32::try_from(service.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.ok_or("no process")?, Signal::TERM)?;
    service.wait()?;
    Ok((took, processor))
}
