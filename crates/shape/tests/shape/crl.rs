use std::time::Duration;

use assay_shape::{Crl, CrlRefusal, CrlRules, Reason};
use assay_types::{MAX_CRL_ENTRIES, MAX_CRL_ENTRY, MAX_TBS_CERT_LIST, Serial, Timestamp};
use const_oid::ObjectIdentifier;

use crate::support::*;
use crate::tier;

pub(crate) const NUMBER: &str = "2.5.29.20";
pub(crate) const REASON: &str = "2.5.29.21";

#[derive(Clone)]
pub(crate) struct List {
    version: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<Extension>,
}

pub(crate) fn entry(serial: &[u8], at: Timestamp, extensions: &[Extension]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = extensions.iter().map(Extension::der).collect();
    let list = tlv(0x30, &list.concat());
    let list: &[u8] = if extensions.is_empty() { &[] } else { &list };
    sequence(&[&tlv(2, serial), &time(at), list])
}

fn reason(code: u8) -> Extension {
    extension(REASON, false, vec![10, 1, code])
}

pub(crate) fn list() -> List {
    let mut leaf = server();
    List {
        version: vec![2, 1, 1],
        algorithm: ALGORITHM.to_vec(),
        issuer: leaf.issuer.clone(),
        this_update: time(now()),
        next_update: time(now() + DAY * 7),
        entries: vec![
            entry(&[0x41; 17], now() - DAY, &[reason(1)]),
            entry(&[0x42; 17], now(), &[reason(6)]),
            entry(&[0x43; 17], now(), &[]),
        ],
        extensions: vec![
            leaf.extension(AKI).clone(),
            extension(NUMBER, false, vec![2, 2, 1, 0x2c]),
        ],
    }
}

impl List {
    pub(crate) fn der(&self) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::der).collect();
        let entries = tlv(0x30, &self.entries.concat());
        let entries: &[u8] = if self.entries.is_empty() {
            &[]
        } else {
            &entries
        };
        sequence(&[
            &self.version,
            &self.algorithm,
            &self.issuer,
            &self.this_update,
            &self.next_update,
            entries,
            &tlv(0xa0, &tlv(0x30, &extensions.concat())),
        ])
    }
}

pub(crate) fn check(der: &[u8]) -> Result<Crl, CrlRefusal> {
    let rules = CrlRules {
        issuer: &SERVICE.issuer,
        lifetime_max: DAY * 7,
    };
    Crl::check(der, rules, now())
}

fn serial(octet: u8) -> Serial {
    Serial::try_from([octet; 17].as_slice()).unwrap()
}

#[test]
fn a_full_list_is_accepted_with_its_number_and_entries() {
    let crl = check(&list().der()).unwrap();
    assert_eq!((crl.number, crl.this_update), (300, now()));
    assert_eq!(crl.next_update, now() + DAY * 7);
    let entries: Vec<_> = crl
        .entries
        .iter()
        .map(|entry| (entry.serial.clone(), entry.revoked_at, entry.reason))
        .collect();
    assert_eq!(
        entries,
        [
            (serial(0x41), now() - DAY, Reason::KeyCompromise),
            (serial(0x42), now(), Reason::CertificateHold),
            (serial(0x43), now(), Reason::Unspecified),
        ]
    );
    let mut empty = list();
    empty.entries.clear();
    assert_eq!(check(&empty.der()).unwrap().entries, []);
    for code in [1, 2, 3, 4, 5, 6, 9, 10] {
        let mut list = list();
        list.entries = vec![entry(&[0x41; 17], now(), &[reason(code)])];
        let read = check(&list.der()).unwrap().entries[0].reason;
        assert_eq!(read.code(), code);
        assert_eq!(Reason::from_code(code), Some(read));
    }
    assert_eq!(Reason::from_code(8), None);
}

