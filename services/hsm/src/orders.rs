//! Orders of the operator of the HSM host: brakes, ceilings, the clock and pruning. A running service takes orders at a
//! socket in its state directory, which only its own user and root reach; where none runs, they go to the journal itself.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use assay_journal::{Error, Journal, Limit, Options, Pending, UnknownLimit};
use assay_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::now;
use crate::settings::Settings;
use crate::socket;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest order or answer, in octets.
const MAX_LINE: u64 = 64 << 10;
/// How often the ceilings are looked at.
const LOOK: Duration = Duration::from_secs(15);

/// An order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Status,
    Suspend,
    Resume,
    Lift {
        limit: String,
        to: u64,
        seconds: u64,
    },
    AcceptClock {
        from: Timestamp,
        to: Timestamp,
    },
    Prune,
}

/// Its result: lines for a person, or why it was not carried out.
type Answer = Result<String, String>;

/// Has an order carried out by the service that runs on this configuration, or on its journal where none runs.
pub(crate) fn give(settings: &Settings, order: &Order) -> Answer {
    let path = socket_of(&settings.state);
    match UnixStream::connect(&path) {
        Ok(stream) => {
            ask(&stream, order).map_err(|error| format!("{}: {error}", path.display()))?
        }
        Err(_) => {
            let options = Options::new(settings.limits.clone());
            let (journal, _) =
                Journal::open(&settings.journal(), options).map_err(|error| said(&error))?;
            carry_out(&journal, order)
        }
    }
}

/// The socket for orders, in a directory that this process holds against a second service.
pub(crate) fn listen(state: &Path) -> Result<UnixListener, String> {
    let path = socket_of(state);
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Takes the socket away at the end of the service. A process that was killed leaves it, and the next one replaces it.
pub(crate) fn unlink(state: &Path) {
    let _ = fs::remove_file(socket_of(state));
}

/// Takes orders, and warns of ceilings that are nearly reached, until the process ends.
pub(crate) fn serve(listener: UnixListener, journal: Arc<Journal>) -> Result<(), String> {
    let orders = Arc::clone(&journal);
    spawn("orders", move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| take(&stream, &orders)) {
                tracing::warn!(%error, "an order was not carried out");
            }
        }
    })?;
    spawn("ceilings", move || {
        let mut warned = [false; Limit::ALL.len()];
        loop {
            thread::park_timeout(LOOK);
            warn(&journal, &mut warned);
        }
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(|_| ()).map_err(|error| error.to_string())
}

fn warn(journal: &Journal, warned: &mut [bool]) {
    let usages = journal.read(|state| state.usage(now()));
    for (usage, warned) in usages.iter().zip(warned) {
        let is_high = usage.is_warning();
        if is_high && !*warned {
            tracing::warn!(ceiling = %usage.limit, used = usage.used, of = usage.ceiling,
                "a ceiling is nearly reached; `assay-hsm lift` raises it");
        }
        *warned = is_high;
    }
}

/// One order of a connection, from this service's own user or root.
fn take(stream: &UnixStream, journal: &Journal) -> io::Result<()> {
    let (uid, _) = socket::peer_of(stream)?;
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("user {uid} may give no orders")));
    }
    let order: Order = read_line(stream)?;
    tracing::info!(?order, "order of the operator");
    let answer = carry_out(journal, &order);
    write_line(stream, &answer)
}

fn ask(stream: &UnixStream, order: &Order) -> io::Result<Answer> {
    write_line(stream, order)?;
    read_line(stream)
}

fn read_line<T: for<'a> Deserialize<'a>>(stream: &UnixStream) -> io::Result<T> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

fn write_line(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn carry_out(journal: &Journal, order: &Order) -> Answer {
    let now = now();
    let done = |pending: Result<Pending, Error>| {
        let durable = pending.and_then(|pending| pending.wait());
        durable.map(|_| ()).map_err(|error| said(&error))
    };
    Ok(match order {
        Order::Status => status(journal, now),
        Order::Suspend => {
            done(journal.suspend(now))?;
            "certificates are refused; CRLs, OCSP responses and checkpoints continue".to_owned()
        }
        Order::Resume => {
            done(journal.resume(now))?;
            "certificates are signed again".to_owned()
        }
        Order::Lift { limit, to, seconds } => {
            let limit: Limit = limit
                .parse()
                .map_err(|error: UnknownLimit| error.to_string())?;
            let until = now + Duration::from_secs(*seconds);
            done(journal.lift(limit, *to, until, now))?;
            format!("{limit} is {to} until {until}")
        }
        Order::AcceptClock { from, to } => {
            done(journal.accept_clock(*from, *to, now))?;
            format!("the jump from {from} to {to} is accepted; nothing is pruned for 24 hours")
        }
        Order::Prune => {
            let pruned = journal.prune(now).map_err(|error| said(&error))?;
            format!(
                "{} certificates are pruned in all; they took {} bytes",
                pruned.certificates, pruned.bytes
            )
        }
    })
}

fn status(journal: &Journal, now: Timestamp) -> String {
    let health = journal.health();
    let (mut text, usages) = journal.read(|state| {
        let is_suspended = state.is_suspended();
        let text = format!(
            "journal      {}\ncertificates {}{}\nlog          {} records, root {}\nclock        {}\n",
            state.head(),
            state.certificates(),
            if is_suspended { ", suspended" } else { "" },
            state.tree().size(),
            state.root(),
            state.clock(),
        );
        (text, state.usage(now))
    });
    if health.is_disk_full {
        text += "disk         full: certificates are refused\n";
    }
    for usage in &usages {
        let high = if usage.is_warning() {
            "  nearly reached"
        } else {
            ""
        };
        text += &format!(
            "{:<24} {:>8} of {:>8}{high}\n",
            usage.limit.as_str(),
            usage.used,
            usage.ceiling
        );
    }
    text.trim_end().to_owned()
}

/// An error with its causes, in one line.
pub(crate) fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn socket_of(state: &Path) -> PathBuf {
    state.join("orders.sock")
}
