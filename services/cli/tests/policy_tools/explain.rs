//! `assay policy explain`.

use std::path::Path;
use std::process::Output;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Builder, X509NameBuilder};
use serde_json::json;

use crate::support::*;

/// Every shipped profile is in force.
const AT: &str = "2026-11-22";
const WIFI: &str = "/C=DE/O=Example GmbH/OU=Wireless/CN=sn-17";
const WIFI_SAN: &str = "subjectAltName=DNS:sn-17.wifi.example.com";
const WIFI_CHALLENGE: &str = "CN=sn-17,OU=Wireless,O=Example GmbH,C=DE";

fn explain(directory: &str, profile: &str, csr: &str, more: &[&str]) -> Output {
    let policy = shipped(directory);
    let mut arguments = vec!["policy", "explain", "--policy", policy.to_str().unwrap()];
    arguments.extend(["--profile", profile, "--csr", csr, "--at", AT]);
    arguments.extend(more);
    assay(&arguments)
}

fn wifi(csr: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["--challenge-subject", WIFI_CHALLENGE, "--challenge-san"];
    arguments.push("dns:sn-17.wifi.example.com");
    arguments.extend(more);
    explain("examples", "wifi-device", csr, &arguments)
}

#[test]
fn a_request_that_is_permitted_shows_every_field_and_what_is_issued() {
    let desk = Desk::new();
    let csr = desk.csr("device.csr", WIFI, &[WIFI_SAN], "sha256");
    let run = wifi(&csr, &[]);
    exits(&run, 0);
    golden("explain-permitted.txt", &out(&run));
}

#[test]
fn pem_and_der_are_explained_alike() {
    let desk = Desk::new();
    let pem = desk.csr("device.csr", WIFI, &[WIFI_SAN], "sha256");
    let der = desk.path("device.der");
    let made = std::process::Command::new("openssl")
        .args(["req", "-in", &pem, "-outform", "DER", "-out", &der])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let text = std::fs::read_to_string(&pem).unwrap();
    let old_label = desk.write(
        "old.csr",
        text.replace("CERTIFICATE REQ", "NEW CERTIFICATE REQ"),
    );
    let wanted = out(&wifi(&pem, &[]));
    assert_eq!(out(&wifi(&der, &[])), wanted);
    assert_eq!(out(&wifi(&old_label, &[])), wanted);
}

#[test]
fn every_field_that_is_wrong_is_told_and_not_the_first_alone() {
    let desk = Desk::new();
    let csr = desk.csr(
        "device.csr",
        "/C=DE/O=Example AG/OU=Wireless/CN=sn-18/CN=admin",
        &[
            "subjectAltName=DNS:sn-18.wifi.example.com,DNS:vpn.example.com,IP:192.0.2.1",
            "keyUsage=digitalSignature,keyCertSign",
            "extendedKeyUsage=clientAuth,serverAuth",
            "basicConstraints=critical,CA:TRUE",
            "1.2.3.4=DER:0500",
            "subjectKeyIdentifier=hash",
        ],
        "sha384",
    );
    let run = wifi(&csr, &["--message-hash", "sha1"]);
    exits(&run, 1);
    golden("explain-refused.txt", &out(&run));

    let run = wifi(&csr, &["--message-hash", "sha1", "--json"]);
    exits(&run, 1);
    let told = json(&run);
    assert_eq!(told["outcome"], "refused");
    assert_eq!(told["certificate"], json!(null));
    let rules = |of: &serde_json::Value, key: &str| -> std::collections::BTreeSet<String> {
        let reasons = of[key].as_array().unwrap().iter();
        reasons
            .map(|reason| reason["rule"].as_str().unwrap().to_owned())
            .collect()
    };
    let fields = told["fields"].as_array().unwrap();
    let of_fields = fields.iter().flat_map(|field| rules(field, "reasons"));
    assert_eq!(
        of_fields.collect::<std::collections::BTreeSet<_>>(),
        rules(&told, "refused")
    );
    for field in fields {
        let refused = field["verdict"] == "refused";
        assert_eq!(refused, !rules(field, "reasons").is_empty(), "{field}");
    }
}

