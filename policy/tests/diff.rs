//! Two versions differ in what a person reads: each setting of the model, changed alone, is one line that names it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use assay_policy::{Bundle, Change, Effect, PolicyFile, Profile, diff, diff_profiles};
use proptest::prelude::*;
use proptest::sample::subsequence;

/// A profile that says everything a profile with one-time challenges can.
const ONE_TIME: &str = r#"
description = "Wi-Fi"
version = 3
not_before = 2026-01-01T00:00:00Z
expires = 2027-01-01T00:00:00Z
ticket = "NET-1"
predecessor = "1111111111111111111111111111111111111111111111111111111111111111"
default = false

[enrolment]
challenge = "one-time"
challenge_ttl_max = "24h"
fail_info_text = false
ignored_extensions = ["1.3.6.1.4.1.311.21.10"]
profile_per_hour = 500
name_per_hour = 3

[algorithms]
message_digests = ["sha256", "sha512"]
csr_digests = ["sha256"]
content_ciphers = ["aes128-cbc", "aes256-cbc"]
key_transports = ["rsa-pkcs1"]

[keys]
rsa = { min_bits = 2048, max_bits = 4096 }
curves = ["p256"]

[[subject]]
type = "O"
value = { literal = "Example GmbH" }
accept = ["utf8", "printable"]
issue = "utf8"

[[subject]]
set = [
    { type = "OU", value = { literal = "Wireless" }, accept = ["utf8"], issue = "utf8" },
    { type = "CN", value = { claim = "CN" }, accept = ["utf8"], issue = "utf8" },
]

[[san]]
type = "dns"
value = { join = [{ claim = "CN" }, { literal = ".example.org" }] }

[[san]]
type = "email"
claimed = { min = 1, max = 2 }

[certificate]
validity = "365d"
backdate = "1h"
key_usage = ["digitalSignature", "contentCommitment"]
extended_key_usage = ["clientAuth", "ipsecIKE"]
name_case = "requested"
policies = ["1.2.3.4", "1.2.3.5"]
crl_distribution_points = ["http://ca.example/ca.crl"]
ca_issuers = ["http://ca.example/ca.cer"]
ocsp = ["http://ca.example/ocsp"]

[renewal]
window = "30d"
grace = "1d"
same_key = false
once = true
supersede = "revoke"
revoke_after = "7d"

[approval]
four_eyes = true
expires = "7d"

[quirks]
allow_sha1 = { value = true, until = 2026-06-01T00:00:00Z }
allow_3des = { value = true, until = 2026-06-01T00:00:00Z }
single_ra = { value = true, until = 2026-06-01T00:00:00Z }
chain_in_reply = { value = true, until = 2026-06-01T00:00:00Z }
not_before_skew = { value = "2h", until = 2026-06-01T00:00:00Z }
"#;

/// What of it is otherwise under static challenges.
const STATIC: &[(&str, &str)] = &[
    (
        "challenge = \"one-time\"",
        "challenge = \"static\"\ninventory = \"fleet\"\naccept_shared_secret = false",
    ),
    (
        "type = \"CN\", value = { claim = \"CN\" }",
        "type = \"CN\", value = { inventory = \"name\" }",
    ),
    (
        "value = { join = [{ claim = \"CN\" }, { literal = \".example.org\" }] }",
        "value = { inventory = \"name\" }",
    ),
    (
        "claimed = { min = 1, max = 2 }",
        "value = { literal = \"fleet@example.org\" }",
    ),
];

