use super::*;
use crate::entry::{Entry, Event, chain};
use crate::{
    CrlFloor, Known, Limit, LogFloor, Origin, State, Status, StatusRequest, export, verify,
};

#[test]
fn a_serial_number_has_one_tbs_forever() {
    let place = Place::new();
    let journal = place.open();
    journal.certificate(1, NOW).unwrap();
    let other = |journal: &Journal| {
        let request = CertificateRequest {
            issuer: issuer(),
            serial: &serial(1),
            not_after: after(DAY),
            form: "device",
            tbs: b"another TBS",
        };
        journal.may_sign_certificate(&request, NOW).map(|_| ())
    };
    let taken = Refusal::SerialTaken { serial: serial(1) };
    assert_eq!(refusal(other(&journal)), taken);
    drop(journal);
    assert_eq!(refusal(other(&place.open())), taken);
    // Serial numbers are those of an issuer.
    let request = CertificateRequest {
        issuer: Hash::of(b"another issuer"),
        serial: &serial(1),
        not_after: after(DAY),
        form: "device",
        tbs: b"another TBS",
    };
    place.open().may_sign_certificate(&request, NOW).unwrap();
}

#[test]
fn a_repeated_tbs_gets_the_stored_signature_and_costs_nothing() {
    let mut place = Place::new();
    place.limits = place.limits.with(Limit::CertificatesPerHour, 1);
    for _ in 0..2 {
        let journal = place.open();
        for _ in 0..3 {
            assert_eq!(journal.complete(1, NOW).unwrap(), signature(1));
        }
        journal.suspend(NOW).unwrap().wait().unwrap();
        assert_eq!(journal.complete(1, NOW).unwrap(), signature(1));
        journal.resume(NOW).unwrap().wait().unwrap();
        assert_eq!(journal.read(|state| state.certificates()), 1);
        assert!(matches!(
            refusal(journal.complete(2, NOW)),
            Refusal::Ceiling(_)
        ));
    }
}

#[test]
fn a_certificate_whose_signing_failed_is_signed_later_without_a_second_entry() {
    let mut place = Place::new();
    place.limits = place.limits.with(Limit::CertificatesPerHour, 1);
    let first = place.open().certificate(1, NOW).unwrap();
    let journal = place.open();
    assert_eq!(journal.certificate(1, NOW).unwrap(), first);
    journal.suspend(NOW).unwrap().wait().unwrap();
    assert_eq!(refusal(journal.certificate(1, NOW)), Refusal::Suspended);
}

#[test]
fn of_two_signatures_over_one_tbs_the_first_is_handed_out() {
    let place = Place::new();
    let journal = place.open();
    let certificate = journal.certificate(1, NOW).unwrap();
    let record = |bytes: &[u8]| journal.signed(certificate, bytes, NOW).unwrap();
    assert!(matches!(record(b"first"), Recorded::First(_)));
    assert!(matches!(record(b"second"), Recorded::Earlier(earlier) if earlier == b"first"));
    let unknown = Refusal::NoCertificate { certificate: 0 };
    assert_eq!(refusal(journal.signed(0, b"third", NOW)), unknown);
}

#[test]
fn serial_numbers_of_ceremonies_are_taken_and_may_be_listed() {
    let place = Place::new();
    let journal = place.open();
    let known = |number| Known {
        serial: serial(number),
        not_after: after(YEAR),
    };
    let record = |journal: &Journal, certificates: &[Known]| {
        journal.record_known(Origin::Ceremony, issuer(), certificates, NOW)
    };
    assert!(record(&journal, &[known(1)]).unwrap().is_some());
    assert!(record(&journal, &[known(1)]).unwrap().is_none());
    drop(journal);
    let journal = place.open();
    assert!(record(&journal, &[known(1)]).unwrap().is_none());
    let taken = Refusal::SerialKnown { serial: serial(1) };
    assert_eq!(refusal(journal.certificate(1, NOW)), taken);
    journal
        .crl(1, &[listed(1, Reason::KeyCompromise)], NOW)
        .unwrap();
    journal.certificate(2, NOW).unwrap();
    let taken = Refusal::SerialTaken { serial: serial(2) };
    assert_eq!(refusal(record(&journal, &[known(2)])), taken);
}

#[test]
fn suspension_refuses_certificates_alone_and_survives_a_restart() {
    let place = Place::new();
    let journal = place.open();
    journal.complete(1, NOW).unwrap();
    journal.suspend(NOW).unwrap().wait().unwrap();
    drop(journal);
    let journal = place.open();
    assert_eq!(refusal(journal.certificate(2, NOW)), Refusal::Suspended);
    journal.crl(1, &[], NOW).unwrap();
    journal.checkpoint(0, 3, NOW).unwrap();
    status(&journal, 1, Status::Good, NOW).unwrap();
    journal.may_decrypt(NOW).unwrap().wait().unwrap();
    journal.resume(NOW).unwrap().wait().unwrap();
    drop(journal);
    place.open().certificate(2, NOW).unwrap();
}

