//! The leaf hashes of the journal beside those of the log: a record that was taken out, or altered, after the service had signed
//! a checkpoint over it is named by its number.

use assay_audit::tile::{entries_path, read_entries, read_hashes, tile_path};
use assay_audit::{Event, Record};
use assay_types::Hash;

use crate::layout::{BUNDLE, first_of, records_in};
use crate::report::{ANY, Finding, Findings};
use crate::tree::{MAX_ENTRIES, MAX_TILE};
use crate::{Check, ExportFiles, export};

const CHECK: Check = Check::JournalLeaves;
/// Records that are missing one after the other and still told from one that was altered.
const MAX_GONE: usize = 256;

/// Compares one leaf after the other, up to the first that differs: the rest follows from it.
pub(super) struct Leaves<'a> {
    export: &'a dyn ExportFiles,
    size: u64,
    /// The tile that was read last, by its number.
    tile: Option<(u64, Vec<Hash>)>,
    compared: u64,
    /// Records that the journal has.
    last: u64,
    first: Option<Differing>,
}

struct Differing {
    sequence: u64,
    /// Of the checkpoint.
    entry: u64,
    wanted: Hash,
    /// `None` after the end of the log.
    got: Option<Hash>,
    /// The leaves after it.
    following: Vec<Hash>,
}

impl<'a> Leaves<'a> {
    /// Of an export of `size` records.
    pub(super) fn new(export: &'a dyn ExportFiles, size: u64) -> Self {
        Self {
            export,
            size,
            tile: None,
            compared: 0,
            last: 0,
            first: None,
        }
    }

    /// Those of a checkpoint over `end` records.
    pub(super) fn follow(&mut self, entry: u64, end: u64, body: &[u8]) {
        let (hashes, _) = body.as_chunks::<32>();
        let Some(before) = end.checked_sub(hashes.len() as u64) else {
            return;
        };
        self.last = end;
        for (sequence, wanted) in (before.saturating_add(1)..).zip(hashes) {
            let wanted = Hash::from(*wanted);
            if let Some(first) = &mut self.first {
                if first.following.len() < MAX_GONE {
                    first.following.push(wanted);
                }
                continue;
            }
            self.compared += 1;
            let got = self.leaf(sequence);
            // A tile that cannot be read is a finding of the tree.
            let is_unread = got.is_none() && sequence <= self.size;
            if got != Some(wanted) && !is_unread {
                self.first = Some(Differing {
                    sequence,
                    entry,
                    wanted,
                    got,
                    following: Vec::new(),
                });
            }
        }
    }

    fn leaf(&mut self, sequence: u64) -> Option<Hash> {
        if sequence > self.size {
            return None;
        }
        let bundle = sequence.checked_sub(1)? / BUNDLE;
        if self.tile.as_ref().is_none_or(|(held, _)| *held != bundle) {
            let width = usize::try_from(records_in(bundle, self.size)).ok()?;
            let path = tile_path(0, bundle, width);
            let bytes = export::read(self.export, &path, MAX_TILE).ok().flatten();
            let hashes = read_hashes(&bytes.unwrap_or_default()).unwrap_or_default();
            self.tile = Some((bundle, hashes));
        }
        let place = usize::try_from(sequence.checked_sub(first_of(bundle))?).ok()?;
        let (_, hashes) = self.tile.as_ref()?;
        hashes.get(place).copied()
    }

    /// Names the first record that the export does not have as the journal has it.
    pub(super) fn finish(self, findings: &mut Findings) {
        for _ in 0..self.compared {
            findings.made(CHECK);
        }
        let Some(first) = &self.first else { return };
        let (sequence, entry, hash) = (first.sequence, first.entry, first.wanted);
        let (gone, got) = match first.got {
            None => (
                self.last.saturating_sub(sequence).saturating_add(1),
                format!("none: the export ends with record {}", self.size),
            ),
            Some(got) => match self.moved(first) {
                Some(gone) => {
                    let moved = sequence.saturating_add(gone);
                    let got = format!(
                        "none: record {sequence} of the export is leaf {moved} of the journal"
                    );
                    (gone, got)
                }
                None => (0, format!("a record whose leaf hash is {got}")),
            },
        };
        let wanted = match gone {
            0 | 1 => format!(
                "the record that is leaf {sequence} of the journal (entry {entry}), hash {hash}"
            ),
            _ => {
                let until = sequence.saturating_add(gone).saturating_sub(1);
                format!(
                    "the records that are leaves {sequence} to {until} of the journal (entry {entry} and after), the first with hash {hash}"
                )
            }
        };
        let finding = Finding::new(CHECK, sequence, "leaf", wanted, got);
        findings.bad(match gone {
            0 => finding,
            _ => finding.lacks(&[ANY]),
        });
    }

    /// By how many places the record in the place of the first leaf that differs was moved, if it is a later one with another
    /// number.
    fn moved(&self, first: &Differing) -> Option<u64> {
        let bundle = first.sequence.checked_sub(1)? / BUNDLE;
        let width = usize::try_from(records_in(bundle, self.size)).ok()?;
        let path = entries_path(bundle, width);
        let bytes = export::read(self.export, &path, MAX_ENTRIES).ok()??;
        let entries = read_entries(&bytes).ok()?;
        let place = usize::try_from(first.sequence.checked_sub(first_of(bundle))?).ok()?;
        let record = Record::from_canonical(entries.get(place)?).ok()?;
        let mut pairs = (1..).zip(&first.following);
        let found = pairs.find(|(by, leaf)| is_renumbered(&record, *by, **leaf));
        found.map(|(by, _)| by)
    }
}

/// Whether this is the leaf of the record with a number that is larger by this. A CRL that covered records after the place has to
/// cover them by their new numbers.
fn is_renumbered(record: &Record, by: u64, leaf: Hash) -> bool {
    let Some(sequence) = record.sequence.checked_add(by) else {
        return false;
    };
    let mut moved = record.clone();
    moved.sequence = sequence;
    let is_leaf = |record: &Record| {
        let bytes = record.to_canonical();
        bytes.is_ok_and(|bytes| Hash::of_leaf(&bytes) == leaf)
    };
    if is_leaf(&moved) {
        return true;
    }
    if let Event::CrlIssued { covers, .. } = &mut moved.draft.event {
        *covers = covers.saturating_add(by);
        return is_leaf(&moved);
    }
    false
}
