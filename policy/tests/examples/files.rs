//! Policy files: TOM.

use assay_policy::PolicyFile;

use super::{Passes, Refused, Verdict};

/// Rule, verdict, the clause as RULES.md has it, and the bundles it speaks of.
type Example = (&'static str, Verdict, &'static str, fn() -> Vec<Bundle>);
type Bundle = Vec<PolicyFile>;

const DEVICES: &str = include_str!("../../demo/devices.toml");
const FLEET: &str = include_str!("../../demo/fleet.toml");
const SERVER: &str = include_str!("../../examples/tls-server.toml");
const WIFI: &str = include_str!("../../examples/wifi-device.toml");

fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile {
        name: name.to_owned(),
        content: text.as_bytes().to_vec(),
    }
}

/// One file that says `to` in place of `from`.
fn changed(text: &str, from: &str, to: &str) -> Vec<Bundle> {
    assert_eq!(text.matches(from).count(), 1, "`{from}` must occur once");
    vec![vec![file("p.toml", &text.replace(from, to))]]
}

fn devices(from: &str, to: &str) -> Vec<Bundle> {
    changed(DEVICES, from, to)
}

/// One that adds a line about certificates.
fn with_line(line: &str) -> Vec<Bundle> {
    devices("[certificate]\n", &format!("[certificate]\n{line}\n"))
}

fn crl_at(url: &str) -> Vec<Bundle> {
    with_line(&format!("crl_distribution_points = [\"{url}\"]"))
}

/// One that says `text`.
fn saying(text: &str) -> Vec<Bundle> {
    devices(text, text)
}

pub(super) const EXAMPLES: &[Example] = &[
    (
        "TOM-01",
        Passes,
        "`devices.toml`, the one file with `default = true`",
        || {
            vec![vec![
                file("devices.toml", DEVICES),
                file("fleet.toml", FLEET),
            ]]
        },
    ),
    ("TOM-01", Refused, "`Devices.toml`", || {
        vec![vec![file("Devices.toml", DEVICES)]]
    }),
    (
        "TOM-01",
        Refused,
        "a second file with `default = true`",
        || vec![vec![file("a.toml", DEVICES), file("b.toml", DEVICES)]],
    ),
    ("TOM-02", Passes, "`version = 1`", || saying("version = 1")),
    ("TOM-02", Refused, "`version = `", || {
        devices("version = 1", "version = ")
    }),
    ("TOM-02", Refused, "`version` twice", || {
        devices("version = 1", "version = 1\nversion = 1")
    }),
    ("TOM-03", Passes, "`challenge = \"one-time\"`", || {
        saying("challenge = \"one-time\"")
    }),
    ("TOM-03", Refused, "`chalenge = \"one-time\"`", || {
        devices("challenge = \"one-time\"", "chalenge = \"one-time\"")
    }),
    ("TOM-04", Passes, "a file with a `ticket`", || {
        saying("ticket = \"DEMO-1\"")
    }),
    ("TOM-04", Refused, "a file without", || {
        devices("ticket = \"DEMO-1\"", "")
    }),
    ("TOM-05", Passes, "`version = 1`", || saying("version = 1")),
    ("TOM-05", Refused, "`version = \"1\"`", || {
        devices("version = 1", "version = \"1\"")
    }),
    ("TOM-06", Passes, "`min_bits = 2048`", || {
        saying("min_bits = 2048")
    }),
    ("TOM-06", Refused, "`min_bits = 1024`", || {
        devices("min_bits = 2048", "min_bits = 1024")
    }),
    (
        "TOM-06",
        Refused,
        "`sha1` or `3des-cbc` in a list, which only `[quirks]` allows",
        || {
            let sha1 = devices("csr_digests = [", "csr_digests = [\"sha1\", ");
            let cipher = devices("content_ciphers = [", "content_ciphers = [\"3des-cbc\", ");
            [sha1, cipher].concat()
        },
    ),
    ("TOM-06", Refused, "`key_usage = [\"keyCertSign\"]`", || {
        devices(
            "key_usage = [\"digitalSignature\", \"keyEncipherment\"]",
            "key_usage = [\"keyCertSign\"]",
        )
    }),
    (
        "TOM-06",
        Refused,
        "the extended key usage of an OCSP responder",
        || {
            devices(
                "extended_key_usage = [\"clientAuth\"]",
                "extended_key_usage = [\"1.3.6.1.5.5.7.3.9\"]",
            )
        },
    ),
    (
        "TOM-06",
        Passes,
        "`validity = \"1y\"`, which is 365 days",
        || devices("validity = \"90d\"", "validity = \"1y\""),
    ),
    (
        "TOM-06",
        Refused,
        "`validity = \"3M\"`, as months have no fixed length",
        || devices("validity = \"90d\"", "validity = \"3M\""),
    ),
    ("TOM-06", Refused, "a literal that is no clean text", || {
        devices("literal = \"Example\"", "literal = \" Example\"")
    }),
    (
        "TOM-07",
        Passes,
        "`challenge = \"static\"` with `inventory`",
        || vec![vec![file("fleet.toml", FLEET)]],
    ),
    (
        "TOM-07",
        Refused,
        "`challenge = \"one-time\"` with `accept_shared_secret`",
        || {
            let challenge = "challenge = \"one-time\"";
            devices(
                challenge,
                &format!("{challenge}\naccept_shared_secret = true"),
            )
        },
    ),
    (
        "TOM-07",
        Refused,
        "`supersede = \"keep\"` with `revoke_after`",
        || changed(WIFI, "supersede = \"revoke\"", "supersede = \"keep\""),
    ),
    (
        "TOM-07",
        Refused,
        "an empty subject without a name that is always there",
        || changed(SERVER, "min = 1, max = 20", "min = 0, max = 20"),
    ),
    (
        "TOM-08",
        Passes,
        "`crl_distribution_points = [\"http://pki.example.com/crl/{ca}.crl\"]`",
        || crl_at("http://pki.example.com/crl/{ca}.crl"),
    ),
    ("TOM-08", Passes, "a URL without `{ca}`", || {
        crl_at("http://pki.example.com/ca.crl")
    }),
    ("TOM-08", Refused, "`{ca}` twice in a URL", || {
        crl_at("http://pki.example.com/{ca}/{ca}.crl")
    }),
    ("TOM-08", Refused, "`{CA}`", || {
        crl_at("http://pki.example.com/{CA}.crl")
    }),
    ("TOM-08", Refused, "`{ca}` in `ocsp`", || {
        with_line("ocsp = [\"http://ocsp.example.com/{ca}\"]")
    }),
    (
        "TOM-08",
        Refused,
        "a URL of more than 1024 characters once a key identifier of 64 octets stands for `{ca}`",
        || crl_at(&format!("http://pki.example.com/{}{{ca}}", "x".repeat(874))),
    ),
];