/// Uses each ceiling up by the journal's own methods, before and after a crash.
#[test]
fn each_ceiling_is_counted_by_the_journal_and_survives_a_crash() {
    for limit in Limit::ALL {
        let mut place = Place::new();
        place.limits = Limits::unlimited().with(limit, 6);
        let setup = place.open();
        if limit == Limit::RevocationsPerHour {
            for number in 0..20 {
                setup.certificate(number, NOW).unwrap();
            }
        }
        drop(setup);
        let mut all = Vec::new();
        let mut done = 0;
        let mut use_one = |journal: &Journal, now: Timestamp| {
            let result = match limit {
                Limit::CertificatesPerHour | Limit::CertificatesPerDay => {
                    journal.certificate(100 + done, now).map(|_| ())
                }
                Limit::CrlsPerHour | Limit::CrlsPerDay => journal.crl(done + 1, &[], now),
                Limit::DecryptionsPerHour | Limit::DecryptionsPerDay => {
                    journal.may_decrypt(now).and_then(|p| p.wait()).map(|_| ())
                }
                Limit::LeavesPerHour | Limit::LeavesPerDay => {
                    journal.checkpoint(done, done + 1, now)
                }
                Limit::RevocationsPerHour => {
                    all.push(listed(done, Reason::Superseded));
                    journal.crl(done + 1, &all, now)
                }
            };
            match &result {
                Ok(()) => done += 1,
                Err(_) => drop(all.pop()),
            }
            result
        };
        let journal = place.open();
        for _ in 0..3 {
            use_one(&journal, NOW).unwrap();
        }
        drop(journal);
        let journal = place.open();
        let warns = |journal: &Journal, now| {
            let usage = journal.read(|state| state.usage(now));
            usage.iter().any(|usage| usage.is_warning())
        };
        // Decryptions are counted ahead: the three that the crash left are used up.
        let is_ahead = matches!(limit, Limit::DecryptionsPerHour | Limit::DecryptionsPerDay);
        assert_eq!(warns(&journal, NOW), is_ahead, "{limit}");
        if !is_ahead {
            for _ in 0..3 {
                use_one(&journal, NOW).unwrap();
            }
        }
        assert!(warns(&journal, NOW), "{limit}");
        let Refusal::Ceiling(usage) = refusal(use_one(&journal, NOW)) else {
            panic!("{limit} is not what refuses");
        };
        assert_eq!((usage.limit, usage.used, usage.ceiling), (limit, 6, 6));
        // Lifted, without a restart and after one.
        let until = after(60);
        journal.lift(limit, 7, until, NOW).unwrap().wait().unwrap();
        drop(journal);
        let journal = place.open();
        use_one(&journal, after(59)).unwrap();
        refusal(use_one(&journal, after(59)));
        // An hour or a day later there is room again.
        let later = if limit.as_str().ends_with("hour") {
            3_661
        } else {
            DAY + 61
        };
        refusal(use_one(&journal, after(later - 122)));
        use_one(&journal, after(later + 60)).unwrap();
    }
}

#[test]
fn crashes_never_allow_more_decryptions_than_the_ceiling() {
    let mut place = Place::new();
    place.limits = place.limits.with(Limit::DecryptionsPerHour, 200);
    let mut done = 0;
    for _ in 0..20 {
        let journal = place.open();
        for _ in 0..5 {
            done += u64::from(journal.may_decrypt(NOW).is_ok());
        }
    }
    assert!((4..=200).contains(&done), "{done}");
    let mut place = Place::new();
    place.limits = place.limits.with(Limit::DecryptionsPerHour, 200);
    let journal = place.open();
    let done = (0..300).filter(|_| journal.may_decrypt(NOW).is_ok());
    assert_eq!(done.count(), 200);
    // Four leases and not 200 entries.
    assert_eq!(journal.read(|state| state.head().size), 1 + 4);
}

#[test]
fn the_number_of_a_crl_rises_by_one_to_a_thousand() {
    let place = Place::new();
    let journal = place.open();
    let refused = |journal: &Journal, number, last| {
        let refused = refusal(journal.crl(number, &[], after(1)));
        assert_eq!(refused, Refusal::CrlNumber { number, last });
    };
    refused(&journal, 0, 0);
    refused(&journal, 1_001, 0);
    journal.crl(1_000, &[], NOW).unwrap();
    drop(journal);
    let journal = place.open();
    refused(&journal, 999, 1_000);
    refused(&journal, 1_000, 1_000);
    refused(&journal, 2_001, 1_000);
    journal.crl(1_001, &[], NOW).unwrap();
    // Each issuer has its own numbers.
    assert_eq!(
        journal.read(|state| state.last_crl(&Hash::of(b"other"))),
        None
    );
    // The last one may be signed again, and nothing is counted.
    let size = journal.head().size;
    journal.crl(1_001, &[], NOW).unwrap();
    assert_eq!(journal.head().size, size);
}

