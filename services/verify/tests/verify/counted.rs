//! Counts of requests that have no record of their own.

use std::time::Duration;

use assay_audit::{Event, MAX_SIGNER_KEYS, RequestClass};
use assay_types::TimestampMillis;
use assay_verify::{Check, Verdict};

use crate::honest::assert_verdict;
use crate::maker::{Maker, files};

/// A count of a tenth of a second, which ended `ago` milliseconds before it is recorded.
struct Count {
    class: RequestClass,
    ago: u64,
    requests: u64,
    signer_keys: u64,
    more: bool,
}

const COUNT: Count = Count {
    class: RequestClass::Replayed,
    ago: 100,
    requests: 300,
    signer_keys: MAX_SIGNER_KEYS,
    more: true,
};

fn started() -> Maker {
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    maker.pass(600_000);
    maker
}

fn record(maker: &mut Maker, count: &Count) {
    let to_ms = TimestampMillis::from(maker.now()) - Duration::from_millis(count.ago);
    maker.record(Event::RequestsCounted {
        peer: "assay://frontend/dmz1".into(),
        class: count.class,
        profile: Some("devices".into()),
        from_ms: to_ms - Duration::from_millis(100),
        to_ms,
        requests: count.requests,
        signer_keys: count.signer_keys,
        more_signer_keys: count.more,
    });
}

fn is_found(counts: &[Count], member: &str) {
    let mut maker = started();
    for count in counts {
        record(&mut maker, count);
    }
    let report = maker.parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    let found: Vec<_> = report.bad.iter().map(|finding| finding.check).collect();
    assert_eq!(found, [Check::Counted], "{member}");
    assert_eq!(report.bad[0].member, member);
}

#[test]
fn counts_that_follow_each_other_are_no_fault() {
    let mut maker = started();
    for _ in 0..3 {
        record(&mut maker, &COUNT);
        maker.pass(1_000);
    }
    record(
        &mut maker,
        &Count {
            class: RequestClass::Unverified,
            signer_keys: 0,
            more: false,
            ..COUNT
        },
    );
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
}

#[test]
fn sums_that_cannot_be_are_found() {
    let sums = [
        (RequestClass::Replayed, 0, 0, false, "requests"),
        (RequestClass::Replayed, 3, 4, false, "signer_keys"),
        (RequestClass::Replayed, 3, 0, false, "signer_keys"),
        (RequestClass::Unverified, 3, 1, false, "signer_keys"),
        (RequestClass::Replayed, 3, 3, true, "more_signer_keys"),
        (RequestClass::Replayed, 256, 256, true, "more_signer_keys"),
    ];
    for (class, requests, signer_keys, more, member) in sums {
        let count = Count {
            class,
            requests,
            signer_keys,
            more,
            ..COUNT
        };
        let mut maker = started();
        record(&mut maker, &count);
        let report = maker.parts.export().verify();
        assert_verdict(&report, Verdict::Bad);
        let members: Vec<&str> = report.bad.iter().map(|it| it.member.as_str()).collect();
        assert!(members.contains(&member), "{member}: {members:?}");
        assert!(report.bad.iter().all(|it| it.check == Check::Counted));
    }
}

#[test]
fn a_count_of_a_time_that_was_counted_before_or_before_the_run_is_found() {
    let earlier = |ago| Count { ago, ..COUNT };
    is_found(&[COUNT, earlier(300_000)], "from_ms");
    is_found(&[earlier(900_000)], "from_ms");
}
