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

use assay_journal::{Error, Journal, Limit, Limits, Options, Pending, UnknownLimit};
use assay_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::client::is_timeout;
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
    EndLift {
        limit: String,
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
            ask(&stream, order).map_err(|reason| format!("{}: {reason}", path.display()))?
        }
        Err(_) => {
            socket::check_user(&settings.state)?;
            let options = Options::new(settings.limits.clone());
            let (journal, _) =
                Journal::open(&settings.journal(), options).map_err(|error| said(&error))?;
            carry_out(&journal, &settings.limits, order)
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
pub(crate) fn serve(
    listener: UnixListener,
    journal: Arc<Journal>,
    limits: Limits,
) -> Result<(), String> {
    let orders = Arc::clone(&journal);
    spawn("orders", move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| take(&stream, &orders, &limits)) {
                tracing::warn!(%error, "no order was taken from a connection");
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
fn take(stream: &UnixStream, journal: &Journal, limits: &Limits) -> io::Result<()> {
    let (uid, _) = socket::peer_of(stream)?;
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("user {uid} may give no orders")));
    }
    let order: Order = read_line(stream)?;
    tracing::info!(?order, "order of the operator");
    let answer = carry_out(journal, limits, &order);
    if let Err(error) = write_line(stream, &answer) {
        tracing::warn!(?order, ?answer, %error, "nobody took the answer to an order");
    }
    Ok(())
}

fn ask(stream: &UnixStream, order: &Order) -> Result<Answer, String> {
    write_line(stream, order).map_err(|error| error.to_string())?;
    read_line(stream).map_err(|error| {
        let reason = match is_timeout(&error) {
            true => format!("no answer within {} s", PATIENCE.as_secs()),
            false => format!("no answer ({error})"),
        };
        format!("{reason}; the order may still be carried out: see `assay-hsm status`")
    })
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

fn carry_out(journal: &Journal, limits: &Limits, order: &Order) -> Answer {
    let now = now();
    let known = |limit: &String| {
        let limit = limit.parse::<Limit>();
        limit.map_err(|error: UnknownLimit| error.to_string())
    };
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
            let limit = known(limit)?;
            let configured = limits.get(limit);
            if *to <= configured {
                return Err(format!(
                    "{limit} is {configured} by the configuration, and lifting it to {to} would change nothing; name a larger number, or lower it in [limits] of hsm.toml and restart the service"
                ));
            }
            if *seconds == 0 {
                return Err(
                    "a ceiling is lifted for at least one second: for example --for 1h".to_owned(),
                );
            }
            let until = now + Duration::from_secs(*seconds);
            done(journal.lift(limit, *to, until, now))?;
            format!("{limit} is {to} until {until}")
        }
        Order::EndLift { limit } => {
            let limit = known(limit)?;
            let configured = limits.get(limit);
            done(journal.lift(limit, configured, now, now))?;
            format!("{limit} is {configured}, by the configuration")
        }
        Order::AcceptClock { from, to } => {
            let clock = journal.read(|state| state.check_clock(now, false).map(|()| state.clock()));
            if let Ok(last) = clock {
                return Err(format!(
                    "there is no jump to accept: the clock says {now}, and the last entry of the journal is of {last}"
                ));
            }
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
