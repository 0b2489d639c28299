//! Records: one canonical form each, small enough for a leaf, tied to the leaf hash of RFC 6962.

use assay_audit::{
    Attachment, Context, Draft, Event, Issuance, MAX_RECORD, MAX_TEXT, Moment, Record, Request,
    RequestClass, Text,
};
use assay_types::{CanonicalError, Hash, Timestamp, TimestampMillis};
use proptest::prelude::*;

fn draft(event: Event) -> Draft {
    Draft {
        context: Context {
            boot_id: "b".into(),
            binary: "0.1.0".into(),
            config_hash: Hash::of(b"configuration"),
            policy_hash: None,
        },
        moment: Moment {
            wall_ms: TimestampMillis::from_millis(1_700_000_000_123),
            monotonic_ms: 5,
        },
        event,
        attachment: None,
    }
}

fn request(text: &str) -> Request {
    Request {
        peer: text.into(),
        peer_certificate_sha256: Some(Hash::of(b"certificate")),
        request_id: Some(text.into()),
        request_digest: Hash::of(b"pkiMessage"),
        transaction_id: Some(text.into()),
        message_type: Some(text.into()),
        profile: Some(text.into()),
        challenge_id: Some(text.into()),
        reply_envelope: Some(text.into()),
        quirks: vec![text.into()],
    }
}

fn issuance(text: &str) -> Issuance {
    Issuance {
        serial: text.into(),
        tbs_digest: Hash::of(b"tbs"),
        key_id: text.into(),
        token_serial: text.into(),
    }
}

#[test]
fn a_record_is_one_line_of_sorted_json() {
    let record = draft(Event::ClockStep { delta_ms: -7 }).at(42);
    let expected = format!(
        concat!(
            r#"{{"binary":"0.1.0","boot_id":"b","config_hash":"{}","delta_ms":-7,"kind":"clock.step","#,
            r#""monotonic_ms":5,"sequence":42,"wall_ms":1700000000123}}"#
        ),
        Hash::of(b"configuration")
    );
    assert_eq!(record.to_canonical().unwrap(), expected.as_bytes());
}

#[test]
fn a_record_holds_the_salted_hash_of_its_evidence_and_nothing_else_of_it() {
    let attachment = Attachment {
        salt: [7; 32],
        content: b"evidence".to_vec(),
        keep_until: Timestamp::from_seconds(1),
    };
    let salted = Hash::of(&[&[7; 32][..], b"evidence"].concat());
    let refused = draft(Event::RequestRefused {
        request: request("a"),
        fail_info: 2,
        rule: "SUB-02".into(),
        detail: "b".into(),
        evidence: None,
    })
    .with_evidence(attachment.clone());
    assert_eq!(refused.attachment.as_ref().unwrap().hash(), salted);
    let bytes = refused.at(1).to_canonical().unwrap();
    let read = Record::from_canonical(&bytes).unwrap();
    assert_eq!(read.draft.attachment, None);
    let Event::RequestRefused { evidence, .. } = read.draft.event else {
        panic!("another event");
    };
    assert_eq!(evidence, Some(salted));

    let no_decision = draft(Event::ClockStep { delta_ms: 1 }).with_evidence(attachment);
    assert_eq!(no_decision.attachment, None);
}

