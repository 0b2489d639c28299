//! Revocation, hold and release, as the CRL shows them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use assay_store::CrlReason;
use der::Encode;
use tokio::task::JoinHandle;
use x509_cert::crl::CertificateList;

use crate::support::{DEVICES, Device, RENEWAL_REQ, Setup, Stand, changed, serial, subject};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn number(crl: &CertificateList) -> u64 {
    let extensions = crl.tbs_cert_list.crl_extensions.as_ref().unwrap();
    let number = extensions.iter();
    let mut number = number.filter(|extension| extension.extn_id.to_string() == "2.5.29.20");
    let value = number.next().unwrap().extn_value.as_bytes();
    value[2..]
        .iter()
        .fold(0, |number, octet| (number << 8) | u64::from(*octet))
}

/// The reason of a certificate in the list, as DER; `None` where it is not listed.
pub(crate) fn reason(crl: &CertificateList, certificate: &[u8]) -> Option<Vec<u8>> {
    let wanted = serial(certificate);
    let revoked = crl.tbs_cert_list.revoked_certificates.as_ref()?;
    let entry = revoked
        .iter()
        .find(|entry| entry.serial_number.as_bytes() == wanted.as_bytes())?;
    let extensions = entry.crl_entry_extensions.as_ref();
    Some(extensions.map_or(Vec::new(), |extensions| {
        extensions[0].extn_value.as_bytes().to_vec()
    }))
}

#[tokio::test]
async fn each_change_is_on_a_crl_of_the_next_number_at_once() {
    let stand = Stand::new().await;
    let device = stand.enrol(&Device::new(), &subject("pump-1")).await;
    let neighbour = stand.enrol(&Device::other(), &subject("pump-2")).await;
    assert_eq!(number(&stand.crl().await), 1);

    let held = stand.revoke(&device, "certificate-hold").await.unwrap();
    let crl = stand.crl().await;
    assert_eq!((held, number(&crl)), (2, 2));
    assert_eq!(reason(&crl, &device), Some(b"\x0a\x01\x06".to_vec()));
    let released = stand.release(&device).await.unwrap();
    let crl = stand.crl().await;
    assert_eq!((released, number(&crl)), (3, 3));
    assert_eq!(reason(&crl, &device), None);
    let revoked = stand.revoke(&device, "key-compromise").await.unwrap();
    let crl = stand.crl().await;
    assert_eq!((revoked, number(&crl)), (4, 4));
    assert_eq!(reason(&crl, &device), Some(b"\x0a\x01\x01".to_vec()));
    assert_eq!(reason(&crl, &neighbour), None);

    let refused = stand.release(&device).await.unwrap_err();
    assert!(refused.message().contains("not on hold"), "{refused}");
    assert_eq!(stand.revoke(&device, "").await.unwrap(), 4);
    assert_eq!(stand.records("crl.issued").await.len(), 4);
}

#[tokio::test]
async fn a_crl_is_signed_by_the_ca_and_verifies() {
    let stand = Stand::new().await;
    let der = stand.crl().await.to_der().unwrap();
    let crl = openssl::x509::X509Crl::from_der(&der).unwrap();
    assert!(crl.verify(&stand.ca.ca.key).unwrap());
}

#[tokio::test]
async fn a_crl_is_renewed_by_schedule_and_not_before() {
    let stand = Stand::new().await;
    stand.after(DAY / 2).await;
    assert_eq!(number(&stand.crl().await), 1);
    stand.after(DAY / 2).await;
    let crl = stand.crl().await;
    assert_eq!(number(&crl), 2);
    let this_update = crl.tbs_cert_list.this_update.to_unix_duration();
    assert_eq!(this_update, stand.clock.now().since_epoch());
}

#[tokio::test]
async fn a_revocation_while_no_list_can_be_signed_is_listed_as_soon_as_one_can() {
    let mut stand = Stand::new().await;
    let device = stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.break_ca_key(true);
    let unpublished = stand.revoke(&device, "").await.unwrap_err();
    assert_eq!(unpublished.code(), tonic::Code::Unavailable);
    let said = "is recorded and not published yet";
    assert!(unpublished.message().contains(said), "{unpublished:?}");
    // A warning at once, and a cause after a minute.
    let on_no_list = |lines: Vec<String>| lines.iter().any(|it| it.contains("is on no CRL yet"));
    stand.tend().await;
    assert!(on_no_list(stand.status().await.warnings));
    assert!(!on_no_list(stand.causes()));
    stand.after(Duration::from_secs(60)).await;
    assert!(on_no_list(stand.causes()));
    assert!(stand.row(&device).await.revoked_at.is_some());
    assert_eq!(reason(&stand.crl().await, &device), None);

    // It is not forgotten by a new signer either.
    stand.restart().await.unwrap();
    stand.break_ca_key(false);
    stand.tend().await;
    let crl = stand.crl().await;
    assert_eq!((number(&crl), reason(&crl, &device)), (2, Some(Vec::new())));
    stand.tend().await;
    assert!(!on_no_list(stand.causes()) && !on_no_list(stand.status().await.warnings));
}

