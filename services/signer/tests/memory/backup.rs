//! A state that was restored from a backup is refused, and is brought up to the journal of the HSM service once enough people have
//! signed what is recovered from what.

use std::time::Duration;

use assay_hsm::OperationError;
use assay_policy::ProfileName;
use assay_proto::v1::CertificateState;
use assay_store::{CertificateStatus, ChallengeQuery, ChallengeState, PendingQuery, PendingState};

use crate::revocation::reason;
use crate::support::{
    Answer, BACK_OFF, DEVICES, Device, Exported, FLEET, Proposed, Setup, Stand, changed, serial,
    subject,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const BOTH: &[&str] = &["second", "third"];
const HELD: &[u8] = b"\x0a\x01\x06";
const COMPROMISED: &[u8] = b"\x0a\x01\x01";

fn profiles() -> Vec<(&'static str, String)> {
    vec![
        ("devices", DEVICES.to_owned()),
        ("fleet", FLEET.to_owned()),
        ("waiting", changed(DEVICES, "[approval]\nexpires = '1d'\n")),
    ]
}

/// The history of a signer whose state was then put back.
struct Past {
    stand: Stand,
    /// Revoked after the backup.
    revoked: Vec<u8>,
    /// On hold since before the backup.
    held: Vec<u8>,
    /// On hold at the backup, and released after it.
    released: Vec<u8>,
    /// Issued after the backup under a challenge of before it.
    lost: Vec<u8>,
    /// Issued after the backup, and put on hold.
    lost_and_held: Vec<u8>,
    /// One-time, and used for `lost`.
    spent: String,
    /// Static, of before the backup; `van-1` was enrolled by it after the backup.
    shared: String,
    /// Asked for before the backup, and perhaps signed: given up and listed after it.
    asked: assay_types::Serial,
    /// Never asked for.
    never_asked: assay_types::Serial,
    journal: Exported,
}

async fn opened(stand: &Stand, name: &str, refusal: OperationError) -> assay_types::Serial {
    let device = Device::new();
    let challenge = stand.challenge(&subject(name)).await;
    let message = device.pkcs_req(&stand.ca, &subject(name), &challenge).await;
    stand.token.set_refusal(Some(refusal));
    assert_eq!(stand.send(&device, &message).await, Answer::Busy);
    stand.token.set_refusal(None);
    let open = stand.store.open_intents(None).await.unwrap();
    open.last().unwrap().serial.clone()
}

fn suspended() -> OperationError {
    OperationError::NotNow {
        reason: "suspended".to_owned(),
    }
}

async fn past() -> Past {
    let stand = Stand::with(Setup {
        profiles: Some(profiles()),
        durable: true,
        ocsp: Some(""),
        ..Setup::default()
    })
    .await;
    let enrol = async |name: &str| stand.enrol(&Device::new(), &subject(name)).await;
    let hold = async |certificate: &[u8]| {
        stand.clock.advance(MINUTE);
        let held = stand.revoke(certificate, "certificate-hold").await;
        held.unwrap();
    };
    let (revoked, held, released) = (
        enrol("pump-1").await,
        enrol("pump-2").await,
        enrol("pump-3").await,
    );
    hold(&held).await;
    hold(&released).await;
    let spent = stand.challenge(&subject("pump-4")).await;
    let (_, shared) = stand.issue("fleet", Vec::new()).await;
    stand.add_to_inventory("fleet", "van-1").await;
    stand.add_to_inventory("fleet", "van-2").await;
    let challenge = stand.challenge_of("waiting", &subject("pump-9")).await;
    let device = Device::new();
    let message = device
        .pkcs_req(&stand.ca, &subject("pump-9"), &challenge)
        .await;
    let answer = stand.send_to("waiting", &stand.ca, &device, &message).await;
    assert_eq!(answer, Answer::Pending);
    stand.tend().await;
    let asked = opened(&stand, "pump-7", OperationError::Deadline).await;
    let never_asked = opened(&stand, "pump-8", suspended()).await;

    stand.back_up();

    stand.token.set_refusal(Some(suspended()));
    stand.clock.advance(2 * HOUR);
    let _ = stand.try_to_tend().await;
    stand.token.set_refusal(None);
    stand.release(&released).await.unwrap();
    stand.clock.advance(MINUTE);
    stand.revoke(&revoked, "key-compromise").await.unwrap();
    let device = Device::new();
    let message = device.pkcs_req(&stand.ca, &subject("pump-4"), &spent).await;
    let lost = stand.send(&device, &message).await.certificate();
    let message = device.pkcs_req(&stand.ca, &subject("van-1"), &shared).await;
    let answer = stand.send_to("fleet", &stand.ca, &device, &message).await;
    answer.certificate();
    let lost_and_held = enrol("pump-5").await;
    hold(&lost_and_held).await;
    let proposed = stand.propose(&profiles()).await;
    assert_eq!(stand.activate(&proposed).await.unwrap().number, 2);
    stand.tend().await;
    let journal = stand.export_journal();
    let mut stand = stand;
    stand.put_back();
    stand.journal = Some(journal.info.clone());
    Past {
        stand,
        revoked,
        held,
        released,
        lost,
        lost_and_held,
        spent,
        shared,
        asked,
        never_asked,
        journal,
    }
}

async fn resuming(stand: &Stand) -> Proposed {
    let mut proposed = stand.propose(&profiles()).await;
    for name in ["devices", "fleet", "waiting"] {
        let name = ProfileName::parse(name).unwrap();
        proposed.proposal.resumes.insert(name);
    }
    proposed
}

async fn status(stand: &Stand, certificate: &[u8]) -> CertificateStatus {
    stand.row(certificate).await.status()
}

#[tokio::test]
async fn a_restored_state_is_refused_until_it_was_recovered_as_people_signed() {
    let Past {
        mut stand, journal, ..
    } = Box::pin(past()).await;
    let refused = stand.restart().await.unwrap_err().to_string();
    assert!(refused.contains("older than the log"), "{refused}");
    assert!(refused.contains("docs/recovery.md"), "{refused}");

    for floor in [0, 10_002, u64::MAX] {
        let proposed = stand.propose_recovery(&journal, floor).await;
        let refused = proposed.unwrap_err().to_string();
        assert!(refused.contains("from 1 to 10001"), "{refused}");
    }
    let statement = stand.propose_recovery(&journal, 2).await.unwrap();
    let before = stand.store.dump().await.unwrap();
    let text = String::from_utf8(statement.clone()).unwrap();
    let other_size = text.replace("\"restored_size\":", "\"restored_size\":1");
    let other_floor = text.replace("\"policy_floor\":2", "\"policy_floor\":1");
    let floor_of =
        |floor: &str| text.replace("\"policy_floor\":2", &format!("\"policy_floor\":{floor}"));
    let (too_low, too_high) = (floor_of("0"), floor_of("10002"));
    let mut altered = journal.bytes.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let altered = Exported {
        bytes: altered,
        info: journal.info.clone(),
    };
    let mut info = journal.info.clone();
    info.identity = [1; 32];
    let of_another = Exported {
        bytes: journal.bytes.clone(),
        info,
    };
    let mut info = journal.info.clone();
    info.log_size += 1;
    let stale = Exported {
        bytes: journal.bytes.clone(),
        info,
    };
    let statement = statement.as_slice();
    for (journal, statement, people, said) in [
        (&journal, statement, &["second"][..], "1 of 2 approvals"),
        (
            &journal,
            statement,
            &["second", "second"][..],
            "second signed before",
        ),
        (&journal, other_size.as_bytes(), BOTH, "hash_only"),
        (&journal, too_low.as_bytes(), BOTH, "from 1 to 10001"),
        (&journal, too_high.as_bytes(), BOTH, "from 1 to 10001"),
        (&altered, statement, BOTH, "export"),
        (&of_another, statement, BOTH, "has the journal 0101"),
        (&stale, statement, BOTH, "older than the journal"),
    ] {
        let refused = stand.recover(journal, statement, people).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(said), "{said}: {refused}");
    }
    // Signatures over another statement.
    let signed = stand.recover_with(&journal, statement, other_floor.as_bytes());
    let refused = signed.await.unwrap_err().to_string();
    assert!(refused.contains("made by no pinned key"), "{refused}");
    assert_eq!(stand.store.dump().await.unwrap(), before);
    stand.restart().await.unwrap_err();

    stand.recover(&journal, statement, BOTH).await.unwrap();
    stand.restart().await.unwrap();
    // It is done once.
    let again = stand.recover(&journal, statement, BOTH).await;
    let again = again.unwrap_err().to_string();
    assert!(again.contains("nothing is lost"), "{again}");
}

