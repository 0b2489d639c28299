//! Changes of the policy file. What no longer loads is no mutant.

use super::Change;
use crate::pair::{DC, OU, Pair, UTF8};

/// Replaces the first `from`.
fn replace(pair: &mut Pair, from: &str, to: &str) -> bool {
    let there = pair.policy.contains(from);
    pair.policy = pair.policy.replacen(from, to, 1);
    there
}

/// Adds lines to a table, which is made where there is none.
pub(super) fn add_to(pair: &mut Pair, table: &str, lines: &str) -> bool {
    if pair.policy.contains(table) {
        return replace(pair, table, &format!("{table}{lines}"));
    }
    pair.policy.push_str(&format!("\n{table}{lines}"));
    true
}

/// Where to look things up, in place of what the file says of that.
fn places(pair: &mut Pair, lines: &str) -> bool {
    let keys = ["crl_distribution_points", "ca_issuers", "ocsp"];
    let is_place = |line: &&str| keys.iter().any(|key| line.starts_with(key));
    let others = pair.policy.lines().filter(|line| !is_place(line));
    pair.policy = others.map(|line| format!("{line}\n")).collect();
    add_to(pair, "[certificate]\n", lines)
}

/// The line that begins with `key`, and what it says instead.
fn line(pair: &mut Pair, key: &str, to: &str) -> bool {
    let found = pair.policy.lines().find(|line| line.starts_with(key));
    let found = found.map(str::to_owned);
    found.is_some_and(|line| replace(pair, &line, to))
}

