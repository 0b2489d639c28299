use std::sync::mpsc::{SyncSender, sync_channel};

use crate::Error;
use crate::entry::Entry;
use crate::files::{Cut, Files, Mark, Which};
use crate::journal::MAX_QUEUED;
use crate::scan::{Place, Scan, decode, read_body};
use crate::state::State;

/// A tail of unanswered entries is never longer: a group, and the one before it where the machine lost power.
const MAX_TAIL: u64 = 4 * MAX_QUEUED as u64;
/// Least size of a certificate with its signature in the file of entries, to make room in memory.
const PER_CERTIFICATE: u64 = 220;
/// Entries that a start reads ahead: batches, and entries in each.
const BATCHES: usize = 4;
const BATCH: usize = 1_024;

/// Reads all entries. The synced part must hold; the rest may be cut.
pub(crate) fn load(files: &Files) -> Result<(State, Option<Cut>), Error> {
    let marked = files.mark()?;
    let lengths = (files.length(Which::Entries)?, files.length(Which::Bodies)?);
    for (which, length, synced) in [
        (Which::Entries, lengths.0, marked.entries),
        (Which::Bodies, lengths.1, marked.bodies),
    ] {
        if length < synced {
            let problem = format!("the file ends, but {synced} bytes were synced");
            return Err(Error::damaged(&files.path(which), length, problem));
        }
    }
    let expected = usize::try_from(marked.entries / PER_CERTIFICATE).unwrap_or_default();
    let mut state = State::with_capacity(files.identity, expected);
    load_synced(files, &mut state, marked.entries)?;
    if mark(&state) != marked {
        let problem = "the entries do not lead to the head that was synced";
        return Err(Error::damaged(
            &files.path(Which::Entries),
            marked.entries,
            problem,
        ));
    }
    if state.tree().root() != state.root() {
        let problem = "the tree of the last checkpoint does not have its root";
        return Err(Error::damaged(
            &files.path(Which::Entries),
            marked.entries,
            problem,
        ));
    }

    if lengths.0 - marked.entries > MAX_TAIL {
        let problem = "more bytes follow the synced entries than a group has";
        return Err(Error::damaged(
            &files.path(Which::Entries),
            marked.entries,
            problem,
        ));
    }
    let problem = load_tail(files, &mut state, lengths)?;
    let cut = Cut {
        offset: state.entries_end,
        entries: lengths.0 - state.entries_end,
        bodies: lengths.1 - state.bodies_end,
        problem: problem.unwrap_or_else(|| "bodies without an entry".to_owned()),
    };
    let is_cut = cut.entries > 0 || cut.bodies > 0;
    if is_cut {
        files.cut(Which::Entries, state.entries_end)?;
        files.cut(Which::Bodies, state.bodies_end)?;
    }
    if is_cut || mark(&state) != marked {
        files.sync(Which::Bodies)?;
        files.sync(Which::Entries)?;
        files.write_mark(&mark(&state))?;
        files.sync(Which::Entries)?;
    }
    Ok((state, is_cut.then_some(cut)))
}

/// One thread reads entries and verifies the chain, this one adds them to the state: each has about half of the work.
fn load_synced(files: &Files, state: &mut State, end: u64) -> Result<(), Error> {
    let path = files.path(Which::Entries);
    std::thread::scope(|scope| {
        let (to, from) = sync_channel(BATCHES);
        scope.spawn(move || read_batches(files, end, &to));
        for batch in from {
            let batch: Batch = batch?;
            let mut payloads = batch.payloads.as_slice();
            for place in batch.places {
                let (payload, rest) = payloads.split_at_checked(place.length).unwrap_or_default();
                payloads = rest;
                let entry = decode(&path, place, payload)?;
                let body = match entry.event.body() {
                    Some(body) if entry.event.is_body_state() => Some(read_body(files, body)?),
                    Some(_) | None => None,
                };
                follow(files, state, &entry, place, body.as_deref())?;
            }
        }
        Ok(())
    })
}

/// Entries that continue the chain.
#[derive(Default)]
struct Batch {
    payloads: Vec<u8>,
    places: Vec<Place>,
}

/// Ends early if nobody receives any more, which is so after an error of an entry.
fn read_batches(files: &Files, end: u64, to: &SyncSender<Result<Batch, Error>>) {
    let mut scan = Scan::new(files, end);
    let mut is_more = true;
    while is_more {
        let mut batch = Batch::default();
        while batch.places.len() < BATCH && is_more {
            match scan.next_payload() {
                Ok(Some((place, payload))) => {
                    batch.payloads.extend(payload);
                    batch.places.push(place);
                }
                Ok(None) => is_more = false,
                Err(error) => {
                    // Errors of the entries before it come first.
                    let _ = to.send(Ok(batch)).and_then(|()| to.send(Err(error)));
                    return;
                }
            }
        }
        is_more &= to.send(Ok(batch)).is_ok();
    }
}

/// Adds what follows the mark, as far as entries and bodies hold: what does not hold after that.
fn load_tail(
    files: &Files,
    state: &mut State,
    lengths: (u64, u64),
) -> Result<Option<String>, Error> {
    let mut scan = Scan::from(files, state.entries_end, state.head(), lengths.0);
    loop {
        let record = match scan.next() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(Error::Damaged { problem, .. }) => return Ok(Some(problem)),
            Err(other) => return Err(other),
        };
        let body = match record.entry.event.body() {
            None => None,
            Some(body) if body.end() > lengths.1 => {
                return Ok(Some("the body of the entry is not complete".to_owned()));
            }
            Some(body) => match read_body(files, body) {
                Ok(bytes) => Some(bytes),
                Err(Error::Damaged { problem, .. }) => return Ok(Some(problem)),
                Err(other) => return Err(other),
            },
        };
        follow(files, state, &record.entry, record.place, body.as_deref())?;
    }
}

pub(crate) fn follow(
    files: &Files,
    state: &mut State,
    entry: &Entry,
    place: Place,
    body: Option<&[u8]>,
) -> Result<(), Error> {
    state
        .apply(entry, place.length, place.after, body)
        .map_err(|fault| Error::damaged(&files.path(Which::Entries), place.offset, fault))
}

pub(crate) fn mark(state: &State) -> Mark {
    Mark {
        entries: state.entries_end,
        bodies: state.bodies_end,
        head: state.head(),
    }
}
