//! One worker process and the socket to it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

use crate::StartError;
use crate::wire::{self, FrameBuffer, Ready, Setup, WireError};
use crate::worker::WORKER_ARGUMENT;

/// How long a worker may take to load the library, log in and check its keys. Network HSMs take
/// seconds to log in.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long a worker may take to end once its socket is closed; its own limit is 2 s.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// This executable, also after an upgrade has replaced its file: parent and worker must be of one
/// version.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What to start as a worker.
pub(crate) struct Launch {
    pub(crate) program: Option<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A worker. Dropped, it is killed.
pub(crate) struct Link {
    child: Child,
    stream: UnixStream,
    input: FrameBuffer,
    output: Zeroizing<Vec<u8>>,
}

impl Link {
    /// Starts a worker and awaits its answer to the setup.
    pub(crate) async fn start(launch: &Launch, setup: &Setup) -> Result<(Self, Ready), StartError> {
        let failed = |error: io::Error| StartError::Worker {
            reason: error.to_string(),
        };
        let mut link = Self::spawn(launch).map_err(failed)?;
        let answer = timeout(START_DEADLINE, link.ask::<Result<_, StartError>>(setup));
        match answer.await {
            Ok(Ok(ready)) => Ok((link, ready?)),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(StartError::Timeout {
                seconds: START_DEADLINE.as_secs(),
            }),
        }
    }

    fn spawn(launch: &Launch) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let program = launch.program.as_deref().unwrap_or(Path::new(THIS_PROGRAM));
        let name = std::env::args_os().next().unwrap_or_default();
        let child = Command::new(program)
            .arg0(name)
            .arg(WORKER_ARGUMENT)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            // Of its own, so that a Ctrl-C meant for the parent lets operations in flight finish.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            stream: UnixStream::from_std(ours)?,
            input: FrameBuffer::default(),
            output: Zeroizing::default(),
        })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends one message and awaits one. If this is cancelled the link is of no more use.
    async fn ask<T: DeserializeOwned>(&mut self, message: &impl Serialize) -> io::Result<T> {
        self.queue(message).map_err(io::Error::other)?;
        while !self.flush()? {
            self.stream.writable().await?;
        }
        loop {
            if let Some(frame) = self.next_frame().map_err(io::Error::other)? {
                return wire::decode(frame).map_err(io::Error::other);
            }
            self.stream.readable().await?;
            self.fill()?;
        }
    }

    /// Adds a message to what is to be sent.
    pub(crate) fn queue(&mut self, message: &impl Serialize) -> Result<(), WireError> {
        wire::encode(message, &mut self.output)
    }

    /// Sends what it can without waiting; true once all is sent.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(count) if count == self.output.len() => {
                    // Keeps the room, wipes the content.
                    self.output.zeroize();
                }
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Something is left to send.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.output.is_empty()
    }

    /// Waits until there may be something to read, or, where something is left to send, room for
    /// it.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        if self.is_blocked() {
            tokio::select! {
                readable = self.stream.readable() => readable,
                writable = self.stream.writable() => writable,
            }
        } else {
            self.stream.readable().await
        }
    }

    /// Reads what is there. The worker's end is an error.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        match self.stream.try_read(self.input.room()) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the worker ended",
            )),
            Ok(count) => {
                self.input.filled(count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, WireError> {
        self.input.next_frame()
    }

    /// Kills the worker, whatever the library is doing, and says how it ended.
    pub(crate) async fn kill(mut self) -> String {
        // It may have ended by itself; then its status is the one of interest.
        let ended = self.child.try_wait().ok().flatten();
        match ended {
            Some(status) => status.to_string(),
            None => match self.child.kill().await {
                Ok(()) => "killed".to_owned(),
                Err(error) => error.to_string(),
            },
        }
    }

    /// Closes the socket, upon which the worker ends; kills it if it does not.
    pub(crate) async fn stop(self) {
        let Self {
            mut child, stream, ..
        } = self;
        drop(stream);
        if timeout(STOP_DEADLINE, child.wait()).await.is_err() {
            tracing::warn!("the HSM worker did not end by itself and is killed");
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "the HSM worker could not be killed");
            }
        }
    }
}
