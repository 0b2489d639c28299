//! What is built is what policy says, as an independent reader (OpenSSL) sees it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use std::time::{Duration, SystemTime};

use assay_policy::{
    Facts, Issuer, Permit, Profile, RequestedExtension, Tbs, TbsError, decide, tbs,
};
use der::{Decode, Encode};
use openssl::x509::X509;
use support::{issuer, now, profile, serial};
use x509_cert::time::Time;

const DAY: Duration = Duration::from_secs(86_400);

fn permit(profile: &Profile, facts: &Facts) -> Permit {
    decide(profile, facts).unwrap()
}

fn build(profile: &Profile, facts: &Facts) -> Tbs {
    let issuer = issuer();
    let (not_before, not_after) = profile.validity(now(), &issuer);
    tbs(
        profile,
        permit(profile, facts),
        &issuer,
        &serial(),
        not_before,
        not_after,
    )
    .unwrap()
}

/// OIDs and values.
type Extensions<'a> = &'a [(&'a str, &'a [u8])];

/// A certificate whose signature is three zero octets: enough to read, good for nothing else.
fn certificate(tbs: &Tbs, issuer: &Issuer) -> X509 {
    let signature = der::asn1::BitString::from_bytes(&[0; 3])
        .unwrap()
        .to_der()
        .unwrap();
    let content = [tbs.der(), &issuer.signature_algorithm_der, &signature].concat();
    let any = der::asn1::Any::new(der::Tag::Sequence, content).unwrap();
    X509::from_der(&any.to_der().unwrap()).unwrap()
}

fn text(profile: &Profile, facts: &Facts) -> String {
    let certificate = certificate(&build(profile, facts), &issuer());
    let text = String::from_utf8(certificate.to_text().unwrap()).unwrap();
    // OpenSSL 3.0 writes `O = Example`, later ones `O=Example`.
    text.replace(" = ", "=").replace(" + ", "+")
}

/// What OpenSSL prints from `start` on, as one line.
fn after<'a>(text: &'a str, start: &str) -> impl Iterator<Item = &'a str> {
    text.split(start)
        .nth(1)
        .unwrap_or_default()
        .lines()
        .map(str::trim)
}

#[test]
fn a_device_certificate_carries_exactly_what_the_profile_says() {
    let text = text(&profile("demo", "devices"), &support::device());
    for line in [
        "Version: 3 (0x2)",
        "Issuer: O=Example, CN=Example CA",
        "Not Before: Nov 21 23:00:00 2026 GMT",
        "Not After : Feb 20 00:00:00 2027 GMT",
        "Subject: O=Example, CN=device-1",
        "Public-Key: (2048 bit)",
    ] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    let extensions: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("X509v3 "))
        .collect();
    assert_eq!(
        extensions,
        [
            "X509v3 extensions:",
            "X509v3 Basic Constraints: critical",
            "X509v3 Key Usage: critical",
            "X509v3 Extended Key Usage:",
            "X509v3 Subject Key Identifier:",
            "X509v3 Authority Key Identifier:",
            "X509v3 Subject Alternative Name:",
        ]
    );
    for (extension, value) in [
        ("Basic Constraints: critical", "CA:FALSE"),
        (
            "X509v3 Key Usage: critical",
            "Digital Signature, Key Encipherment",
        ),
        ("Extended Key Usage:", "TLS Web Client Authentication"),
        (
            "Authority Key Identifier:",
            "07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07:07",
        ),
        ("Alternative Name:", "DNS:a.example.com, DNS:b.example.com"),
    ] {
        assert!(
            after(&text, extension).nth(1).unwrap().ends_with(value),
            "{extension} {text}"
        );
    }
}

#[test]
fn a_certificate_without_a_subject_has_a_critical_san_in_the_order_of_the_policy() {
    let text = text(&profile("examples", "tls-server"), &support::server());
    assert!(
        text.contains("X509v3 Subject Alternative Name: critical"),
        "{text}"
    );
    assert_eq!(
        after(&text, "Alternative Name: critical").nth(1),
        Some("DNS:www.example.com, IP Address:192.0.2.7")
    );
    assert_eq!(
        after(&text, "Certificate Policies:").nth(1),
        Some("Policy: 2.23.140.1.2.1")
    );
}

#[test]
fn a_multi_valued_rdn_is_one_set_in_der_order() {
    let text = text(&profile("examples", "vpn-gateway"), &support::gateway());
    assert!(
        text.contains("Subject: O=Example GmbH, OU=VPN+CN=gw1.example.com"),
        "{text}"
    );
}

#[test]
fn a_value_asked_for_as_printable_string_is_issued_as_the_profile_says() {
    let devices = profile("demo", "devices");
    let mut facts = support::device();
    let as_utf8 = build(&devices, &facts);
    for attribute in facts.subject.iter_mut().flatten() {
        attribute.tag = 0x13;
    }
    assert_eq!(build(&devices, &facts), as_utf8);
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let devices = profile("demo", "devices");
    let mut facts = support::device();
    let first = build(&devices, &facts);
    facts.sans.as_mut().unwrap().reverse();
    let second = build(&devices, &facts);
    assert_eq!(first.der(), second.der());
    assert_eq!(first.digest(), second.digest());
    assert_eq!(first.serial(), serial());
}

#[test]
fn the_expectation_for_lints_agrees_with_what_is_built() {
    for (profile, facts) in [
        (profile("demo", "devices"), support::device()),
        (profile("examples", "tls-server"), support::server()),
        (profile("examples", "vpn-gateway"), support::gateway()),
    ] {
        let expected = profile.expected(&permit(&profile, &facts)).unwrap();
        let built = build(&profile, &facts);
        let built = x509_cert::TbsCertificate::from_der(built.der()).unwrap();
        let extensions: Vec<_> = built
            .extensions()
            .unwrap()
            .iter()
            .map(|extension| (extension.extn_id, extension.critical))
            .collect();
        assert_eq!(extensions, expected.extensions);
        assert_eq!(built.subject().to_der().unwrap(), expected.subject_der);
        assert_eq!(
            built.subject_public_key_info().to_der().unwrap(),
            expected.spki_der
        );
        assert_eq!(expected.spki_der, facts.key.spki_der());
    }
}

