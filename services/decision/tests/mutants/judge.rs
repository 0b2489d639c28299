//! The two decisions on one pair.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use assay_decision::facts;
use assay_policy::{Bundle, Dn, Issuer, PolicyFile, StringEncoding, decide as decide_policy, tbs};
use assay_scep::{Csr, Limits};
use assay_types::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pair::{NOW, Pair};

const DAY: u64 = 86_400;
const SERIAL: [u8; 17] = [0x5a; 17];
/// Debian's own interpreter: another one on the path does not see the packages that Debian brings.
const INTERPRETER: &str = "/usr/bin/python3";

/// What this workspace decides.
pub(crate) struct Ours {
    /// The first rule that refuses.
    pub(crate) rule: Option<String>,
    pub(crate) tbs: Option<Vec<u8>>,
}

/// What the other decides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Theirs {
    pub(crate) rule: Option<String>,
    /// The first field of the certificate that is not as it is to be.
    pub(crate) differs: Option<String>,
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn issuer() -> Issuer {
    let subject = Dn::parse_rfc4514("CN=Example CA,O=Example").unwrap();
    Issuer {
        subject_der: subject.to_der(StringEncoding::Utf8).unwrap(),
        key_identifier: (0xb0..0xc4).collect(),
        not_before: at(NOW - 30 * DAY),
        // Before some of the certificates would end.
        not_after: at(NOW + 1_500 * DAY),
        signature_algorithm_der: hex::decode("300a06082a8648ce3d040302").unwrap(),
    }
}

/// `None` where the policy does not load, or where the claims are none that a store could hold.
pub(crate) fn decide(pair: &Pair) -> Option<Ours> {
    let bundle = Bundle::load(&[PolicyFile {
        name: format!("{}.toml", pair.name),
        content: pair.policy.clone().into_bytes(),
    }])
    .ok()?;
    let profile = bundle.profile(pair.name).unwrap();
    let grant = pair.claims.grant()?;
    let refused = |rule: String| Ours {
        rule: Some(rule),
        tbs: None,
    };
    let csr = match Csr::parse(&pair.csr(), &Limits::default()) {
        Ok(csr) => csr,
        Err(error) => return Some(refused(format!("SCEP:{error}"))),
    };
    let hash = Digest::named(pair.message_hash).unwrap();
    let facts = facts(&csr, &pair.asked, at(pair.now), hash, grant);
    let permit = match decide_policy(profile, &facts) {
        Ok(permit) => permit,
        Err(refusal) => return Some(refused(refusal.rule.to_string())),
    };
    let issuer = issuer();
    let (not_before, not_after) = profile.validity(facts.now, &issuer);
    let tbs = tbs(profile, permit, &issuer, &SERIAL, not_before, not_after).unwrap();
    Some(Ours {
        rule: None,
        tbs: Some(tbs.der().to_vec()),
    })
}

/// One verdict for each pair, in order.
pub(crate) fn ask_python<'a>(pairs: impl Iterator<Item = (&'a Pair, &'a Ours)>) -> Vec<Theirs> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    let questions = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
    let mut file = File::create(&questions).unwrap();
    for (pair, ours) in pairs {
        writeln!(file, "{}", question(pair, ours)).unwrap();
    }
    drop(file);
    let output = Command::new(INTERPRETER)
        .args(["-B", "-m", "matcher"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/python"))
        .stdin(Stdio::from(File::open(&questions).unwrap()))
        .output()
        .unwrap_or_else(|error| panic!("{INTERPRETER}: {error}; install python3-asn1crypto"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn question(pair: &Pair, ours: &Ours) -> Value {
    let issuer = issuer();
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        since.as_secs()
    };
    json!({
        "name": pair.name,
        "policy": pair.policy,
        "asked": pair.asked,
        "csr": hex::encode(pair.csr()),
        "now": pair.now,
        "message_hash": pair.message_hash,
        "claims": pair.claims.json(),
        "tbs": ours.tbs.as_ref().map(hex::encode),
        "serial": hex::encode(SERIAL),
        "issuer": {
            "subject": hex::encode(&issuer.subject_der),
            "key_identifier": hex::encode(&issuer.key_identifier),
            "signature_algorithm": hex::encode(&issuer.signature_algorithm_der),
            "not_before": seconds(issuer.not_before),
            "not_after": seconds(issuer.not_after),
        },
    })
}
