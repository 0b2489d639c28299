//! A disk without room, on a file system of a few MiB.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use assay_store::{Consume, CrlReason, Options, RevokeOutcome, Stop, Store, StoreError};

use crate::support::*;

const NAME: &str =
    "full::a_full_disk_leaves_room_for_revocations_and_stops_until_there_is_space_again";
const INSIDE: &str = "ASSAY_STORE_ON_TMPFS";
const RESERVE: u64 = 1 << 20;

fn stop(number: u64) -> Stop {
    Stop {
        profile: format!("profile-{number}"),
        reason: "a device was stolen".to_owned(),
        stopped_at: NOW,
        stopped_by: "assay://operator/a".to_owned(),
    }
}

/// Takes all the room that there is.
fn fill(directory: &Path) {
    let mut file = File::create(directory.join("filler")).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        let some = vec![0; size];
        while file.write_all(&some).is_ok() {}
    }
}

async fn issued(store: &Store, number: u64) {
    let name = format!("challenge {number}");
    store
        .insert_challenges(vec![one_time(&name)], vec![clock_step()])
        .await
        .unwrap();
    let consume = Consume::OneTime { id: name };
    store.permit(permit(number, consume)).await.unwrap();
    store.complete(completion(number)).await.unwrap();
}

async fn on_a_small_disk(directory: &Path) {
    let path = path(directory);
    let options = Options {
        reserve: RESERVE,
        ..Options::default()
    };
    let reserve = directory.join("signer.db.reserve");
    let held = || std::fs::metadata(&reserve).unwrap().len();
    let store = Store::create(&path, &key(), &options).unwrap();
    for number in 0..3 {
        issued(&store, number).await;
    }
    store.probe().await.unwrap();
    assert_eq!(held(), RESERVE);
    fill(directory);

    let refused = store.probe().await.unwrap_err();
    assert!(matches!(refused, StoreError::DiskLow), "{refused:?}");
    assert_eq!(held(), 0);
    let challenge = store.insert_challenges(vec![one_time("c")], vec![clock_step()]);
    assert!(matches!(challenge.await, Err(StoreError::DiskLow)));
    for number in 0..3 {
        let reason = CrlReason::KeyCompromise;
        let revoked = store.revoke(serial(number), reason, NOW, vec![clock_step()]);
        assert_eq!(revoked.await.unwrap(), RevokeOutcome::Revoked);
    }
    // As many as the reserve is for, by its size.
    for number in 0..RESERVE / (assay_store::RESERVE / assay_store::URGENT_CHANGES) {
        assert!(
            store
                .stop_profile(stop(number), clock_step())
                .await
                .unwrap()
        );
    }

    std::fs::remove_file(directory.join("filler")).unwrap();
    store.probe().await.unwrap();
    assert_eq!(held(), RESERVE);
    let challenge = store.insert_challenges(vec![one_time("c")], vec![clock_step()]);
    challenge.await.unwrap();

    // A start finds the disk full, and writes what a start has to write.
    let stops = store.stops().await.unwrap();
    // SQLite gives the space of the WAL back at the end.
    drop(store);
    fill(directory);
    let store = Store::open(&path, &key(), &options).unwrap();
    assert_eq!(store.stops().await.unwrap(), stops);
    store.append_audit(vec![clock_step()]).await.unwrap();
    store.probe().await.unwrap_err();
    let refused = store.append_audit(vec![clock_step()]).await.unwrap_err();
    assert!(matches!(refused, StoreError::DiskLow), "{refused:?}");
    assert!(store.stop_profile(stop(1_000), clock_step()).await.unwrap());
}

#[tokio::test]
async fn a_full_disk_leaves_room_for_revocations_and_stops_until_there_is_space_again() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return on_a_small_disk(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=6m,mode=0700 none \"$1\" && shift && exec \"$@\"";
    let ended = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, directory.path())
        .status();
    match ended.ok().and_then(|status| status.code()) {
        Some(0) => {}
        _ if !may_mount() => {
            println!("skipped: no file system can be mounted here");
        }
        other => panic!("{other:?}"),
    }
}

fn may_mount() -> bool {
    let mut tried = Command::new("unshare");
    let script = "mount -t tmpfs none /mnt";
    let tried = tried.args(["--map-root-user", "--mount", "sh", "-c", script]);
    tried.status().is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_until_it_can() {
    let fixture = Fixture::new();
    fixture.store.probe().await.unwrap();
    fixture.store.set_read_only(true);
    // Nothing was written, so nothing is known.
    fixture.store.probe().await.unwrap();
    let refused = fixture.store.append_audit(vec![clock_step()]).await;
    assert!(
        matches!(refused, Err(StoreError::Unwritable(_))),
        "{refused:?}"
    );
    for _ in 0..2 {
        let told = fixture.store.probe().await.unwrap_err();
        assert!(matches!(told, StoreError::Unwritable(_)), "{told:?}");
    }
    fixture.store.set_read_only(false);
    fixture.store.probe().await.unwrap();
    fixture
        .store
        .append_audit(vec![clock_step()])
        .await
        .unwrap();
    fixture.holds().await;
}
