//! One connection: its frames come in on a thread of its own, its answers go out from whichever thread has them.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_hsm::wire::{self, FrameBuffer, Greeting, Hello, Message, Operation, Request, WireError};
use zeroize::{Zeroize, Zeroizing};

use crate::crl_stream::{CrlStream, CutOff};
use crate::lines::CONNECTIONS;
use crate::service::{Service, Task};

/// How long a client may take for its first frame.
const FIRST_FRAME: Duration = Duration::from_secs(5);
/// How long a client that does not read its answers is waited for. All that it may have outstanding fits into the socket.
const WRITE: Duration = Duration::from_secs(1);

/// The end of the service of a connection.
pub(crate) struct Client {
    /// For the log.
    pub(crate) number: u64,
    output: Mutex<UnixStream>,
    /// Its answers cannot be sent any more.
    gone: AtomicBool,
    /// Operations that were asked for and not answered.
    outstanding: AtomicUsize,
    /// Signatures of each CA's key, in the order of the service's CAs, each counted before it leaves this process.
    ca_signatures: Vec<AtomicU64>,
}

impl Client {
    /// Greets the client and takes its operations until it goes or breaks the protocol.
    pub(crate) fn serve(
        number: u64,
        stream: UnixStream,
        served: &Result<Arc<Service>, String>,
    ) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE))?;
        stream.set_read_timeout(Some(FIRST_FRAME))?;
        let mut input = Input {
            stream: stream.try_clone()?,
            buffer: FrameBuffer::default(),
        };
        let hello = match input.next_frame(None) {
            Ok(Some(frame)) => Hello::read(frame),
            Ok(None) => return Err(io::Error::other("it left without a word")),
            Err(error) if is_timeout(&error) => {
                return Err(io::Error::other(format!(
                    "it sent no first frame within {} s",
                    FIRST_FRAME.as_secs()
                )));
            }
            Err(error) => return Err(error),
        };
        let (hello, service) = match (hello, served) {
            (Ok(hello), Ok(service)) => (hello, service),
            (Ok(_), Err(reason)) => return reject(&stream, reason),
            (Err(error), _) => {
                reject(&stream, &error.to_string())?;
                return Err(io::Error::other(error));
            }
        };
        // Of the client's choosing, so that it is quoted.
        CONNECTIONS.write(
            || tracing::info!(client = number, program = ?hello.program, "client connected"),
        );
        send(&stream, &Greeting::Welcome(Box::new(service.welcome())))?;
        stream.set_read_timeout(None)?;
        let client = Arc::new(Self {
            number,
            output: Mutex::new(stream),
            gone: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            ca_signatures: (0..service.cas()).map(|_| AtomicU64::new(0)).collect(),
        });
        let taken = client.take(&mut input, service);
        client.hang_up();
        taken
    }

    fn take(self: &Arc<Self>, input: &mut Input, service: &Service) -> io::Result<()> {
        let window = service.window();
        let mut open: Option<CrlStream> = None;
        while let Some(frame) = input.next_frame(open.as_ref().map(CrlStream::until))? {
            let (id, message) = wire::read_message(frame).map_err(io::Error::other)?;
            let crl = match message {
                Message::CrlPart(part) => {
                    let begin = || CrlStream::begin(id, service.crl_slots());
                    let stream = open.take().unwrap_or_else(begin);
                    open = Some(stream.with_part(id, part.0).map_err(cut_off)?);
                    continue;
                }
                Message::Request(Request {
                    operation: Operation::SignCrl { .. },
                    ..
                }) => match open.take() {
                    Some(stream) if stream.id() == id => Some(stream),
                    Some(_) => return Err(cut_off(CutOff::Another)),
                    None => None,
                },
                Message::Request(_) => None,
            };
            if self.outstanding.fetch_add(1, Ordering::AcqRel) >= window {
                return Err(io::Error::other(format!(
                    "it sent more than {window} operations without waiting for answers"
                )));
            }
            let task = Task {
                client: Arc::clone(self),
                frame: Zeroizing::new(frame.to_vec()),
                crl,
            };
            if !service.give(task) {
                return Err(io::Error::other("the service is stopping"));
            }
        }
        Ok(())
    }

    /// Sends an encoded answer. A client that is gone needs none.
    pub(crate) fn answer(&self, frame: &[u8]) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
        if self.gone.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = output.write_all(frame) {
            drop(output);
            if is_timeout(&error) {
                CONNECTIONS.write(|| {
                    tracing::warn!(
                        client = self.number,
                        "client cut off: it does not read its answers"
                    );
                });
            }
            self.hang_up();
        }
    }

    /// Ends the connection, so that its thread ends too.
    pub(crate) fn hang_up(&self) {
        if !self.gone.swap(true, Ordering::AcqRel) {
            let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            // The other end may have gone first.
            let _ = output.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Signatures of this CA's key so far.
    pub(crate) fn ca_signatures(&self, ca: usize) -> u64 {
        let count = self.ca_signatures.get(ca);
        count.map_or(0, |count| count.load(Ordering::SeqCst))
    }

    pub(crate) fn count_ca_signature(&self, ca: usize) {
        if let Some(count) = self.ca_signatures.get(ca) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Tells a client in one line why it is not served.
pub(crate) fn reject(stream: &UnixStream, reason: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE))?;
    let reason = reason.to_owned();
    send(stream, &Greeting::Rejected { reason })
}

fn send(mut stream: &UnixStream, greeting: &Greeting) -> io::Result<()> {
    let mut frame = Vec::new();
    wire::encode(greeting, &mut frame).map_err(io::Error::other)?;
    stream.write_all(&frame)
}

/// A read or write that waited as long as it may.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The client's frames.
struct Input {
    stream: UnixStream,
    buffer: FrameBuffer,
}

impl Input {
    /// The next frame; `None` at the end, wherever it comes. If the client has to be done with it at some time, an error after
    /// that.
    fn next_frame(&mut self, until: Option<Instant>) -> io::Result<Option<&[u8]>> {
        let broken = |error: WireError| io::Error::other(error);
        if let Some(until) = until {
            self.wait_until(until)?;
        }
        while !self.buffer.is_complete().map_err(broken)? {
            // Moves what is there to the front, so that the buffer does not grow.
            self.buffer.recycle();
            match self.stream.read(self.buffer.room()) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) if until.is_some() && is_timeout(&error) => {
                    return Err(cut_off(CutOff::Late));
                }
                Err(error) => return Err(error),
            }
            if let Some(until) = until {
                self.wait_until(until)?;
            }
        }
        if until.is_some() {
            self.stream.set_read_timeout(None)?;
        }
        self.buffer.next_frame().map_err(broken)
    }

    /// Lets the next read wait no longer than this.
    fn wait_until(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(cut_off(CutOff::Late));
        }
        self.stream.set_read_timeout(Some(left))
    }
}

fn cut_off(reason: CutOff) -> io::Error {
    io::Error::other(reason)
}

/// A session's buffer for answers.
#[derive(Default)]
pub(crate) struct Output(Zeroizing<Vec<u8>>);

/// Bytes of an answer beside its payload: id, tag and lengths.
const ANSWER_OVERHEAD: usize = 64;

impl Output {
    pub(crate) fn send(&mut self, client: &Client, payload: usize, answer: &wire::Answer<'_>) {
        // Enough at once: a Vec that grows leaves copies behind that nobody wipes.
        self.0.reserve(payload + ANSWER_OVERHEAD);
        match wire::encode(answer, &mut self.0) {
            Ok(()) => client.answer(&self.0),
            Err(error) => {
                tracing::error!(%error, "answer not encoded");
                client.hang_up();
            }
        }
        self.0.zeroize();
    }
}