#[test]
fn a_gateway_of_an_inventory_needs_the_key_that_is_pinned() {
    let desk = Desk::new();
    let csr = desk.csr(
        "gateway.csr",
        "/O=Example GmbH/OU=VPN+CN=gw1.example.com",
        &["subjectAltName=DNS:gw1.example.com"],
        "sha256",
    );
    let wrong = "11".repeat(32);
    let run = explain(
        "examples",
        "vpn-gateway",
        &csr,
        &[
            "--inventory-name",
            "gw1.example.com",
            "--pinned-key",
            &wrong,
            "--already-issued",
        ],
    );
    exits(&run, 1);
    let pin = spki_sha256();
    golden(
        "explain-inventory.txt",
        &out(&run).replace(&pin, "<SHA-256 of the key>"),
    );

    let run = explain(
        "examples",
        "vpn-gateway",
        &csr,
        &["--inventory-name", "gw1.example.com", "--pinned-key", &pin],
    );
    exits(&run, 0);
}

#[test]
fn what_an_operator_approves_is_told_to_wait() {
    let desk = Desk::new();
    let csr = desk.csr(
        "person.csr",
        "/O=Example GmbH/CN=Jürgen Doe",
        &["subjectAltName=email:jo@example.com"],
        "sha256",
    );
    let run = explain(
        "examples",
        "smime",
        &csr,
        &[
            "--challenge-subject",
            "CN=Jürgen Doe,O=Example GmbH",
            "--challenge-san",
            "email:jo@example.com",
        ],
    );
    exits(&run, 0);
    golden("explain-approval.txt", &out(&run));
}