/// What is written, what instead, and the lines that tell of it, with `|` between two.
type Mutation = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const MUTATIONS: &[Mutation] = &[
    ("\"Wi-Fi\"", "\"Wi-Fi, all\"", r#"description from "Wi-Fi" to "Wi-Fi, all" (changed)"#),
    ("version = 3", "version = 4", "version from 3 to 4 (changed)"),
    ("not_before = 2026-01-01", "not_before = 2025-01-01", "start (not_before) from 2026-01-01T00:00:00Z to 2025-01-01T00:00:00Z (changed, more permissive)"),
    ("expires = 2027-01-01", "expires = 2026-12-01", "end (expires) from 2027-01-01T00:00:00Z to 2026-12-01T00:00:00Z (changed, less permissive)"),
    ("\"NET-1\"", "\"NET-2\"", r#"ticket from "NET-1" to "NET-2" (changed)"#),
    ("predecessor = \"1111111111111111111111111111111111111111111111111111111111111111\"", "", "predecessor from 1111111111111111111111111111111111111111111111111111111111111111 to none (changed)"),
    ("default = false", "default = true", "serving the SCEP paths that name no profile (default) newly permitted"),
    ("\"24h\"", "\"7d\"", "longest life of a challenge raised from 1 to 7 days (changed, more permissive)"),
    ("fail_info_text = false", "fail_info_text = true", "telling a client which rule refuses it (fail_info_text) newly permitted"),
    ("profile_per_hour = 500", "profile_per_hour = 100", "certificates an hour lowered from 500 to 100 (changed, less permissive)"),
    ("name_per_hour = 3", "name_per_hour = 4", "certificates an hour for one name raised from 3 to 4 (changed, more permissive)"),
    ("ignored_extensions = [\"1.3.6.1.4.1.311.21.10\"]", "ignored_extensions = [\"1.2.840.113549.1.9.15\"]", "asking without effect for extension 1.2.840.113549.1.9.15 newly permitted|asking without effect for extension 1.3.6.1.4.1.311.21.10 no longer permitted"),
    ("grace = \"1d\"", "grace = \"2d\"", "renewal after the end of a certificate (grace) raised from 1 to 2 days (changed, more permissive)"),
    ("name_case = \"requested\"", "name_case = \"lower\"", "case of names (name_case) from requested to lower (changed)"),
    ("message_digests = [\"sha256\", \"sha512\"]", "message_digests = [\"sha256\"]", "message hash sha512 no longer permitted"),
    ("csr_digests = [\"sha256\"]", "csr_digests = [\"sha384\", \"sha256\"]", "CSR hash sha384 newly permitted"),
    ("content_ciphers = [\"aes128-cbc\", \"aes256-cbc\"]", "content_ciphers = [\"aes256-cbc\"]", "content cipher aes128-cbc no longer permitted"),
    ("key_transports = [\"rsa-pkcs1\"]", "key_transports = [\"rsa-pkcs1\", \"rsa-oaep\"]", "key transport rsa-oaep newly permitted"),
    ("min_bits = 2048", "min_bits = 3072", "shortest RSA key raised from 2048 to 3072 bits (changed, less permissive)"),
    ("max_bits = 4096", "max_bits = 8192", "longest RSA key raised from 4096 to 8192 bits (changed, more permissive)"),
    ("rsa = { min_bits = 2048, max_bits = 4096 }", "", "key type RSA of 2048 to 4096 bits no longer permitted"),
    ("curves = [\"p256\"]", "curves = [\"p256\", \"p384\"]", "key type P-384 newly permitted"),
    ("{ literal = \"Example GmbH\" }", "{ literal = \"Ex\u{430}mple GmbH\" }", "subject O (RDN 1) from Example GmbH to Ex\\u{430}mple GmbH (changed)"),
    ("accept = [\"utf8\", \"printable\"]", "accept = [\"utf8\"]", "subject O (RDN 1) as printable no longer permitted"),
    ("accept = [\"utf8\", \"printable\"]\nissue = \"utf8\"", "accept = [\"utf8\", \"printable\"]\nissue = \"printable\"", "issued encoding of subject O (RDN 1) from utf8 to printable (changed)"),
    ("{ literal = \"Wireless\" }, accept = [\"utf8\"]", "{ literal = \"<claim CN>\" }, accept = [\"utf8\"]", "subject OU (RDN 2) from Wireless to \\<claim CN> (changed)"),
    ("literal = \"Wireless\" }, accept = [\"utf8\"], issue = \"utf8\" }", "literal = \"Wireless\" }, accept = [\"utf8\", \"printable\"], issue = \"utf8\" }", "subject OU (RDN 2) as printable newly permitted"),
    ("literal = \"Wireless\" }, accept = [\"utf8\"], issue = \"utf8\" }", "literal = \"Wireless\" }, accept = [\"utf8\"], issue = \"printable\" }", "issued encoding of subject OU (RDN 2) from utf8 to printable (changed)"),
    ("{ claim = \"CN\" }, accept = [\"utf8\"]", "{ claim = \"CN\" }, accept = [\"printable\"]", "subject CN (RDN 2) as printable newly permitted|subject CN (RDN 2) as utf8 no longer permitted"),
    ("{ claim = \"CN\" }, accept", "{ join = [{ literal = \"x-\" }, { claim = \"CN\" }] }, accept", "subject CN (RDN 2) from <claim CN> to x-<claim CN> (changed)"),
    ("claim = \"CN\" }, accept = [\"utf8\"], issue = \"utf8\"", "claim = \"CN\" }, accept = [\"utf8\"], issue = \"printable\"", "issued encoding of subject CN (RDN 2) from utf8 to printable (changed)"),
    ("[[subject]]\nset", "[[subject]]\ntype = \"C\"\nvalue = { literal = \"DE\" }\naccept = [\"printable\"]\nissue = \"printable\"\n\n[[subject]]\nset",
        "subject from O=Example GmbH [utf8 for utf8, printable], OU=Wireless+CN=<claim CN> [utf8 for utf8, utf8 for utf8] to O=Example GmbH [utf8 for utf8, printable], C=DE [printable for printable], OU=Wireless+CN=<claim CN> [utf8 for utf8, utf8 for utf8] (changed)"),
    ("{ literal = \".example.org\" }", "{ literal = \".example.net\" }", "SAN dns <claim CN>.example.net newly permitted|SAN dns <claim CN>.example.org no longer permitted"),
    ("type = \"dns\"", "type = \"uri\"", "SAN uri <claim CN>.example.org newly permitted|SAN dns <claim CN>.example.org no longer permitted"),
    ("{ literal = \".example.org\" }] }", "{ literal = \".example.org\" }] }\nadd = true", "SAN dns <claim CN>.example.org (added) newly permitted|SAN dns <claim CN>.example.org no longer permitted"),
    ("[[san]]\ntype = \"email\"", "[[san]]\ntype = \"dns\"\nvalue = { literal = \"vpn7.example.org\" }\n\n[[san]]\ntype = \"email\"", "SAN dns vpn7.example.org newly permitted"),
    ("[[san]]\ntype = \"email\"\nclaimed = { min = 1, max = 2 }", "", "SAN email <claimed, 1 to 2> no longer permitted"),
    ("type = \"email\"", "type = \"upn\"", "SAN upn <claimed, 1 to 2> newly permitted|SAN email <claimed, 1 to 2> no longer permitted"),
    ("min = 1", "min = 0", "fewest claimed SAN email lowered from 1 to 0 (changed, more permissive)"),
    ("max = 2 }", "max = 1 }", "most claimed SAN email lowered from 2 to 1 (changed, less permissive)"),
    ("\"365d\"", "\"400d\"", "validity raised from 365 to 400 days (changed, more permissive)"),
    ("backdate = \"1h\"", "backdate = \"10m\"", "backdate lowered from 1h to 10m (changed, less permissive)"),
    ("key_usage = [\"digitalSignature\", \"contentCommitment\"]", "key_usage = [\"digitalSignature\"]", "key usage contentCommitment no longer permitted"),
    ("[\"clientAuth\", \"ipsecIKE\"]", "[\"clientAuth\", \"serverAuth\", \"ipsecIKE\"]", "extended key usage serverAuth newly permitted"),
    ("[\"clientAuth\", \"ipsecIKE\"]", "[\"ipsecIKE\", \"clientAuth\"]", "order of extended key usages from extended key usage clientAuth, extended key usage ipsecIKE to extended key usage ipsecIKE, extended key usage clientAuth (changed)"),
    ("[\"1.2.3.4\", \"1.2.3.5\"]", "[\"1.2.3.4\"]", "certificate policy 1.2.3.5 no longer permitted"),
    ("[\"http://ca.example/ca.crl\"]", "[\"http://ca.example/ca.crl\", \"http://b.example/ca.crl\"]", "place of the CRL http://b.example/ca.crl added (changed)"),
    ("[\"http://ca.example/ca.crl\"]", "[\"http://ca.example/{ca}.crl\"]", "place of the CRL http://ca.example/{ca}.crl added (changed)|place of the CRL http://ca.example/ca.crl removed (changed)"),
    ("[\"http://ca.example/ca.cer\"]", "[]", "place of the CA certificate http://ca.example/ca.cer removed (changed)"),
    ("[\"http://ca.example/ocsp\"]", "[]", "place of the OCSP responder http://ca.example/ocsp removed (changed)"),
    ("window = \"30d\"", "window = \"60d\"", "renewal window raised from 30 to 60 days (changed, more permissive)"),
    ("same_key = false", "same_key = true", "renewal with the same key newly permitted"),
    ("once = true", "once = false", "more than one renewal of a certificate (once) newly permitted"),
    ("supersede = \"revoke\"\nrevoke_after = \"7d\"", "supersede = \"keep\"", "a renewed certificate from revoked after 7 days to kept (changed)"),
    ("revoke_after = \"7d\"", "revoke_after = \"1d\"", "life of a renewed certificate after its successor's issue lowered from 7 to 1 days (changed, less permissive)"),
    ("[renewal]\nwindow = \"30d\"\ngrace = \"1d\"\nsame_key = false\nonce = true\nsupersede = \"revoke\"\nrevoke_after = \"7d\"", "", "renewal (window 30 days, grace 1 day, with a new key, once, the old certificate revoked after 7 days) no longer permitted"),
    ("four_eyes = true", "four_eyes = false", "approval by one operator alone (four_eyes) newly permitted"),
    ("four_eyes = true\nexpires = \"7d\"", "four_eyes = true\nexpires = \"3d\"", "time for an approval lowered from 7 to 3 days (changed, less permissive)"),
    ("[approval]\nfour_eyes = true\nexpires = \"7d\"", "", "issuing without two operators' approval (within 7 days) newly permitted"),
    ("allow_sha1 = { value = true", "allow_sha1 = { value = false", "quirk allow_sha1 until 2026-06-01T00:00:00Z no longer permitted"),
    ("allow_sha1 = { value = true, until = 2026-06", "allow_sha1 = { value = true, until = 2026-09", "sunset of quirk allow_sha1 from until 2026-06-01T00:00:00Z to until 2026-09-01T00:00:00Z (changed, more permissive)"),
    ("allow_3des = { value = true, until = 2026-06-01T00:00:00Z }", "allow_3des = true", "sunset of quirk allow_3des from until 2026-06-01T00:00:00Z to without an end (changed, more permissive)"),
    ("allow_3des = { value = true, until = 2026-06-01T00:00:00Z }", "", "quirk allow_3des until 2026-06-01T00:00:00Z no longer permitted"),
    ("single_ra = { value = true", "single_ra = { value = false", "quirk single_ra until 2026-06-01T00:00:00Z no longer permitted"),
    ("single_ra = { value = true, until = 2026-06", "single_ra = { value = true, until = 2026-05", "sunset of quirk single_ra from until 2026-06-01T00:00:00Z to until 2026-05-01T00:00:00Z (changed, less permissive)"),
    ("chain_in_reply = { value = true", "chain_in_reply = { value = false", "quirk chain_in_reply until 2026-06-01T00:00:00Z no longer permitted"),
    ("chain_in_reply = { value = true, until = 2026-06", "chain_in_reply = { value = true, until = 2026-07", "sunset of quirk chain_in_reply from until 2026-06-01T00:00:00Z to until 2026-07-01T00:00:00Z (changed, more permissive)"),
    ("value = \"2h\"", "value = \"1h\"", "quirk not_before_skew lowered from 2h to 1h (changed, less permissive)"),
    ("\"2h\", until = 2026-06", "\"2h\", until = 2026-07", "sunset of quirk not_before_skew from until 2026-06-01T00:00:00Z to until 2026-07-01T00:00:00Z (changed, more permissive)"),
    ("not_before_skew = { value = \"2h\", until = 2026-06-01T00:00:00Z }", "", "quirk not_before_skew of 2h until 2026-06-01T00:00:00Z no longer permitted"),
];

#[rustfmt::skip]
const STATIC_MUTATIONS: &[Mutation] = &[
    ("inventory = \"fleet\"", "inventory = \"boxes\"", "inventory that names come from from fleet to boxes (changed)"),
    ("accept_shared_secret = false", "accept_shared_secret = true", "names without a pinned key (accept_shared_secret) newly permitted"),
    ("value = { literal = \"fleet@example.org\" }", "value = { literal = \"other@example.org\" }", "SAN email other@example.org newly permitted|SAN email fleet@example.org no longer permitted"),
];

fn parse(name: &str, text: &str) -> Profile {
    let file = PolicyFile {
        name: format!("{name}.toml"),
        content: text.as_bytes().to_vec(),
    };
    let bundle = Bundle::load(&[file]).unwrap_or_else(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}\n{text}", errors.join("\n"))
    });
    bundle.profile(name).unwrap().clone()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not there");
    text.replacen(from, to, 1)
}

