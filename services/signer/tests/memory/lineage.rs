//! Renewals of renewals: shown as a tree, and revoked with the certificate that they descend from.

use assay_hsm::OperationError;
use assay_proto::v1::CertificateState;
use assay_scep::FailInfo;

use crate::revocation::reason;
use crate::support::{
    Answer, BACK_OFF, DEVICES, Device, RENEWAL_REQ, Setup, Stand, changed, serial, subject,
};

/// CRLReason keyCompromise and certificateHold, DER.
const COMPROMISE: &[u8] = b"\x0a\x01\x01";
const HOLD: &[u8] = b"\x0a\x01\x06";

/// A device whose certificate was renewed by its holder and by a thief, who renewed the stolen one again.
struct Theft {
    stand: Stand,
    device: Device,
    /// The certificate, its two renewals, and the renewal of the second.
    certificates: [Vec<u8>; 4],
}

async fn renew(stand: &Stand, device: &Device, old: &[u8]) -> Vec<u8> {
    let holder = device.holding(old);
    let csr = device.csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.send(&holder, &message).await.certificate()
}

async fn theft() -> Theft {
    let stand = Stand::new().await;
    let (device, other) = (Device::new(), Device::other());
    let old = stand.enrol(&device, &subject("pump-1")).await;
    let own = renew(&stand, &device, &old).await;
    let csr = other.csr(&subject("pump-1"), None);
    let holder = device.holding(&old);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let stolen = stand.send(&holder, &message).await.certificate();
    let again = renew(&stand, &other, &stolen).await;
    Theft {
        stand,
        device,
        certificates: [old, own, stolen, again],
    }
}

fn serials(certificates: &[Vec<u8>]) -> Vec<String> {
    let serials = certificates.iter().map(|it| serial(it).to_string());
    serials.collect()
}

#[tokio::test]
async fn a_certificate_shows_what_it_renews_and_all_that_descends_from_it() {
    let Theft {
        stand,
        certificates,
        ..
    } = theft().await;
    let [old, _, stolen, again] = &certificates;
    let (ancestors, descendants) = stand.lineage(old).await;
    assert_eq!(ancestors, Vec::<String>::new());
    assert_eq!(descendants, serials(&certificates[1..]));
    let (ancestors, descendants) = stand.lineage(again).await;
    assert_eq!(ancestors, serials(&[stolen.clone(), old.clone()]));
    assert_eq!(descendants, Vec::<String>::new());

    let issued = stand.last("request.issued").await;
    assert_eq!(issued["serial"], serial(again).to_string());
    assert_eq!(issued["renewal_of"], serial(stolen).to_string());
    let shown = stand.shown(again).await;
    assert_eq!(shown.renewal_of, serial(stolen).to_string());
}

#[tokio::test]
async fn a_revocation_with_successors_is_on_one_crl_and_each_has_its_record() {
    let Theft {
        stand,
        certificates,
        ..
    } = theft().await;
    let lists = stand.records("crl.issued").await.len();
    let revoked = stand.revoke_line(&certificates[0], "key-compromise").await;
    let revoked = revoked.unwrap();
    assert!(revoked.changed);
    assert_eq!(revoked.revoked_successors, serials(&certificates[1..]));
    assert!(revoked.live_successors.is_empty() && !revoked.more_live_successors);
    let crl = stand.crl().await;
    for certificate in &certificates {
        assert_eq!(reason(&crl, certificate).as_deref(), Some(COMPROMISE));
    }
    assert_eq!(stand.records("crl.issued").await.len(), lists + 1);
    let records = stand.records("certificate.revoked").await;
    let recorded: Vec<_> = records.iter().map(|it| it["serial"].clone()).collect();
    assert_eq!(recorded, serials(&certificates));
    let of = serial(&certificates[0]).to_string();
    assert_eq!(records[0].get("successor_of"), None);
    assert!(records[1..].iter().all(|it| it["successor_of"] == of));

    let again = stand.revoke_line(&certificates[0], "key-compromise").await;
    let again = again.unwrap();
    assert!(!again.changed && again.revoked_successors.is_empty());
}

#[tokio::test]
async fn a_revocation_without_successors_names_those_that_are_live() {
    let Theft {
        stand,
        certificates,
        ..
    } = theft().await;
    let [old, own, ..] = &certificates;
    stand.revoke(own, "superseded").await.unwrap();
    let of = serial(old).to_string();
    let revoked = stand.revoke_with(&of, "key-compromise", &[]).await.unwrap();
    assert_eq!(revoked.live_successors, serials(&certificates[2..]));
    assert!(revoked.revoked_successors.is_empty());
    // The certificate is revoked already, and its line is not.
    let all = stand.revoke_line(old, "key-compromise").await.unwrap();
    assert!(!all.changed);
    assert_eq!(all.revoked_successors, serials(&certificates[2..]));
    let crl = stand.crl().await;
    let listed = reason(&crl, &certificates[3]);
    assert_eq!(listed.as_deref(), Some(COMPROMISE));
}