pub(super) const POLICY: &[Change] = &[
    ("another description", |p, _| {
        line(p, "description", "description = \"Another\"")
    }),
    ("a later version", |p, _| line(p, "version", "version = 7")),
    ("expired", |p, _| {
        line(p, "expires", "expires = 2026-11-22T00:00:00Z")
    }),
    ("expires in a second", |p, _| {
        line(p, "expires", "expires = 2026-11-22T00:00:01Z")
    }),
    ("not yet in force", |p, _| {
        line(p, "not_before", "not_before = 2026-11-22T00:00:01Z")
    }),
    ("another profile is asked for", |p, _| {
        p.asked = "elsewhere".to_owned();
        true
    }),
    ("longer keys alone", |p, _| {
        line(p, "rsa =", "rsa = { min_bits = 4096, max_bits = 8192 }")
    }),
    ("any RSA key", |p, _| {
        line(p, "rsa =", "rsa = { min_bits = 2048, max_bits = 8192 }")
    }),
    ("no RSA key", |p, _| line(p, "rsa =", "curves = [\"p521\"]")),
    ("all curves", |p, _| {
        line(p, "curves =", "curves = [\"p256\", \"p384\", \"p521\"]")
    }),
    ("another literal", |p, _| {
        replace(p, "literal = \"Example", "literal = \"Another Example")
    }),
    ("another literal on both sides", |p, _| {
        let there = replace(p, "{ literal = \"Example\" }", "{ literal = \"Örtchen\" }");
        if there {
            p.claims.subject = p.claims.subject.replace("Example", "Örtchen");
            for (_, _, value) in p.subject.iter_mut().flatten() {
                if value.as_slice() == b"Example" {
                    *value = "Örtchen".into();
                }
            }
        }
        there
    }),
    ("issued as PrintableString", |p, _| {
        let there = p.policy.contains("issue = \"utf8\"");
        p.policy = p
            .policy
            .replace("issue = \"utf8\"", "issue = \"printable\"");
        there
    }),
    ("issued as requested", |p, _| {
        let there = p.policy.contains("issue = \"utf8\"");
        p.policy = p
            .policy
            .replace("issue = \"utf8\"", "issue = \"requested\"");
        there
    }),
    ("a grace of ten days", |p, _| {
        add_to(p, "[renewal]\n", "grace = \"10d\"\n")
    }),
    ("ignores an extension that is asked for", |p, _| {
        let extension = ("1.3.6.1.4.1.311.20.2", vec![0x1e, 0, 0x30, 0]);
        p.extensions.push(extension);
        let lines = "ignored_extensions = [\"1.2.3.4\", \"1.3.6.1.4.1.311.20.2\"]\n";
        add_to(p, "[enrolment]\n", lines)
    }),
    ("ignores another extension", |p, _| {
        let extension = ("1.3.6.1.4.1.311.20.2", vec![0x1e, 0, 0x30, 0]);
        p.extensions.push(extension);
        add_to(p, "[enrolment]\n", "ignored_extensions = [\"1.2.3.4\"]\n")
    }),
    ("an optional unit", |p, d| {
        let rule = "[[subject]]\ntype = \"OU\"\nvalue = { claim = \"OU\" }\naccept = [\"utf8\"]\nissue = \"utf8\"\noptional = true\n\n[[subject]]\n";
        let there = replace(p, "[[subject]]\n", rule);
        // Claimed or not, asked for or not.
        if d.below(2) == 0 {
            p.claims.subject = format!("{},OU=Sales", p.claims.subject);
        }
        if d.below(2) == 0 {
            p.subject.insert(0, vec![(OU, UTF8, b"Sales".to_vec())]);
        }
        there
    }),
    ("two domain components", |p, d| {
        let component = |number: usize| {
            format!(
                "[[subject]]\ntype = \"DC\"\nvalue = {{ claim = \"DC\", number = {number} }}\naccept = [\"ia5\"]\nissue = \"ia5\"\n\n"
            )
        };
        let (first, second) = (component(1), component(2));
        let there = replace(p, "[[subject]]\n", &format!("{first}{second}[[subject]]\n"));
        let of = |text: &str| vec![(DC, 0x16, text.as_bytes().to_vec())];
        let asked = [["com", "example"], ["COM", "Example"], ["example", "com"]];
        let [one, other] = d.one_of(&asked);
        p.subject.splice(0..0, [of(one), of(other)]);
        p.claims.subject = format!("{},DC=example,DC=com", p.claims.subject);
        there
    }),
    ("adds a name", |p, _| {
        p.policy.push_str(
            "\n[[san]]\ntype = \"dns\"\nvalue = { literal = \"Added.example.com\" }\nadd = true\n",
        );
        p.claims.sans.push("dns:added.example.com".to_owned());
        true
    }),
    ("adds a name that was asked for", |p, _| {
        p.policy.push_str(
            "\n[[san]]\ntype = \"uri\"\nvalue = { literal = \"urn:added\" }\nadd = true\n",
        );
        p.claims.sans.push("uri:urn:added".to_owned());
        let name = (0x86, b"URN:added".to_vec());
        p.sans.get_or_insert_default().push(name);
        true
    }),
    ("adds its names", |p, _| {
        let value = "value = { join = [{ claim = \"CN\" }, { literal = \".wifi.example.com\" }] }";
        let is_wifi = replace(p, value, &format!("{value}\nadd = true"));
        let value = "value = { inventory = \"name\" }\n\n[certificate]";
        let added = "value = { inventory = \"name\" }\nadd = true\n\n[certificate]";
        let changed = is_wifi || replace(p, value, added);
        if changed {
            p.sans = None;
        }
        changed
    }),
    ("names as requested", |p, _| {
        add_to(p, "[certificate]\n", "name_case = \"requested\"\n")
    }),
    ("accepts TeletexString", |p, _| {
        let there = p.policy.contains("\"printable\"]");
        p.policy = p
            .policy
            .replace("\"printable\"]", "\"printable\", \"teletex\"]");
        there
    }),
    ("accepts PrintableString alone", |p, _| {
        let both = "accept = [\"utf8\", \"printable\"]";
        replace(p, both, "accept = [\"printable\"]")
    }),
    ("accepts IA5String in e-mail", |p, _| {
        add_to(
            p,
            "[[subject]]\n",
            "type = \"emailAddress\"\nvalue = { literal = \"pki@example.com\" }\naccept = [\"ia5\"]\nissue = \"ia5\"\n\n[[subject]]\n",
        )
    }),
    ("another validity", |p, _| {
        line(p, "validity", "validity = \"3d 7h\"")
    }),
    ("a validity past the issuer's", |p, _| {
        line(p, "validity", "validity = \"3650d\"")
    }),
    ("another backdate", |p, _| {
        line(p, "backdate", "backdate = \"47h 59m\"")
    }),
    ("another skew", |p, _| {
        add_to(p, "[quirks]\n", "not_before_skew = \"9h\"\n")
    }),
    ("a skew of yesterday", |p, _| {
        let skew = "not_before_skew = { value = \"9h\", until = 2026-11-22T00:00:00Z }\n";
        add_to(p, "[quirks]\n", skew)
    }),
    ("another key usage", |p, _| {
        line(
            p,
            "key_usage",
            "key_usage = [\"digitalSignature\", \"contentCommitment\"]",
        )
    }),
    ("decipherOnly", |p, _| {
        let usage = "key_usage = [\"keyAgreement\", \"decipherOnly\"]";
        line(p, "key_usage", usage) && line(p, "rsa =", "")
    }),
    ("other purposes", |p, _| {
        line(
            p,
            "extended_key_usage",
            "extended_key_usage = [\"smartcardLogon\", \"1.3.6.1.4.1.32473.5\"]",
        )
    }),
    ("clientAuth and serverAuth", |p, _| {
        line(
            p,
            "extended_key_usage",
            "extended_key_usage = [\"clientAuth\", \"serverAuth\"]",
        )
    }),
    ("places to look things up", |p, _| {
        let lines = "ocsp = [\"http://ocsp.example.com\"]\n\
                     ca_issuers = [\"http://pki.example.com/ca.cer\", \"ldap://pki.example.com/ca\"]\n\
                     crl_distribution_points = [\"http://pki.example.com/a.crl\", \"http://pki.example.com/b.crl\"]\n";
        places(p, lines)
    }),
    ("places of the CA that issues", |p, _| {
        let lines = "ca_issuers = [\"http://pki.example.com/ca.cer\", \"https://pki.example.com/{ca}\"]\n\
                     crl_distribution_points = [\"ldap://pki.example.com/cn={ca},o=Example?crl\", \"http://{ca}.example.com\"]\n";
        places(p, lines)
    }),
    ("no places", |p, _| places(p, "")),
    ("policies", |p, _| {
        let lines = "policies = [\"1.3.6.1.4.1.32473.1\", \"2.23.140.1.2.1\"]\n";
        add_to(p, "[certificate]\n", lines)
    }),
    ("fewer claimed names", |p, _| {
        replace(p, "max = 8", "max = 1") || replace(p, "max = 20", "max = 1")
    }),
    ("more claimed names", |p, _| {
        replace(p, "min = 0, max = 8", "min = 2, max = 9")
    }),
    ("another name that is joined", |p, _| {
        replace(p, ".wifi.example.com", ".wlan.example.com")
    }),
    ("no shared secret", |p, _| {
        line(p, "accept_shared_secret", "accept_shared_secret = false")
    }),
    ("a shared secret", |p, _| {
        line(p, "accept_shared_secret", "accept_shared_secret = true")
    }),
    ("no renewal", |p, _| {
        let at = p.policy.find("[renewal]");
        let end = p.policy.find("[quirks]").unwrap_or(p.policy.len());
        at.map(|at| p.policy.replace_range(at..end, "")).is_some()
    }),
    ("a shorter window", |p, _| {
        line(p, "window", "window = \"20d\"")
    }),
    ("a shorter window by a second", |p, _| {
        line(p, "window", "window = \"1727999s\"")
    }),
    ("the same key may stay", |p, _| {
        line(p, "same_key", "same_key = true")
    }),
    ("one renewal for each certificate", |p, _| {
        line(p, "once", "once = true") || line(p, "window", "window = \"30d\"\nonce = true")
    }),
    ("any number of renewals", |p, _| {
        line(p, "once", "once = false")
    }),
    ("the same key may not stay", |p, _| {
        line(p, "same_key", "same_key = false")
    }),
];