#[test]
fn a_crl_is_never_older_than_the_last_one() {
    let place = Place::new();
    let journal = place.open();
    journal.crl(1, &[], after(60)).unwrap();
    let refused = refusal(journal.crl(2, &[], after(59)));
    let (this_update, last) = (after(59), after(60));
    assert_eq!(refused, Refusal::CrlTime { this_update, last });
    journal.crl(2, &[], after(60)).unwrap();
}

/// Rule 7, each pair of states.
#[test]
fn entries_of_a_crl_move_only_forward() {
    use Reason::{CertificateHold, KeyCompromise, Superseded};
    let serial = || serial(1);
    let altered = || Some(Refusal::RevocationAltered { serial: serial() });
    let dropped = || Some(Refusal::RevocationDropped { serial: serial() });
    let hold = || Some(listed(1, CertificateHold));
    let last = || Some(listed(1, KeyCompromise));
    let dated = |listed: Option<Listed>| {
        let date = after(1);
        listed.map(|listed| Listed { date, ..listed })
    };
    let cases = [
        (None, None, None),
        (None, hold(), None),
        (None, last(), None),
        (hold(), hold(), None),
        (hold(), None, None),
        (hold(), last(), None),
        (hold(), dated(hold()), altered()),
        (hold(), dated(last()), altered()),
        (last(), last(), None),
        (last(), None, dropped()),
        (last(), hold(), altered()),
        (last(), Some(listed(1, Superseded)), altered()),
        (last(), dated(last()), altered()),
    ];
    for (before, wanted, refused) in cases {
        let place = Place::new();
        let journal = place.open();
        journal.certificate(1, NOW).unwrap();
        journal.crl(1, before.as_slice(), after(2)).unwrap();
        drop(journal);
        let journal = place.open();
        let result = journal.crl(2, wanted.as_slice(), after(3));
        match refused {
            Some(refused) => assert_eq!(refusal(result), refused, "{before:?} {wanted:?}"),
            None => result.unwrap(),
        }
    }
}

#[test]
fn a_released_certificate_may_be_revoked_later() {
    let place = Place::new();
    let journal = place.open();
    journal.certificate(1, NOW).unwrap();
    let hold = [listed(1, Reason::CertificateHold)];
    let last = [listed(1, Reason::KeyCompromise)];
    for (number, listed) in (1..).zip([&hold[..], &[], &hold, &[], &last]) {
        journal.crl(number, listed, after(number)).unwrap();
    }
    drop(journal);
    let refused = refusal(place.open().crl(6, &[], after(6)));
    assert_eq!(refused, Refusal::RevocationDropped { serial: serial(1) });
}

#[test]
fn only_what_was_issued_is_listed_once_and_not_ahead() {
    let place = Place::new();
    let journal = place.open();
    journal.certificate(1, NOW).unwrap();
    let one = listed(1, Reason::Superseded);
    let unknown = Refusal::ListedUnknown { serial: serial(2) };
    let other = listed(2, Reason::Superseded);
    assert_eq!(refusal(journal.crl(1, &[one.clone(), other], NOW)), unknown);
    let twice = Refusal::ListedTwice { serial: serial(1) };
    let again = [one.clone(), one.clone()];
    assert_eq!(refusal(journal.crl(1, &again, NOW)), twice);
    let ahead = Listed {
        date: after(1),
        ..one.clone()
    };
    let refused = Refusal::RevocationAhead { serial: serial(1) };
    assert_eq!(refusal(journal.crl(1, &[ahead], NOW)), refused);
    journal.crl(1, &[one], NOW).unwrap();
}

#[test]
fn a_revocation_is_dropped_after_a_crl_past_the_expiry_listed_it() {
    let place = Place::new();
    let journal = place.open();
    journal.certificate(1, NOW).unwrap();
    let one = [listed(1, Reason::Superseded)];
    let expiry = 30 * DAY;
    let mut number = 0;
    let mut crl = |journal: &Journal, listed: &[Listed], seconds: u64| {
        number += 1;
        journal.crl(number, listed, after(seconds))
    };
    for day in (0..=30).step_by(5) {
        crl(&journal, &one, day * DAY).unwrap();
    }
    // It expired, but no CRL since then lists it.
    let refused = Refusal::RevocationDropped { serial: serial(1) };
    assert_eq!(refusal(crl(&journal, &[], expiry + 1)), refused);
    number_back(&journal);
    journal.crl(100, &one, after(expiry + 1)).unwrap();
    // After an accepted jump of the clock nothing is dropped for a day.
    let from = journal.read(|state| state.clock());
    let to = after(expiry + DAY);
    journal.accept_clock(from, to, to).unwrap().wait().unwrap();
    let settling = Refusal::Settling { accepted: to };
    assert_eq!(
        refusal(journal.crl(101, &[], after(expiry + DAY + 1))),
        settling
    );
    journal.crl(101, &one, after(expiry + DAY + 1)).unwrap();
    drop(journal);
    let journal = place.open();
    assert_eq!(
        refusal(journal.crl(102, &[], after(expiry + 2 * DAY - 1))),
        settling
    );
    journal.crl(102, &[], after(expiry + 2 * DAY)).unwrap();
    // Listed again it says what it said.
    let other = [listed(1, Reason::KeyCompromise)];
    let refused = Refusal::RevocationAltered { serial: serial(1) };
    assert_eq!(
        refusal(journal.crl(103, &other, after(expiry + 2 * DAY))),
        refused
    );
    journal.crl(103, &one, after(expiry + 2 * DAY)).unwrap();
}

