//! The form of a profile for the HSM service: it covers everything that the profile could issue, and little else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod support;

use std::time::Duration;

use assay_policy::Profile;
use assay_shape::{Form, Forms, Misfit, SanKind};
use support::{bundle, changed_profile, profile};

const HOUR: Duration = Duration::from_secs(3_600);
const NO_LIMIT: &[&str] = &[];

/// The form of a profile, which is safe and covers it.
#[track_caller]
fn covering(profile: &Profile) -> Form {
    let form = profile.form();
    let forms = Forms::new([form.clone()]).unwrap();
    let covered = forms.covers(&profile.demand()).map(drop);
    covered.unwrap_or_else(|uncovered| panic!("{}: {uncovered}\n{form:#?}", profile.name()));
    form
}

/// The demo's profile with these subject alternative names.
fn naming(sans: &str) -> Profile {
    let from = "[[san]]\ntype = \"dns\"\nclaimed = { min = 0, max = 8 }\n";
    changed_profile("demo", "devices", from, sans)
}

#[test]
fn the_form_of_every_shipped_profile_is_safe_and_covers_it() {
    for directory in ["demo", "examples"] {
        for (name, profile) in bundle(directory).profiles() {
            assert_eq!(covering(profile).name, name.as_str());
        }
    }
}

#[test]
fn a_form_has_what_its_profile_has() {
    let gateway = covering(&profile("examples", "vpn-gateway"));
    let purposes = ["serverAuth", "clientAuth", "ipsecIKE"];
    assert_eq!(gateway.extended_key_usage, purposes);
    assert_eq!(gateway.key_usage, ["digitalSignature", "keyEncipherment"]);
    assert_eq!(gateway.lifetime_max, HOUR * 24 * 365);
    assert_eq!(gateway.sans, [SanKind::Dns]);
    let rsa = gateway.keys.rsa.unwrap();
    assert_eq!((rsa.min_bits, rsa.max_bits), (3_072, 4_096));
    let crl = "http://pki.example.com/crl/{ca}.crl";
    assert_eq!(gateway.crl_distribution_points, [crl]);
    let server = covering(&profile("examples", "tls-server"));
    assert_eq!(server.sans, [SanKind::Dns, SanKind::Ip]);
    assert_eq!(server.keys.curves.len(), 2);
    assert_eq!(server.policies, ["2.23.140.1.2.1"]);
    let wifi = covering(&profile("examples", "wifi-device"));
    assert_eq!(wifi.dns_subtrees, ["wifi.example.com"]);
}

#[test]
fn names_are_limited_to_what_the_profile_writes_and_to_nothing_that_is_no_domain() {
    let claim = |kind: &str, before: &str, after: &str| {
        let before = format!("{{ literal = \"{before}\" }}, ");
        let before = if before.contains("\"\"") { "" } else { &before };
        let join = format!("{before}{{ claim = \"CN\" }}, {{ literal = \"{after}\" }}");
        format!("[[san]]\ntype = \"{kind}\"\nvalue = {{ join = [{join}] }}\n")
    };
    let literal = |kind: &str, text: &str| {
        format!("[[san]]\ntype = \"{kind}\"\nvalue = {{ literal = \"{text}\" }}\n")
    };
    let claimed = "[[san]]\ntype = \"upn\"\nclaimed = { min = 1, max = 1 }\n";
    for (sans, wanted) in [
        (claim("dns", "", ".wifi.example.com"), &["wifi.example.com"][..]),
        (claim("dns", "a-", "-eu.example.com"), &["example.com"]),
        (claim("dns", "", ".Example.com"), &["example.com"]),
        (claim("dns", "", "-eu"), NO_LIMIT),
        (claim("dns", "", "."), NO_LIMIT),
        (literal("dns", "*.example.com"), &["example.com"]),
        (
            literal("dns", "b.example.com") + &literal("dns", "a.example.com"),
            &["a.example.com", "b.example.com"],
        ),
        (
            "[[san]]\ntype = \"dns\"\nvalue = { join = [{ literal = \"a.ex\" }, { literal = \"ample.com\" }] }\n"
                .to_owned(),
            &["a.example.com"],
        ),
        // One name with any value leaves nothing to list.
        (literal("dns", "a.example.com") + &claim("dns", "", "x"), NO_LIMIT),
        (claim("upn", "", "@Example.com"), &["example.com"]),
        (claim("upn", "", ".example.com"), NO_LIMIT),
        (claim("upn", "", "@corp_local"), NO_LIMIT),
        (literal("upn", "user@example.com"), &["example.com"]),
        (claimed.to_owned(), NO_LIMIT),
        (claim("uri", "https://example.com/", "/x"), &["example.com"]),
        (claim("uri", "https://example.com", ".org/"), NO_LIMIT),
        (claim("uri", "https://example.com:443/", "/x"), NO_LIMIT),
        (literal("uri", "urn:example:device"), NO_LIMIT),
        (literal("other", "1.2.3.4;0500"), &["1.2.3.4"]),
        (claim("other", "1.2.3.4;0c05", "41"), &["1.2.3.4"]),
        (claim("other", "1.2", ".3;0500"), NO_LIMIT),
    ] {
        let form = covering(&naming(&sans));
        let lists = [
            &form.dns_subtrees,
            &form.upn_subtrees,
            &form.uri_subtrees,
            &form.other_names,
        ];
        let found: Vec<&String> = lists.into_iter().flatten().collect();
        assert_eq!(found, wanted, "{sans}");
        assert_eq!(form.sans.len(), 1, "{sans}");
    }
}

#[test]
fn a_form_has_room_for_an_exception_whether_it_has_ended_or_not() {
    for until in ["2026-01-01", "2040-01-01"] {
        let quirk = format!(
            "[quirks]\nnot_before_skew = {{ value = \"9h\", until = {until}T00:00:00Z }}\n\n[renewal]\n"
        );
        let profile = changed_profile("demo", "devices", "[renewal]\n", &quirk);
        assert_eq!(covering(&profile).backdate_max, HOUR * 10);
    }
}

#[test]
fn a_form_does_not_cover_a_profile_that_asks_for_more() {
    let forms = Forms::new([profile("demo", "devices").form()]).unwrap();
    for (from, to, wanted) in [
        (
            "validity = \"90d\"",
            "validity = \"91d\"",
            Misfit::LifetimeMax(HOUR * 24 * 90),
        ),
        (
            "backdate = \"1h\"",
            "backdate = \"2h\"",
            Misfit::Backdate(HOUR),
        ),
        (
            "max_bits = 4096",
            "max_bits = 8192",
            Misfit::Key("of RSA with 8192 bits".to_owned()),
        ),
        (
            "[\"clientAuth\"]",
            "[\"clientAuth\", \"serverAuth\"]",
            Misfit::ExtendedKeyUsage,
        ),
        (
            "type = \"dns\"",
            "type = \"email\"",
            Misfit::SanType(SanKind::Email),
        ),
    ] {
        let profile = changed_profile("demo", "devices", from, to);
        let uncovered = forms.covers(&profile.demand()).map(drop).unwrap_err();
        assert_eq!(uncovered.misfits, [("devices".to_owned(), wanted)]);
    }
}
