//! Crashes, and files that somebody or something altered.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{export, verify};

/// A journal with a few groups, and both files before and after the last one.
fn grown(place: &Place) -> ([Vec<u8>; 2], [Vec<u8>; 2]) {
    let journal = place.open();
    journal.complete(1, NOW).unwrap();
    journal.complete(2, NOW).unwrap();
    let one = [listed(1, Reason::Superseded)];
    journal.crl(1, &one, NOW).unwrap();
    journal.checkpoint(0, 2, NOW).unwrap();
    drop(journal);
    let before = contents(&place.dir);
    // One group of several entries: the writer takes what has queued up, which a failed start of the thread cannot change.
    let journal = place.open();
    journal.complete(3, NOW).unwrap();
    journal.crl(2, &one, NOW).unwrap();
    journal.checkpoint(2, 4, NOW).unwrap();
    drop(journal);
    (before, contents(&place.dir))
}

/// The files as they are when a crash interrupts the writing of everything after `before`: the mark is the old one.
fn interrupted(before: &[Vec<u8>; 2], after: &[Vec<u8>; 2]) -> [Vec<u8>; 2] {
    let mut files = after.clone();
    files[0][..4_096].copy_from_slice(&before[0][..4_096]);
    files
}

#[test]
fn a_torn_tail_is_cut_at_an_entry_and_reported_at_each_byte() {
    let place = Place::new();
    let (before, after) = grown(&place);
    let whole = interrupted(&before, &after);
    let lengths = [before[0].len(), before[1].len()];
    let mut cuts = 0;
    let mut check = |files: &[Vec<u8>; 2], what: &str| {
        restore(&place.dir, files);
        let (journal, cut) = Journal::open(&place.dir, place.options()).unwrap();
        let head = journal.head();
        assert!(head.size >= 7, "{what}: what was synced is gone");
        drop(journal);
        let now = contents(&place.dir);
        // The rest is a beginning of the bytes that were written, and holds to the last byte.
        assert!(after[0][4_096..].starts_with(&now[0][4_096..]), "{what}");
        assert!(after[1].starts_with(&now[1]), "{what}");
        assert_eq!(verify(&place.dir).unwrap().head(), head, "{what}");
        let gone = (files[0].len() - now[0].len(), files[1].len() - now[1].len());
        match &cut {
            None => assert_eq!(gone, (0, 0), "{what}"),
            Some(cut) => {
                let said = (cut.entries, cut.bodies);
                assert_eq!(said, (gone.0 as u64, gone.1 as u64), "{what}");
                cuts += 1;
            }
        }
        // It continues from there, and the next start has nothing to report.
        if cuts % 32 != 0 {
            return;
        }
        place.open().certificate(50, NOW).unwrap();
        assert_eq!(place.open().head().size, head.size + 1, "{what}");
    };
    for end in lengths[0]..=whole[0].len() {
        let mut files = whole.clone();
        files[0].truncate(end);
        check(&files, &format!("entries end at {end}"));
    }
    for end in lengths[1]..=whole[1].len() {
        let mut files = whole.clone();
        files[1].truncate(end);
        check(&files, &format!("bodies end at {end}"));
    }
    // A page that did not reach the disk reads as zeros.
    for start in (lengths[0]..whole[0].len()).step_by(7) {
        let mut files = whole.clone();
        files[0][start..].fill(0);
        check(&files, &format!("entries are zero from {start}"));
    }
    for start in (lengths[1]..whole[1].len()).step_by(3) {
        let mut files = whole.clone();
        files[1][start..].fill(0);
        check(&files, &format!("bodies are zero from {start}"));
    }
    assert!(cuts > 500, "{cuts}");
}

