use assay_store::{
    ActivateOutcome, Consume, NewPolicy, PermitOutcome, PermitWrite, PolicyQuery, Stop,
};
use assay_types::{Hash, Timestamp};

use crate::support::*;

fn text(number: u64) -> Vec<u8> {
    format!("proposal {number}").into_bytes()
}

fn policy(number: u64, content: &str) -> NewPolicy {
    NewPolicy {
        number,
        predecessor: (number > 1).then(|| Hash::of(&text(number - 1))),
        file_hash: digest(content),
        model_hash: digest("model"),
        profiles: vec!["devices".to_owned(), "fleet".to_owned()],
        files: vec![
            ("fleet.toml".to_owned(), b"fleet".to_vec()),
            ("devices.toml".to_owned(), content.as_bytes().to_vec()),
        ],
        proposal: text(number),
        author: "author".to_owned(),
        author_signature: b"author's".to_vec(),
        approvers: vec!["approver-1".to_owned(), "approver-2".to_owned()],
        approvals: vec![b"second's".to_vec(), b"first's".to_vec()],
        resumes: Vec::new(),
        not_before: NOW,
        activated_at: NOW,
        activated_by: "assay://operator/a".to_owned(),
    }
}

async fn activate(fixture: &Fixture, policy: NewPolicy) -> (ActivateOutcome, Option<Vec<String>>) {
    let (seen, told) = tokio::sync::oneshot::channel();
    let outcome = fixture
        .store
        .activate_policy(policy, move |resumed| {
            seen.send(resumed).unwrap();
            clock_step()
        })
        .await
        .unwrap();
    (outcome, told.await.ok())
}

#[tokio::test]
async fn the_latest_policy_is_in_force_and_is_kept_with_all_that_was_signed() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.active_policy().await.unwrap(), None);
    for (number, content) in [(1, "old"), (2, "new"), (3, "old")] {
        let (outcome, resumed) = activate(&fixture, policy(number, content)).await;
        assert_eq!(outcome, ActivateOutcome::Activated);
        assert_eq!(resumed, Some(Vec::new()));
    }
    let fixture = fixture.reopen();
    let active = fixture.store.active_policy().await.unwrap().unwrap();
    assert_eq!((active.info.number, active.info.active), (3, true));
    assert_eq!(active.info.file_hash, digest("old"));
    assert_eq!(active.info.profiles, ["devices", "fleet"]);
    assert_eq!(active.info.proposal, text(3));
    assert_eq!(active.info.approvers, ["approver-1", "approver-2"]);
    assert_eq!(active.approvals, policy(3, "old").approvals);
    assert_eq!(active.author_signature, b"author's");
    let wanted = [
        ("devices.toml".to_owned(), b"old".to_vec()),
        ("fleet.toml".to_owned(), b"fleet".to_vec()),
    ];
    assert_eq!(active.files, wanted);
    let second = fixture.store.policy(2).await.unwrap().unwrap();
    assert_eq!((second.info.number, second.info.active), (2, false));
    assert_eq!(fixture.store.policy(4).await.unwrap(), None);
    let listed = fixture
        .store
        .list_policies(PolicyQuery::default())
        .await
        .unwrap()
        .rows;
    let numbers: Vec<_> = listed
        .iter()
        .map(|info| (info.number, info.active))
        .collect();
    assert_eq!(numbers, [(3, true), (2, false), (1, false)]);
}

#[tokio::test]
async fn a_version_that_does_not_follow_the_one_in_force_changes_nothing() {
    let fixture = Fixture::new();
    activate(&fixture, policy(1, "first")).await;
    let other = NewPolicy {
        predecessor: Some(digest("another")),
        ..policy(2, "other")
    };
    for wrong in [policy(1, "again"), policy(3, "ahead"), other] {
        let before = fixture.store.counts().await.unwrap().audit_records;
        let (outcome, told) = activate(&fixture, wrong).await;
        assert_eq!((outcome, told), (ActivateOutcome::NotNext, None));
        assert_eq!(fixture.store.counts().await.unwrap().audit_records, before);
    }
    let active = fixture.store.active_policy().await.unwrap().unwrap();
    assert_eq!(active.info.file_hash, digest("first"));
}

#[tokio::test]
async fn of_two_activations_of_one_number_one_loses() {
    let fixture = Fixture::new();
    activate(&fixture, policy(1, "first")).await;
    let (a, b) = tokio::join!(
        activate(&fixture, policy(2, "a")),
        activate(&fixture, policy(2, "b"))
    );
    let mut outcomes = [a.0, b.0];
    outcomes.sort_by_key(|outcome| *outcome == ActivateOutcome::NotNext);
    assert_eq!(
        outcomes,
        [ActivateOutcome::Activated, ActivateOutcome::NotNext]
    );
}

fn stop(profile: &str, at: Timestamp) -> Stop {
    Stop {
        profile: profile.to_owned(),
        reason: "a stolen laptop".to_owned(),
        stopped_at: at,
        stopped_by: "assay://operator/a".to_owned(),
    }
}

#[tokio::test]
async fn a_stop_holds_over_a_restart_until_a_version_of_after_it_resumes_it() {
    let fixture = Fixture::new();
    activate(&fixture, policy(1, "first")).await;
    for (profile, at, new) in [
        ("devices", NOW, true),
        ("devices", NOW + secs(5), false),
        ("fleet", NOW + secs(9), true),
    ] {
        let stopped = fixture.store.stop_profile(stop(profile, at), clock_step());
        assert_eq!(stopped.await.unwrap(), new);
    }
    activate(&fixture, policy(2, "second")).await;
    let fixture = fixture.reopen();
    let stopped = [stop("devices", NOW), stop("fleet", NOW + secs(9))];
    assert_eq!(fixture.store.stops().await.unwrap(), stopped);
    let resuming = NewPolicy {
        resumes: vec!["devices".to_owned(), "fleet".to_owned()],
        ..policy(3, "third")
    };
    let (_, resumed) = activate(&fixture, resuming).await;
    assert_eq!(resumed, Some(vec!["devices".to_owned()]));
    assert_eq!(
        fixture.store.stops().await.unwrap(),
        [stop("fleet", NOW + secs(9))]
    );
}

fn decided() -> PermitWrite {
    permit(
        1,
        Consume::OneTime {
            id: "one".to_owned(),
        },
    )
}

#[tokio::test]
async fn what_was_decided_before_a_stop_or_under_another_version_is_not_permitted_after_it() {
    let fixture = Fixture::new();
    let model_hash = decided().intent.policy_hash;
    let first = NewPolicy {
        model_hash,
        ..policy(1, "first")
    };
    activate(&fixture, first).await;
    let other = NewPolicy {
        model_hash: digest("other model"),
        ..policy(2, "second")
    };
    activate(&fixture, other).await;
    let outcome = fixture.store.permit(decided()).await.unwrap();
    assert_eq!(outcome, PermitOutcome::PolicyChanged);
    let back = NewPolicy {
        model_hash,
        ..policy(3, "third")
    };
    activate(&fixture, back).await;
    let profile = decided().intent.profile;
    fixture
        .store
        .stop_profile(stop(&profile, NOW), clock_step())
        .await
        .unwrap();
    let outcome = fixture.store.permit(decided()).await.unwrap();
    assert_eq!(outcome, PermitOutcome::Stopped);
}
