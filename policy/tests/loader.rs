//! A policy file is right, or everything that is wrong with it is told, with its place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use assay_policy::{Bundle, PolicyFile};

/// The shipped profile, in which each case changes a few lines.
const DEVICES: &str = include_str!("../demo/devices.toml");
const FLEET: &str = include_str!("../demo/fleet.toml");

fn load(files: &[(&str, &str)]) -> Result<Bundle, Vec<String>> {
    let files: Vec<PolicyFile> = files
        .iter()
        .map(|(name, content)| PolicyFile {
            name: (*name).to_owned(),
            content: content.as_bytes().to_vec(),
        })
        .collect();
    Bundle::load(&files).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// The errors of the shipped profile with `from` replaced, without the file's name.
fn errors_after(source: &str, from: &str, to: &str) -> Vec<String> {
    assert_eq!(source.matches(from).count(), 1, "`{from}` must occur once");
    load(&[("d.toml", &source.replace(from, to))])
        .err()
        .unwrap_or_default()
}

#[test]
fn each_fault_is_told_with_file_line_column_key_rule_and_what_would_be_right() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "challenge = \"one-time\"",
            "chalenge = \"one-time\"",
            &[
                "d.toml:13:1: enrolment.challenge: TOM-04: the key is missing",
                "d.toml:14:1: enrolment.chalenge: TOM-03: unknown key; did you mean `challenge`?",
            ],
        ),
        (
            "ticket = \"DEMO-1\"\n",
            "",
            &["d.toml:1:1: ticket: TOM-04: the key is missing"],
        ),
        (
            "version = 1",
            "version = \"1\"",
            &["d.toml:7:11: version: TOM-05: wanted an integer, got string"],
        ),
        (
            "version = 1",
            "version = 0",
            &["d.toml:7:11: version: TOM-06: wanted 1 to 18446744073709551615, got 0"],
        ),
        (
            "expires = 2045-01-01T00:00:00Z",
            "expires = 2024-01-01T00:00:00Z",
            &["d.toml:9:11: expires: TOM-06: wanted a time after not_before"],
        ),
        (
            "expires = 2045-01-01T00:00:00Z",
            "expires = 2045-01-01",
            &[
                "d.toml:9:11: expires: TOM-06: wanted a date-time in UTC, in whole seconds, such as 2026-01-31T00:00:00Z, got 2045-01-01",
            ],
        ),
        (
            "expires = 2045-01-01T00:00:00Z",
            "expires = 2045-01-01T00:00:00.25Z",
            &[
                "d.toml:9:11: expires: TOM-06: wanted a date-time in UTC, in whole seconds, such as 2026-01-31T00:00:00Z, got 2045-01-01T00:00:00.25Z",
            ],
        ),
        (
            "\"one-time\"",
            "\"never\"",
            &[
                "d.toml:14:13: enrolment.challenge: TOM-06: wanted one of one-time, static, got \"never\"",
            ],
        ),
        (
            "challenge_ttl_max = \"7d\"",
            "challenge_ttl_max = \"a week\"",
            &[
                "d.toml:15:21: enrolment.challenge_ttl_max: TOM-06: wanted a duration in whole seconds such as \"90d\" or \
               \"1h\", at most 3650 days, got \"a week\": a whole number is missing at `a week`; write a number and a unit, such as \
               90d or 1h 30m",
            ],
        ),
        (
            "challenge_ttl_max = \"7d\"",
            "challenge_ttl_max = \"1M\"",
            &[
                "d.toml:15:21: enrolment.challenge_ttl_max: TOM-06: wanted a duration in whole seconds such as \"90d\" or \
               \"1h\", at most 3650 days, got \"1M\": `M` is a month, which has no fixed length; write days, such as 30d \
               (`m` is minutes)",
            ],
        ),
        (
            "challenge_ttl_max = \"7d\"",
            "challenge_ttl_max = \"7d\"\naccept_shared_secret = true",
            &[
                "d.toml:13:1: enrolment: TOM-07: accept_shared_secret belongs to challenge = \"static\"; leave it out",
            ],
        ),
        (
            "message_digests = [\"sha256\", \"sha384\", \"sha512\"]",
            "message_digests = [\"md5\", \"sha256\", \"sha256\"]",
            &[
                "d.toml:21:20: algorithms.message_digests[0]: TOM-06: wanted one of sha1, sha256, sha384, sha512, got \"md5\"",
                "d.toml:21:37: algorithms.message_digests[2]: TOM-06: the value is in the list already; list it once",
            ],
        ),
        (
            "min_bits = 2048",
            "min_bits = 1024",
            &["d.toml:27:20: keys.rsa.min_bits: TOM-06: wanted 2048 to 8192, got 1024"],
        ),
        (
            "rsa = { min_bits = 2048, max_bits = 4096 }",
            "",
            &["d.toml:26:1: keys: TOM-07: no key is allowed; wanted rsa, curves or both"],
        ),
        (
            "rsa = { min_bits = 2048, max_bits = 4096 }",
            "rsa = { min_bits = 2048, max_bits = 4096 }\ncurves = [\"p256\"]",
            &[
                "d.toml:51:13: certificate.key_usage: TOM-06: an EC key cannot encipher (RFC 5480 section 3); list it in \
               a profile for RSA keys",
            ],
        ),
        (
            "value = { literal = \"Example\" }",
            "value = { literal = \"Example \" }",
            &[
                "d.toml:32:9: subject[0].value: TOM-06: O: a value must not begin or end with a space",
            ],
        ),
        (
            "value = { literal = \"Example\" }",
            "value = { literal = \"Example\", claim = \"O\" }",
            &[
                "d.toml:32:9: subject[0].value: TOM-06: wanted exactly one of literal, inventory, claim, join",
            ],
        ),
        (
            "value = { claim = \"CN\" }",
            "value = { claim = \"OU\" }",
            &[
                "d.toml:30:1: subject: TOM-06: the claim OU needs exactly one attribute OU in the subject",
            ],
        ),
        (
            "value = { claim = \"CN\" }",
            "value = { inventory = \"name\" }",
            &[
                "d.toml:38:23: subject[1].value.inventory: TOM-06: an inventory goes with challenge = \"static\"; a \
               one-time challenge has claims",
            ],
        ),
        (
            "type = \"O\"",
            "type = \"C\"",
            &[
                "d.toml:33:11: subject[0].accept[0]: TOM-06: the standard of C allows \"printable\" (RFC 5280 appendix A.1, RFC 2985)",
                "d.toml:34:9: subject[0].issue: TOM-06: the standard of C allows \"printable\" (RFC 5280 appendix A.1, RFC 2985)",
            ],
        ),
        (
            "claimed = { min = 0, max = 8 }",
            "claimed = { min = 9, max = 8 }",
            &[
                "d.toml:45:11: san[0].claimed: TOM-06: wanted min not above max, and max of at least 1",
            ],
        ),
        (
            "type = \"dns\"",
            "type = \"directory\"",
            &[
                "d.toml:44:8: san[0].type: TOM-06: wanted one of dns, ip, email, uri, upn, other, microsoft-sid, got \
               \"directory\"",
            ],
        ),
        (
            "key_usage = [\"digitalSignature\", \"keyEncipherment\"]",
            "key_usage = [\"digitalSignature\", \"keyCertSign\"]",
            &[
                "d.toml:50:34: certificate.key_usage[1]: TOM-06: wanted one of digitalSignature, contentCommitment, \
               keyEncipherment, dataEncipherment, keyAgreement, encipherOnly, decipherOnly, got \"keyCertSign\"",
            ],
        ),
        (
            "extended_key_usage = [\"clientAuth\"]",
            "extended_key_usage = [\"2.5.29.37.0\"]",
            &[
                "d.toml:51:23: certificate.extended_key_usage[0]: TOM-06: anyExtendedKeyUsage allows everything; list \
               the purposes",
            ],
        ),
        (
            "extended_key_usage = [\"clientAuth\"]",
            "extended_key_usage = [\"1.3.6.1.5.5.7.3.9\"]",
            &[
                "d.toml:51:23: certificate.extended_key_usage[0]: TOM-06: OCSPSigning makes a responder of this CA, \
               which only `assay-ceremony ocsp` certifies",
            ],
        ),
        (
            "extended_key_usage = [\"clientAuth\"]",
            "extended_key_usage = [\"clientAuth\"]\nca_issuers = [\"file:///etc/passwd\"]",
            &[
                "d.toml:52:15: certificate.ca_issuers[0]: TOM-06: wanted an http, https or ldap URL, got \
               \"file:///etc/passwd\"",
            ],
        ),
        (
            "extended_key_usage = [\"clientAuth\"]",
            "extended_key_usage = [\"clientAuth\"]\n\
             crl_distribution_points = [\"http://a/{ca}/{ca}\", \"http://a/{CA}\", \"http://a/{ca\", \"ftp://a/{ca}\"]\n\
             ca_issuers = [\"http://a/{{ca}}\", \"http://a/{ca}}\", \"http://a/{}\", \"{ca}\"]\n\
             ocsp = [\"http://a/{ca}\", \"http://a/}\"]",
            &[
                "d.toml:52:28: certificate.crl_distribution_points[0]: TOM-08: wanted `{ca}` at most once and no other \
               brace, got \"http://a/{ca}/{ca}\"",
                "d.toml:52:50: certificate.crl_distribution_points[1]: TOM-08: wanted `{ca}` at most once and no other \
               brace, got \"http://a/{CA}\"",
                "d.toml:52:67: certificate.crl_distribution_points[2]: TOM-08: wanted `{ca}` at most once and no other \
               brace, got \"http://a/{ca\"",
                "d.toml:52:83: certificate.crl_distribution_points[3]: TOM-06: wanted an http, https or ldap URL, got \
               \"ftp://a/{ca}\"",
                "d.toml:53:15: certificate.ca_issuers[0]: TOM-08: wanted `{ca}` at most once and no other brace, got \
               \"http://a/{{ca}}\"",
                "d.toml:53:34: certificate.ca_issuers[1]: TOM-08: wanted `{ca}` at most once and no other brace, got \
               \"http://a/{ca}}\"",
                "d.toml:53:52: certificate.ca_issuers[2]: TOM-08: wanted `{ca}` at most once and no other brace, got \
               \"http://a/{}\"",
                "d.toml:53:67: certificate.ca_issuers[3]: TOM-06: wanted an http, https or ldap URL, got \"{ca}\"",
                "d.toml:54:9: certificate.ocsp[0]: TOM-08: wanted no brace, got \"http://a/{ca}\": what is asked of \
               OCSP names the CA by itself; `{ca}` belongs to crl_distribution_points and ca_issuers",
                "d.toml:54:26: certificate.ocsp[1]: TOM-08: wanted no brace, got \"http://a/}\": what is asked of \
               OCSP names the CA by itself; `{ca}` belongs to crl_distribution_points and ca_issuers",
            ],
        ),
        (
            "message_digests = [\"sha256\"",
            "message_digests = [\"sha1\"",
            &[
                "d.toml:21:20: algorithms.message_digests[0]: TOM-06: sha1 is an exception: wanted allow_sha1 = true in \
               [quirks]",
            ],
        ),
        (
            "content_ciphers = [\"aes128-cbc\"",
            "content_ciphers = [\"3des-cbc\"",
            &[
                "d.toml:23:20: algorithms.content_ciphers[0]: TOM-06: 3des-cbc is an exception: wanted allow_3des = \
               true in [quirks]",
            ],
        ),
        (
            "window = \"90d\"",
            "window = \"0s\"",
            &["d.toml:55:10: renewal.window: TOM-06: the duration must not be zero"],
        ),
        (
            "window = \"90d\"",
            "windows = \"90d\"",
            &[
                "d.toml:54:1: renewal.window: TOM-04: the key is missing",
                "d.toml:55:1: renewal.windows: TOM-03: unknown key; did you mean `window`?",
            ],
        ),
        (
            "supersede = \"keep\"",
            "supersede = \"replace\"",
            &[
                "d.toml:57:13: renewal.supersede: TOM-06: wanted one of keep, revoke, got \"replace\"",
            ],
        ),
        (
            "supersede = \"keep\"",
            "supersede = \"revoke\"",
            &["d.toml:54:1: renewal.revoke_after: TOM-04: the key is missing"],
        ),
        (
            "supersede = \"keep\"",
            "supersede = \"keep\"\nrevoke_after = \"7d\"",
            &[
                "d.toml:54:1: renewal: TOM-07: revoke_after belongs to supersede = \"revoke\"; leave it out",
            ],
        ),
        (
            "supersede = \"keep\"",
            "[approval]\nfour_eyes = 2",
            &[
                "d.toml:57:1: approval.expires: TOM-04: the key is missing",
                "d.toml:58:13: approval.four_eyes: TOM-05: wanted true or false, got integer",
            ],
        ),
        (
            "supersede = \"keep\"",
            "[approval]\nexpires = \"91d\"",
            &[
                "d.toml:58:11: approval.expires: TOM-06: wanted a duration in whole seconds such as \"90d\" or \"1h\", \
               at most 90 days, got \"91d\"",
            ],
        ),
        (
            "supersede = \"keep\"",
            "[quirks]\nallow_sh1 = true\nsingle_ra = \"yes\"\nnot_before_skew = \"49h\"",
            &[
                "d.toml:58:1: quirks.allow_sh1: TOM-03: unknown key; did you mean `allow_sha1`?",
                "d.toml:59:13: quirks.single_ra: TOM-05: wanted true or false, got string",
                "d.toml:60:19: quirks.not_before_skew: TOM-06: wanted a duration in whole seconds such as \"90d\" or \
               \"1h\", at most 2 days, got \"49h\"",
            ],
        ),
        (
            "supersede = \"keep\"",
            "[quirks]\nallow_sha1 = { value = true }\nallow_3des = { value = true, until = 2027-01-01, by = 1 }",
            &[
                "d.toml:58:14: quirks.allow_sha1.until: TOM-04: the key is missing",
                "d.toml:59:38: quirks.allow_3des.until: TOM-06: wanted a date-time in UTC, in whole seconds, such \
               as 2026-01-31T00:00:00Z, got 2027-01-01",
                "d.toml:59:50: quirks.allow_3des.by: TOM-03: unknown key; the keys here are value, until",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (from, to, told) in cases {
        let errors = errors_after(DEVICES, from, to);
        if errors != *told {
            wrong.push(format!("{to}\n  wanted {told:#?}\n  got {errors:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_url_is_short_enough_with_the_longest_key_identifier_in_the_place_of_ca() {
    let purpose = "extended_key_usage = [\"clientAuth\"]";
    let of_length = |pattern: &str, length: usize| {
        let url = format!("http://a/{pattern}");
        let url = format!("{url}{}", "x".repeat(length - url.len()));
        let line = format!("{purpose}\nca_issuers = [\"{url}\"]");
        errors_after(DEVICES, purpose, &line)
    };
    // 128 digits take the place of 4 characters.
    assert_eq!(of_length("{ca}", 1024 - 124), [""; 0]);
    assert_eq!(
        of_length("{ca}", 1024 - 123),
        [
            "d.toml:52:15: certificate.ca_issuers[0]: TOM-08: wanted at most 1024 characters where `{ca}` stands for \
             128, got 1025"
        ]
    );
    assert_eq!(of_length("", 1024), [""; 0]);
    let errors = of_length("", 1025);
    assert!(errors[0].contains("TOM-06: wanted an http, https or ldap URL"));
}

#[test]
fn a_key_twice_and_broken_toml_are_told_with_their_place() {
    let errors = errors_after(DEVICES, "version = 1", "version = 1\nversion = 2");
    assert_eq!(errors, ["d.toml:8:1: version: TOM-02: duplicate key"]);
    let errors = errors_after(DEVICES, "version = 1", "version = ");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("d.toml:7:"), "{errors:?}");
    assert!(errors[0].contains("TOM-02"), "{errors:?}");
}

#[test]
fn faults_of_several_files_and_tables_are_told_at_once() {
    let broken = DEVICES
        .replace("version = 1", "version = -1")
        .replace("\"7d\"", "7")
        .replace("\"aes128-cbc\"", "\"des-cbc\"")
        .replace("validity = \"90d\"", "validity = \"0s\"");
    let fleet = FLEET.replace("inventory = \"name\"", "inventory = \"serial\"");
    let errors = load(&[("devices.toml", &broken), ("fleet.toml", &fleet)]).unwrap_err();
    let places: Vec<String> = errors
        .iter()
        .map(|error| error.split(" TOM-").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        places,
        [
            "devices.toml:7:11: version:",
            "devices.toml:15:21: enrolment.challenge_ttl_max:",
            "devices.toml:23:20: algorithms.content_ciphers[0]:",
            "devices.toml:48:12: certificate.validity:",
            "fleet.toml:39:23: subject[1].value.inventory:",
        ]
    );
}

#[test]
fn a_static_profile_takes_exactly_one_attribute_from_its_inventory_and_claims_nothing() {
    let none = errors_after(
        FLEET,
        "value = { inventory = \"name\" }",
        "value = { literal = \"x\" }",
    );
    assert!(
        none[0]
            .contains("needs exactly one attribute with value = { inventory = \"name\" }, got 0"),
        "{none:?}"
    );
    let claim = errors_after(
        FLEET,
        "value = { inventory = \"name\" }",
        "value = { claim = \"CN\" }",
    );
    assert!(
        claim[0].contains("a claim goes with challenge = \"one-time\""),
        "{claim:?}"
    );
}

#[test]
fn a_bundle_has_named_files_one_default_and_no_file_twice() {
    assert_eq!(
        load(&[]).unwrap_err(),
        ["bundle: TOM-01: a bundle has 1 to 256 files NAME.toml, got 0"]
    );
    let named = load(&[("Devices.toml", DEVICES)]).unwrap_err();
    assert_eq!(
        named,
        [
            "Devices.toml: TOM-01: a policy file is named NAME.toml, NAME of lowercase letters, digits and inner hyphens"
        ]
    );
    let twice = load(&[("a.toml", DEVICES), ("b.toml", DEVICES)]).unwrap_err();
    assert_eq!(
        twice,
        ["b.toml: TOM-01: default = true is also in a.toml; one profile at most is the default"]
    );
    let same = load(&[("a.toml", FLEET), ("a.toml", FLEET)]).unwrap_err();
    assert_eq!(
        same,
        ["a.toml: TOM-01: the bundle holds this file twice; a profile has one file"]
    );
}

#[test]
fn an_empty_subject_needs_a_name_that_is_always_there() {
    let tls = include_str!("../examples/tls-server.toml");
    let errors = errors_after(
        tls,
        "claimed = { min = 1, max = 20 }",
        "claimed = { min = 0, max = 20 }",
    );
    assert_eq!(
        errors,
        [
            "d.toml:1:1: TOM-07: an empty subject needs a [[san]] that is always present (RFC 5280 section 4.1.2.6); one whose RDNs are all optional may be empty"
        ]
    );
}

#[test]
fn the_file_hash_follows_the_bytes_and_the_model_hash_the_meaning() {
    let one = load(&[("devices.toml", DEVICES)]).unwrap();
    let commented = load(&[("devices.toml", &format!("# a comment\n{DEVICES}"))]).unwrap();
    assert_ne!(one.file_hash(), commented.file_hash());
    assert_eq!(one.model_hash(), commented.model_hash());

    let reordered = DEVICES.replace(
        "\"sha256\", \"sha384\", \"sha512\"",
        "\"sha512\", \"sha256\", \"sha384\"",
    );
    assert_eq!(
        one.model_hash(),
        load(&[("devices.toml", &reordered)]).unwrap().model_hash()
    );

    for (from, to) in [
        ("validity = \"90d\"", "validity = \"91d\""),
        ("\"clientAuth\"", "\"serverAuth\""),
        ("{ min = 0, max = 8 }", "{ min = 0, max = 9 }"),
        ("literal = \"Example\"", "literal = \"Sample\""),
        ("default = true", "default = false"),
        ("name_per_hour = 60", "name_per_hour = 61"),
        ("ticket = \"DEMO-1\"", "ticket = \"DEMO-9\""),
        ("max_bits = 4096", "max_bits = 3072"),
        ("window = \"90d\"", "window = \"89d\""),
        (
            "key_usage = [\"digitalSignature\", \"keyEncipherment\"]",
            "key_usage = [\"digitalSignature\", \"keyEncipherment\"]\nca_issuers = [\"http://a/{ca}\"]",
        ),
        ("same_key = true", "same_key = false"),
        (
            "supersede = \"keep\"",
            "supersede = \"revoke\"\nrevoke_after = \"1d\"",
        ),
        (
            "supersede = \"keep\"",
            "supersede = \"keep\"\n[approval]\nexpires = \"7d\"",
        ),
        (
            "supersede = \"keep\"",
            "supersede = \"keep\"\n[quirks]\nchain_in_reply = true",
        ),
        (
            "supersede = \"keep\"",
            "supersede = \"keep\"\n[quirks]\nsingle_ra = true",
        ),
    ] {
        assert_eq!(DEVICES.matches(from).count(), 1, "{from}");
        let changed = load(&[("devices.toml", &DEVICES.replace(from, to))]).unwrap();
        assert_ne!(one.model_hash(), changed.model_hash(), "{from} -> {to}");
    }
    assert_ne!(
        one.model_hash(),
        load(&[("other.toml", DEVICES)]).unwrap().model_hash()
    );
}