#[tokio::test]
async fn a_hold_with_successors_holds_the_line_and_each_is_released_by_itself() {
    let Theft {
        stand,
        certificates,
        ..
    } = theft().await;
    let held = stand
        .revoke_line(&certificates[0], "certificate-hold")
        .await;
    assert_eq!(
        held.unwrap().revoked_successors,
        serials(&certificates[1..])
    );
    let crl = stand.crl().await;
    for certificate in &certificates {
        assert_eq!(reason(&crl, certificate).as_deref(), Some(HOLD));
    }
    stand.release(&certificates[1]).await.unwrap();
    let crl = stand.crl().await;
    assert_eq!(reason(&crl, &certificates[1]), None);
    assert_eq!(reason(&crl, &certificates[2]).as_deref(), Some(HOLD));
}

#[tokio::test]
async fn a_renewal_at_work_while_its_line_is_revoked_is_never_handed_out_and_is_on_the_crl() {
    let Theft {
        stand,
        device,
        certificates,
    } = theft().await;
    let holder = device.holding(&certificates[1]);
    let csr = device.csr_with(&subject("pump-1"), None, &[]);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let suspended = OperationError::NotNow {
        reason: "suspended".to_owned(),
    };
    stand
        .clock
        .advance(std::time::Duration::from_secs(2 * 3_600));
    stand.token.set_refusal(Some(suspended));
    assert_eq!(stand.send(&holder, &message).await, Answer::Busy);
    let open = stand.store.open_intents(None).await.unwrap().remove(0);
    let revoked = stand.revoke_line(&certificates[0], "key-compromise").await;
    drop(revoked);
    stand.token.set_refusal(None);
    stand.after(BACK_OFF).await;

    assert_eq!(stand.store.counts().await.unwrap().open_intents, 0);
    let abandoned = stand.last("intent.abandoned").await;
    assert_eq!(abandoned["serial"], open.serial.to_string());
    let detail = abandoned["detail"].as_str().unwrap();
    assert!(detail.contains("was revoked or held meanwhile"), "{detail}");
    let row = stand.store.find_certificate(open.serial.clone()).await;
    let row = row.unwrap().unwrap();
    assert!(row.der.is_none() && row.revoked_at.is_some());
    let listed = stand.crl().await.tbs_cert_list.revoked_certificates;
    let listed = listed.unwrap();
    let mut serials = listed.iter().map(|entry| entry.serial_number.as_bytes());
    assert!(
        serials.any(|it| it == open.serial.as_bytes()),
        "signed, so listed"
    );
    let fail_info = stand.refused("devices", &holder, &message, "SIG-10").await;
    assert_eq!(fail_info, FailInfo::BadRequest);
    let (_, descendants) = stand.lineage(&certificates[1]).await;
    assert_eq!(descendants, [open.serial.to_string()]);
    let info = stand.shown(&certificates[1]).await;
    assert_eq!(info.state(), CertificateState::Revoked);
    assert_eq!(info.superseded_by, "");
}

#[tokio::test]
async fn a_certificate_of_a_profile_with_one_renewal_renews_once() {
    let changes = "default = true\n[renewal]\nwindow = '90d'\nonce = true";
    let stand = Stand::with(Setup {
        profiles: Some(vec![("devices", changed(DEVICES, changes))]),
        ..Setup::default()
    })
    .await;
    let (device, other) = (Device::new(), Device::other());
    let old = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&old);

    // One at work is the one.
    let csr = device.csr(&subject("pump-1"), None);
    let first = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.break_ca_key(true);
    assert_eq!(stand.send(&holder, &first).await, Answer::Busy);
    let csr = other.csr(&subject("pump-1"), None);
    let second = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.refused("devices", &holder, &second, "SIG-22").await;
    stand.break_ca_key(false);
    stand.after(BACK_OFF).await;
    let renewed = stand.send(&holder, &first).await.certificate();

    // And then the policy knows it, by its serial number.
    let third = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.refused("devices", &holder, &third, "REN-07").await;
    let refused = stand.last("request.refused").await;
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains(&serial(&renewed).to_string()), "{detail}");
    let holder = device.holding(&renewed);
    let fourth = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    stand.send(&holder, &fourth).await.certificate();
}