#[test]
fn each_rule_of_a_list_refuses() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let next = CrlRefusal::NextUpdate(DAY * 7);
    let aki = ObjectIdentifier::new_unwrap(AKI);
    let number = ObjectIdentifier::new_unwrap(NUMBER);
    let delta = ObjectIdentifier::new_unwrap("2.5.29.27");
    let with_entry = |entry: Vec<u8>| move |list: &mut List| list.entries.push(entry);
    type Change = Box<dyn FnOnce(&mut List)>;
    let cases: Vec<(CrlRefusal, Change)> = vec![
        (
            CrlRefusal::Version,
            Box::new(|list| list.version = vec![2, 1, 0]),
        ),
        (CrlRefusal::Malformed, Box::new(|list| list.version.clear())),
        (
            CrlRefusal::Algorithm,
            Box::new(|list| {
                list.algorithm = sequence(&[&oid("1.2.840.10045.4.1")]);
            }),
        ),
        (
            CrlRefusal::Issuer,
            Box::new(|list| list.issuer = name(&[(CN, "Next CA")])),
        ),
        (
            CrlRefusal::TimeEncoding("nextUpdate"),
            Box::new(|list| {
                list.next_update = tlv(0x18, b"20261123000000Z");
            }),
        ),
        (
            CrlRefusal::ThisUpdate,
            Box::new(move |list| {
                list.this_update = time(now() + minutes(5) + Duration::from_secs(1));
            }),
        ),
        (
            CrlRefusal::ThisUpdate,
            Box::new(move |list| {
                list.this_update = time(now() - minutes(5) - Duration::from_secs(1));
            }),
        ),
        (
            CrlRefusal::Malformed,
            Box::new(|list| list.next_update.clear()),
        ),
        (
            next.clone(),
            Box::new(|list| list.next_update.clone_from(&list.this_update)),
        ),
        (
            next,
            Box::new(|list| {
                list.next_update = time(now() + DAY * 7 + Duration::from_secs(1));
            }),
        ),
        (
            CrlRefusal::MissingExtension,
            Box::new(|list| list.extensions.truncate(1)),
        ),
        (
            CrlRefusal::MissingExtension,
            Box::new(|list| {
                list.extensions.remove(0);
            }),
        ),
        (
            CrlRefusal::Extension(delta),
            Box::new(|list| {
                list.extensions
                    .push(extension("2.5.29.27", true, vec![2, 1, 1]));
            }),
        ),
        (
            CrlRefusal::Extension(aki),
            Box::new(|list| {
                list.extensions.push(list.extensions[0].clone());
            }),
        ),
        (
            CrlRefusal::Extension(number),
            Box::new(|list| {
                list.extensions.push(list.extensions[1].clone());
            }),
        ),
        (
            CrlRefusal::Extension(aki),
            Box::new(|list| list.extensions[0].critical = true),
        ),
        (
            CrlRefusal::Extension(number),
            Box::new(|list| list.extensions[1].critical = true),
        ),
        (
            CrlRefusal::AuthorityKeyIdentifier,
            Box::new(|list| {
                list.extensions[0].value = sequence(&[&tlv(0x80, &[7; 20])]);
            }),
        ),
        (
            CrlRefusal::Number,
            Box::new(|list| list.extensions[1].value = tlv(2, &[1; 9])),
        ),
        (
            CrlRefusal::Number,
            Box::new(|list| list.extensions[1].value = tlv(2, &[0xff])),
        ),
        (
            CrlRefusal::Number,
            Box::new(|list| list.extensions[1].value = tlv(2, &[0, 1])),
        ),
        (
            CrlRefusal::Serial,
            Box::new(with_entry(entry(&[1; 21], now(), &[]))),
        ),
        (
            CrlRefusal::Serial,
            Box::new(with_entry(entry(&[0], now(), &[]))),
        ),
        (
            CrlRefusal::RepeatedSerial(serial(0x41)),
            Box::new(with_entry(entry(&[0x41; 17], now(), &[]))),
        ),
        (
            CrlRefusal::EntryDate(serial(0x44)),
            Box::new(with_entry(entry(&[0x44; 17], now() + minutes(6), &[]))),
        ),
        // Another extension than a reason, two, a critical one.
        (
            CrlRefusal::EntryExtension(serial(0x44)),
            Box::new(with_entry(entry(
                &[0x44; 17],
                now(),
                &[extension("2.5.29.29", true, sequence(&[]))],
            ))),
        ),
        (
            CrlRefusal::EntryExtension(serial(0x44)),
            Box::new(with_entry(entry(
                &[0x44; 17],
                now(),
                &[reason(1), extension("2.5.29.24", false, vec![24, 0])],
            ))),
        ),
        (
            CrlRefusal::EntryExtension(serial(0x44)),
            Box::new(with_entry(entry(
                &[0x44; 17],
                now(),
                &[extension(REASON, true, vec![10, 1, 1])],
            ))),
        ),
        // removeFromCRL, unspecified written out, one that is none.
        (
            CrlRefusal::Reason(serial(0x44)),
            Box::new(with_entry(entry(&[0x44; 17], now(), &[reason(8)]))),
        ),
        (
            CrlRefusal::Reason(serial(0x44)),
            Box::new(with_entry(entry(&[0x44; 17], now(), &[reason(0)]))),
        ),
        (
            CrlRefusal::Reason(serial(0x44)),
            Box::new(with_entry(entry(&[0x44; 17], now(), &[reason(7)]))),
        ),
    ];
    for (wanted, change) in cases {
        let mut list = list();
        change(&mut list);
        assert_eq!(check(&list.der()), Err(wanted));
    }
    let der = list().der();
    assert_eq!(
        check(&[&der[..], &[0]].concat()),
        Err(CrlRefusal::Malformed)
    );
    let long = vec![0; MAX_TBS_CERT_LIST + 1];
    assert_eq!(
        check(&long),
        Err(CrlRefusal::TooLong(MAX_TBS_CERT_LIST + 1))
    );
    // An empty list of entries is left out (RFC 5280 section 5.1.2.6).
    let mut empty = list();
    empty.entries = vec![Vec::new()];
    assert_eq!(check(&empty.der()), Err(CrlRefusal::EmptyEntries));
    // An extensions field without one.
    let mut bare = list();
    bare.entries = vec![sequence(&[
        &tlv(2, &[0x44; 17]),
        &time(now()),
        &sequence(&[]),
    ])];
    let refusal = CrlRefusal::EntryExtension(serial(0x44));
    assert_eq!(check(&bare.der()), Err(refusal));
}

