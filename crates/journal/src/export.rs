use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use assay_types::{Hash, Timestamp};

use crate::entry::{Entry, Fault, MAX_PAYLOAD, chain, origin};
use crate::files::{BODIES_START, Files, Which};
use crate::load::follow;
use crate::scan::{Scan, read_body, read_body_or_hole};
use crate::state::State;
use crate::{Error, Head};

const MAGIC: &[u8; 23] = b"assay-journal-export 1\n";
/// Before a body that is there, and instead of one that was pruned.
const PRESENT: u8 = 1;
const ABSENT: u8 = 0;

/// Proves a journal where it lies: each entry against the chain and the rules, each body against its digest, and that no body
/// is gone that has to be kept. Entries that a running service has not synced are not read.
///
/// # Errors
/// [`Error::Damaged`] for the first thing that does not hold.
pub fn verify(dir: &Path) -> Result<State, Error> {
    let files = Files::read(dir)?;
    walk(&files, |_, _| Ok(()))
}

/// Writes the journal as one stream, which [`ExportReader`] reads, and proves it on the way as [`verify`] does.
///
/// # Errors
/// [`Error::Damaged`], and [`Error::WriteExport`].
pub fn export(dir: &Path, to: impl Write) -> Result<State, Error> {
    let files = Files::read(dir)?;
    let mut to = BufWriter::with_capacity(1 << 20, to);
    let mut write = |bytes: &[u8]| to.write_all(bytes).map_err(Error::WriteExport);
    write(MAGIC)?;
    write(files.identity.as_bytes())?;
    let state = walk(&files, |payload, body| {
        write(
            &u16::try_from(payload.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        )?;
        write(payload)?;
        match body {
            None => Ok(()),
            Some(None) => write(&[ABSENT]),
            Some(Some(bytes)) => {
                write(&[PRESENT])?;
                write(bytes)
            }
        }
    })?;
    let head = state.head();
    write(&[0; 2])?;
    write(&head.size.to_be_bytes())?;
    write(head.hash.as_bytes())?;
    to.flush().map_err(Error::WriteExport)?;
    Ok(state)
}

/// Gives each payload to `each`, with its body if it refers to one, which is `None` if it was pruned.
fn walk(
    files: &Files,
    mut each: impl FnMut(&[u8], Option<Option<&[u8]>>) -> Result<(), Error>,
) -> Result<State, Error> {
    let mark = files.mark()?;
    let mut state = State::new(files.identity);
    let mut scan = Scan::new(files, mark.entries);
    let mut gone = Gone::default();
    while let Some(record) = scan.next()? {
        let event = &record.entry.event;
        let body = match event.body() {
            None => None,
            Some(body) if record.entry.kept_until().is_none() => {
                Some(Some(read_body(files, body)?))
            }
            Some(body) => Some(read_body_or_hole(files, body)?),
        };
        if let (Some(None), Some(place)) = (&body, event.body()) {
            gone.add(&record.entry, place.offset);
        }
        follow(
            files,
            &mut state,
            &record.entry,
            record.place,
            body.as_ref().and_then(Option::as_deref),
        )?;
        each(record.payload, body.as_ref().map(Option::as_deref))?;
    }
    let path = files.path(Which::Entries);
    if state.head() != mark.head || state.bodies_end != mark.bodies {
        let problem = "the entries do not lead to the head that was synced";
        return Err(Error::damaged(&path, mark.entries, problem));
    }
    if let Some((offset, problem)) = gone.unjustified(state.pruned_until()) {
        return Err(Error::damaged(&files.path(Which::Bodies), offset, problem));
    }
    Ok(state)
}

/// Bodies that are gone, which a later entry has to explain.
#[derive(Debug, Default)]
struct Gone {
    /// Of the one that had to be kept longest: until when, and its place.
    last: Option<(Timestamp, u64)>,
}

impl Gone {
    fn add(&mut self, entry: &Entry, offset: u64) {
        let kept = entry.kept_until().unwrap_or(Timestamp::MAX);
        self.last = self.last.max(Some((kept, offset)));
    }

    fn unjustified(&self, pruned_until: Timestamp) -> Option<(u64, &'static str)> {
        let (kept, offset) = self.last?;
        (kept >= pruned_until).then_some((offset, "a body is gone that has to be kept"))
    }
}

/// An entry of an export, verified against the chain, with its body, verified against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Number of the entry, from 0.
    pub number: u64,
    /// The entry.
    pub entry: Entry,
    /// The encoding of the entry.
    pub payload: Vec<u8>,
    /// The body if the entry refers to one, unless it was pruned.
    pub body: Option<Vec<u8>>,
    /// Head of the journal after this entry, as a checkpoint may state it.
    pub head: Head,
}