#[test]
fn a_permit_is_good_for_the_version_that_gave_it_only() {
    let devices = profile("demo", "devices");
    let fleet = profile("demo", "fleet");
    let issuer = issuer();
    let (not_before, not_after) = fleet.validity(now(), &issuer);
    let permit = permit(&devices, &support::device());
    let error = tbs(&fleet, permit, &issuer, &serial(), not_before, not_after).unwrap_err();
    assert!(matches!(error, TbsError::ForeignPermit), "{error}");
}

#[test]
fn serials_that_are_not_positive_or_not_16_to_20_octets_are_refused() {
    let devices = profile("demo", "devices");
    let issuer = issuer();
    let (not_before, not_after) = devices.validity(now(), &issuer);
    for (serial, sound) in [
        (vec![1; 16], true),
        (vec![0x7f; 20], true),
        (vec![1; 15], false),
        (vec![1; 21], false),
        (vec![0x80; 16], false),
        (vec![0; 16], false),
        (vec![], false),
    ] {
        let permit = permit(&devices, &support::device());
        let built = tbs(&devices, permit, &issuer, &serial, not_before, not_after);
        assert_eq!(built.is_ok(), sound, "{serial:?}");
    }
}

#[test]
fn the_validity_lies_within_the_issuers_and_is_no_longer_than_the_profiles() {
    let devices = profile("demo", "devices");
    let sound = issuer();
    let ending = Issuer {
        not_after: now() + DAY,
        ..issuer()
    };
    let young = Issuer {
        not_before: now(),
        ..issuer()
    };
    assert_eq!(devices.validity(now(), &ending).1, now() + DAY);
    assert_eq!(devices.validity(now(), &young).0, now());
    let refused: &[(&Issuer, SystemTime, SystemTime)] = &[
        (&ending, now(), now() + 2 * DAY),
        (&young, now() - DAY, now() + DAY),
        (&sound, now(), now() + 91 * DAY),
        (&sound, now() + DAY, now()),
    ];
    for (issuer, not_before, not_after) in refused {
        let permit = permit(&devices, &support::device());
        let error = tbs(&devices, permit, issuer, &serial(), *not_before, *not_after).unwrap_err();
        assert!(matches!(error, TbsError::Validity(_)), "{error}");
    }
}

#[test]
fn validity_is_utc_time_to_2049_and_generalized_time_after() {
    let devices = profile("demo", "devices");
    // 2049-12-31T23:59:59Z, the second before 2050.
    let not_before = SystemTime::UNIX_EPOCH + Duration::from_secs(2_524_607_999);
    let not_after = not_before + Duration::from_secs(1);
    let issuer = Issuer {
        not_after,
        ..issuer()
    };
    let permit = permit(&devices, &support::device());
    let built = tbs(&devices, permit, &issuer, &serial(), not_before, not_after).unwrap();
    let built = x509_cert::TbsCertificate::from_der(built.der()).unwrap();
    let validity = built.validity();
    assert!(matches!(validity.not_before, Time::UtcTime(_)));
    assert!(matches!(validity.not_after, Time::GeneralTime(_)));
}

#[test]
fn a_request_is_read_from_its_der() {
    let base = support::device();
    let sans = assay_policy::SubjectAltName::list_to_der(base.sans.as_ref().unwrap()).unwrap();
    let subject = support::dn("CN=device-1,O=Example")
        .to_der(assay_policy::StringEncoding::Printable)
        .unwrap();
    let read = |extensions: Extensions| {
        let extensions: Vec<_> = extensions
            .iter()
            .map(|(oid, value)| RequestedExtension {
                oid: oid.parse().unwrap(),
                value,
            })
            .collect();
        Facts::from_request(
            &subject,
            base.key.spki_der(),
            &extensions,
            "devices",
            now(),
            base.csr_digest,
            base.message_digest,
            base.grant.clone(),
        )
    };
    let san = ("2.5.29.17", sans.as_slice());
    let devices = profile("demo", "devices");
    let facts = read(&[
        san,
        ("2.5.29.15", &[0x03, 2, 5, 0xa0]),
        ("2.5.29.19", &[0x30, 0]),
        ("2.5.29.14", b"not even DER: ignored"),
    ]);
    assert_eq!(facts.key_usage, Some(5));
    assert_eq!(facts.basic_constraints_ca, Some(false));
    assert_eq!(facts.ignored_extensions, 1);
    assert!(decide(&devices, &facts).is_ok());

    let refused: &[(&str, Extensions)] = &[
        ("REQ-01", &[san, san]),
        ("REQ-01", &[("2.5.29.17", b"\x30\x02\x88\x00")]),
        ("REQ-01", &[san, ("2.5.29.15", b"\x05\x00")]),
        // CA:FALSE with a pathLenConstraint.
        ("REQ-01", &[san, ("2.5.29.19", &[0x30, 3, 2, 1, 0])]),
        ("EXT-03", &[san, ("2.5.29.19", &[0x30, 3, 1, 1, 0xff])]),
        ("EXT-04", &[san, ("1.3.6.1.4.1.311.25.2", &[0x30, 0])]),
    ];
    for (rule, extensions) in refused {
        let refusal = decide(&devices, &read(extensions)).unwrap_err();
        assert_eq!(refusal.rule.as_str(), *rule, "{refusal}");
    }
}
