//! The state beside the journal of the HSM service, which nobody who can write the state file can alter.

use std::sync::atomic::Ordering;

use assay_types::Hash;
use der::{Decode, Encode};

use crate::support::*;

#[tokio::test]
async fn a_state_that_is_older_than_the_last_signed_tree_is_refused() {
    let mut stand = Stand::new().await;
    stand.tend().await;
    let signed = stand.journal_as_signed();
    stand.journal = Some(signed.clone());
    stand.restart().await.unwrap();
    stand.tend().await;

    let now = stand.journal_as_signed();
    for (size, root, said) in [
        (
            now.log_size + 100,
            now.log_root,
            "the state is older than the log",
        ),
        (
            now.log_size,
            [7; 32],
            "is not the one that the HSM service signed for",
        ),
        (
            signed.log_size,
            now.log_root,
            "older than the log: it has signed a checkpoint of",
        ),
    ] {
        let mut journal = now.clone();
        (journal.log_size, journal.log_root) = (size, root);
        stand.journal = Some(journal);
        let refused = stand.restart().await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    stand.journal = Some(now);
    stand.restart().await.unwrap();
}

#[tokio::test]
async fn a_tree_whose_checkpoint_was_lost_is_signed_again_and_continued() {
    let mut stand = Stand::new().await;
    stand.tend().await;
    let lost = |lost| stand.token.loses_checkpoints.store(lost, Ordering::Relaxed);
    enrolled(&stand, "pump-1").await;
    lost(true);
    stand.try_to_tend().await.unwrap_err();
    // More records come before the service is back.
    enrolled(&stand, "pump-2").await;
    lost(false);
    stand.tend().await;
    assert_eq!(newest_checkpoint(&stand).await, records(&stand).await);

    // The same with a signer that ends in between.
    enrolled(&stand, "pump-3").await;
    stand.token.loses_checkpoints.store(true, Ordering::Relaxed);
    stand.try_to_tend().await.unwrap_err();
    stand
        .token
        .loses_checkpoints
        .store(false, Ordering::Relaxed);
    stand.journal = Some(stand.journal_as_signed());
    assert!(newest_checkpoint(&stand).await < stand.journal_as_signed().log_size);
    stand.restart().await.unwrap();
    stand.tend().await;
    assert_eq!(newest_checkpoint(&stand).await, records(&stand).await);
}

#[tokio::test]
async fn a_journalled_certificate_that_the_state_does_not_know_makes_the_signer_not_ready() {
    let mut stand = Stand::new().await;
    let certificate = enrolled(&stand, "pump-1").await;
    let known = serial(&certificate);
    stand.tend().await;
    let mut journal = stand.journal_as_signed();
    let tbs = tbs_digest(&certificate);
    journal.unlogged = vec![(known.as_bytes().to_vec(), *tbs.as_bytes())];
    stand.journal = Some(journal.clone());
    stand.restart().await.unwrap();
    stand.tend().await;
    assert!(!has_cause(&stand), "{:?}", stand.causes());

    // Another serial number, or another certificate under a known one.
    for (serial, digest) in [
        (vec![0x55; 16], *tbs.as_bytes()),
        (known.as_bytes().to_vec(), *Hash::of(b"another").as_bytes()),
    ] {
        journal = stand.journal_as_signed();
        journal.unlogged = vec![(serial, digest)];
        stand.journal = Some(journal.clone());
        stand.restart().await.unwrap();
        // Nothing is issued, and no head hides it from the next start.
        let size = newest_checkpoint(&stand).await;
        assert!(stand.try_to_tend().await.is_err());
        assert!(has_cause(&stand), "{:?}", stand.causes());
        let device = Device::new();
        let challenge = stand.challenge(&subject("pump-9")).await;
        let message = device
            .pkcs_req(&stand.ca, &subject("pump-9"), &challenge)
            .await;
        assert_eq!(stand.send(&device, &message).await, Answer::Busy);
        assert_eq!(newest_checkpoint(&stand).await, size);
    }
    // And nothing is reported as done that the next state could lack unseen.
    let revoked = stand.revoke(&certificate, "certificate-hold").await;
    for refused in [
        revoked.unwrap_err(),
        stand.try_to_stop("devices").await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
        let said = "is done and recorded, but no signed head covers it yet";
        assert!(refused.message().contains(said), "{refused:?}");
    }
}

#[tokio::test]
async fn a_revocation_is_answered_once_a_signed_head_covers_its_record() {
    let stand = Stand::new().await;
    let certificate = enrolled(&stand, "pump-1").await;
    stand.token.loses_checkpoints.store(true, Ordering::Relaxed);
    let refused = stand.revoke(&certificate, "key-compromise").await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let said = "revoke_certificate is done and recorded, but no signed head covers it yet";
    assert!(refused.message().starts_with(said), "{refused:?}");
    assert!(stand.row(&certificate).await.revoked_at.is_some());

    stand
        .token
        .loses_checkpoints
        .store(false, Ordering::Relaxed);
    stand.revoke(&certificate, "key-compromise").await.unwrap();
    assert_eq!(newest_checkpoint(&stand).await, records(&stand).await);
}

#[tokio::test]
async fn a_caller_who_breaks_off_leaves_nothing_half_done() {
    let stand = Stand::new().await;
    let certificate = enrolled(&stand, "pump-1").await;
    {
        let mut call = std::pin::pin!(stand.revoke(&certificate, "key-compromise"));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(call.as_mut().poll(context).is_ready())
        });
        assert!(!polled.await);
    }
    // It is done all the same, with a head over it.
    loop {
        let is_revoked = stand.row(&certificate).await.revoked_at.is_some();
        let checkpoint = stand.store.latest_checkpoint().await.unwrap();
        let covered = checkpoint.map_or(0, |newest| newest.checkpoint.size);
        if is_revoked && covered == records(&stand).await {
            break;
        }
        tokio::task::yield_now().await;
    }
}

async fn enrolled(stand: &Stand, name: &str) -> Vec<u8> {
    stand.enrol(&Device::new(), &subject(name)).await
}

async fn newest_checkpoint(stand: &Stand) -> u64 {
    let newest = stand.store.latest_checkpoint().await.unwrap().unwrap();
    newest.checkpoint.size
}

async fn records(stand: &Stand) -> u64 {
    stand.store.counts().await.unwrap().audit_records
}

/// SHA-256 of the certificate's TBSCertificate.
fn tbs_digest(certificate: &[u8]) -> Hash {
    let certificate = x509_cert::Certificate::from_der(certificate).unwrap();
    Hash::of(&certificate.tbs_certificate().to_der().unwrap())
}

fn has_cause(stand: &Stand) -> bool {
    let said = "certificates that the log does not have";
    stand.causes().iter().any(|cause| cause.contains(said))
}