fn number_back(journal: &Journal) {
    // A refused CRL leaves its number free.
    assert!(
        journal
            .read(|state| state.last_crl(&issuer()))
            .unwrap()
            .number
            < 100
    );
}

fn status(journal: &Journal, number: u64, status: Status, now: Timestamp) -> Result<(), Error> {
    let request = StatusRequest {
        issuer: issuer(),
        serial: &serial(number),
        status,
    };
    journal.may_sign_status(&request, now)
}

/// Whether a status may be signed now, later or never.
#[derive(Debug, PartialEq, Eq)]
enum Signs {
    Now,
    AfterTheNextCrl,
    Never,
}

fn signs(result: Result<(), Error>) -> Signs {
    match result {
        Ok(()) => Signs::Now,
        Err(Error::Refused(refusal)) if refusal.is_temporary() => {
            assert!(matches!(refusal, Refusal::StatusAhead { .. }), "{refusal}");
            Signs::AfterTheNextCrl
        }
        Err(error) => {
            assert!(matches!(error, Error::Refused(Refusal::Status { .. })));
            Signs::Never
        }
    }
}

#[test]
fn a_status_says_what_journal_and_crl_say() {
    use Signs::{AfterTheNextCrl, Never, Now};
    let place = Place::new();
    let journal = place.open();
    for number in 1..=3 {
        journal.certificate(number, NOW).unwrap();
    }
    let ceremony = Known {
        serial: serial(4),
        not_after: after(30 * DAY),
    };
    let recorded = journal.record_known(Origin::Ceremony, issuer(), &[ceremony], NOW);
    recorded.unwrap().unwrap().wait().unwrap();
    let list = [
        listed(2, Reason::CertificateHold),
        listed(3, Reason::KeyCompromise),
    ];
    journal.crl(1, &list, NOW).unwrap();
    drop(journal);
    let journal = place.open();
    let revoked = |reason| Status::Revoked { reason, date: NOW };
    let compromised = revoked(Reason::KeyCompromise);
    let late = Status::Revoked {
        reason: Reason::KeyCompromise,
        date: after(1),
    };
    for (number, status_wanted, wanted) in [
        (1, Status::Good, Now),
        (1, compromised, AfterTheNextCrl),
        (1, revoked(Reason::CertificateHold), AfterTheNextCrl),
        (1, Status::Unknown, Now),
        (2, Status::Good, AfterTheNextCrl),
        (2, revoked(Reason::CertificateHold), Now),
        (2, compromised, AfterTheNextCrl),
        (2, late, Never),
        (2, Status::Unknown, Never),
        (3, Status::Good, Never),
        (3, compromised, Now),
        (3, revoked(Reason::Superseded), Never),
        (3, revoked(Reason::CertificateHold), Never),
        (3, late, Never),
        (3, Status::Unknown, Never),
        // As that of the responder.
        (4, Status::Good, Now),
        (4, compromised, AfterTheNextCrl),
        (9, Status::Good, Never),
        (9, compromised, Never),
        (9, Status::Unknown, Now),
    ] {
        let result = status(&journal, number, status_wanted, NOW);
        assert_eq!(signs(result), wanted, "{number} {status_wanted:?}");
    }
    for (seconds, wanted) in [(30 * DAY, Now), (30 * DAY + 1, Never)] {
        let head = journal.started(start(), true, after(seconds)).unwrap();
        head.wait().unwrap();
        let result = status(&journal, 1, Status::Good, after(seconds));
        assert_eq!(signs(result), wanted, "{seconds}");
    }
}

