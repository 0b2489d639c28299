//! Renewals as a tree, and revocations that reach all of it.

use std::collections::BTreeSet;

use assay_store::{
    Completed, Consume, CrlReason, LineageRevocation, LineageRevoked, PermitOutcome, RevokeOutcome,
    StoreError, Successors,
};
use assay_types::Serial;
use tokio::task::JoinSet;

use crate::support::*;

fn renewal(old: u64) -> Consume {
    Consume::Renewal {
        old: serial(old),
        revoke_after: None,
        challenge: None,
    }
}

impl Fixture {
    /// Certificate `new`, which renews `old`.
    async fn renewed(&self, old: u64, new: u64) {
        let outcome = self.store.permit(permit(new, renewal(old))).await.unwrap();
        assert!(
            matches!(outcome, PermitOutcome::Recorded { .. }),
            "{outcome:?}"
        );
        let done = self.store.complete(completion(new)).await.unwrap();
        assert!(matches!(done, Completed::Issued { .. }), "{done:?}");
    }

    async fn descendants(&self, of: u64) -> Vec<Serial> {
        let page = self
            .store
            .list_descendants(serial(of), None, 0)
            .await
            .unwrap();
        assert_eq!(page.next, None);
        page.rows.into_iter().map(|row| row.serial).collect()
    }

    async fn revoke_all(&self, of: u64, reason: CrlReason) -> LineageRevoked {
        let revocation = revocation(of, reason);
        let revoked = self.store.revoke_lineage(revocation, |_, _| clock_step());
        revoked.await.unwrap()
    }
}

fn revocation(of: u64, reason: CrlReason) -> LineageRevocation {
    LineageRevocation {
        serial: serial(of),
        reason,
        at: NOW + secs(1),
    }
}

fn successors(numbers: &[u64]) -> Successors {
    Successors {
        certificates: numbers
            .iter()
            .map(|number| (serial(*number), "ca".to_owned()))
            .collect(),
        more: false,
    }
}

/// 1 was renewed by 2 and by 3, 3 by 4, and 4 by 5; 9 is of nobody's line.
async fn family() -> Fixture {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    fixture.issued(9).await;
    for (old, new) in [(1, 2), (1, 3), (3, 4), (4, 5)] {
        fixture.renewed(old, new).await;
    }
    fixture
}

#[tokio::test]
async fn ancestors_are_listed_from_the_nearest_and_descendants_after_what_they_renew_in_pages() {
    let fixture = family().await;
    let open = permit(6, renewal(5));
    fixture.store.permit(open).await.unwrap();
    let ancestors = fixture.store.ancestors(serial(5)).await.unwrap();
    let ancestors: Vec<_> = ancestors.into_iter().map(|row| row.serial).collect();
    assert_eq!(ancestors, [serial(4), serial(3), serial(1)]);
    assert_eq!(fixture.store.ancestors(serial(1)).await.unwrap(), []);
    assert_eq!(fixture.descendants(1).await, [2, 3, 4, 5, 6].map(serial));
    assert_eq!(fixture.descendants(3).await, [4, 5, 6].map(serial));
    assert_eq!(fixture.descendants(9).await, []);
    assert_eq!(fixture.descendants(77).await, []);

    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = fixture
            .store
            .list_descendants(serial(1), after, 2)
            .await
            .unwrap();
        assert!(page.rows.len() <= 2);
        seen.extend(page.rows.into_iter().map(|row| row.serial));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [2, 3, 4, 5, 6].map(serial));
}

#[tokio::test]
async fn a_revocation_reaches_each_live_descendant_in_one_transaction_with_a_record_each() {
    let fixture = family().await;
    let store = &fixture.store;
    store
        .revoke(serial(3), CrlReason::Superseded, NOW, vec![])
        .await
        .unwrap();
    store.hold(serial(4), NOW, vec![]).await.unwrap();
    let expected = revocation(1, CrlReason::KeyCompromise);
    let live = store.live_successors(expected).await.unwrap();
    assert_eq!(live, successors(&[2, 4, 5]));
    let before = store.counts().await.unwrap().audit_records;

    let revoked = fixture.revoke_all(1, CrlReason::KeyCompromise).await;
    assert_eq!(revoked.outcome, RevokeOutcome::Revoked);
    assert_eq!(revoked.successors, successors(&[2, 4, 5]));
    assert_eq!(store.counts().await.unwrap().audit_records, before + 4);
    for (number, reason) in [
        (1, CrlReason::KeyCompromise),
        (2, CrlReason::KeyCompromise),
        (3, CrlReason::Superseded),
        (4, CrlReason::KeyCompromise),
        (5, CrlReason::KeyCompromise),
    ] {
        let row = fixture.certificate(number).await;
        assert_eq!(row.revocation_reason, Some(reason), "{number}");
    }
    assert_eq!(fixture.certificate(4).await.revoked_at, Some(NOW));
    assert_eq!(fixture.certificate(9).await.revoked_at, None);

    let again = fixture.revoke_all(1, CrlReason::KeyCompromise).await;
    assert_eq!(again.outcome, RevokeOutcome::AlreadyRevoked);
    assert_eq!(again.successors, Successors::default());
    fixture.holds().await;
}