/// The list has the second of the revocation, and is not older than it.
#[tokio::test]
async fn a_new_signer_knows_that_a_revocation_is_on_the_newest_list() {
    let mut stand = Stand::new().await;
    let (first, second) = (
        stand.enrol(&Device::new(), &subject("pump-1")).await,
        stand.enrol(&Device::new(), &subject("pump-2")).await,
    );
    let listed = stand.revoke(&first, "").await.unwrap();
    let on_no_list = |lines: Vec<String>| lines.iter().any(|it| it.contains("is on no CRL yet"));
    for is_listed in [true, false] {
        stand.restart().await.unwrap();
        stand.break_ca_key(true);
        let _ = stand.try_to_tend().await;
        assert_eq!(on_no_list(stand.status().await.warnings), !is_listed);
        stand.revoke(&second, "").await.unwrap_err();
    }
    stand.break_ca_key(false);
    stand.tend().await;
    let crl = stand.crl().await;
    assert_eq!(number(&crl), listed + 1);
    assert!(reason(&crl, &first).is_some() && reason(&crl, &second).is_some());
}

#[tokio::test]
async fn a_superseded_certificate_is_revoked_after_the_grace_of_its_profile() {
    let changes = "default = true\n[renewal]\nsupersede = 'revoke'\nrevoke_after = '1h'";
    let stand = Stand::with(Setup {
        profiles: Some(vec![("devices", changed(DEVICES, changes))]),
        ..Setup::default()
    })
    .await;
    let device = Device::new();
    let old = stand.enrol(&device, &subject("pump-1")).await;
    let holder = device.holding(&old);
    let csr = Device::other().csr(&subject("pump-1"), None);
    let message = holder.message(&stand.ca, RENEWAL_REQ, &csr).await;
    let new = stand.send(&holder, &message).await.certificate();

    stand.after(Duration::from_secs(3_599)).await;
    assert_eq!(stand.row(&old).await.revoked_at, None);
    stand.after(Duration::from_secs(1)).await;
    let row = stand.row(&old).await;
    assert_eq!(row.revocation_reason, Some(CrlReason::Superseded));
    assert_eq!(row.superseded_by, Some(serial(&new)));
    let crl = stand.crl().await;
    assert_eq!(reason(&crl, &old), Some(b"\x0a\x01\x04".to_vec()));
    assert_eq!(reason(&crl, &new), None);
}

type Revoking = JoinHandle<Result<u64, tonic::Status>>;

/// Revokes these certificates at one time.
fn revoke_all(stand: &Arc<Stand>, certificates: &[Vec<u8>]) -> Vec<Revoking> {
    let revoke = |certificate: &Vec<u8>| {
        let (stand, certificate) = (Arc::clone(stand), certificate.clone());
        tokio::spawn(async move { stand.revoke(&certificate, "superseded").await })
    };
    certificates.iter().map(revoke).collect()
}

/// There are this many records of revocations, and their calls had time to ask for a list: between the two a call reads the store
/// twice, and reads are answered in turn.
async fn recorded(stand: &Stand, count: usize) {
    while stand.records("certificate.revoked").await.len() < count {
        tokio::task::yield_now().await;
    }
    for _ in 0..200 {
        stand.records("certificate.revoked").await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn revocations_at_one_time_share_a_crl_that_has_them() {
    const DEVICES: usize = 32;
    let stand = Arc::new(Stand::new().await);
    let device = Device::new();
    let mut certificates = Vec::new();
    for number in 0..DEVICES {
        let subject = subject(&format!("pump-{number}"));
        certificates.push(stand.enrol(&device, &subject).await);
    }
    let before = stand.records("crl.issued").await.len();
    let signatures = stand.tbs_signatures();
    let held = stand.token.crl_signer.acquire().await.unwrap();
    // Every revocation is recorded, and the first list cannot be signed meanwhile.
    let revoking = revoke_all(&stand, &certificates);
    recorded(&stand, DEVICES).await;
    drop(held);
    let mut numbers = Vec::new();
    for revoking in revoking {
        numbers.push(revoking.await.unwrap().unwrap());
    }
    let lists = stand.records("crl.issued").await;
    // The one that was held up, one for all that came meanwhile, and more for calls that were behind their records: how many those
    // are depends on the machine. That all that wait share one is tested where they are known to wait (`revocation::shared`).
    let more = lists.len() - before;
    assert!((1..DEVICES).contains(&more), "{more} lists");
    assert_eq!(stand.tbs_signatures() - signatures, more as u64);
    let revoked = stand.records("certificate.revoked").await;
    for (certificate, number) in certificates.iter().zip(numbers) {
        let text = serial(certificate).to_string();
        let record = revoked.iter().find(|it| it["serial"] == text).unwrap();
        let list = lists.iter().find(|it| it["number"] == number).unwrap();
        assert!(list["covers"].as_u64() >= record["sequence"].as_u64());
        assert!(reason(&stand.crl().await, certificate).is_some());
    }
}

#[tokio::test]
async fn revocations_share_the_failure_of_a_crl_and_not_a_try_each() {
    let stand = Arc::new(Stand::new().await);
    let device = Device::new();
    let mut certificates = Vec::new();
    for number in 0..8 {
        let subject = subject(&format!("pump-{number}"));
        certificates.push(stand.enrol(&device, &subject).await);
    }
    stand.break_ca_key(true);
    let before = stand.token.crl_tries.load(Ordering::Relaxed);
    let held = stand.token.crl_signer.acquire().await.unwrap();
    let revoking = revoke_all(&stand, &certificates);
    recorded(&stand, certificates.len()).await;
    drop(held);
    for revoking in revoking {
        let refused = revoking.await.unwrap().unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
    }
    let tries = stand.token.crl_tries.load(Ordering::Relaxed) - before;
    assert!((1..8).contains(&tries), "{tries} tries");
    stand.break_ca_key(false);
    stand.tend().await;
    let crl = stand.crl().await;
    assert!(certificates.iter().all(|it| reason(&crl, it).is_some()));
}