#[test]
fn each_crl_decides_the_next_status() {
    use Signs::{AfterTheNextCrl, Never, Now};
    let place = Place::new();
    let journal = place.open();
    journal.certificate(1, NOW).unwrap();
    let revoked = |reason| Status::Revoked { reason, date: NOW };
    let held = revoked(Reason::CertificateHold);
    // The reason of an intent that was given up.
    let last = revoked(Reason::Unspecified);
    let hold = [listed(1, Reason::CertificateHold)];
    let final_list = [listed(1, Reason::Unspecified)];
    for (number, list, wanted) in [
        (1, &[][..], [Now, AfterTheNextCrl, AfterTheNextCrl]),
        (2, &hold, [AfterTheNextCrl, Now, AfterTheNextCrl]),
        (3, &[], [Now, AfterTheNextCrl, AfterTheNextCrl]),
        (4, &hold, [AfterTheNextCrl, Now, AfterTheNextCrl]),
        (5, &final_list, [Never, Never, Now]),
    ] {
        journal.crl(number, list, NOW).unwrap();
        let said = [Status::Good, held, last].map(|it| signs(status(&journal, 1, it, NOW)));
        assert_eq!(said, wanted, "after CRL {number}");
    }
    // Dropped after a CRL past its end, it has no status.
    let expiry = 30 * DAY;
    for day in [6, 12, 18, 24, 30] {
        let number = 5 + day;
        journal.crl(number, &final_list, after(day * DAY)).unwrap();
    }
    journal.crl(36, &final_list, after(expiry + 1)).unwrap();
    let now = after(expiry + 2);
    assert_eq!(signs(status(&journal, 1, last, now)), Now);
    journal.crl(37, &[], now).unwrap();
    for it in [Status::Good, held, last] {
        assert_eq!(signs(status(&journal, 1, it, now)), Never, "{it:?}");
    }
}

#[test]
fn a_checkpoint_continues_the_last_tree() {
    let place = Place::new();
    let journal = place.open();
    journal.checkpoint(0, 5, NOW).unwrap();
    drop(journal);
    let journal = place.open();
    // Smaller, equal with another root, with leaves left out, and with leaves that are there already.
    let other = CheckpointRequest {
        size: 5,
        root: leaf(0),
        leaves: &[],
    };
    let refused = refusal(journal.may_sign_checkpoint(&other, NOW));
    assert_eq!(refused, Refusal::TreeRoot { size: 5 });
    for (from, to) in [(0, 3), (3, 3), (6, 8), (4, 8)] {
        let refused = refusal(journal.checkpoint(from, to, NOW));
        assert!(
            matches!(refused, Refusal::TreeSize { last: 5, .. }),
            "{refused}"
        );
    }
    // A rewritten log of a larger size.
    let mut tree = Frontier::default();
    (100..108).for_each(|number| tree.push(leaf(number)));
    let request = CheckpointRequest {
        size: 8,
        root: tree.root(),
        leaves: &[leaf(105), leaf(106), leaf(107)],
    };
    let refused = refusal(journal.may_sign_checkpoint(&request, NOW));
    assert_eq!(refused, Refusal::TreeRoot { size: 8 });
    journal.checkpoint(5, 8, NOW).unwrap();
    // The last one again, as after a lost answer: nothing is added.
    let size = journal.head().size;
    journal.checkpoint(5, 8, NOW).unwrap();
    journal.checkpoint(8, 8, NOW).unwrap();
    assert_eq!(journal.head().size, size);
}

#[test]
fn the_head_of_a_checkpoint_covers_its_own_entry() {
    let place = Place::new();
    let journal = place.open();
    let request = CheckpointRequest {
        size: 1,
        root: leaf(0),
        leaves: &[leaf(0)],
    };
    let pending = journal.may_sign_checkpoint(&request, NOW).unwrap();
    let head = pending.wait().unwrap();
    assert!(head.size > pending.number());
    assert_eq!(head, journal.head());
    drop(journal);
    assert_eq!(verify(&place.dir).unwrap().head(), head);
}

#[test]
fn a_clock_that_disagrees_with_the_journal_stops_signing() {
    let place = Place::new();
    let journal = place.open();
    journal.complete(1, after(DAY)).unwrap();
    drop(journal);
    let journal = place.open();
    let (behind, ahead) = (after(DAY - 301), after(8 * DAY + 1));
    for (now, refused) in [
        (
            behind,
            Refusal::ClockBehind {
                now: behind,
                last: after(DAY),
            },
        ),
        (
            ahead,
            Refusal::ClockAhead {
                now: ahead,
                last: after(DAY),
            },
        ),
    ] {
        assert_eq!(refusal(journal.certificate(2, now)), refused);
        assert_eq!(refusal(journal.crl(1, &[], now)), refused);
        assert_eq!(refusal(journal.checkpoint(0, 1, now)), refused);
        assert_eq!(refusal(journal.may_decrypt(now)), refused);
        assert_eq!(refusal(status(&journal, 1, Status::Good, now)), refused);
        assert_eq!(refusal(journal.prune(now)), refused);
        assert_eq!(refusal(journal.started(start(), false, now)), refused);
        // People may suspend at any time, which does not accept the clock.
        journal.suspend(now).unwrap().wait().unwrap();
        journal.resume(now).unwrap().wait().unwrap();
        assert_eq!(journal.read(|state| state.clock()), after(DAY));
    }
    // The edges are accepted; a synchronised clock may be far ahead, never behind.
    journal.certificate(2, after(DAY - 300)).unwrap();
    refusal(journal.started(start(), true, behind));
    journal
        .started(start(), true, ahead)
        .unwrap()
        .wait()
        .unwrap();
    journal.certificate(3, ahead).unwrap();
}