#[tokio::test]
async fn a_hold_reaches_what_is_in_force_and_a_later_revocation_reaches_it_all() {
    let fixture = family().await;
    fixture
        .store
        .revoke(serial(2), CrlReason::Superseded, NOW, vec![])
        .await
        .unwrap();
    let held = fixture.revoke_all(1, CrlReason::CertificateHold).await;
    assert_eq!(held.successors, successors(&[3, 4, 5]));
    let again = fixture.revoke_all(1, CrlReason::CertificateHold).await;
    assert_eq!(again.outcome, RevokeOutcome::AlreadyRevoked);
    assert_eq!(again.successors, Successors::default());
    let revoked = fixture.revoke_all(1, CrlReason::KeyCompromise).await;
    assert_eq!(revoked.successors, successors(&[3, 4, 5]));
}

#[tokio::test]
async fn what_is_not_issued_or_not_there_has_no_line_to_revoke() {
    let fixture = family().await;
    fixture.store.permit(permit(6, renewal(5))).await.unwrap();
    let before = fixture.store.counts().await.unwrap().audit_records;
    for (of, outcome) in [(6, RevokeOutcome::NotIssued), (77, RevokeOutcome::NotFound)] {
        let revoked = fixture.revoke_all(of, CrlReason::KeyCompromise).await;
        assert_eq!(revoked.outcome, outcome);
    }
    assert_eq!(fixture.store.counts().await.unwrap().audit_records, before);
}

#[tokio::test]
async fn an_expired_descendant_is_not_live() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    let mut short = permit(2, renewal(1));
    short.intent.not_after = NOW;
    fixture.store.permit(short).await.unwrap();
    fixture.store.complete(completion(2)).await.unwrap();
    fixture.renewed(1, 3).await;
    let live = fixture
        .store
        .live_successors(revocation(1, CrlReason::KeyCompromise));
    assert_eq!(live.await.unwrap(), successors(&[3]));
}

#[tokio::test]
async fn without_their_records_neither_the_certificate_nor_its_descendants_are_revoked() {
    let fixture = family().await;
    fixture.break_log();
    let revocation = revocation(1, CrlReason::KeyCompromise);
    let refused = fixture
        .store
        .revoke_lineage(revocation, |_, _| clock_step());
    assert!(matches!(refused.await, Err(StoreError::Altered(_))));
    for number in 1..=5 {
        assert_eq!(
            fixture.certificate(number).await.revoked_at,
            None,
            "{number}"
        );
    }
}

#[tokio::test]
async fn a_renewal_at_work_issues_nothing_once_its_predecessor_is_revoked_or_held() {
    let fixture = family().await;
    let store = &fixture.store;
    for number in [10, 11] {
        store.permit(permit(number, renewal(5))).await.unwrap();
    }
    let held = fixture.revoke_all(1, CrlReason::CertificateHold).await;
    assert_eq!(held.successors, successors(&[2, 3, 4, 5]));
    let old = serial(5);
    let refused = store.complete(completion(10)).await.unwrap();
    assert_eq!(refused, Completed::OldRevoked { old: old.clone() });
    assert!(fixture.certificate(10).await.der.is_none());
    assert_eq!(store.find_reply(digest("request 10")).await.unwrap(), None);
    assert_eq!(fixture.certificate(5).await.superseded_by, None);

    // A hold that was ended lets the intent end as it began.
    store.release(serial(5), vec![]).await.unwrap();
    let issued = store.complete(completion(10)).await.unwrap();
    assert!(matches!(issued, Completed::Issued { .. }));
    fixture.revoke_all(1, CrlReason::KeyCompromise).await;
    let refused = store.complete(completion(11)).await.unwrap();
    assert_eq!(refused, Completed::OldRevoked { old });
    let given_up = store.fail_intent(serial(11), NOW, true, vec![]);
    given_up.await.unwrap();
    let permitted = store.permit(permit(12, renewal(10))).await.unwrap();
    assert_eq!(permitted, PermitOutcome::OldRevoked);
}

#[tokio::test]
async fn of_a_hundred_parallel_renewals_of_a_certificate_that_renews_once_one_is_recorded() {
    let fixture = Fixture::new();
    fixture.issued(1).await;
    let mut tasks = JoinSet::new();
    for number in 100..200 {
        let store = fixture.store.clone();
        let mut write = permit(number, renewal(1));
        write.renewal.once = true;
        tasks.spawn(async move { (serial(number), store.permit(write).await.unwrap()) });
    }
    let outcomes = tasks.join_all().await;
    let (recorded, refused): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|(_, outcome)| matches!(outcome, PermitOutcome::Recorded { .. }));
    let recorded: BTreeSet<_> = recorded.into_iter().map(|(serial, _)| serial).collect();
    assert_eq!((recorded.len(), refused.len()), (1, 99));
    let first = recorded.into_iter().next().unwrap();
    for (_, outcome) in refused {
        let serial = first.clone();
        assert_eq!(outcome, PermitOutcome::OldRenewed { serial });
    }
}

#[tokio::test]
async fn the_one_renewal_is_there_again_after_it_came_to_nothing_and_not_after_its_revocation() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    fixture.issued(1).await;
    let once = |number| {
        let mut write = permit(number, renewal(1));
        write.renewal.once = true;
        write
    };
    store.permit(once(2)).await.unwrap();
    store
        .fail_intent(serial(2), NOW, true, vec![])
        .await
        .unwrap();
    let second = store.permit(once(3)).await.unwrap();
    assert!(
        matches!(second, PermitOutcome::Recorded { .. }),
        "{second:?}"
    );
    store.complete(completion(3)).await.unwrap();
    store
        .revoke(serial(3), CrlReason::Superseded, NOW, vec![])
        .await
        .unwrap();
    let serial = serial(3);
    let third = store.permit(once(4)).await.unwrap();
    assert_eq!(third, PermitOutcome::OldRenewed { serial });
}
