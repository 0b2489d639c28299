use assay_store::NewPolicy;

use crate::support::*;

fn policy(content: &str) -> NewPolicy {
    NewPolicy {
        file_hash: digest(content),
        model_hash: digest("model"),
        profiles: vec!["devices".to_owned(), "fleet".to_owned()],
        files: vec![
            ("fleet.toml".to_owned(), b"fleet".to_vec()),
            ("devices.toml".to_owned(), content.as_bytes().to_vec()),
        ],
        activated_at: NOW,
        activated_by: "assay://operator/a".to_owned(),
    }
}

#[tokio::test]
async fn the_latest_policy_is_in_force_and_its_number_only_rises() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.active_policy().await.unwrap(), None);
    for (number, content) in [(1, "old"), (2, "new"), (3, "old")] {
        let (seen, told) = tokio::sync::oneshot::channel();
        let audit = |number| {
            seen.send(number).unwrap();
            clock_step()
        };
        let assigned = fixture
            .store
            .activate_policy(policy(content), audit)
            .await
            .unwrap();
        assert_eq!((assigned, told.await.unwrap()), (number, number));
    }
    let fixture = fixture.reopen();
    let active = fixture.store.active_policy().await.unwrap().unwrap();
    assert_eq!((active.info.number, active.info.active), (3, true));
    assert_eq!(active.info.file_hash, digest("old"));
    assert_eq!(active.info.profiles, ["devices", "fleet"]);
    let wanted = [
        ("devices.toml".to_owned(), b"old".to_vec()),
        ("fleet.toml".to_owned(), b"fleet".to_vec()),
    ];
    assert_eq!(active.files, wanted);
    let listed = fixture.store.list_policies().await.unwrap();
    let numbers: Vec<_> = listed
        .iter()
        .map(|info| (info.number, info.active))
        .collect();
    assert_eq!(numbers, [(3, true), (2, false), (1, false)]);
}
