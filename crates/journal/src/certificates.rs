use std::hash::{BuildHasher, RandomState};

use assay_types::{Hash, Serial, Timestamp};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A serial number in memory: its content octets behind leading zeros, which is unique since they have one form.
pub(crate) type Key = [u8; 20];

pub(crate) fn key(serial: &Serial) -> Key {
    let mut key = [0; 20];
    for (to, from) in key.iter_mut().rev().zip(serial.as_bytes().iter().rev()) {
        *to = *from;
    }
    key
}

/// A certificate of the journal, 80 bytes.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) serial: Key,
    /// Place of the issuer in the state.
    pub(crate) issuer: u16,
    /// Number of its entry. Journals end before this overflows.
    pub(crate) number: u32,
    /// Digest of its TBS.
    pub(crate) tbs: Hash,
    pub(crate) not_after: Timestamp,
    /// Offset in the file of entries of the entry with its signature; 0 if there is none.
    pub(crate) signed: u64,
}

impl Certificate {
    /// Its serial number.
    pub(crate) fn serial(&self) -> Option<Serial> {
        let begin = self.serial.iter().position(|octet| *octet != 0)?;
        // A first octet of 0 keeps the number positive.
        let octets = self.serial.get(begin..)?;
        let is_negative = octets.first().is_some_and(|first| *first >= 0x80);
        let begin = begin.checked_sub(usize::from(is_negative))?;
        Serial::try_from(self.serial.get(begin..)?).ok()
    }
}

/// The certificates in the order of their entries, found by serial number or by entry. The index has four bytes and a tag per
/// certificate; serial numbers are chosen outside, so its hash is keyed.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    list: Vec<Certificate>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Certificates {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            list: Vec::with_capacity(count),
            index: HashTable::with_capacity(count),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn newest(&self) -> impl Iterator<Item = &Certificate> {
        self.list.iter().rev()
    }

    pub(crate) fn find(&self, issuer: u16, serial: &Key) -> Option<&Certificate> {
        let place = self.index.find(self.hasher.hash_one(serial), |place| {
            let found = self.list.get(*place as usize);
            found.is_some_and(|found| found.issuer == issuer && found.serial == *serial)
        })?;
        self.list.get(*place as usize)
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<&Certificate> {
        self.list.get(self.place(number)?)
    }

    pub(crate) fn by_number_mut(&mut self, number: u64) -> Option<&mut Certificate> {
        let place = self.place(number)?;
        self.list.get_mut(place)
    }

    /// Whether it was added: nothing changes if its serial number is there.
    pub(crate) fn insert(&mut self, certificate: Certificate) -> bool {
        let Self {
            list,
            index,
            hasher,
        } = self;
        let Ok(place) = u32::try_from(list.len()) else {
            return false;
        };
        let (issuer, serial) = (certificate.issuer, certificate.serial);
        let is_same = |place: &u32| {
            let found = list.get(*place as usize);
            found.is_some_and(|found| found.issuer == issuer && found.serial == serial)
        };
        let rehash = |place: &u32| {
            let found = list.get(*place as usize);
            found.map_or(0, |found| hasher.hash_one(found.serial))
        };
        match index.entry(hasher.hash_one(serial), is_same, rehash) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(place);
                list.push(certificate);
                true
            }
        }
    }

    /// A certificate is mostly signed soon after its entry: the last ones are looked at first.
    fn place(&self, number: u64) -> Option<usize> {
        let number = u32::try_from(number).ok()?;
        let recent = self.list.iter().rev().take(8);
        let from_end = recent.enumerate().find(|(_, found)| found.number == number);
        match from_end {
            Some((steps, _)) => self.list.len().checked_sub(steps + 1),
            None => {
                let found = |certificate: &Certificate| certificate.number;
                self.list.binary_search_by_key(&number, found).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_eighty_bytes_in_memory() {
        assert_eq!(size_of::<Certificate>(), 80);
    }
}