#[test]
fn what_was_synced_is_never_cut() {
    let place = Place::new();
    let (_, after) = grown(&place);
    for (file, name) in ["entries", "bodies"].into_iter().enumerate() {
        let start = if file == 0 { 4_096 } else { 48 };
        for end in start..after[file].len() {
            let mut files = after.clone();
            files[file].truncate(end);
            restore(&place.dir, &files);
            let (damaged, offset, _) = damage(Journal::open(&place.dir, place.options()));
            assert_eq!((damaged, offset), (place.file(name), end as u64));
        }
    }
}

/// Each byte of both files altered: either the start or `verify` names file and offset, and nothing is cut.
#[test]
fn each_altered_byte_is_found() {
    let place = Place::new();
    let (_, after) = grown(&place);
    let mut at_start = 0;
    for file in 0..2 {
        for at in 0..after[file].len() {
            // Behind the header there is nothing but the two marks, of which one is enough.
            if file == 0 && (48..4_096).contains(&at) {
                continue;
            }
            let mut files = after.clone();
            files[file][at] ^= 0x20;
            restore(&place.dir, &files);
            let opened = Journal::open(&place.dir, place.options());
            if file == 0 {
                damage(opened.map(|_| ()));
                at_start += 1;
            } else {
                at_start += usize::from(opened.is_err());
                drop(opened);
            }
            let (damaged, _, _) = damage(verify(&place.dir));
            assert!(damaged.starts_with(&place.dir));
            damage(export(&place.dir, std::io::sink()));
        }
    }
    assert!(at_start > 1_000, "{at_start}");
}

#[test]
fn one_mark_is_enough_and_none_is_refused() {
    let place = Place::new();
    let (_, after) = grown(&place);
    for torn in [512, 1_024] {
        let mut files = after.clone();
        files[0][torn..torn + 88].fill(0xff);
        restore(&place.dir, &files);
        assert_eq!(place.open().head().size, 11);
    }
    let mut files = after;
    files[0][512..1_200].fill(0);
    restore(&place.dir, &files);
    let (_, offset, _) = damage(Journal::open(&place.dir, place.options()));
    assert_eq!(offset, 512);
}

/// Entries that hold by themselves, but are not those that were synced.
#[test]
fn another_history_of_the_same_journal_is_refused() {
    let place = Place::new();
    let created = contents(&place.dir);
    place.open().complete(1, NOW).unwrap();
    let first = contents(&place.dir);
    restore(&place.dir, &created);
    place.open().complete(2, NOW).unwrap();
    let mut mixed = contents(&place.dir);
    assert_eq!(mixed[0].len(), first[0].len());
    mixed[0][..4_096].copy_from_slice(&first[0][..4_096]);
    restore(&place.dir, &mixed);
    let end = mixed[0].len() as u64;
    assert_eq!(damage(Journal::open(&place.dir, place.options())).1, end);
    assert_eq!(damage(verify(&place.dir)).1, end);
}

#[test]
fn a_tail_longer_than_a_group_is_damage() {
    let place = Place::new();
    let mut files = contents(&place.dir);
    let end = files[0].len() as u64;
    files[0].resize(files[0].len() + (33 << 20), 0);
    restore(&place.dir, &files);
    assert_eq!(damage(Journal::open(&place.dir, place.options())).1, end);
    let mut files = contents(&place.dir);
    files[0].truncate(usize::try_from(end).unwrap() + 100);
    restore(&place.dir, &files);
    let cut = Journal::open(&place.dir, place.options()).unwrap().1;
    assert_eq!(cut.unwrap().entries, 100);
}

