//! `assay policy impact`, on evidence as the signer keeps it.

use std::time::Duration;

use assay_decision::{Evidence, Permitted, Verdict, facts};
use assay_policy::{Bundle, ClaimedNames, Dn, Grant, InventoryEntry, SubjectAltName, decide};
use assay_scep::{Csr, Limits};
use assay_types::{Digest, Hash, TimestampMillis};
use serde_json::json;

use crate::support::*;
use crate::tier;

/// 2026-11-22T00:00:00.123Z: every shipped profile is in force.
const NOW: TimestampMillis = TimestampMillis::from_millis(1_795_305_600_123);
const SALT: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// A kind of request; each is recorded many times.
struct Request {
    profile: &'static str,
    csr: Vec<u8>,
    message_hash: Digest,
    /// Of the one-time challenge; `None` for the shared one.
    challenge: Option<(&'static str, &'static [&'static str])>,
}

impl Request {
    fn grant(&self, id: u64) -> Option<Grant> {
        let profile = self.profile.to_owned();
        Some(match self.challenge {
            Some((subject, sans)) => {
                let names = ClaimedNames {
                    subject: Dn::parse_rfc4514(subject).unwrap(),
                    sans: sans
                        .iter()
                        .map(|san| san.parse::<SubjectAltName>().unwrap())
                        .collect(),
                };
                let expires = (NOW.seconds() + Duration::from_secs(60)).into();
                Grant::one_time(format!("c-{id}"), profile, names, expires)
            }
            None => {
                let entry = InventoryEntry {
                    name: "device-1".to_owned(),
                    spki_sha256: None,
                    already_issued: false,
                };
                Grant::shared("s-1".to_owned(), profile, Some(entry))
            }
        })
    }

    /// What the signer kept of it.
    fn evidence(&self, bundle: &Bundle) -> Evidence {
        let csr = Csr::parse(&self.csr, &Limits::default()).unwrap();
        let facts = facts(
            &csr,
            self.profile,
            NOW.into(),
            self.message_hash,
            self.grant(0),
        );
        let verdict = match decide(bundle.profile(self.profile).unwrap(), &facts) {
            Err(refusal) => Verdict::Refusal {
                rule: refusal.rule.to_string(),
            },
            Ok(_) => Verdict::Permit(Permitted {
                serial: vec![0x5a; 17],
                not_before: NOW.seconds(),
                not_after: NOW.seconds() + Duration::from_secs(86_400),
                issuer_sha256: Hash::of(b"issuer"),
                tbs_digest: Hash::of(b"tbs"),
                builder: "assay".to_owned(),
            }),
        };
        let sha256 = openssl::sha::sha256(&self.csr);
        Evidence::new(&facts, self.csr.clone(), sha256.into(), None, verdict)
    }
}

/// Lines of an export, each of another challenge; the kinds of requests in turn.
fn lines(bundle: &Bundle, requests: &[Request], count: u64, first: u64) -> Vec<Vec<u8>> {
    let mut kept: Vec<Evidence> = requests
        .iter()
        .map(|request| request.evidence(bundle))
        .collect();
    (0..count)
        .zip((0..requests.len()).cycle())
        .map(|(n, kind)| {
            kept[kind].grant = requests[kind].grant(n);
            line(&kept[kind], first + n)
        })
        .collect()
}

fn line(evidence: &Evidence, sequence: u64) -> Vec<u8> {
    let content = String::from_utf8(evidence.to_canonical().unwrap()).unwrap();
    format!("{{\"content\":{content},\"salt\":\"{SALT}\",\"sequence\":{sequence}}}\n").into_bytes()
}

const DEVICE: (&str, &[&str]) = ("CN=device-1,O=Example", &["dns:a.example.com"]);
const TWO_NAMES: (&str, &[&str]) = (
    "CN=device-1,O=Example",
    &["dns:a.example.com", "dns:b.example.com"],
);

/// Ten requests in this order: five good ones, one with SHA-384 in its CSR, one of two names, one in a message of SHA-1,
/// one of that for another name, and one of the fleet.
fn ten(desk: &Desk) -> Vec<Request> {
    let der = |name: &str, subject: &str, sans: &[&str], hash: &str| -> Vec<u8> {
        let pem = desk.csr(name, subject, sans, hash);
        let pem = std::fs::read(pem).unwrap();
        openssl::x509::X509Req::from_pem(&pem)
            .unwrap()
            .to_der()
            .unwrap()
    };
    let device = "/O=Example/CN=device-1";
    let one = ["subjectAltName=DNS:a.example.com"];
    let two = ["subjectAltName=DNS:a.example.com,DNS:b.example.com"];
    let good = der("good.csr", device, &one, "sha256");
    let request = |csr: &[u8], message_hash, challenge| Request {
        profile: "devices",
        csr: csr.to_vec(),
        message_hash,
        challenge: Some(challenge),
    };
    let sha256 = Digest::Sha256;
    let mut requests: Vec<Request> = (0..5).map(|_| request(&good, sha256, DEVICE)).collect();
    requests.extend([
        request(&der("sha384.csr", device, &one, "sha384"), sha256, DEVICE),
        request(&der("two.csr", device, &two, "sha256"), sha256, TWO_NAMES),
        request(&good, Digest::Sha1, DEVICE),
        request(
            &der("other.csr", "/O=Example/CN=device-2", &one, "sha256"),
            Digest::Sha1,
            DEVICE,
        ),
        Request {
            profile: "fleet",
            csr: der("fleet.csr", device, &[], "sha256"),
            message_hash: sha256,
            challenge: None,
        },
    ]);
    requests
}

fn in_force() -> Bundle {
    Bundle::load(&Bundle::read_dir(&shipped("demo")).unwrap()).unwrap()
}

/// One name, no SHA-384 in CSRs, and SHA-1 until 2027.
fn draft(desk: &Desk) -> String {
    let draft = desk.changed("demo", "devices.toml", "max = 8", "max = 1");
    let text = std::fs::read_to_string(desk.path("changed/devices.toml")).unwrap();
    let text = replaced(
        &text,
        "csr_digests = [\"sha256\", \"sha384\", \"sha512\"]",
        "csr_digests = [\"sha256\", \"sha512\"]",
    );
    let quirks = "[quirks]\nallow_sha1 = { value = true, until = 2027-01-01T00:00:00Z }\n";
    desk.write("changed/devices.toml", format!("{text}\n{quirks}"));
    draft
}

/// An export's evidence, in files of 256 lines.
fn export(desk: &Desk, lines: &[Vec<u8>]) -> String {
    for (number, chunk) in lines.chunks(256).enumerate() {
        desk.write(
            &format!("export/evidence/{number:03}.jsonl"),
            chunk.concat(),
        );
    }
    desk.path("export")
}

#[test]
fn what_flips_is_told_by_profile_and_by_rule() {
    let desk = Desk::new();
    let (bundle, requests) = (in_force(), ten(&desk));
    let lines = lines(&bundle, &requests, 20, 100);
    let draft = draft(&desk);
    let export = export(&desk, &lines);
    let run = assay(&["policy", "impact", &draft, "--requests", &export]);
    exits(&run, 0);
    golden("impact.txt", &out(&run));
    assert!(
        said(&run).starts_with("20 requests replayed in "),
        "{}",
        said(&run)
    );

    let run = assay(&[
        "policy",
        "impact",
        &draft,
        "--requests",
        &export,
        "--flips",
        "3",
    ]);
    assert!(
        out(&run).ends_with("\nand 5 more; --flips N lists N\n"),
        "{}",
        out(&run)
    );

    // Under the policy in force nothing flips; one file is as good as an export.
    let demo = shipped("demo");
    let file = format!("{export}/evidence/000.jsonl");
    let run = assay(&[
        "policy",
        "impact",
        demo.to_str().unwrap(),
        "--requests",
        &file,
    ]);
    exits(&run, 0);
    assert!(out(&run).ends_with("\n\nnothing flips\n"), "{}", out(&run));

    // Without its profile every request of it is refused.
    let fleet = shipped("demo").join("fleet.toml");
    let run = assay(&[
        "policy",
        "impact",
        fleet.to_str().unwrap(),
        "--requests",
        &file,
        "--json",
    ]);
    exits(&run, 0);
    let told = json(&run);
    assert_eq!(told["total"]["to_refused"], 14, "{told}");
    assert_eq!(told["rules"][0]["rule"], "no profile");
}

#[test]
fn many_requests_are_counted_exactly() {
    let desk = Desk::new();
    let (bundle, requests) = (in_force(), ten(&desk));
    // A tenth of them is of each of the ten requests.
    let tenth = u64::try_from(tier::size("requests under a draft") / 10).unwrap();
    let lines = lines(&bundle, &requests, 10 * tenth, 0);
    let draft = draft(&desk);
    let export = export(&desk, &lines);
    let run = assay(&[
        "policy",
        "impact",
        &draft,
        "--requests",
        &export,
        "--json",
        "--flips",
        "100000",
    ]);
    exits(&run, 0);
    let told = json(&run);
    assert_eq!(
        told["profiles"],
        json!([
            {
                "profile": "devices", "requests": 9 * tenth, "unchanged": 5 * tenth, "to_allowed": tenth, "to_refused": 2 * tenth,
                "approval_added": 0, "approval_dropped": 0, "other_rule": tenth,
            },
            {
                "profile": "fleet", "requests": tenth, "unchanged": tenth, "to_allowed": 0, "to_refused": 0,
                "approval_added": 0, "approval_dropped": 0, "other_rule": 0,
            },
        ])
    );
    assert_eq!(told["total"]["requests"], 10 * tenth);
    assert_eq!(
        told["rules"],
        json!([
            {"profile": "devices", "flip": "to allowed", "rule": "ALG-01", "requests": tenth},
            {"profile": "devices", "flip": "to refused", "rule": "ALG-02", "requests": tenth},
            {"profile": "devices", "flip": "to refused", "rule": "CHA-04", "requests": tenth},
            {"profile": "devices", "flip": "other rule", "rule": "ALG-01 > SUB-05", "requests": tenth},
        ])
    );
    let flips = told["flips"].as_array().unwrap();
    let sequences: Vec<u64> = flips
        .iter()
        .map(|flip| flip["sequence"].as_u64().unwrap())
        .collect();
    let wanted: Vec<u64> = (0..10 * tenth)
        .filter(|n| [5, 6, 7, 8].contains(&(n % 10)))
        .collect();
    assert_eq!(sequences, wanted, "in the order of the records");
}

#[test]
fn input_that_cannot_be_read_is_named_by_file_and_line() {
    let desk = Desk::new();
    let (bundle, requests) = (in_force(), ten(&desk));
    let demo = shipped("demo");
    let demo = demo.to_str().unwrap();
    let good = line(&requests[0].evidence(&bundle), 7);
    let text = String::from_utf8(good.clone()).unwrap();
    for (what, bad) in [
        ("no JSON", "hello\n".to_owned()),
        ("cut", text[..text.len() / 2].to_owned()),
        (
            "an unknown member",
            text.replace("\"grant\":", "\"free\":1,\"grant\":"),
        ),
        (
            "another form",
            text.replace("\"kind\":\"permit\"", "\"kind\":\"permitted\""),
        ),
        ("not canonical", text.replace("\"grant\":", "\"grant\": ")),
        ("a salt cut short", text.replace("5a\",\"seq", "\",\"seq")),
        ("endless", "x".repeat(200_000)),
    ] {
        assert_ne!(bad, text, "{what}");
        let file = desk.write("lines.jsonl", [good.clone(), bad.into_bytes()].concat());
        let run = assay(&["policy", "impact", demo, "--requests", &file]);
        exits(&run, 2);
        assert_eq!(out(&run), "", "{what}");
        for part in ["lines.jsonl:2: no evidence of a decision", "next: "] {
            assert!(said(&run).contains(part), "{what}: {}", said(&run));
        }
    }

    let run = assay(&["policy", "impact", demo, "--requests", &desk.path("")]);
    exits(&run, 2);
    assert!(said(&run).contains("evidence"), "{}", said(&run));
    assert!(
        said(&run).contains("next: name a directory"),
        "{}",
        said(&run)
    );

    let broken = replaced(
        &shipped_text("demo/fleet.toml"),
        "version = 1",
        "version = 0",
    );
    let broken = desk.write("fleet.toml", broken);
    let file = desk.write("lines.jsonl", &good);
    let run = assay(&["policy", "impact", &broken, "--requests", &file]);
    exits(&run, 2);
    assert!(said(&run).contains("fleet.toml:"), "{}", said(&run));
    assert!(said(&run).contains("version: TOM-06"), "{}", said(&run));
}
