//! Changes of the CSR.

use super::Change;
use crate::dice::Dice;
use crate::keys::KEYS;
use crate::pair::{Attribute, CN, O, OU, Pair, UTF8};

const PRINTABLE: u8 = 0x13;
const DNS: u8 = 0x82;

/// An attribute of the subject, if it has one.
fn attribute<'a>(pair: &'a mut Pair, dice: &mut Dice) -> Option<&'a mut Attribute> {
    let mut attributes: Vec<&mut Attribute> = pair.subject.iter_mut().flatten().collect();
    if attributes.is_empty() {
        return None;
    }
    let at = dice.below(attributes.len());
    Some(attributes.swap_remove(at))
}

fn set_tag(pair: &mut Pair, dice: &mut Dice, tag: u8) -> bool {
    attribute(pair, dice).map(|it| it.1 = tag).is_some()
}

fn set_value(pair: &mut Pair, dice: &mut Dice, change: impl FnOnce(&mut Vec<u8>)) -> bool {
    attribute(pair, dice).map(|it| change(&mut it.2)).is_some()
}

fn add_rdn(pair: &mut Pair, dice: &mut Dice, rdn: Vec<Attribute>) -> bool {
    let at = dice.below(pair.subject.len() + 1);
    pair.subject.insert(at, rdn);
    true
}

pub(super) const SUBJECT: &[Change] = &[
    ("PrintableString", |p, d| set_tag(p, d, PRINTABLE)),
    ("UTF8String", |p, d| set_tag(p, d, UTF8)),
    ("IA5String", |p, d| set_tag(p, d, 0x16)),
    ("TeletexString", |p, d| set_tag(p, d, 0x14)),
    ("BMPString", |p, d| set_tag(p, d, 0x1e)),
    ("every value PrintableString", |p, _| {
        for (_, tag, _) in p.subject.iter_mut().flatten() {
            *tag = PRINTABLE;
        }
        true
    }),
    ("upper case", |p, d| {
        set_value(p, d, |value| value.make_ascii_uppercase())
    }),
    ("an attribute of Cisco's more", |p, d| {
        let at = d.below(p.subject.len() + 1);
        let router = ("1.2.840.113549.1.9.2", 0x16, b"r1.Example.org".to_vec());
        p.subject.insert(at, vec![router]);
        true
    }),
    ("another value", |p, d| {
        set_value(p, d, |value| *value = b"device-2".to_vec())
    }),
    ("a trailing space", |p, d| {
        set_value(p, d, |value| value.push(b' '))
    }),
    ("a NUL", |p, d| set_value(p, d, |value| value.push(0))),
    ("no UTF-8", |p, d| set_value(p, d, |value| value.push(0xff))),
    ("not NFC", |p, d| {
        set_value(p, d, |value| value.extend("u\u{308}".as_bytes()))
    }),
    ("an empty value", |p, d| set_value(p, d, Vec::clear)),
    ("an underscore", |p, d| {
        set_value(p, d, |value| value.push(b'_'))
    }),
    ("an OU more", |p, d| {
        add_rdn(p, d, vec![(OU, UTF8, b"VPN".to_vec())])
    }),
    ("an RDN of two CN", |p, d| {
        let of = |text: &str| (CN, UTF8, text.as_bytes().to_vec());
        add_rdn(p, d, vec![of("a"), of("b")])
    }),
    ("an RDN twice", |p, d| {
        let rdn = p.subject.first().cloned();
        rdn.is_some_and(|rdn| add_rdn(p, d, rdn))
    }),
    ("an RDN fewer", |p, d| {
        let any = !p.subject.is_empty();
        if any {
            p.subject.remove(d.below(p.subject.len()));
        }
        any
    }),
    ("the order of the RDNs", |p, _| {
        p.subject.reverse();
        p.subject.len() > 1
    }),
    ("one RDN of all", |p, _| {
        p.subject = vec![p.subject.concat()];
        true
    }),
    ("the order in an RDN", |p, _| {
        p.subject.iter_mut().for_each(|rdn| rdn.reverse());
        true
    }),
    ("O for CN", |p, _| {
        for (kind, _, _) in p.subject.iter_mut().flatten() {
            if *kind == CN {
                *kind = O;
            }
        }
        true
    }),
    ("no subject", |p, _| {
        p.subject.clear();
        true
    }),
];