#[test]
fn the_leaf_hash_is_that_of_rfc_6962() {
    // The empty leaf's hash, from the test vectors of certificate-transparency-go.
    assert_eq!(
        Hash::of_leaf(b"").to_string(),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
}

#[test]
fn every_kind_survives_the_round_trip_and_is_named_as_it_is_written() {
    let (text, hash) = (Text::from("x"), Hash::of(b"x"));
    let (request, issuance) = (request("r"), issuance("00ff"));
    let events = [
        Event::ServiceStarted {
            schema: 1,
            kernel_boot: Some(hash),
            booted_ms: Some(TimestampMillis::from_millis(1)),
        },
        Event::ServiceStopped {
            cause: text.clone(),
        },
        Event::CaAnnounced {
            ca_sha256: hash,
            predecessor_sha256: hash,
            switch_at: Timestamp::from_seconds(1),
            answered_until: Timestamp::from_seconds(2),
        },
        Event::CaSwitched {
            ca_sha256: hash,
            predecessor_sha256: hash,
        },
        Event::TokenEvent {
            token_label: text.clone(),
            token_serial: text.clone(),
            change: text.clone(),
            detail: text.clone(),
        },
        Event::PolicyActivated {
            actor: text.clone(),
            number: 1,
            file_hash: hash,
            model_hash: hash,
            profiles: 2,
            proposal_sha256: Some(hash),
            author: Some(text.clone()),
            approvers: vec![text.clone(), text.clone()],
            resumed: vec![text.clone()],
        },
        Event::ProfileStopped {
            actor: text.clone(),
            profile: text.clone(),
            reason: text.clone(),
        },
        Event::HsmCounted {
            run: 0,
            pid: 1,
            ca_signatures: 2,
            last: true,
        },
        Event::ChallengeIssued {
            actor: text.clone(),
            challenge_id: text.clone(),
            challenge_kind: "one-time".into(),
            profile: text.clone(),
            subject: None,
            expires_at: Some(Timestamp::from_seconds(1)),
            claims_sha256: Some(hash),
        },
        Event::ChallengeRevoked {
            actor: text.clone(),
            challenge_id: text.clone(),
        },
        Event::InventoryChanged {
            actor: text.clone(),
            profile: text.clone(),
            change: assay_audit::InventoryChange::Reset,
            names: 3,
            inventory_sequence: 4,
            inventory_hash: hash,
        },
        Event::CertificateImported {
            actor: text.clone(),
            serial: text.clone(),
            subject: text.clone(),
            not_after: Timestamp::from_seconds(1),
            tbs_digest: hash,
            certificate_sha256: hash,
        },
        Event::StateRecovered {
            statement_sha256: hash,
            journal: hash,
            log_size: 9,
            log_root: hash,
            restored_size: 5,
            restored_root: hash,
            policy_floor: 3,
            approvers: vec![text.clone()],
            crls: vec![assay_audit::RecoveredCrl {
                this_update: Timestamp::from_seconds(1_800_000_000),
                key_id: text.clone(),
                issuer: hash,
                number: 4,
            }],
            certificates: 1,
            statuses: 1,
            intents: 1,
            challenges: 1,
            requests: 1,
            names: 1,
        },
        Event::CertificateRecovered {
            serial: text.clone(),
            subject: text.clone(),
            not_after: Timestamp::from_seconds(1),
            tbs_digest: hash,
            certificate_sha256: Some(hash),
        },
        Event::StatusRecovered {
            serial: text.clone(),
            revoked_at: Some(Timestamp::from_seconds(1)),
            reason: Some("superseded".into()),
        },
        Event::CertificateRevoked {
            actor: text.clone(),
            serial: text.clone(),
            reason: "superseded".into(),
            successor_of: Some(text.clone()),
        },
        Event::CertificateHeld {
            actor: text.clone(),
            serial: text.clone(),
            successor_of: Some(text.clone()),
        },
        Event::CertificateReleased {
            actor: text.clone(),
            serial: text.clone(),
        },
        Event::CertificateSuperseded {
            serial: text.clone(),
            successor: text.clone(),
            revoke_at: Some(Timestamp::from_seconds(1)),
        },
        Event::CrlIssued {
            number: 1,
            crl_sha256: hash,
            tbs_digest: hash,
            this_update: Timestamp::from_seconds(2),
            next_update: Timestamp::from_seconds(3),
            entries: 4,
            entries_sha256: hash,
            covers: 5,
            key_id: text.clone(),
            token_serial: text.clone(),
        },
        Event::PendingApproved {
            actor: text.clone(),
            pending_id: text.clone(),
            approvals: 1,
            required: 2,
            note: text.clone(),
        },
        Event::PendingDenied {
            actor: text.clone(),
            pending_id: text.clone(),
            note: text.clone(),
        },
        Event::PendingExpired {
            pending_id: text.clone(),
        },
        Event::RequestPending {
            request: request.clone(),
            pending_id: text.clone(),
            evidence: Some(hash),
        },
        Event::RequestPolled {
            request: request.clone(),
            pending_id: text.clone(),
        },
        Event::RequestQueried {
            request: request.clone(),
            serial: None,
            crl_number: Some(7),
        },
        Event::IntentOpened {
            request: request.clone(),
            issuance: issuance.clone(),
            evidence: Some(hash),
        },
        Event::IntentAbandoned {
            request: request.clone(),
            issuance: issuance.clone(),
            listed_until: Some(Timestamp::from_seconds(4)),
            detail: text.clone(),
        },
        Event::RequestIssued {
            request: request.clone(),
            issuance,
            certificate_sha256: hash,
            renewal_of: Some(text.clone()),
            recovered: true,
        },
        Event::RequestReplayed {
            request: request.clone(),
            answer: assay_audit::Answer::SameCertificate,
            serial: text.clone(),
        },
        Event::RequestRefused {
            request: request.clone(),
            fail_info: 2,
            rule: "SUB-01".into(),
            detail: text.clone(),
            evidence: None,
        },
        Event::RequestMalformed {
            request: request.clone(),
            detail: text.clone(),
        },
        Event::RequestDeferred {
            request,
            detail: text.clone(),
        },
        Event::RequestsCounted {
            peer: text.clone(),
            class: RequestClass::ChallengeFailed,
            profile: Some(text),
            from_ms: TimestampMillis::from_millis(1),
            to_ms: TimestampMillis::from_millis(2),
            requests: 3,
            signer_keys: 2,
            more_signer_keys: false,
        },
        Event::ClockStep { delta_ms: 1 },
    ];
    for (sequence, event) in (1..).zip(events) {
        let record = draft(event).at(sequence);
        let bytes = record.to_canonical().unwrap();
        assert_eq!(Record::from_canonical(&bytes).unwrap(), record);
        let kind = format!(r#""kind":"{}""#, record.draft.event.kind());
        assert!(String::from_utf8(bytes).unwrap().contains(&kind));
    }
}

#[test]
fn the_fullest_record_with_hostile_texts_fits_into_a_leaf() {
    for hostile in ["\u{1}", "\"", "é", "x", "\u{7f}"] {
        let text = hostile.repeat(8192);
        let record = draft(Event::IntentAbandoned {
            request: request(&text),
            issuance: issuance(&text),
            listed_until: Some(Timestamp::LAST),
            detail: text.as_str().into(),
        })
        .at(u64::MAX);
        let length = record.to_canonical().unwrap().len();
        assert!(length <= MAX_RECORD, "{hostile:?}: {length}");
    }
}

#[test]
fn another_form_of_the_same_record_is_refused() {
    let bytes = draft(Event::ClockStep { delta_ms: 1 })
        .at(1)
        .to_canonical()
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let spaced = text.replacen(':', ": ", 1);
    let extended = text.replacen('{', r#"{"a":1,"#, 1);
    for other in [spaced, extended] {
        assert!(matches!(
            Record::from_canonical(other.as_bytes()),
            Err(CanonicalError::NotCanonical)
        ));
    }
}

proptest! {
    #[test]
    fn a_text_is_bounded_and_stable(text in any::<String>(), times in 1_usize..200) {
        let cut = Text::from(text.repeat(times));
        let json = serde_json::to_string(cut.as_str()).unwrap();
        prop_assert!(json.len() <= MAX_TEXT + 2);
        prop_assert_eq!(Text::from(cut.as_str()), cut);
    }
}

/// What serde takes is said in its refusal of what it does not take.
#[test]
fn the_kinds_are_those_that_a_record_may_have() {
    let refused = serde_json::from_str::<Event>(r#"{"kind":"none.such"}"#).unwrap_err();
    let refused = refused.to_string();
    let taken: Vec<&str> = refused.split('`').skip(3).step_by(2).collect();
    assert_eq!(taken, Event::KINDS);
}
