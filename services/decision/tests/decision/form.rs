//! Evidence has one form, fits its bounds, and holds no secret.

use assay_audit::MAX_EVIDENCE;
use assay_decision::{Evidence, EvidenceError, Permitted, Verdict, claims_sha256, issued_sha256};
use assay_policy::{
    ChallengeKind, ClaimedNames, Dn, DnAttribute, Grant, InventoryEntry, Rdn, Renewed, Semantics,
    SubjectAltName,
};
use assay_types::{CanonicalError, Digest, Hash, Timestamp, TimestampMillis};
use proptest::prelude::*;

use crate::support::*;

const SALT: [u8; 32] = [9; 32];

#[test]
fn every_flipped_bit_of_sealed_evidence_is_found() {
    let (attachment, hash) = permits()[0]
        .evidence()
        .seal(SALT, Timestamp::from_seconds(7))
        .unwrap();
    assert_eq!(hash, attachment.hash());
    assert_eq!(attachment.keep_until.seconds(), 7);
    Evidence::open(&attachment.salt, &attachment.content, &hash).unwrap();
    for at in 0..attachment.content.len() {
        let mut content = attachment.content.clone();
        content[at] ^= 1 << (at % 8);
        let opened = Evidence::open(&attachment.salt, &content, &hash);
        assert!(matches!(opened, Err(EvidenceError::Hash)), "octet {at}");
    }
    for at in 0..SALT.len() {
        let mut salt = attachment.salt;
        salt[at] ^= 1;
        let opened = Evidence::open(&salt, &attachment.content, &hash);
        assert!(
            matches!(opened, Err(EvidenceError::Hash)),
            "octet {at} of the salt"
        );
    }
}

#[test]
fn evidence_holds_no_challenge() {
    for case in permits() {
        let evidence = case.evidence();
        let canonical = evidence.to_canonical().unwrap();
        let holds = |bytes: &[u8]| {
            bytes
                .windows(CHALLENGE.len())
                .any(|window| window == CHALLENGE.as_bytes())
        };
        let came_with_it = case.csr.challenge_password().is_some();
        assert_eq!(holds(case.csr.der()), came_with_it, "{}", case.what);
        assert_eq!(evidence.csr_whole(), !came_with_it, "{}", case.what);
        assert!(!holds(&canonical) && !holds(&evidence.csr), "{}", case.what);
    }
}

#[test]
fn evidence_past_its_bound_is_refused_in_both_directions() {
    let mut evidence = permits()[0].evidence();
    evidence.csr = vec![0; MAX_EVIDENCE];
    assert!(matches!(
        evidence.seal(SALT, Timestamp::default()),
        Err(CanonicalError::TooLong { .. })
    ));
    assert!(matches!(
        Evidence::from_canonical(&vec![b' '; MAX_EVIDENCE + 1]),
        Err(CanonicalError::TooLong { .. })
    ));
}

#[test]
fn another_form_of_the_same_evidence_is_none() {
    let text = String::from_utf8(permits()[0].evidence().to_canonical().unwrap()).unwrap();
    let refused = |from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "`{from}` must occur once");
        Evidence::from_canonical(text.replace(from, to).as_bytes()).unwrap_err()
    };
    let parse = |error: CanonicalError| {
        assert!(matches!(error, CanonicalError::Parse(_)), "{error}");
        error.to_string()
    };
    let unknown = parse(refused(
        "\"profile\":\"devices\",\"semantics\":1,\"verdict\"",
        "\"more\":1,\"profile\":\"devices\",\"semantics\":1,\"verdict\"",
    ));
    assert!(unknown.starts_with("more: unknown field"), "{unknown}");
    let deep = parse(refused("\"source\":", "\"also\":1,\"source\":"));
    assert!(deep.starts_with("grant.also: unknown field"), "{deep}");
    let spaced = refused("\"verdict\":", "\"verdict\": ");
    assert_eq!(spaced, CanonicalError::NotCanonical);
    let kind = refused("\"kind\":\"permit\"", "\"kind\":\"pending\"");
    assert_eq!(kind, CanonicalError::NotCanonical);
    let spelling = refused("\"CN=device-1,O=Example\"", "\"cn = device-1, o=Example\"");
    assert_eq!(spelling, CanonicalError::NotCanonical);
    let foreign = parse(refused("\"kind\":\"one-time\"", "\"kind\":\"static\""));
    assert!(
        foreign.starts_with("grant: a source of this kind"),
        "{foreign}"
    );
    let hash = parse(refused("\"csr_hash\":\"sha256\"", "\"csr_hash\":\"md5\""));
    assert!(
        hash.starts_with("csr_hash: unknown variant `md5`, expected one of `sha1`"),
        "{hash}"
    );
    let evidence = permits()[0].evidence();
    let whole = Evidence {
        csr_sha256: Some(Hash::of(&evidence.csr)),
        ..evidence
    };
    let refused = Evidence::from_canonical(&whole.to_canonical().unwrap());
    assert_eq!(refused.unwrap_err(), CanonicalError::NotCanonical);
}