/// 2050-01-01T00:00:00Z, from which on dates are longer.
const YEAR_2050: Timestamp = Timestamp::from_seconds(2_524_608_000);

/// The largest entry that there is, with this number in its serial number.
fn largest(number: u32) -> Vec<u8> {
    let mut serial = [0x41; 20];
    serial[16..].copy_from_slice(&number.to_be_bytes());
    let entry = entry(&serial, YEAR_2050, &[reason(10)]);
    assert_eq!(entry.len(), MAX_CRL_ENTRY);
    entry
}

fn check_in_2050(entries: Vec<Vec<u8>>) -> Result<Crl, CrlRefusal> {
    let mut list = list();
    list.this_update = time(YEAR_2050);
    list.next_update = time(YEAR_2050 + DAY);
    list.entries = entries;
    let rules = CrlRules {
        issuer: &SERVICE.issuer,
        lifetime_max: DAY * 7,
    };
    Crl::check(&list.der(), rules, YEAR_2050)
}

#[test]
fn a_list_of_the_largest_entries_is_accepted_up_to_the_largest_number_of_them() {
    let count = tier::size("entries of a CRL");
    let entries = (0..u32::try_from(count).unwrap()).map(largest).collect();
    assert_eq!(check_in_2050(entries).unwrap().entries.len(), count);
    // Counted before repetitions are looked for, so that one entry will do.
    let more = largest(0).repeat(MAX_CRL_ENTRIES as usize + 1);
    assert_eq!(check_in_2050(vec![more]), Err(CrlRefusal::TooMany));
}