#[test]
fn a_jump_is_accepted_only_by_its_exact_name() {
    let place = Place::new();
    let journal = place.open();
    journal.crl(1, &[], after(DAY)).unwrap();
    journal.certificate(1, after(DAY)).unwrap();
    let (from, to) = (after(DAY), NOW);
    for (from, to) in [(from, after(301)), (after(DAY - 1), to), (to, from)] {
        let refused = refusal(journal.accept_clock(from, to, NOW));
        assert!(matches!(refused, Refusal::OtherJump { .. }), "{refused}");
    }
    journal.accept_clock(from, to, NOW).unwrap().wait().unwrap();
    drop(journal);
    let journal = place.open();
    journal.certificate(2, NOW).unwrap();
    // CRLs continue from the time that is right now.
    journal.crl(2, &[], NOW).unwrap();
    assert!(matches!(
        refusal(journal.crl(3, &[], NOW - Duration::from_secs(1))),
        Refusal::CrlTime { .. }
    ));
}

#[test]
fn a_journal_is_created_once_and_opened_only_where_it_was_created() {
    let place = Place::empty();
    let missing = Journal::open(&place.dir, place.options()).unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    std::fs::DirBuilder::new().create(&place.dir).unwrap();
    let head = {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&place.dir, std::fs::Permissions::from_mode(0o700)).unwrap();
        let missing = Journal::open(&place.dir, place.options()).unwrap_err();
        assert!(matches!(missing, Error::Missing { .. }), "{missing}");
        create(&place.dir, &Floors::default(), NOW).unwrap()
    };
    let exists = create(&place.dir, &Floors::default(), NOW).unwrap_err();
    assert!(matches!(exists, Error::Exists { .. }), "{exists}");
    assert_eq!(place.open().head(), head);
    let other = Place::new();
    assert_ne!(other.open().head().identity, head.identity);
    // Bodies of another journal.
    std::fs::copy(other.file("bodies"), place.file("bodies")).unwrap();
    let (file, offset, _) = damage(Journal::open(&place.dir, place.options()));
    assert_eq!((file, offset), (place.file("bodies"), 0));
}

#[test]
fn floors_are_where_a_new_journal_begins() {
    let mut tree = Frontier::default();
    (0..5).for_each(|number| tree.push(leaf(number)));
    let floors = Floors {
        crls: vec![CrlFloor {
            issuer: issuer(),
            number: 7,
            this_update: NOW,
            next_update: after(DAY),
            digest: Hash::of(b"CRL"),
            listed: vec![listed(1, Reason::KeyCompromise)],
        }],
        log: Some(LogFloor {
            size: 5,
            root: tree.root(),
            frontier: tree.nodes().to_vec(),
        }),
    };
    let place = Place::with(&floors);
    let journal = place.open();
    let refused = refusal(journal.crl(7, &[], NOW));
    assert_eq!(refused, Refusal::CrlNumber { number: 7, last: 7 });
    let refused = refusal(journal.crl(8, &[], NOW));
    assert_eq!(refused, Refusal::RevocationDropped { serial: serial(1) });
    journal
        .crl(8, &[listed(1, Reason::KeyCompromise)], NOW)
        .unwrap();
    let taken = Refusal::SerialKnown { serial: serial(1) };
    assert_eq!(refusal(journal.certificate(1, NOW)), taken);
    refusal(journal.checkpoint(0, 3, NOW));
    journal.checkpoint(5, 6, NOW).unwrap();
    drop(journal);
    verify(&place.dir).unwrap();

    let mut wrong = floors.clone();
    wrong.log.as_mut().unwrap().root = leaf(9);
    let empty = Place::empty();
    let refused = refusal(create(&empty.dir, &wrong, NOW));
    assert!(matches!(refused, Refusal::Floor { .. }), "{refused}");
    let mut twice = floors.clone();
    twice.crls.extend(floors.crls);
    refusal(create(&empty.dir, &twice, NOW));
    assert!(!empty.dir.exists());
}