#[tokio::test]
async fn what_the_journal_knows_is_taken_up_and_what_the_lost_records_used_is_void() {
    let Past {
        mut stand,
        revoked,
        held,
        released,
        lost,
        lost_and_held,
        spent,
        shared,
        asked,
        never_asked,
        journal,
    } = Box::pin(past()).await;
    let statement = stand.propose_recovery(&journal, 2).await.unwrap();
    let done = stand.recover(&journal, &statement, BOTH).await.unwrap();
    assert_eq!((done.certificates, done.intents, done.names), (3, 2, 1));
    assert_eq!((done.requests, done.stops), (1, 3));
    stand.restart().await.unwrap();

    assert_eq!(status(&stand, &revoked).await, CertificateStatus::Revoked);
    assert_eq!(status(&stand, &held).await, CertificateStatus::Held);
    assert_eq!(status(&stand, &released).await, CertificateStatus::Issued);
    assert_eq!(status(&stand, &lost).await, CertificateStatus::Recovered);
    assert_eq!(
        status(&stand, &lost_and_held).await,
        CertificateStatus::Held
    );
    assert_eq!(
        stand.shown(&lost).await.state(),
        CertificateState::Recovered
    );
    assert!(stand.store.open_intents(None).await.unwrap().is_empty());
    for (serial, is_revoked) in [(asked, true), (never_asked, false)] {
        let row = stand.store.find_certificate(serial).await.unwrap().unwrap();
        assert_eq!(row.status(), CertificateStatus::Abandoned);
        assert_eq!(row.revoked_at.is_some(), is_revoked);
    }
    let challenges = stand.store.list_challenges(ChallengeQuery::default()).await;
    for challenge in challenges.unwrap().rows {
        let is_open = matches!(
            challenge.state,
            ChallengeState::Open | ChallengeState::Reserved
        );
        assert!(!is_open, "{challenge:?}");
    }
    let requests = stand.store.list_pending(PendingQuery::default()).await;
    assert_eq!(requests.unwrap().rows[0].state, PendingState::Expired);

    // The HSM service signs the next CRL and the next heads, as nothing that it knows is gone.
    stand.after(MINUTE).await;
    stand.export_journal();
    let crl = stand.crl().await;
    assert_eq!(reason(&crl, &revoked).as_deref(), Some(COMPROMISED));
    assert_eq!(reason(&crl, &held).as_deref(), Some(HELD));
    assert_eq!(reason(&crl, &lost_and_held).as_deref(), Some(HELD));
    assert_eq!(reason(&crl, &released), None);
    assert_eq!(reason(&crl, &lost), None);

    // Nothing is issued before a version of a higher number resumes the profiles.
    let device = Device::new();
    let message = device.pkcs_req(&stand.ca, &subject("pump-4"), &spent).await;
    stand.refused("devices", &device, &message, "POL-04").await;
    let mut proposed = resuming(&stand).await;
    proposed.proposal.number = 2;
    let refused = stand.activate(&proposed).await.unwrap_err();
    assert!(refused.message().contains("the next one is 3"), "{refused}");
    proposed.proposal.number = 3;
    assert_eq!(stand.activate(&proposed).await.unwrap().number, 3);
    stand.refused("devices", &device, &message, "SIG-03").await;
    let van = device.pkcs_req(&stand.ca, &subject("van-2"), &shared).await;
    stand.refused("fleet", &device, &van, "SIG-03").await;
    let (_, shared) = stand.issue("fleet", Vec::new()).await;
    let van = device.pkcs_req(&stand.ca, &subject("van-1"), &shared).await;
    stand.refused("fleet", &device, &van, "CHA-08").await;
    let van = device.pkcs_req(&stand.ca, &subject("van-2"), &shared).await;
    let answer = stand.send_to("fleet", &stand.ca, &device, &van).await;
    answer.certificate();
    stand.enrol(&Device::other(), &subject("pump-10")).await;

    // Certificates that were taken up are revoked and released as any other.
    stand.clock.advance(MINUTE);
    stand.revoke(&lost, "key-compromise").await.unwrap();
    stand.release(&lost_and_held).await.unwrap();
    let crl = stand.crl().await;
    assert_eq!(reason(&crl, &lost).as_deref(), Some(COMPROMISED));
    assert_eq!(reason(&crl, &lost_and_held), None);
    stand.tend().await;
    let journal = stand.export_journal();
    stand.journal = Some(journal.info);
    stand.restart().await.unwrap();
    stand.tend().await;
    assert!(stand.causes().is_empty(), "{:?}", stand.causes());
}