fn names(pair: &mut Pair) -> &mut Vec<(u8, Vec<u8>)> {
    pair.sans.get_or_insert_default()
}

fn add_name(pair: &mut Pair, tag: u8, name: &[u8]) -> bool {
    names(pair).push((tag, name.to_vec()));
    true
}

fn change_name(pair: &mut Pair, change: impl FnOnce(&mut (u8, Vec<u8>))) -> bool {
    names(pair).first_mut().map(change).is_some()
}

/// A name that the claims have too.
fn add_to_both(pair: &mut Pair, tag: u8, name: &[u8], text: &str) -> bool {
    pair.claims.sans.push(text.to_owned());
    add_name(pair, tag, name)
}

pub(super) const NAMES: &[Change] = &[
    ("a host more on both sides", |p, _| {
        add_to_both(p, DNS, b"c.example.com", "dns:c.example.com")
    }),
    ("a wildcard more on both sides", |p, _| {
        add_to_both(p, DNS, b"*.example.com", "dns:*.example.com")
    }),
    ("an address more on both sides", |p, _| {
        add_to_both(
            p,
            0x87,
            &[0x20; 16],
            "ip:2020:2020:2020:2020:2020:2020:2020:2020",
        )
    }),
    ("a name fewer on both sides", |p, _| {
        p.claims.sans.pop();
        let fewer = names(p).pop().is_some();
        if p.sans.as_ref().is_some_and(Vec::is_empty) {
            p.sans = None;
        }
        fewer
    }),
    ("no names on both sides", |p, _| {
        p.claims.sans.clear();
        p.sans.take().is_some()
    }),
    ("the order of the names", |p, _| {
        names(p).reverse();
        p.sans.as_ref().is_some_and(|names| names.len() > 1)
    }),
    ("no names", |p, _| p.sans.take().is_some()),
    ("an empty list of names", |p, _| {
        p.sans = Some(vec![]);
        true
    }),
    ("a name fewer", |p, _| names(p).pop().is_some()),
    ("a name twice", |p, _| {
        let name = names(p).first().cloned();
        name.is_some_and(|(tag, name)| add_name(p, tag, &name))
    }),
    ("upper case after the @", |p, _| {
        change_name(p, |(_, name)| {
            let at = name.iter().rposition(|octet| *octet == b'@');
            let domain = at.and_then(|at| name.get_mut(at..));
            domain.unwrap_or_default().make_ascii_uppercase();
        })
    }),
    ("upper case twice on both sides", |p, _| {
        add_to_both(p, DNS, b"C.example.com", "dns:c.example.com")
            && add_to_both(p, DNS, b"c.Example.com", "dns:C.example.com")
    }),
    ("a URI more, in another case on either side", |p, _| {
        p.policy
            .push_str("\n[[san]]\ntype = \"uri\"\nvalue = { literal = \"IntuneDeviceId://A\" }\n");
        p.claims.sans.push("uri:INTUNEdeviceid://A".to_owned());
        add_name(p, 0x86, b"intunedeviceID://A")
    }),
    ("a URI more, in another case after the scheme", |p, _| {
        p.policy
            .push_str("\n[[san]]\ntype = \"uri\"\nvalue = { literal = \"IntuneDeviceId://A\" }\n");
        p.claims.sans.push("uri:IntuneDeviceId://A".to_owned());
        add_name(p, 0x86, b"IntuneDeviceId://a")
    }),
    ("upper case", |p, _| {
        change_name(p, |name| name.1.make_ascii_uppercase())
    }),
    ("a trailing dot", |p, _| {
        change_name(p, |name| name.1.push(b'.'))
    }),
    ("a wildcard", |p, _| {
        change_name(p, |name| name.1.splice(..0, *b"*.").for_each(drop))
    }),
    ("dNSName of an address", |p, _| {
        add_name(p, DNS, b"192.0.2.7")
    }),
    ("another host", |p, _| add_name(p, DNS, b"evil.example.com")),
    ("an IP address", |p, _| add_name(p, 0x87, &[192, 0, 2, 1])),
    ("three octets of address", |p, _| {
        add_name(p, 0x87, &[192, 0, 2])
    }),
    ("a mailbox", |p, _| add_name(p, 0x81, b"jo@example.com")),
    ("a URI", |p, _| {
        add_name(p, 0x86, b"https://example.com/device")
    }),
    ("a security identifier", |p, _| {
        add_name(p, 0x86, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1")
    }),
    ("a directoryName", |p, _| add_name(p, 0xa4, &[0x30, 0])),
    ("a registeredID", |p, _| add_name(p, 0x88, &[0x2a, 3])),
    ("no IA5String", |p, _| {
        add_name(p, DNS, "bücher.example".as_bytes())
    }),
    ("a user principal name", |p, _| {
        let value = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x09\x0c\x07jo@corp";
        add_name(p, 0xa0, value)
    }),
];

fn extend(pair: &mut Pair, oid: &'static str, value: &[u8]) -> bool {
    pair.extensions.push((oid, value.to_vec()));
    true
}

const KEY_USAGE: &str = "2.5.29.15";
const PURPOSES: &str = "2.5.29.37";
const BASIC: &str = "2.5.29.19";
const CLIENT: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
const SERVER: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";

fn purposes(pair: &mut Pair, list: &[&[u8]]) -> bool {
    let list = list.concat();
    extend(pair, PURPOSES, &crate::writer::tlv(0x30, &list))
}

pub(super) const EXTENSIONS: &[Change] = &[
    ("digitalSignature, keyEncipherment", |p, _| {
        extend(p, KEY_USAGE, &[3, 2, 5, 0xa0])
    }),
    ("digitalSignature", |p, _| {
        extend(p, KEY_USAGE, &[3, 2, 7, 0x80])
    }),
    ("keyCertSign beside", |p, _| {
        extend(p, KEY_USAGE, &[3, 2, 2, 0xa4])
    }),
    ("a keyUsage that is none", |p, _| {
        extend(p, KEY_USAGE, &[4, 1, 0xa0])
    }),
    ("clientAuth", |p, _| purposes(p, &[CLIENT])),
    ("serverAuth", |p, _| purposes(p, &[SERVER])),
    ("serverAuth, clientAuth", |p, _| {
        purposes(p, &[SERVER, CLIENT])
    }),
    ("no purpose", |p, _| purposes(p, &[])),
    ("clientAuth twice", |p, _| purposes(p, &[CLIENT, CLIENT])),
    ("CA:FALSE", |p, _| extend(p, BASIC, &[0x30, 0])),
    ("CA:TRUE", |p, _| extend(p, BASIC, &[0x30, 3, 1, 1, 0xff])),
    ("CA:FALSE with a path length", |p, _| {
        extend(p, BASIC, &[0x30, 3, 2, 1, 0])
    }),
    ("a subject key identifier", |p, _| {
        extend(p, "2.5.29.14", &[4, 1, 7])
    }),
    ("an authority key identifier", |p, _| {
        extend(p, "2.5.29.35", &[0x30, 0])
    }),
    ("name constraints", |p, _| {
        extend(p, "2.5.29.30", &[0x30, 0])
    }),
    ("a SID extension", |p, _| {
        extend(p, "1.3.6.1.4.1.311.25.2", &[4, 1, 7])
    }),
    ("an extension twice", |p, _| {
        extend(p, BASIC, &[0x30, 0]);
        extend(p, BASIC, &[0x30, 0])
    }),
];

pub(super) const KEY: &[Change] = &[
    ("another kind of key", |p, d| {
        p.key = d.one_of(&KEYS).1.clone();
        true
    }),
    ("a sound key", |p, d| {
        p.key = KEYS[d.below(3)].1.clone();
        true
    }),
    ("a bit of the key", |p, d| {
        let at = p.key.len() - 1 - d.below(40);
        p.key[at] ^= 1 << d.below(8);
        true
    }),
];
