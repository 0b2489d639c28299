use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use assay_types::Hash;

use crate::entry::{Body, Entry, MAX_PAYLOAD, chain};
use crate::files::{ENTRIES_START, FRAME, Files, Which};
use crate::{Error, Head};

/// Read at a time; more than the largest entry.
const CHUNK: usize = 1 << 20;
const LENGTH: usize = 2;
const HASH: usize = 32;

/// Reads the file of entries in order and verifies the chain.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    file: &'a File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// What of the buffer is read.
    start: usize,
    /// Offset of the next entry.
    offset: u64,
    end: u64,
    head: Head,
}

/// An entry in its place.
pub(crate) struct Record<'b> {
    pub(crate) number: u64,
    pub(crate) entry: Entry,
    pub(crate) place: Place,
    pub(crate) payload: &'b [u8],
}

/// Where an entry is in the file and in the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// Of its payload.
    pub(crate) length: usize,
    /// The chain after it.
    pub(crate) after: Hash,
}

impl<'a> Scan<'a> {
    /// All entries up to `end`.
    pub(crate) fn new(files: &'a Files, end: u64) -> Self {
        let head = Head {
            identity: files.identity,
            size: 0,
            hash: crate::entry::origin(&files.identity),
        };
        Self::from(files, ENTRIES_START, head, end)
    }

    /// The entries from `offset`, before which the journal has this head.
    pub(crate) fn from(files: &'a Files, offset: u64, head: Head, end: u64) -> Self {
        Self {
            file: &files.entries,
            path: files.path(Which::Entries),
            buffer: Vec::new(),
            start: 0,
            offset,
            end,
            head,
        }
    }

    /// The next entry, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, Error> {
        let (number, path) = (self.head.size, self.path.clone());
        let Some((place, payload)) = self.next_payload()? else {
            return Ok(None);
        };
        let entry = decode(&path, place, payload)?;
        Ok(Some(Record {
            number,
            entry,
            place,
            payload,
        }))
    }

    /// The next entry, not yet decoded.
    pub(crate) fn next_payload(&mut self) -> Result<Option<(Place, &[u8])>, Error> {
        if self.offset == self.end {
            return Ok(None);
        }
        let largest = LENGTH + MAX_PAYLOAD + HASH;
        if self.buffer.len() - self.start < largest {
            self.fill()?;
        }
        let offset = self.offset;
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let (payload, after) = split(rest)
            .ok_or_else(|| Error::damaged(&self.path, offset, "the entry is not complete"))?;
        if chain(&self.head.hash, payload) != after {
            let problem = "the entry does not continue the chain";
            return Err(Error::damaged(&self.path, offset, problem));
        }
        let length = payload.len();
        self.start += LENGTH + length + HASH;
        self.offset += FRAME + length as u64;
        self.head.size += 1;
        self.head.hash = after;
        let place = Place {
            offset,
            length,
            after,
        };
        Ok(Some((place, payload)))
    }

    fn fill(&mut self) -> Result<(), Error> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let have = self.buffer.len();
        let left = self.end.saturating_sub(self.offset) - have as u64;
        let more = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        self.buffer.resize(have + more, 0);
        if let Some(new) = self.buffer.get_mut(have..) {
            self.file
                .read_exact_at(new, self.offset + have as u64)
                .map_err(Error::io("read", &self.path))?;
        }
        Ok(())
    }
}

/// Decodes an entry of the file at `path`.
pub(crate) fn decode(path: &Path, place: Place, payload: &[u8]) -> Result<Entry, Error> {
    Entry::decode(payload).map_err(|fault| Error::damaged(path, place.offset, fault))
}

/// Payload and chain of the entry that the bytes begin with.
fn split(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > MAX_PAYLOAD {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    let (hash, _) = rest.split_first_chunk::<HASH>()?;
    Some((payload, Hash::from(*hash)))
}

/// An entry as the file has it.
pub(crate) fn frame(payload: &[u8], after: &Hash) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), payload, after.as_bytes()].concat()
}

/// The entry at an offset that the state knows. The chain was verified when it was read or made.
pub(crate) fn read_at(files: &Files, offset: u64) -> Result<Entry, Error> {
    let path = files.path(Which::Entries);
    let mut length = [0; LENGTH];
    let read = Error::io("read", &path);
    files
        .entries
        .read_exact_at(&mut length, offset)
        .map_err(read)?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes(length)).min(MAX_PAYLOAD)];
    files
        .entries
        .read_exact_at(&mut payload, offset + LENGTH as u64)
        .map_err(Error::io("read", &path))?;
    Entry::decode(&payload).map_err(|fault| Error::damaged(&path, offset, fault))
}

/// A body, verified against its digest. Bodies have at most [`crate::MAX_BODY`] bytes.
pub(crate) fn read_body(files: &Files, body: &Body) -> Result<Vec<u8>, Error> {
    match read_body_or_hole(files, body)? {
        Some(bytes) => Ok(bytes),
        None => Err(Error::damaged(
            &files.path(Which::Bodies),
            body.offset,
            "the body was dropped",
        )),
    }
}

/// A body, verified against its digest; `None` if all of it is zero, as where it was pruned.
pub(crate) fn read_body_or_hole(files: &Files, body: &Body) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = vec![0; body.length()];
    let path = files.path(Which::Bodies);
    files
        .read_body(body.offset, &mut bytes)
        .map_err(Error::io("read", &path))?;
    if Hash::of(&bytes) == body.digest {
        Ok(Some(bytes))
    } else if bytes.iter().all(|byte| *byte == 0) {
        Ok(None)
    } else {
        let problem = "the body does not have the digest of its entry";
        Err(Error::damaged(&path, body.offset, problem))
    }
}
