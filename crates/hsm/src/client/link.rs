//! One connection to the service.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::job::Frames;
use crate::client::{HsmConfig, StartError};
use crate::wire::{self, FrameBuffer, Greeting, Hello, PROTOCOL, Welcome, WireError};

/// How long the service may take to answer the first frame. It may be logging in, which takes a network HSM seconds.
const GREETING: Duration = Duration::from_secs(30);

/// Frames sent in one write, at most.
const BATCH: usize = 32;

/// A connection. Dropped, it is closed.
pub(super) struct Link {
    stream: UnixStream,
    pid: u32,
    input: FrameBuffer,
    output: VecDeque<Outgoing>,
    /// Octets of the first of `output` that are sent.
    sent: usize,
}

/// A frame of a request and its header. The frames are the caller's own copy, so that none is made here.
struct Outgoing {
    header: [u8; 12],
    request: Frames,
    place: usize,
}

impl Outgoing {
    fn frame(&self) -> &[u8] {
        self.request.get(self.place).map_or(&[], Vec::as_slice)
    }
}

impl Link {
    /// Connects, makes sure who is there, and awaits the greeting.
    pub(super) async fn start(config: &HsmConfig) -> Result<(Self, Welcome), StartError> {
        let socket = || config.socket.display().to_string();
        let unreachable = |error: &dyn std::error::Error| StartError::Unreachable {
            socket: socket(),
            reason: error.to_string(),
        };
        let stream = UnixStream::connect(&config.socket)
            .await
            .map_err(|error| unreachable(&error))?;
        let peer = stream.peer_cred().map_err(|error| unreachable(&error))?;
        if peer.uid() != config.user.uid() {
            return Err(StartError::OtherUser {
                socket: socket(),
                found: peer.uid(),
                wanted: config.user.uid(),
            });
        }
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        let mut link = Self {
            stream,
            pid: pid.unwrap_or_default(),
            input: FrameBuffer::default(),
            output: VecDeque::new(),
            sent: 0,
        };
        match timeout(GREETING, link.greet(&config.program)).await {
            Ok(Ok(Greeting::Welcome(welcome))) => Ok((link, *welcome)),
            Ok(Ok(Greeting::Rejected { reason })) => Err(StartError::Rejected { reason }),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(StartError::Timeout {
                seconds: GREETING.as_secs(),
            }),
        }
    }

    async fn greet(&mut self, program: &str) -> io::Result<Greeting> {
        let mut hello = Vec::new();
        let first = Hello {
            protocol: PROTOCOL,
            program: program.to_owned(),
        };
        wire::encode(&first, &mut hello).map_err(io::Error::other)?;
        let mut rest = hello.as_slice();
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        loop {
            if let Some(frame) = self.next_frame().map_err(io::Error::other)? {
                return wire::decode(frame).map_err(io::Error::other);
            }
            self.stream.readable().await?;
            self.fill()?;
        }
    }

    /// The service's process id; 0 where it is of another namespace.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Adds a request to what is to be sent.
    pub(super) fn queue(&mut self, id: u64, request: &Frames) {
        let frames = request.iter().enumerate();
        self.output.extend(frames.map(|(place, frame)| Outgoing {
            header: wire::frame_header(id, frame),
            request: Arc::clone(request),
            place,
        }));
    }

    /// Sends what it can without waiting; true once all is sent.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            let mut parts = Vec::with_capacity(2 * BATCH.min(self.output.len()));
            let mut skip = self.sent;
            for outgoing in self.output.iter().take(BATCH) {
                for part in [outgoing.header.as_slice(), outgoing.frame()] {
                    let rest = part.get(skip.min(part.len())..).unwrap_or_default();
                    skip = skip.saturating_sub(part.len());
                    parts.push(IoSlice::new(rest));
                }
            }
            match self.stream.try_write_vectored(&parts) {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        while let Some(first) = self.output.front() {
            let length = first.header.len() + first.frame().len();
            if self.sent < length {
                return;
            }
            self.sent -= length;
            self.output.pop_front();
        }
    }

    /// Waits until there may be something to read, or, where something is left to send, room for
    /// it.
    pub(super) async fn ready(&self) -> io::Result<()> {
        if self.output.is_empty() {
            return self.stream.readable().await;
        }
        tokio::select! {
            readable = self.stream.readable() => readable,
            writable = self.stream.writable() => writable,
        }
    }

    /// Reads what is there. The service's end is an error.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        match self.stream.try_read(self.input.room()) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the HSM service closed the connection",
            )),
            Ok(count) => {
                self.input.filled(count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<&[u8]>, WireError> {
        self.input.next_frame()
    }
}