#[tokio::test]
async fn an_intent_whose_certificate_the_journal_has_becomes_that_certificate() {
    let mut stand = Stand::with(Setup {
        durable: true,
        ..Setup::default()
    })
    .await;
    let open = opened(&stand, "pump-1", OperationError::Deadline).await;
    stand.back_up();
    stand.after(BACK_OFF).await;
    let row = stand.store.find_certificate(open.clone()).await.unwrap();
    let der = row.unwrap().der.unwrap();
    let journal = stand.export_journal();
    stand.put_back();
    stand.journal = Some(journal.info.clone());
    let statement = stand.propose_recovery(&journal, 1).await.unwrap();
    stand.recover(&journal, &statement, BOTH).await.unwrap();
    stand.restart().await.unwrap();
    let row = stand.row(&der).await;
    assert_eq!(row.status(), CertificateStatus::Issued);
    assert_eq!((row.serial, row.der), (open, Some(der.clone())));
    assert_eq!(
        serial(&der).to_string(),
        stand.last("certificate.recovered").await["serial"]
    );
}

#[tokio::test]
async fn a_state_that_lacks_nothing_is_not_recovered_and_one_of_another_log_is_refused() {
    let mut stand = Stand::with(Setup {
        durable: true,
        ..Setup::default()
    })
    .await;
    stand.enrol(&Device::new(), &subject("pump-1")).await;
    stand.tend().await;
    let journal = stand.export_journal();
    let refused = stand.propose_recovery(&journal, 1).await.unwrap_err();
    assert!(refused.to_string().contains("nothing is lost"), "{refused}");

    // Two states lead on from one backup.
    stand.back_up();
    stand.enrol(&Device::new(), &subject("pump-2")).await;
    stand.tend().await;
    let journal = stand.export_journal();
    stand.put_back();
    stand.append_records(1).await;
    let refused = stand.propose_recovery(&journal, 1).await.unwrap_err();
    let said = "is not of the log that the HSM service signed for";
    assert!(refused.to_string().contains(said), "{refused}");
}

#[tokio::test]
async fn another_key_of_challenges_is_refused_by_the_name_of_its_file() {
    let mut stand = Stand::new().await;
    let file = stand.replace_challenge_key(&[8; 32]);
    let refused = stand.restart().await.unwrap_err().to_string();
    assert!(refused.contains("challenge.key"), "{refused}");
    assert!(refused.contains("not the one"), "{refused}");
    std::fs::write(file, [7; 32]).unwrap();
    stand.restart().await.unwrap();
}