#[test]
fn certificates_are_kept_until_expiry_and_for_a_year() {
    let place = Place::new();
    let journal = place.open();
    journal.complete(1, NOW).unwrap();
    // One that is valid for two years.
    let request = CertificateRequest {
        issuer: issuer(),
        serial: &serial(3),
        not_after: after(2 * YEAR),
        form: "device",
        tbs: b"TBS of a long life",
    };
    journal.may_sign_certificate(&request, NOW).unwrap();
    journal.complete(2, after(5 * DAY)).unwrap();
    // Expired, but not a year old.
    for day in (10..=360).step_by(5) {
        let pending = journal.started(start(), true, after(day * DAY)).unwrap();
        pending.wait().unwrap();
    }
    let pruned = |journal: &Journal, seconds| journal.prune(after(seconds)).unwrap().certificates;
    let size = journal.head().size;
    assert_eq!(pruned(&journal, 362 * DAY), 0);
    assert_eq!(pruned(&journal, YEAR), 0);
    assert_eq!(journal.head().size, size);
    assert_eq!(pruned(&journal, YEAR + 1), 1);
    assert_eq!(pruned(&journal, YEAR + 1), 1);
    assert_eq!(journal.head().size, size + 1);
    let bodies = std::fs::read(place.file("bodies")).unwrap();
    let has = |needle: &[u8]| bodies.windows(needle.len()).any(|part| part == needle);
    assert!(!has(&tbs(1)) && !has(&signature(1)));
    assert!(has(&tbs(2)) && has(&signature(2)) && has(request.tbs));
    // What remains refuses another certificate, and its signature is gone.
    let refused = refusal(journal.complete(1, after(YEAR + 1)));
    assert_eq!(refused, Refusal::SignaturePruned { certificate: 1 });
    let found = journal.read(|state| state.not_after(&issuer(), &serial(1)));
    assert_eq!(found, Some(after(30 * DAY)));
    drop(journal);
    let journal = place.open();
    assert_eq!(journal.complete(2, after(YEAR + 1)).unwrap(), signature(2));
    assert_eq!(verify(&place.dir).unwrap().certificates(), 3);
    export(&place.dir, std::io::sink()).unwrap();
}

#[test]
fn nothing_is_pruned_for_a_day_after_an_accepted_jump_or_while_it_is_read() {
    let place = Place::new();
    let journal = place.open();
    journal.complete(1, NOW).unwrap();
    let to = after(YEAR + 1);
    journal.accept_clock(NOW, to, to).unwrap().wait().unwrap();
    let settling = Refusal::Settling { accepted: to };
    assert_eq!(refusal(journal.prune(after(YEAR + DAY))), settling);
    let reader = Files::read(&place.dir).unwrap();
    let being_read = journal.prune(after(YEAR + DAY + 1)).unwrap_err();
    assert!(
        matches!(being_read, Error::BeingRead { .. }),
        "{being_read}"
    );
    drop(reader);
    assert_eq!(
        journal.prune(after(YEAR + DAY + 1)).unwrap().certificates,
        1
    );
}

#[test]
fn what_is_too_large_or_not_a_name_is_refused() {
    let place = Place::new();
    let journal = place.open();
    let certificate = |form: &str, tbs: &[u8]| {
        let request = CertificateRequest {
            issuer: issuer(),
            serial: &serial(1),
            not_after: NOW,
            form,
            tbs,
        };
        refusal(journal.may_sign_certificate(&request, NOW))
    };
    let large = vec![0; crate::MAX_BODY + 1];
    let length = large.len();
    assert_eq!(certificate("device", &large), Refusal::TooLarge { length });
    for name in ["a\nb", &"n".repeat(65), "é"] {
        assert!(matches!(certificate(name, b"TBS"), Refusal::Name { .. }));
    }
    // Largest number of issuers.
    for number in 0..64_u8 {
        let known = [Known {
            serial: serial(1),
            not_after: NOW,
        }];
        let issuer = Hash::of(&[number]);
        journal
            .record_known(Origin::Recovery, issuer, &known, NOW)
            .unwrap();
    }
    let exhausted = Refusal::Exhausted { what: "issuers" };
    assert_eq!(certificate("device", b"TBS"), exhausted);
    assert_eq!(refusal(journal.crl(1, &[], NOW)), exhausted);
}

#[test]
fn the_digest_of_the_configuration_is_recorded_at_each_start_and_reload() {
    let place = Place::new();
    let journal = place.open();
    journal
        .started(start(), false, NOW)
        .unwrap()
        .wait()
        .unwrap();
    let other = Start {
        allow_same_user: true,
        configuration: Hash::of(b"other"),
        ..start()
    };
    let limits = Limits::unlimited().with(Limit::CertificatesPerHour, 0);
    let reload = journal.reloaded(other.clone(), limits, NOW).unwrap();
    reload.wait().unwrap();
    assert!(matches!(
        refusal(journal.certificate(1, NOW)),
        Refusal::Ceiling(_)
    ));
    let mut starts = Vec::new();
    let head = journal
        .entries(|_, entry| starts.push(entry.event.clone()))
        .unwrap();
    assert_eq!(head, journal.head());
    assert_eq!(
        starts[1..],
        [Event::Started(start()), Event::Reloaded(other.clone())]
    );
    drop(journal);
    assert_eq!(
        place.open().read(|state| state.start().cloned()),
        Some(other)
    );
}

