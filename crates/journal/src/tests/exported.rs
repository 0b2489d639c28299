use super::*;
use crate::{Event, ExportReader, Item, State, export, verify};

fn read(bytes: &[u8]) -> Result<Vec<Item>, Error> {
    ExportReader::new(bytes)?.collect()
}

fn exported(place: &Place) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(&place.dir, &mut bytes).unwrap();
    bytes
}

fn filled() -> Place {
    let place = Place::new();
    let journal = place.open();
    for number in 1..=3 {
        journal.complete(number, NOW).unwrap();
    }
    let list = [listed(1, Reason::Superseded)];
    journal.crl(1, &list, NOW).unwrap();
    journal.checkpoint(0, 3, NOW).unwrap();
    journal.started(start(), true, NOW).unwrap().wait().unwrap();
    drop(journal);
    place
}

#[test]
fn an_export_says_what_the_journal_says() {
    let place = filled();
    let bytes = exported(&place);
    let items = read(&bytes).unwrap();
    let mut state = State::new(items[0].head.identity);
    for item in &items {
        assert_eq!(item.number, state.head().size);
        state.follow(item).unwrap();
        assert_eq!(item.head, state.head());
        assert_eq!(item.payload, item.entry.encode());
    }
    let whole = verify(&place.dir).unwrap();
    assert_eq!(state.head(), whole.head());
    assert_eq!(state.tree(), whole.tree());
    assert_eq!(state.last_crl(&issuer()), whole.last_crl(&issuer()));
    let bodies: Vec<_> = items.iter().filter_map(|item| item.body.clone()).collect();
    assert!(bodies.contains(&tbs(2)) && bodies.contains(&signature(2)));
    // The same journal has one export.
    assert_eq!(exported(&place), bytes);
}

#[test]
fn each_altered_byte_and_each_end_of_an_export_is_found() {
    let bytes = exported(&filled());
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(read(&altered).is_err(), "byte {at}");
        assert!(read(&bytes[..at]).is_err(), "end at {at}");
    }
    assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    let error = read(&bytes[..100]).unwrap_err().to_string();
    assert!(error.contains("ends early"), "{error}");
}

#[test]
fn a_body_may_be_absent_only_where_a_later_entry_explains_it() {
    let place = filled();
    let journal = place.open();
    journal
        .started(start(), true, after(YEAR + 1))
        .unwrap()
        .wait()
        .unwrap();
    drop(journal);
    let missing = |place: &Place| {
        let items = read(&exported(place)).unwrap();
        items
            .iter()
            .filter(|item| item.entry.event.body().is_some() && item.body.is_none())
            .map(|item| item.entry.event.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(missing(&place), []);
    // Bodies that somebody removed are not explained.
    let before = contents(&place.dir);
    let at = |needle: &[u8]| {
        let mut windows = before[1].windows(needle.len());
        windows.position(|part| part == needle).unwrap()
    };
    for needle in [tbs(2), signature(2)] {
        let mut files = before.clone();
        files[1][at(&needle)..][..needle.len()].fill(0);
        restore(&place.dir, &files);
        let (_, offset, problem) = damage(verify(&place.dir));
        assert_eq!(offset, at(&needle) as u64);
        assert!(problem.contains("has to be kept"), "{problem}");
        damage(export(&place.dir, std::io::sink()));
    }
    // Nor in an export that leaves one out: the flag of the last body of a certificate.
    restore(&place.dir, &before);
    let bytes = exported(&place);
    let needle = signature(3);
    let mut windows = bytes.windows(needle.len());
    let at = windows.position(|part| part == needle).unwrap();
    let without = [&bytes[..at - 1], &[0], &bytes[at + needle.len()..]].concat();
    let error = read(&without).unwrap_err().to_string();
    assert!(error.contains("has to be kept"), "{error}");

    let journal = place.open();
    assert_eq!(journal.prune(after(YEAR + 1)).unwrap().certificates, 3);
    drop(journal);
    let missing = missing(&place);
    assert_eq!(missing.len(), 6);
    let is_certificate =
        |event: &Event| matches!(event, Event::Certificate { .. } | Event::Signed { .. });
    assert!(missing.iter().all(is_certificate));
}

/// An entry that nothing vouches for may be anybody's.
#[test]
fn a_body_is_explained_by_a_covered_entry_alone() {
    let place = filled();
    let journal = place.open();
    let late = after(YEAR + 1);
    journal
        .started(start(), true, late)
        .unwrap()
        .wait()
        .unwrap();
    let covered = journal.head().size;
    assert_eq!(journal.prune(late).unwrap().certificates, 3);
    drop(journal);
    let bytes = exported(&place);
    let read = |covered: u64| -> Result<Vec<Item>, Error> {
        ExportReader::new(bytes.as_slice())?
            .covered(covered)
            .collect()
    };
    read(covered + 1).unwrap();
    let error = read(covered).unwrap_err().to_string();
    assert!(error.contains("has to be kept, by the first"), "{error}");
}
