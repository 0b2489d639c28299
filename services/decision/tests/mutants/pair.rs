//! A policy and a request under it: one good pair for each shipped policy and each kind of source.

use std::path::Path;

use assay_types::Hash;

use crate::claims::{Claims, Entry, Kind};
use crate::keys::key;
use crate::writer::{bit_string, oid, sequence, set, tlv};

/// 2026-11-22T00:00:00Z: every shipped profile is in force.
pub(crate) const NOW: u64 = 1_795_305_600;
const DAY: u64 = 86_400;
pub(crate) const UTF8: u8 = 0x0c;
pub(crate) const CN: &str = "2.5.4.3";
pub(crate) const O: &str = "2.5.4.10";
pub(crate) const OU: &str = "2.5.4.11";
pub(crate) const DC: &str = "0.9.2342.19200300.100.1.25";
const C: &str = "2.5.4.6";
const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
const SAN: &str = "2.5.29.17";

pub(crate) type Attribute = (&'static str, u8, Vec<u8>);

#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) what: &'static str,
    /// Name of the profile and text of its file.
    pub(crate) name: &'static str,
    pub(crate) policy: String,
    /// The profile that was asked for.
    pub(crate) asked: String,
    pub(crate) subject: Vec<Vec<Attribute>>,
    /// Tag and content of each name.
    pub(crate) sans: Option<Vec<(u8, Vec<u8>)>>,
    /// Other extensions: OID and value.
    pub(crate) extensions: Vec<(&'static str, Vec<u8>)>,
    pub(crate) key: Vec<u8>,
    /// Last arc of PKCS #1's signature algorithm: 11 for SHA-256.
    pub(crate) csr_signature: u8,
    pub(crate) message_hash: &'static str,
    pub(crate) now: u64,
    pub(crate) claims: Claims,
}

impl Pair {
    /// The CSR. Its signature is none: what a decision sees was verified before.
    pub(crate) fn csr(&self) -> Vec<u8> {
        let subject: Vec<Vec<u8>> = self
            .subject
            .iter()
            .map(|rdn| {
                let attribute =
                    |(kind, tag, value): &Attribute| sequence(&[oid(kind), tlv(*tag, value)]);
                set(rdn.iter().map(attribute).collect())
            })
            .collect();
        let extension = |(kind, value): &(&str, Vec<u8>)| sequence(&[oid(kind), tlv(0x04, value)]);
        let mut extensions: Vec<Vec<u8>> = self.extensions.iter().map(extension).collect();
        if let Some(names) = &self.sans {
            let names: Vec<Vec<u8>> = names.iter().map(|(tag, name)| tlv(*tag, name)).collect();
            extensions.push(extension(&(SAN, sequence(&names))));
        }
        let mut attributes = Vec::new();
        if !extensions.is_empty() {
            let value = tlv(0x31, &sequence(&extensions));
            attributes = sequence(&[oid(EXTENSION_REQUEST), value]);
        }
        let info = sequence(&[
            vec![2, 1, 0],
            sequence(&subject),
            self.key.clone(),
            tlv(0xa0, &attributes),
        ]);
        let algorithm = format!("1.2.840.113549.1.1.{}", self.csr_signature);
        let algorithm = sequence(&[oid(&algorithm), vec![5, 0]]);
        sequence(&[info, algorithm, bit_string(&[0; 256])])
    }
}

fn file(directory: &str, name: &str) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy");
    std::fs::read_to_string(policies.join(directory).join(format!("{name}.toml"))).unwrap()
}

