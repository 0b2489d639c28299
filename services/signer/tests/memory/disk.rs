//! A state that cannot be written.

use crate::support::{Answer, BACK_OFF, Device, Stand, subject};

fn has_cause(stand: &Stand) -> bool {
    let said = "the state file cannot be written";
    stand.causes().iter().any(|cause| cause.contains(said))
}

#[tokio::test]
async fn a_signer_whose_state_cannot_be_written_is_not_ready_and_becomes_so_by_itself() {
    let stand = Stand::new().await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    let signed = stand.tbs_signatures();
    stand.store.set_read_only(true);
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    for _ in 0..3 {
        // No head is signed either.
        let _ = stand.try_to_tend().await;
        assert!(has_cause(&stand), "{:?}", stand.causes());
    }
    assert!(!stand.status().await.ready);
    assert_eq!(stand.tbs_signatures(), signed);

    stand.store.set_read_only(false);
    stand.tend().await;
    assert!(!has_cause(&stand), "{:?}", stand.causes());
    stand.send(&device, &message).await.certificate();
}

#[tokio::test]
async fn while_the_state_cannot_be_written_no_open_intent_is_signed_again() {
    let stand = Stand::new().await;
    let device = Device::new();
    let challenge = stand.challenge(&subject("pump-1")).await;
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-1"), &challenge)
        .await;
    stand.break_ca_key(true);
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    stand.break_ca_key(false);
    stand.store.set_read_only(true);
    // The first change that fails says so.
    let other = device
        .pkcs_req(&stand.ca, &subject("pump-2"), "wrong")
        .await;
    assert_eq!(stand.send(&device, &other).await, Answer::Busy);
    let signed = stand.tbs_signatures();
    for _ in 0..3 {
        // No head is signed either.
        let _ = stand.try_to_tend().await;
    }
    assert_eq!(stand.tbs_signatures(), signed);
    stand.store.set_read_only(false);
    stand.after(BACK_OFF).await;
    assert_eq!(stand.tbs_signatures(), signed + 1);
    assert_eq!(stand.store.counts().await.unwrap().open_intents, 0);
}