#[test]
fn the_hash_of_claims_is_of_their_canonical_json_with_sorted_names() {
    let expected = Hash::of(br#"["one-time","devices","CN=a",["dns:a","dns:b"]]"#);
    let sans = ["dns:b".to_owned(), "dns:a".to_owned()];
    let hash = claims_sha256(ChallengeKind::OneTime, "devices", "CN=a", &sans).unwrap();
    assert_eq!(hash, expected);
    let names = ClaimedNames {
        subject: dn("CN=a"),
        sans: names(&["dns:b", "dns:a"]),
    };
    let grant = Grant::one_time("1".to_owned(), "devices".to_owned(), names, moment_of(1));
    assert_eq!(issued_sha256(&grant).unwrap(), Some(expected));
    let grant = Grant::shared("1".to_owned(), "fleet".to_owned(), None);
    assert_eq!(
        issued_sha256(&grant).unwrap(),
        Some(Hash::of(br#"["static","fleet","",[]]"#))
    );
}

fn text() -> impl Strategy<Value = String> {
    "[a-z0-9 ,+=#\"é-]{0,12}"
}

fn subject() -> impl Strategy<Value = Dn> {
    prop::collection::vec("[a-zA-Z0-9,+=#\"é-]{1,10}", 0..4).prop_map(|values| {
        let rdns = values.iter().enumerate().map(|(index, value)| {
            let oid = format!("2.5.4.{}", 10 + index).parse().unwrap();
            Rdn::new(vec![DnAttribute::new(oid, value.as_str()).unwrap()]).unwrap()
        });
        Dn::new(rdns.collect()).unwrap()
    })
}

fn sans() -> impl Strategy<Value = Vec<SubjectAltName>> {
    let san = prop_oneof![
        "[a-z]{1,8}\\.example".prop_map(SubjectAltName::Dns),
        any::<[u8; 4]>().prop_map(|octets| SubjectAltName::Ip(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| SubjectAltName::Ip(octets.into())),
        "[a-z]{1,8}@x\\.example".prop_map(SubjectAltName::Email),
        "urn:[a-z0-9:]{1,12}".prop_map(SubjectAltName::Uri),
        "[a-z]{1,8}@REALM".prop_map(SubjectAltName::Upn),
        any::<u8>().prop_map(|octet| SubjectAltName::OtherName {
            oid: "1.2.3.4".parse().unwrap(),
            der: vec![4, 1, octet],
        }),
    ];
    prop::collection::vec(san, 0..5)
}

fn entry() -> impl Strategy<Value = Option<InventoryEntry>> {
    prop::option::of(
        (text(), prop::option::of(any::<[u8; 32]>()), any::<bool>()).prop_map(
            |(name, spki_sha256, already_issued)| InventoryEntry {
                name,
                spki_sha256: spki_sha256.map(Into::into),
                already_issued,
            },
        ),
    )
}

fn claimed() -> impl Strategy<Value = ClaimedNames> {
    (subject(), sans()).prop_map(|(subject, sans)| ClaimedNames { subject, sans })
}

fn grant() -> impl Strategy<Value = Grant> {
    let seconds = || (0..4_000_000_000_u64).prop_map(moment_of);
    let renewed = (text(), any::<[u8; 32]>(), proptest::option::of(text()));
    let renewed = renewed.prop_map(|(serial, spki_sha256, successor)| Renewed {
        serial,
        spki_sha256: spki_sha256.into(),
        successor,
    });
    prop_oneof![
        (text(), text(), claimed(), seconds())
            .prop_map(|(id, profile, names, expires)| Grant::one_time(id, profile, names, expires)),
        (text(), text(), entry())
            .prop_map(|(id, profile, entry)| Grant::shared(id, profile, entry)),
        (renewed, text(), claimed(), seconds(), entry()).prop_map(
            |(renewed, profile, names, not_after, entry)| {
                Grant::renewal(renewed, profile, names, not_after, entry)
            }
        ),
    ]
}

fn moment_of(seconds: u64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        (
            prop::collection::vec(any::<u8>(), 0..20),
            any::<i64>().prop_map(Timestamp::from_seconds),
            any::<i64>().prop_map(Timestamp::from_seconds),
            any::<[u8; 32]>(),
            any::<[u8; 32]>(),
            text()
        )
            .prop_map(|(serial, not_before, not_after, issuer, tbs, builder)| {
                Verdict::Permit(Permitted {
                    serial,
                    not_before,
                    not_after,
                    issuer_sha256: issuer.into(),
                    tbs_digest: tbs.into(),
                    builder,
                })
            }),
        text().prop_map(|rule| Verdict::Refusal { rule }),
        Just(Verdict::Pending),
    ]
}

fn algorithm() -> impl Strategy<Value = Digest> {
    prop::sample::select(Digest::ALL.to_vec())
}

proptest! {
    #[test]
    fn evidence_comes_back_as_it_was(
        grant in prop::option::of(grant()),
        verdict in verdict(),
        semantics in any::<u32>(),
        profile in text(),
        decided_ms in any::<i64>().prop_map(TimestampMillis::from_millis),
        csr in prop::collection::vec(any::<u8>(), 0..200),
        csr_sha256 in any::<Option<[u8; 32]>>(),
        message_hash in algorithm(),
        csr_hash in algorithm(),
        pending_id in prop::option::of(text()),
    ) {
        let evidence = Evidence {
            semantics: Semantics::new(semantics),
            profile,
            decided_ms,
            csr_sha256: csr_sha256.map(Hash::from),
            csr,
            message_hash,
            csr_hash,
            grant,
            pending_id,
            verdict,
        };
        let bytes = evidence.to_canonical().unwrap();
        prop_assert_eq!(Evidence::from_canonical(&bytes).unwrap(), evidence);
    }

    #[test]
    fn no_octets_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Evidence::from_canonical(&bytes).is_err());
    }
}