#[test]
fn no_signature_is_recorded_of_a_certificate_that_a_suspension_overtook() {
    let place = Place::new();
    let journal = place.open();
    let at_the_token = journal.certificate(1, NOW).unwrap();
    let recorded = journal.certificate(2, NOW).unwrap();
    journal.complete(2, NOW).unwrap();
    journal.suspend(NOW).unwrap().wait().unwrap();
    let size = journal.head().size;
    let refused = refusal(journal.signed(at_the_token, &signature(1), NOW));
    assert_eq!(refused, Refusal::Suspended);
    assert_eq!(journal.head().size, size);
    // One that was recorded before is not a new certificate.
    let recorded = journal.signed(recorded, b"another", NOW).unwrap();
    assert!(matches!(recorded, Recorded::Earlier(first) if first == signature(2)));
    // It is not lost: the same TBS is signed when that is over.
    journal.resume(NOW).unwrap().wait().unwrap();
    journal.complete(1, NOW).unwrap();
}

#[test]
fn damage_to_one_signature_refuses_that_certificate_alone() {
    let place = Place::new();
    let journal = place.open();
    for number in 1..=2 {
        journal.complete(number, NOW).unwrap();
    }
    drop(journal);
    let mut files = contents(&place.dir);
    let needle = signature(1);
    let mut windows = files[1].windows(needle.len());
    let at = windows.position(|part| part == needle).unwrap();
    files[1][at] ^= 1;
    restore(&place.dir, &files);
    let journal = place.open();
    let refused = refusal(journal.certificate(1, NOW));
    assert!(
        matches!(&refused, Refusal::SignatureLost { problem } if problem.contains("bodies")),
        "{refused}"
    );
    assert!(!refused.is_temporary());
    assert_eq!(journal.complete(2, NOW).unwrap(), signature(2));
    journal.complete(3, NOW).unwrap();
    assert_eq!(journal.health().failed, None);
}

#[test]
fn nothing_is_pruned_until_a_time_that_has_not_come() {
    let mut state = State::new(Hash::of(b"identity"));
    let mut follow = |time: Timestamp, event: Event| {
        let entry = Entry { time, event };
        let payload = entry.encode();
        let after = chain(&state.head().hash, &payload);
        state
            .apply(&entry, payload.len(), after, None)
            .map_err(|fault| fault.0)
    };
    let created = Event::Created {
        identity: Hash::of(b"identity"),
        log: Frontier::default(),
    };
    follow(NOW, created).unwrap();
    let pruned = |until: Timestamp| Event::Pruned {
        until,
        certificates: 1,
    };
    follow(after(9), pruned(after(9))).unwrap();
    let refused = follow(after(10), pruned(after(11))).unwrap_err();
    assert!(refused.contains("not come"), "{refused}");
    // After a jump of the clock into the past it is the time of before.
    follow(after(5), pruned(after(9))).unwrap();
}

/// A serial number of the largest length.
fn long_serial(number: usize) -> Serial {
    let mut octets = [0x41; 20];
    octets[12..].copy_from_slice(&number.to_be_bytes());
    Serial::try_from(octets.as_slice()).unwrap()
}

#[test]
fn a_crl_that_drops_the_longest_list_and_has_as_many_new_entries_fits_and_is_read_again() {
    let count = tier::size("entries of a CRL");
    let place = Place::new();
    let journal = place.open();
    let known = |number| Known {
        serial: long_serial(number),
        not_after: NOW - Duration::from_secs(1),
    };
    for numbers in [0..count, count..2 * count] {
        let known: Vec<Known> = numbers.map(known).collect();
        let recorded = journal.record_known(Origin::Recovery, issuer(), &known, NOW);
        recorded.unwrap().unwrap().wait().unwrap();
    }
    let listed = |numbers: std::ops::Range<usize>| -> Vec<Listed> {
        let listed = numbers.map(|number| Listed {
            serial: long_serial(number),
            reason: Reason::Superseded,
            date: NOW,
        });
        listed.collect()
    };
    journal.crl(1, &listed(0..count), NOW).unwrap();
    journal.crl(2, &listed(count..2 * count), NOW).unwrap();
    drop(journal);
    let journal = place.open();
    let body = contents(&place.dir)[1].len();
    assert!(body > 3 * 31 * count);
    if count == assay_types::MAX_CRL_ENTRIES as usize {
        assert_eq!(crate::MAX_BODY, 2 * 31 * count);
    }
    // The list is the last one, entry by entry.
    let mut others = listed(count..2 * count);
    others[count - 1].date = NOW - Duration::from_secs(1);
    let altered = refusal(journal.crl(3, &others, NOW));
    let serial = long_serial(2 * count - 1);
    assert_eq!(altered, Refusal::RevocationAltered { serial });
    others[count - 1].date = NOW;
    journal.crl(3, &others, NOW).unwrap();
}