/// `subject` in DER order.
fn pair(
    what: &'static str,
    (directory, name): (&str, &'static str),
    subject: &[&[(&'static str, &str)]],
    (tag, names): (u8, &[&str]),
    kind: Kind,
    claimed: &str,
) -> Pair {
    let prefix = if tag == 0x81 { "email" } else { "dns" };
    let value = |(kind, text): &(&'static str, &str)| -> Attribute {
        let tag = if *kind == C { 0x13 } else { UTF8 };
        (*kind, tag, text.as_bytes().to_vec())
    };
    let contents = names.iter().map(|name| (tag, name.as_bytes().to_vec()));
    Pair {
        what,
        name,
        policy: file(directory, name),
        asked: name.to_owned(),
        subject: subject
            .iter()
            .map(|rdn| rdn.iter().map(value).collect())
            .collect(),
        sans: (!names.is_empty()).then(|| contents.collect()),
        extensions: Vec::new(),
        key: key("RSA 3072"),
        csr_signature: 11,
        message_hash: "sha256",
        now: NOW,
        claims: Claims {
            kind,
            profile: name.to_owned(),
            subject: claimed.to_owned(),
            sans: names
                .iter()
                .map(|name| format!("{prefix}:{name}"))
                .collect(),
            expires: NOW + 60,
            not_after: NOW + 20 * DAY,
            old_key: Hash::of(&key("a third RSA 3072")),
            successor: None,
            entry: None,
        },
    }
}

fn with_entry(mut pair: Pair, name: &str, pinned: bool) -> Pair {
    pair.claims.entry = Some(Entry {
        name: name.to_owned(),
        pin: pinned.then(|| Hash::of(&pair.key)),
        issued: false,
    });
    pair
}

pub(crate) fn good() -> Vec<Pair> {
    let device: &[&[_]] = &[&[(O, "Example")], &[(CN, "device-1")]];
    let hosts: &[&str] = &["a.example.com", "b.example.com"];
    let claimed = "CN=device-1,O=Example";
    let wifi: &[&[_]] = &[
        &[(C, "DE")],
        &[(O, "Example GmbH")],
        &[(OU, "Wireless")],
        &[(CN, "sn-17")],
    ];
    let wifi_host: &[&str] = &["sn-17.wifi.example.com"];
    let wifi_claimed = "CN=sn-17,OU=Wireless,O=Example GmbH,C=DE";
    let gateway: &[&[_]] = &[
        &[(O, "Example GmbH")],
        &[(OU, "VPN"), (CN, "gw1.example.com")],
    ];
    let gateway_host: &[&str] = &["gw1.example.com"];
    let gateway_claimed = "OU=VPN+CN=gw1.example.com,O=Example GmbH";
    let person: &[&[_]] = &[&[(O, "Example GmbH")], &[(CN, "Jürgen Doe")]];
    let mail: &[&str] = &["jo@example.com"];
    let devices = ("demo", "devices");
    let wireless = ("examples", "wifi-device");
    let vpn = ("examples", "vpn-gateway");
    let mut server = pair(
        "tls-server",
        ("examples", "tls-server"),
        &[],
        (0x82, &["www.example.com"]),
        Kind::OneTime,
        "",
    );
    server.key = key("P-256");
    server
        .sans
        .as_mut()
        .unwrap()
        .push((0x87, vec![192, 0, 2, 7]));
    server.claims.sans.push("ip:192.0.2.7".to_owned());
    vec![
        pair(
            "devices",
            devices,
            device,
            (0x82, hosts),
            Kind::OneTime,
            claimed,
        ),
        pair(
            "devices again",
            devices,
            device,
            (0x82, hosts),
            Kind::Renewal,
            claimed,
        ),
        with_entry(
            pair(
                "fleet",
                ("demo", "fleet"),
                device,
                (0x82, &[]),
                Kind::Static,
                claimed,
            ),
            "device-1",
            false,
        ),
        pair(
            "wifi-device",
            wireless,
            wifi,
            (0x82, wifi_host),
            Kind::OneTime,
            wifi_claimed,
        ),
        pair(
            "wifi-device again",
            wireless,
            wifi,
            (0x82, wifi_host),
            Kind::Renewal,
            wifi_claimed,
        ),
        with_entry(
            pair(
                "vpn-gateway",
                vpn,
                gateway,
                (0x82, gateway_host),
                Kind::Static,
                gateway_claimed,
            ),
            "gw1.example.com",
            true,
        ),
        with_entry(
            pair(
                "vpn-gateway again",
                vpn,
                gateway,
                (0x82, gateway_host),
                Kind::Renewal,
                gateway_claimed,
            ),
            "gw1.example.com",
            true,
        ),
        pair(
            "smime",
            ("examples", "smime"),
            person,
            (0x81, mail),
            Kind::OneTime,
            "CN=Jürgen Doe,O=Example GmbH",
        ),
        server,
    ]
}
