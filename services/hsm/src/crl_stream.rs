//! CRLs that are longer than a frame, as they come over from a client.
//!
//! A client that begins lists and does not finish them takes neither the memory of this process nor the places of others for
//! long: there is one such list for each connection and [`MAX_STREAMS`] in all, each of at most [`MAX_TBS_CERT_LIST`] bytes,
//! and each has to be there within [`CRL_STREAM`]. A list that finds no place is read, thrown away and refused for now, so that
//! the other operations of its connection do not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use assay_hsm::wire::{CRL_STREAM, WireError};
use assay_types::MAX_TBS_CERT_LIST;
use thiserror::Error;

/// Largest number of lists that come over or are checked at one time: those of a signer and of its successor.
const MAX_STREAMS: usize = 2;

/// Why a connection ends.
#[derive(Debug, Error)]
pub(crate) enum CutOff {
    /// A frame that is not of the protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It has begun a list and sends a second one.
    #[error("it sent a second CRL before the end of the first one")]
    Another,
    /// A part without contents would cost it nothing.
    #[error("it sent an empty part of a CRL")]
    Empty,
    /// Longer than any list.
    #[error("it sent a CRL of more than {MAX_TBS_CERT_LIST} bytes")]
    TooLong,
    /// The list is not there in time.
    #[error("it did not finish a CRL within {} s", CRL_STREAM.as_secs())]
    Late,
}

/// The places for such lists.
#[derive(Debug, Default)]
pub(crate) struct CrlSlots {
    taken: AtomicUsize,
}

/// One of the places.
#[derive(Debug)]
struct Slot(Arc<CrlSlots>);

impl CrlSlots {
    fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |taken| (taken < MAX_STREAMS).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.ok().map(|_| Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The first parts of a TBSCertList, until it is signed or refused.
#[derive(Debug)]
pub(crate) struct CrlStream {
    id: u64,
    until: Instant,
    length: usize,
    /// `None` if there was no place for it.
    kept: Option<(Vec<u8>, Slot)>,
}

impl CrlStream {
    /// Begins with nothing.
    pub(crate) fn begin(id: u64, slots: &Arc<CrlSlots>) -> Self {
        // Of its full size at once, so that it never moves. Memory is used as it is written.
        let kept = slots
            .take()
            .map(|slot| (Vec::with_capacity(MAX_TBS_CERT_LIST), slot));
        Self {
            id,
            until: Instant::now() + CRL_STREAM,
            length: 0,
            kept,
        }
    }

    /// Which request ends it.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// When it has to be there.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Continues it.
    pub(crate) fn with_part(mut self, id: u64, part: &[u8]) -> Result<Self, CutOff> {
        if id != self.id {
            return Err(CutOff::Another);
        }
        if part.is_empty() {
            return Err(CutOff::Empty);
        }
        self.add(part)?;
        Ok(self)
    }

    /// The whole TBSCertList, whose end this is; `None` if there was no place for it.
    pub(crate) fn with_last(&mut self, part: &[u8]) -> Result<Option<&[u8]>, CutOff> {
        self.add(part)?;
        Ok(self.kept.as_ref().map(|(octets, _)| octets.as_slice()))
    }

    fn add(&mut self, part: &[u8]) -> Result<(), CutOff> {
        self.length += part.len();
        if self.length > MAX_TBS_CERT_LIST {
            return Err(CutOff::TooLong);
        }
        if let Some((octets, _)) = &mut self.kept {
            octets.extend_from_slice(part);
        }
        Ok(())
    }
}

/// Why a list without a place is refused.
pub(crate) const NO_PLACE: &str =
    "two other CRLs that are longer than a frame are under way; ask again when one of them is done";

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may fail by panic"
    )]

    use super::*;

    #[test]
    fn a_list_without_a_place_is_not_kept_and_a_place_that_is_given_back_is_one() {
        let slots = Arc::new(CrlSlots::default());
        let mut begun: Vec<_> = (0..3)
            .map(|id| {
                CrlStream::begin(id, &slots)
                    .with_part(id, b"first, ")
                    .unwrap()
            })
            .collect();
        let whole = |stream: &mut CrlStream| stream.with_last(b"last").unwrap().map(<[u8]>::to_vec);
        assert_eq!(whole(&mut begun[2]), None);
        assert_eq!(whole(&mut begun[0]), Some(b"first, last".to_vec()));
        begun.remove(0);
        let mut next = CrlStream::begin(4, &slots);
        assert_eq!(whole(&mut next), Some(b"last".to_vec()));
    }

    #[test]
    fn a_list_is_no_longer_than_the_longest_whether_it_is_kept_or_not() {
        let slots = Arc::new(CrlSlots::default());
        let longest = vec![0; MAX_TBS_CERT_LIST];
        let mut begun: Vec<_> = (0..3)
            .map(|id| {
                CrlStream::begin(id, &slots)
                    .with_part(id, &longest)
                    .unwrap()
            })
            .collect();
        for stream in &mut begun {
            stream.with_last(&[]).unwrap();
            assert!(matches!(stream.with_last(&[0]), Err(CutOff::TooLong)));
        }
    }
}