#[test]
fn a_renewal_is_judged_by_the_certificate_it_renews() {
    let desk = Desk::new();
    let csr = desk.csr("device.csr", WIFI, &[WIFI_SAN], "sha256");
    // NotAfter is 2027-01-21T00:00:00Z: the window of 30 days opens after the day of the request.
    let old = desk.write("old.pem", certificate(1_800_489_600));
    let run = explain("examples", "wifi-device", &csr, &["--renewal-of", &old]);
    exits(&run, 1);
    golden("explain-renewal.txt", &out(&run));
    let later = ["--renewal-of", &old, "--at", "2027-01-02", "--json"];
    let policy = shipped("examples");
    let policy = policy.to_str().unwrap();
    let run = assay(
        &[
            &[
                "policy",
                "explain",
                "--policy",
                policy,
                "--profile",
                "wifi-device",
                "--csr",
                &csr,
            ][..],
            &later,
        ]
        .concat(),
    );
    exits(&run, 1);
    let told = json(&run);
    let refused = told["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "{told}");
    assert_eq!(
        refused[0]["rule"], "REN-05",
        "the key is the old certificate's"
    );
}

#[test]
fn the_grant_of_evidence_stands_for_the_options() {
    let desk = Desk::new();
    let csr = desk.csr("device.csr", WIFI, &[WIFI_SAN], "sha256");
    let grant = json!({
        "source": { "kind": "one-time", "id": "c-1" },
        "claims": {
            "profile": "wifi-device",
            "names": { "subject": WIFI_CHALLENGE, "sans": ["dns:sn-17.wifi.example.com"] },
            "expires": 1_795_392_000,
        },
    });
    let file = desk.write("grant.json", grant.to_string());
    let run = explain("examples", "wifi-device", &csr, &["--grant", &file]);
    exits(&run, 0);
    let late = ["--grant", &file, "--json"];
    let run = explain("examples", "wifi-device", &csr, &late);
    assert_eq!(json(&run)["outcome"], "permitted");

    let file = desk.write("broken.json", "{\"source\": {\"kind\": \"one-time\"}}");
    let run = explain("examples", "wifi-device", &csr, &["--grant", &file]);
    exits(&run, 2);
    assert!(
        said(&run).contains("broken.json does not hold a grant"),
        "{}",
        said(&run)
    );
    assert!(
        said(&run).contains("next: give the `grant`"),
        "{}",
        said(&run)
    );
}

#[test]
fn without_a_source_the_rest_is_explained_all_the_same() {
    let desk = Desk::new();
    let csr = desk.csr(
        "device.csr",
        "/O=Example/CN=device-1",
        &["subjectAltName=DNS:a.example.com"],
        "sha256",
    );
    let run = explain("demo", "devices", &csr, &[]);
    exits(&run, 1);
    golden("explain-no-source.txt", &out(&run));
}

#[test]
fn input_that_cannot_be_read_is_named() {
    let desk = Desk::new();
    let csr = desk.csr("device.csr", WIFI, &[WIFI_SAN], "sha256");
    let run = explain("examples", "wify", &csr, &[]);
    exits(&run, 2);
    for part in [
        "no profile `wify`",
        "smime, tls-server, vpn-gateway, wifi-device",
    ] {
        assert!(said(&run).contains(part), "{part}: {}", said(&run));
    }

    let garbage = desk.write("garbage.csr", b"\x30\x03\x02\x01\x00");
    let run = wifi(&garbage, &[]);
    exits(&run, 2);
    assert!(
        said(&run).contains("garbage.csr is no CSR"),
        "{}",
        said(&run)
    );

    let other = desk.write("certificate.pem", certificate(1_800_489_600));
    let run = wifi(&other, &[]);
    exits(&run, 2);
    assert!(
        said(&run).contains("no PEM block CERTIFICATE REQUEST"),
        "{}",
        said(&run)
    );

    let der = desk.path("device.der");
    let made = std::process::Command::new("openssl")
        .args(["req", "-in", &csr, "-outform", "DER", "-out", &der])
        .output()
        .unwrap();
    assert!(made.status.success());
    let mut bytes = std::fs::read(&der).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = desk.write("forged.csr", bytes);
    let run = wifi(&forged, &[]);
    exits(&run, 2);
    for part in ["forged.csr", "signature does not verify", "next: "] {
        assert!(said(&run).contains(part), "{part}: {}", said(&run));
    }

    let run = wifi(&desk.path("absent.csr"), &[]);
    exits(&run, 2);
    assert!(said(&run).contains("absent.csr"), "{}", said(&run));

    let run = assay(&[
        "policy",
        "explain",
        "--policy",
        &desk.path("nowhere"),
        "--profile",
        "p",
        "--csr",
        &csr,
    ]);
    exits(&run, 2);
    assert!(
        said(&run).contains("nowhere does not exist"),
        "{}",
        said(&run)
    );
}

fn spki_sha256() -> String {
    let pem = std::fs::read(Path::new(key())).unwrap();
    let key = PKey::private_key_from_pem(&pem).unwrap();
    hex::encode(openssl::sha::sha256(&key.public_key_to_der().unwrap()))
}

/// One that the profile wifi-device issues, for the key of the CSRs; signed by itself, as no CA is asked.
fn certificate(not_after: i64) -> Vec<u8> {
    let pem = std::fs::read(Path::new(key())).unwrap();
    let key = PKey::private_key_from_pem(&pem).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    for (kind, value) in [
        ("C", "DE"),
        ("O", "Example GmbH"),
        ("OU", "Wireless"),
        ("CN", "sn-17"),
    ] {
        subject.append_entry_by_text(kind, value).unwrap();
    }
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_hex_str("5a5a5a5a").unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(not_after - 31_536_000).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_unix(not_after).unwrap())
        .unwrap();
    let context = builder.x509v3_context(None, None);
    let sans = SubjectAlternativeName::new()
        .dns("sn-17.wifi.example.com")
        .build(&context)
        .unwrap();
    builder.append_extension(sans).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    builder.build().to_pem().unwrap()
}
