use std::sync::PoisonError;

use assay_types::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Error;
use crate::entry::{Entry, Event};
use crate::files::Which;
use crate::journal::Journal;
use crate::scan::Scan;

/// The result of pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Certificates whose TBS and signature are gone, all in all.
    pub certificates: u64,
    /// Bytes that these take in the file of bodies, which the file system has back, apart from parts of blocks.
    pub bytes: u64,
}

impl Journal {
    /// Drops the TBS and the signature of each certificate that need not be kept: those whose notAfter and whose first year
    /// are over. Serial numbers, digests and the chain stay. The entry that says so is durable before anything is dropped.
    ///
    /// # Errors
    /// [`Error::BeingRead`], [`crate::Refusal::Settling`], and those of the clock.
    pub fn prune(&self, now: Timestamp) -> Result<Pruned, Error> {
        let _one_at_a_time = self.pruning.lock().unwrap_or_else(PoisonError::into_inner);
        let files = &self.shared.files;
        let path = files.path(Which::Bodies);
        match flock(&files.bodies, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let dir = files.dir.clone();
                return Err(Error::BeingRead { dir });
            }
            Err(errno) => return Err(Error::io("lock", &path)(errno.into())),
        }
        let pruned = self.prune_locked(now);
        flock(&files.bodies, FlockOperation::Unlock)
            .map_err(|errno| Error::io("unlock", &path)(errno.into()))?;
        pruned
    }

    fn prune_locked(&self, now: Timestamp) -> Result<Pruned, Error> {
        let files = &self.shared.files;
        let (end, until, before) = {
            let inner = self.shared.lock()?;
            // Refused here, before the entries are read.
            inner.state.may_prune(0, now)?;
            let until = now.max(inner.state.pruned_until());
            (
                inner.synced.entries,
                until,
                inner.state.pruned_certificates(),
            )
        };
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut certificates = 0;
        let mut scan = Scan::new(files, end);
        while let Some(record) = scan.next()? {
            let Some(body) = record
                .entry
                .event
                .body()
                .filter(|_| is_over(&record.entry, until))
            else {
                continue;
            };
            certificates += u64::from(matches!(record.entry.event, Event::Certificate { .. }));
            match ranges.last_mut() {
                Some((_, end)) if *end == body.offset => *end = body.end(),
                Some(_) | None => ranges.push((body.offset, body.end())),
            }
        }
        if certificates > before {
            let mut inner = self.shared.lock()?;
            let draft = inner.state.may_prune(certificates, now)?;
            let pending = self.shared.append(&mut inner, &draft)?;
            drop(inner);
            pending.wait()?;
        }
        // Also those that an earlier run recorded: it may not have come to drop them.
        let mut bytes = 0;
        for (start, end) in ranges {
            files.punch(start, end - start)?;
            bytes += end - start;
        }
        Ok(Pruned {
            certificates,
            bytes,
        })
    }
}

/// Whether the body of this entry need not be kept at `until`.
pub(crate) fn is_over(entry: &Entry, until: Timestamp) -> bool {
    entry.kept_until().is_some_and(|kept| kept < until)
}