/// Every write and sync fails once, and everything after it: each entry that was answered is there after a restart, and the
/// journal refuses everything until then.
#[test]
fn a_failure_at_each_write_loses_no_answer_and_ends_in_refusal() {
    for steps in 0..40 {
        let place = Place::new();
        let journal = place.open_with(|files| *files.fault.steps.lock().unwrap() = Some(steps));
        let mut answered = Vec::new();
        let mut failed = None;
        for number in 1..=12 {
            match journal.complete(number, NOW) {
                Ok(_) => answered.push(number),
                Err(error) => {
                    failed.get_or_insert(number);
                    assert!(matches!(error, Error::Failed(_)), "{error}");
                }
            }
        }
        let first = failed.expect("40 steps are not enough for 12 certificates");
        assert_eq!(answered, (1..first).collect::<Vec<_>>(), "{steps}");
        assert!(journal.health().failed.is_some());
        assert!(matches!(journal.crl(1, &[], NOW), Err(Error::Failed(_))));
        drop(journal);
        let (journal, _) = Journal::open(&place.dir, place.options()).unwrap();
        for number in answered {
            assert_eq!(journal.complete(number, NOW).unwrap(), signature(number));
        }
        let certificates = journal.read(|state| state.certificates()) as u64;
        assert!(
            certificates == first - 1 || certificates == first,
            "{steps}"
        );
    }
}

#[test]
fn the_directory_is_private_and_one_process_has_it() {
    let place = Place::new();
    let journal = place.open();
    let locked = Journal::open(&place.dir, place.options()).unwrap_err();
    assert!(matches!(locked, Error::Locked { .. }), "{locked}");
    // Readers do not need the lock.
    verify(&place.dir).unwrap();
    drop(journal);
    for mode in [0o750, 0o701, 0o1700, 0o500, 0o770] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&place.dir, permissions).unwrap();
        let wrong = Journal::open(&place.dir, place.options()).unwrap_err();
        assert!(
            matches!(wrong, Error::Directory { .. }),
            "{mode:o}: {wrong}"
        );
    }
    let permissions = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&place.dir, permissions).unwrap();
    // Not through a link, whose target may be changed.
    let link = place.dir.with_extension("link");
    std::os::unix::fs::symlink(&place.dir, &link).unwrap();
    let wrong = Journal::open(&link, place.options()).unwrap_err();
    assert!(matches!(wrong, Error::Directory { .. }), "{wrong}");
    for name in ["entries", "bodies"] {
        let mode = std::fs::metadata(place.file(name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    place.open();
}

/// Requests of many threads are decided one after the other and synced in groups.
#[test]
fn threads_share_a_journal() {
    let mut place = Place::new();
    place.limits = place.limits.with(crate::Limit::CertificatesPerHour, 100);
    let journal = place.open();
    let run = |thread: u64| {
        // Half of the serial numbers are those of the next thread too.
        let numbers = thread * 10..thread * 10 + 20;
        let done = numbers.filter(|n| journal.complete(*n, NOW).is_ok());
        done.count()
    };
    let done: usize = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..8).map(|t| scope.spawn(move || run(t))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert!(done >= 90, "{done}");
    assert_eq!(journal.read(|state| state.certificates()), 90);
    drop(journal);
    assert_eq!(verify(&place.dir).unwrap().certificates(), 90);
}

#[test]
fn what_is_not_a_file_of_a_journal_is_named_with_the_way_out() {
    let said = |place: &Place| {
        let refused = Journal::open(&place.dir, place.options()).map(drop);
        let text = refused.unwrap_err().to_string();
        // Reading it does not wait for a writer.
        verify(&place.dir).unwrap_err();
        assert!(text.contains(place.dir.to_str().unwrap()), "{text}");
        assert!(!text.contains("name the"), "{text}");
        text
    };
    for name in ["entries", "bodies"] {
        let place = Place::new();
        let file = place.file(name);
        std::fs::write(&file, "").unwrap();
        assert!(said(&place).contains("it is empty"));
        std::fs::write(&file, [b'x'; 5_000]).unwrap();
        assert!(said(&place).contains("of another program"));
        std::fs::remove_file(&file).unwrap();
        assert!(said(&place).contains("restore it"));
        std::fs::create_dir(&file).unwrap();
        assert!(said(&place).contains("is a directory"));
        std::fs::remove_dir(&file).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&file).status();
        assert!(made.unwrap().success());
        assert!(said(&place).contains("is a named pipe"));
    }
}
