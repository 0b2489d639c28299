//! CRLs up to the largest number of entries.

use std::ops::Range;

use assay_scep::FailInfo;
use assay_store::{CrlReason, NewImport};
use assay_types::{CRL_ENTRIES_WARNING, Hash, MAX_CRL_ENTRIES, MAX_SCEP_CRL, Serial};
use der::Encode;
use tokio::task::JoinSet;

use crate::revocation::reason;
use crate::support::{Answer, Device, GET_CRL, Stand, subject};
use crate::tier;

/// Entries of a CRL that GetCRL is just answered with.
const BY_SCEP: u32 = 10_000;
/// Certificates that are imported together.
const BATCH: usize = 200;

/// Enters a revoked certificate for each of these numbers, as an operator would one after the other.
async fn import(stand: &Stand, numbers: Range<u32>) {
    let ca_id = stand.store.issuers().await.unwrap().remove(0).ca_id;
    let at = stand.clock.now();
    let new = |number: u32| {
        let mut serial = [0x5a; 17];
        serial[13..].copy_from_slice(&number.to_be_bytes());
        NewImport {
            serial: Serial::try_from(serial.as_slice()).unwrap(),
            ca_id: ca_id.clone(),
            subject: String::new(),
            sans: Vec::new(),
            not_before: at,
            not_after: at + std::time::Duration::from_secs(365 * 86_400),
            tbs_digest: Hash::of(&number.to_be_bytes()),
            der: number.to_be_bytes().to_vec(),
        }
    };
    let numbers: Vec<u32> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let mut all = JoinSet::new();
        for number in batch {
            let (store, new) = (stand.store.clone(), new(*number));
            let superseded = CrlReason::Superseded;
            all.spawn(async move { store.import_revoked(new, superseded, at, Vec::new()).await });
        }
        for imported in all.join_all().await {
            imported.unwrap();
        }
    }
}

/// A figure of this process's memory, for those who run this test to know it. The peak begins anew with each.
fn memory(which: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Where this is refused, the peak is that of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    line.map_or(String::new(), |line| {
        line.trim_matches([':', '\t', ' ']).to_owned()
    })
}

#[tokio::test]
async fn a_crl_of_many_frames_is_published_whole_and_by_scep_only_up_to_its_limit() {
    let stand = Stand::new().await;
    let device = Device::new();
    let own = stand.enrol(&device, &subject("pump-1")).await;
    let other = stand.enrol(&Device::other(), &subject("pump-2")).await;
    let count = u32::try_from(tier::size("entries of a CRL")).unwrap();
    let holder = device.holding(&own);
    import(&stand, 0..BY_SCEP).await;
    stand.after(std::time::Duration::from_secs(86_400)).await;
    let query = holder.query(&stand.ca, GET_CRL, &own).await;
    let Answer::Crl(crl) = stand.send(&holder, &query).await else {
        panic!("no CRL");
    };
    assert!((MAX_SCEP_CRL * 9 / 10..=MAX_SCEP_CRL).contains(&crl.len()));
    assert_eq!(crl, stand.crl().await.to_der().unwrap());

    // The one that is revoked below is the last that has a place.
    import(&stand, BY_SCEP..count - 1).await;
    let (before, since) = (memory("VmRSS"), std::time::Instant::now());
    let number = stand.revoke(&other, "key-compromise").await.unwrap();
    let (after, took) = (memory("VmHWM"), since.elapsed());
    eprintln!("{count} entries: {took:?}, from {before} to {after}");
    let crl = stand.crl().await;
    let listed = crl.tbs_cert_list.revoked_certificates.as_ref().unwrap();
    assert_eq!(listed.len(), count as usize);
    assert_eq!(reason(&crl, &other), Some(b"\x0a\x01\x01".to_vec()));
    let der = crl.to_der().unwrap();
    let verified = openssl::x509::X509Crl::from_der(&der).unwrap();
    assert!(verified.verify(&stand.ca.ca.key).unwrap());
    let record = stand.last("crl.issued").await;
    assert_eq!(
        (&record["number"], &record["entries"]),
        (&number.into(), &count.into())
    );

    assert!(der.len() > MAX_SCEP_CRL);
    let query = holder.query(&stand.ca, GET_CRL, &own).await;
    let fail_info = stand.refused("devices", &holder, &query, "SIG-21").await;
    assert_eq!(fail_info, FailInfo::BadRequest);

    stand.tend().await;
    let warned = |lines: Vec<String>| lines.iter().any(|it| it.contains("issue from a new CA"));
    let warnings = stand.status().await.warnings;
    assert_eq!(warned(warnings), count >= CRL_ENTRIES_WARNING);
    let refused = stand.revoke(&own, "key-compromise").await;
    if count < MAX_CRL_ENTRIES {
        assert!(refused.is_ok());
        return;
    }
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("500000 entries"), "{refused}");
    assert_eq!(stand.row(&own).await.revoked_at, None);
    // The CRL of the others is signed as before, and a change that needs no place is made.
    stand.after(std::time::Duration::from_secs(86_400)).await;
    let crl = stand.crl().await;
    assert!(reason(&crl, &other).is_some() && reason(&crl, &own).is_none());
}