/// Reads an export entry by entry, in an amount of memory that does not depend on its length: one entry with its body, of
/// [`crate::MAX_BODY`] bytes at most. To check the rules of the state too, give each item to [`State::follow`].
///
/// The iteration ends after an error. Only an iteration that ended without one has proven the export to be complete.
#[derive(Debug)]
pub struct ExportReader<R> {
    from: BufReader<R>,
    offset: u64,
    head: Head,
    bodies_end: u64,
    pruned_until: Timestamp,
    gone: Gone,
    /// Entries before this number have the bodies that they have to have.
    covered: u64,
    is_done: bool,
}

impl<R: Read> ExportReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Export`] if it is not that of an export.
    pub fn new(from: R) -> Result<Self, Error> {
        let mut reader = Self {
            from: BufReader::with_capacity(1 << 16, from),
            offset: 0,
            head: Head {
                identity: Hash::from([0; 32]),
                size: 0,
                hash: Hash::from([0; 32]),
            },
            bodies_end: BODIES_START,
            pruned_until: Timestamp::MIN,
            gone: Gone::default(),
            covered: u64::MAX,
            is_done: false,
        };
        if reader.array()? != *MAGIC {
            return Err(reader.wrong("this is not the export of a journal"));
        }
        let identity = Hash::from(reader.array()?);
        reader.head.identity = identity;
        reader.head.hash = origin(&identity);
        Ok(reader)
    }

    /// Takes the word of the first `covered` entries alone, which something outside of the export vouches for: bodies that they
    /// lack must be explained by one of them. Bodies that later entries lack are not looked at.
    #[must_use]
    pub fn covered(self, covered: u64) -> Self {
        Self { covered, ..self }
    }

    /// Head after the entries that were read.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    fn item(&mut self) -> Result<Option<Item>, Error> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length == 0 {
            return self.end().map(|()| None);
        }
        if length > MAX_PAYLOAD {
            return Err(self.wrong("an entry is too large"));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        let entry = Entry::decode(&payload).map_err(|Fault(problem)| self.wrong(problem))?;
        let mut body = None;
        if let Some(place) = entry.event.body() {
            if place.offset != self.bodies_end {
                return Err(self.wrong("the body does not follow the one before"));
            }
            self.bodies_end = place.end();
            match self.array()? {
                [PRESENT] => {
                    let mut bytes = vec![0; place.length()];
                    self.fill(&mut bytes)?;
                    if Hash::of(&bytes) != place.digest {
                        return Err(self.wrong("a body does not have the digest of its entry"));
                    }
                    body = Some(bytes);
                }
                [ABSENT] if self.head.size < self.covered => self.gone.add(&entry, self.offset),
                [ABSENT] => {}
                [_] => return Err(self.wrong("a body is neither there nor pruned")),
            }
        }
        if let crate::Event::Pruned { until, .. } = entry.event
            && self.head.size < self.covered
        {
            self.pruned_until = self.pruned_until.max(until);
        }
        let number = self.head.size;
        self.head.size += 1;
        self.head.hash = chain(&self.head.hash, &payload);
        Ok(Some(Item {
            number,
            entry,
            payload,
            body,
            head: self.head,
        }))
    }

    fn end(&mut self) -> Result<(), Error> {
        let size = u64::from_be_bytes(self.array()?);
        let hash = Hash::from(self.array()?);
        if (size, hash) != (self.head.size, self.head.hash) {
            return Err(self.wrong("the entries do not lead to the head that the export states"));
        }
        if let Some((offset, problem)) = self.gone.unjustified(self.pruned_until) {
            let problem = match self.covered {
                u64::MAX => problem.to_owned(),
                covered => format!("{problem}, by the first {covered} entries"),
            };
            return Err(Error::Export { offset, problem });
        }
        let offset = self.offset;
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong("bytes follow the end")),
            Err(source) => Err(Error::ReadExport { offset, source }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let offset = self.offset;
        match self.from.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.wrong("the export ends early"))
            }
            Err(source) => Err(Error::ReadExport { offset, source }),
        }
    }

    fn wrong(&self, problem: &str) -> Error {
        Error::Export {
            offset: self.offset,
            problem: problem.to_owned(),
        }
    }
}

impl<R: Read> Iterator for ExportReader<R> {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.item().transpose();
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}
