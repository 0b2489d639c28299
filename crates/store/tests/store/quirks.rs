use assay_store::QuirkUse;

use crate::support::*;

fn quirk(profile: &str, device: &str, at: i64) -> QuirkUse {
    QuirkUse {
        profile: profile.to_owned(),
        quirk: "allow_sha1".to_owned(),
        device: device.to_owned(),
        at,
    }
}

#[tokio::test]
async fn uses_of_an_exception_are_counted_by_device() {
    let fixture = Fixture::new();
    let uses = vec![
        quirk("devices", "CN=b", NOW),
        quirk("devices", "CN=a", NOW),
        quirk("fleet", "CN=a", NOW),
        quirk("devices", "CN=b", NOW + 1),
    ];
    fixture.store.note_quirks(uses).await.unwrap();
    let later = vec![quirk("devices", "CN=b", NOW + 2)];
    fixture.store.note_quirks(later).await.unwrap();

    let fixture = fixture.reopen();
    let list =
        |profile: Option<&str>, asked| fixture.store.list_quirks(profile.map(str::to_owned), asked);
    let rows = list(Some("devices"), 0).await.unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.device.as_str(), row.uses, row.first_at, row.last_at))
        .collect();
    assert_eq!(rows, [("CN=a", 1, NOW, NOW), ("CN=b", 3, NOW, NOW + 2)]);
    assert_eq!(list(None, 0).await.unwrap().len(), 3);
    assert_eq!(list(None, 2).await.unwrap().len(), 2);
}
