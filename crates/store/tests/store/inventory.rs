use assay_store::{
    ChangeRequest, Consume, InventoryItem, InventoryQuery, NO_CHANGES, PermitOutcome,
    RemoveOutcome, Reserve,
};
use assay_types::Hash;

use crate::support::*;

fn by_operator() -> ChangeRequest {
    ChangeRequest {
        profile: "fleet".to_owned(),
        by: "assay://operator/a".to_owned(),
        at: NOW,
    }
}

fn items(names: std::ops::Range<u32>) -> Vec<InventoryItem> {
    names
        .map(|number| InventoryItem {
            name: format!("device {number:05}"),
            spki_sha256: number
                .is_multiple_of(2)
                .then(|| digest(&number.to_string())),
        })
        .collect()
}

fn of(profile: &str) -> InventoryQuery {
    InventoryQuery {
        profile: profile.to_owned(),
        ..InventoryQuery::default()
    }
}

#[tokio::test]
async fn ten_thousand_names_are_added_and_those_present_are_only_counted() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let add = |names| store.add_inventory(by_operator(), items(names), |_| clock_step());
    let first = add(0..10_000).await.unwrap();
    assert_eq!((first.changed, first.unchanged), (10_000, 0));
    let second = add(9_999..10_002).await.unwrap();
    assert_eq!((second.changed, second.unchanged), (2, 1));
    let third = add(0..3).await.unwrap();
    assert_eq!(
        (third.changed, third.unchanged, third.head),
        (0, 3, second.head)
    );

    let page = store.list_inventory(InventoryQuery {
        after: Some("device 09998".to_owned()),
        rows: 2,
        ..of("fleet")
    });
    let page = page.await.unwrap();
    assert_eq!(page.next.as_deref(), Some("device 10000"));
    let rows = page.rows;
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["device 09999", "device 10000"]);
    assert_eq!(rows[0].spki_sha256, None);
    assert_eq!(rows[1].spki_sha256, Some(digest("10000")));
    // Beyond the rows that one page looks through.
    let page = store.list_inventory(InventoryQuery {
        name: Some("device 10001".to_owned()),
        ..of("fleet")
    });
    let page = page.await.unwrap();
    let names: Vec<_> = page.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((names, page.next), (vec!["device 10001"], None));
    let other = store.list_inventory(of("other")).await.unwrap();
    assert_eq!((other.rows, other.next), (vec![], None));
}

#[tokio::test]
async fn the_head_is_the_chain_over_all_changes_and_goes_into_the_record() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    assert_eq!(inventory_head(store).await, NO_CHANGES);
    let (seen, told) = tokio::sync::oneshot::channel();
    store
        .add_inventory(by_operator(), items(0..2), |change| {
            seen.send(change.head).unwrap();
            clock_step()
        })
        .await
        .unwrap();
    assert_eq!(told.await.unwrap(), inventory_head(store).await);
    store
        .add_inventory(by_operator(), items(2..3), |_| clock_step())
        .await
        .unwrap();

    let changes = store.inventory_changes("fleet".to_owned(), 0, 9, 9).await;
    let chained = changes.unwrap().iter().fold(Hash::ZERO, |hash, change| {
        Hash::of(&[hash.as_bytes().as_slice(), change.content.as_bytes()].concat())
    });
    let head = inventory_head(store).await;
    assert_eq!((head.sequence, head.hash), (2, chained));
}

#[tokio::test]
async fn a_reset_lets_a_used_name_issue_once_more() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    store
        .insert_challenges(vec![static_challenge("s")], vec![])
        .await
        .unwrap();
    store
        .add_inventory(by_operator(), items(0..2), |_| clock_step())
        .await
        .unwrap();
    let name = "device 00000".to_owned();
    let consume = Consume::Static {
        id: "s".to_owned(),
        name: name.clone(),
    };
    store.permit(permit(1, consume.clone())).await.unwrap();
    store.complete(completion(1)).await.unwrap();

    let names = vec![name.clone(), "device 00001".to_owned(), "nobody".to_owned()];
    let reset = store
        .reset_inventory(by_operator(), names, |_| clock_step())
        .await
        .unwrap();
    assert_eq!((reset.changed, reset.unchanged), (1, 2));
    let row = store
        .find_inventory("fleet".to_owned(), name)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.serial, None);
    let outcome = store.permit(permit(2, consume.clone())).await.unwrap();
    assert!(matches!(outcome, PermitOutcome::Recorded { .. }));

    // An intent given up frees the name as it frees a challenge: once.
    for (number, freed) in [(2, true), (3, false)] {
        store
            .fail_intent(serial(number), NOW, true, vec![clock_step()])
            .await
            .unwrap();
        let outcome = store
            .permit(permit(number + 1, consume.clone()))
            .await
            .unwrap();
        assert_eq!(
            matches!(outcome, PermitOutcome::Recorded { .. }),
            freed,
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn names_are_struck_off_together_and_the_chain_tells_of_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let added = store
        .add_inventory(by_operator(), items(0..3), |_| clock_step())
        .await
        .unwrap();
    let remove = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        store.remove_inventory(by_operator(), names, |_| clock_step())
    };
    let refused = remove(&["device 00001", "nobody", "no one"]).await.unwrap();
    let names = vec!["no one".to_owned(), "nobody".to_owned()];
    assert_eq!(refused, RemoveOutcome::Unknown { names });
    let head = inventory_head(store).await;
    assert_eq!(head, added.head);

    let removed = remove(&["device 00000", "device 00001"]).await.unwrap();
    let RemoveOutcome::Removed(change) = removed else {
        panic!("{removed:?}");
    };
    assert_eq!((change.changed, change.head.sequence), (2, 2));
    let left = store.list_inventory(of("fleet"));
    let left = left.await.unwrap().rows;
    assert_eq!(left.len(), 1);
    let changes = store.inventory_changes("fleet".to_owned(), 1, 2, 1).await;
    let content = changes.unwrap().remove(0).content;
    for part in ["\"remove\"", "device 00000", "device 00001"] {
        assert!(content.contains(part), "{content}");
    }
}

#[tokio::test]
async fn a_name_stays_while_a_request_or_an_intent_holds_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    store
        .insert_challenges(vec![static_challenge("s")], vec![])
        .await
        .unwrap();
    store
        .add_inventory(by_operator(), items(0..2), |_| clock_step())
        .await
        .unwrap();
    let of = |number: u32| format!("device {number:05}");
    let remove = |number| {
        let names = [of(number)].into();
        store.remove_inventory(by_operator(), names, |_| clock_step())
    };
    let reserve = Reserve::Static {
        id: "s".to_owned(),
        name: of(0),
    };
    let waiting = pending(1, reserve);
    let pending_id = waiting.id.clone();
    store.queue(waiting).await.unwrap();
    let name = of(0);
    let reserved = RemoveOutcome::Reserved { name, pending_id };
    assert_eq!(remove(0).await.unwrap(), reserved);

    let consume = Consume::Static {
        id: "s".to_owned(),
        name: of(1),
    };
    store.permit(permit(2, consume)).await.unwrap();
    let being_issued = RemoveOutcome::BeingIssued {
        name: of(1),
        serial: serial(2),
    };
    assert_eq!(remove(1).await.unwrap(), being_issued);
    store.complete(completion(2)).await.unwrap();
    let removed = remove(1).await.unwrap();
    assert!(matches!(removed, RemoveOutcome::Removed(_)), "{removed:?}");
}
