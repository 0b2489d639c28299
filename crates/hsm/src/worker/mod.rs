//! The worker process: owns one PKCS#11 library, its PIN, sessions and key handles.
//!
//! Plain threads and blocking reads: nothing here may wait on an async runtime, and the process
//! never forks, since a child would keep the login.

mod checkpoint;
mod ocsp;
mod preflight;
mod queue;
mod service;
mod structure;
mod transport;

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use zeroize::{Zeroize, Zeroizing};

use crate::wire::{self, FrameBuffer, Setup};

/// Argument that makes an executable a worker; it has no other.
pub(crate) const WORKER_ARGUMENT: &str = "hsm-worker";

/// Environment variable with the log filter, as in the parent.
const LOG_VARIABLE: &str = "RUST_LOG";

/// Runs the worker if this process was started as one, and returns its exit code. Call it first
/// thing in `main` of every binary that starts workers.
pub fn run_worker_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORKER_ARGUMENT || arguments.next().is_some() {
        return None;
    }
    log_to_stderr();
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "worker ends");
            ExitCode::FAILURE
        }
    })
}

fn run() -> io::Result<()> {
    // A core dump would hold the PIN.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Started by way of /proc/self/exe, it would be listed as `exe`.
    rustix::thread::set_name(c"hsm-worker")?;
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = stream.try_clone()?;
    let mut input = Input {
        stream,
        buffer: FrameBuffer::default(),
    };
    let Some(frame) = input.next_frame()? else {
        return Ok(());
    };
    let setup: Setup = wire::decode(frame).map_err(io::Error::other)?;
    let (service, ready) = match service::Service::start(&setup, output.try_clone()?) {
        Ok((service, ready)) => (Some(service), Ok(ready)),
        Err(error) => (None, Err(error)),
    };
    send(&mut output, &ready)?;
    if let Some(service) = service {
        while let Some(frame) = input.next_frame()? {
            service.serve(frame);
        }
        service.stop();
    }
    Ok(())
}

/// The parent's frames. Its end means that the parent is gone.
struct Input {
    stream: UnixStream,
    buffer: FrameBuffer,
}

impl Input {
    fn next_frame(&mut self) -> io::Result<Option<&[u8]>> {
        while !self.buffer.is_complete().map_err(io::Error::other)? {
            // Moves what is there to the front, so that the buffer does not grow.
            self.buffer.recycle();
            match self.stream.read(self.buffer.room()) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.next_frame().map_err(io::Error::other)
    }
}

fn send(output: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut frame = Zeroizing::default();
    wire::encode(message, &mut frame).map_err(io::Error::other)?;
    let sent = output.write_all(&frame);
    frame.zeroize();
    sent
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // The subscriber is the first of this process, so setting it cannot fail.
    let _ = if io::stderr().is_terminal() {
        log.try_init()
    } else {
        log.json().try_init()
    };
}