fn static_text() -> String {
    STATIC.iter().fold(ONE_TIME.to_owned(), |text, (from, to)| {
        replaced(&text, from, to)
    })
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

fn open_paths(old: &Profile, new: &Profile) -> BTreeSet<String> {
    let (old, new) = (old.settings(), new.settings());
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |path: &&String| old.get(*path) != new.get(*path);
    paths.into_iter().filter(differs).cloned().collect()
}

fn told_paths(changes: &[Change]) -> BTreeSet<String> {
    changes
        .iter()
        .flat_map(|change| change.paths.clone())
        .collect()
}

/// Each mutation alone: its lines, and the settings they are about. Returns every setting that was changed.
fn each_alone(text: &str, mutations: &[Mutation]) -> BTreeSet<String> {
    let old = parse("wifi", text);
    let mut touched = BTreeSet::new();
    for (from, to, wanted) in mutations {
        let new = parse("wifi", &replaced(text, from, to));
        let changes = diff_profiles(&old, &new);
        let wanted: Vec<String> = wanted
            .split('|')
            .map(|line| format!("profile wifi: {line}"))
            .collect();
        assert_eq!(lines(&changes), wanted, "{from} -> {to}");
        assert_eq!(told_paths(&changes), open_paths(&old, &new), "{from}");
        touched.extend(open_paths(&old, &new));

        // The way back says the opposite of what is permitted, of the same settings.
        let back = diff_profiles(&new, &old);
        assert_eq!(told_paths(&back), told_paths(&changes), "{to}");
        let count = |changes: &[Change], effect| {
            let of_effect = changes.iter().filter(|change| change.effect == effect);
            of_effect.count()
        };
        assert_eq!(
            count(&back, Effect::NewlyPermitted),
            count(&changes, Effect::NoLongerPermitted),
            "{to}"
        );
        assert_eq!(
            count(&back, Effect::NoLongerPermitted),
            count(&changes, Effect::NewlyPermitted),
            "{to}"
        );
    }
    touched
}

#[test]
fn each_setting_of_the_model_changed_alone_is_told_by_name() {
    let mut touched = each_alone(ONE_TIME, MUTATIONS);
    touched.extend(each_alone(&static_text(), STATIC_MUTATIONS));
    let mut settings = parse("wifi", ONE_TIME).settings();
    settings.extend(parse("wifi", &static_text()).settings());
    // The name, and the kind of challenge, are of the tests below.
    let rest: Vec<&String> = settings
        .keys()
        .filter(|path| !touched.contains(*path))
        .collect();
    assert_eq!(rest, ["enrolment.challenge", "name"]);
}

#[test]
fn another_kind_of_challenge_is_told_with_all_that_comes_with_it() {
    let (one_time, fleet) = (parse("wifi", ONE_TIME), parse("wifi", &static_text()));
    let told = lines(&diff_profiles(&one_time, &fleet));
    assert_eq!(
        told,
        [
            "profile wifi: challenge from one-time to static for inventory fleet, names with a pinned key only (changed)",
            "profile wifi: subject CN (RDN 2) from <claim CN> to <inventory name> (changed)",
            "profile wifi: SAN dns <inventory name> newly permitted",
            "profile wifi: SAN email fleet@example.org newly permitted",
            "profile wifi: SAN dns <claim CN>.example.org no longer permitted",
            "profile wifi: SAN email <claimed, 1 to 2> no longer permitted",
        ]
    );
}

#[test]
fn the_same_profile_under_another_name_differs_in_its_name_alone() {
    let changes = diff_profiles(&parse("wifi", ONE_TIME), &parse("wlan", ONE_TIME));
    assert_eq!(
        lines(&changes),
        ["profile wlan: name from wifi to wlan (changed)"]
    );
}

#[test]
fn another_order_of_names_is_told() {
    let old = parse("wifi", ONE_TIME);
    let email = "[[san]]\ntype = \"email\"\nclaimed = { min = 1, max = 2 }\n";
    let moved = replaced(ONE_TIME, email, "");
    let moved = replaced(&moved, "[[san]]", &format!("{email}\n[[san]]"));
    assert_eq!(
        lines(&diff_profiles(&old, &parse("wifi", &moved))),
        [
            "profile wifi: order of subject alternative names from dns <claim CN>.example.org, email <claimed> to email <claimed>, dns <claim CN>.example.org (changed)"
        ]
    );
}

fn bundle(texts: &[(&str, &str)]) -> Bundle {
    let files: Vec<PolicyFile> = texts
        .iter()
        .map(|(name, text)| PolicyFile {
            name: format!("{name}.toml"),
            content: text.as_bytes().to_vec(),
        })
        .collect();
    Bundle::load(&files).unwrap()
}

#[test]
fn a_profile_that_comes_or_goes_is_told_with_what_it_grants() {
    let fleet = static_text();
    let old = bundle(&[("wifi", ONE_TIME)]);
    let new = bundle(&[("fleet", &fleet)]);
    let changes = diff(&old, &new);
    assert_eq!(
        lines(&changes),
        [
            "profile fleet: all of it (challenge static for inventory fleet, names with a pinned key only; subject \
             O=Example GmbH, OU=Wireless+CN=<inventory name>; SAN dns <inventory name>, email fleet@example.org; key \
             RSA of 2048 to 4096 bits, P-256; validity 365 days; extended key usage clientAuth, ipsecIKE) newly permitted",
            "profile wifi: all of it (challenge one-time; subject O=Example GmbH, OU=Wireless+CN=<claim CN>; SAN dns \
             <claim CN>.example.org, email <claimed, 1 to 2>; key RSA of 2048 to 4096 bits, P-256; validity 365 days; \
             extended key usage clientAuth, ipsecIKE) no longer permitted",
        ]
    );
    assert!(diff(&old, &old).is_empty());
}

#[test]
fn files_that_mean_the_same_do_not_differ() {
    let texts = [
        replaced(ONE_TIME, "\ndefault = false", ""),
        replaced(
            ONE_TIME,
            "[\"sha256\", \"sha512\"]",
            "[\"sha512\", \"sha256\"]",
        ),
        replaced(ONE_TIME, "\"24h\"", "\"1d\""),
        format!("# a remark\n{ONE_TIME}"),
    ];
    let old = bundle(&[("wifi", ONE_TIME)]);
    for text in texts {
        let new = bundle(&[("wifi", &text)]);
        assert_ne!(old.file_hash(), new.file_hash());
        assert_eq!(diff(&old, &new), []);
    }
}

/// Mutations whose texts do not overlap, by the text they replace.
fn independent() -> Vec<Mutation> {
    let mut by_line: BTreeMap<usize, Mutation> = BTreeMap::new();
    for mutation in MUTATIONS {
        if mutation.0.contains('\n') || mutation.2.contains('|') {
            continue;
        }
        let at = ONE_TIME.find(mutation.0).unwrap();
        by_line
            .entry(ONE_TIME[..at].matches('\n').count())
            .or_insert(*mutation);
    }
    by_line.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However many settings change at once, each is told as it is told alone, and no other.
    #[test]
    fn changes_are_told_side_by_side(chosen in subsequence(independent(), 0..=independent().len())) {
        let text = chosen
            .iter()
            .fold(ONE_TIME.to_owned(), |text, (from, to, _)| replaced(&text, from, to));
        let (old, new) = (parse("wifi", ONE_TIME), parse("wifi", &text));
        let changes = diff_profiles(&old, &new);
        let told: BTreeSet<String> = lines(&changes).into_iter().collect();
        let wanted: BTreeSet<String> = chosen
            .iter()
            .map(|(_, _, line)| format!("profile wifi: {line}"))
            .collect();
        prop_assert_eq!(told, wanted);
        prop_assert_eq!(told_paths(&changes), open_paths(&old, &new));
    }
}
