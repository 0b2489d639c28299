//! DER by hand: what a broken request needs, no library writes.
#![allow(clippy::cast_possible_truncation, reason = "test code")]

use const_oid::ObjectIdentifier;

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        one @ 0x80..=0xff => vec![0x81, one as u8],
        two => vec![0x82, (two >> 8) as u8, two as u8],
    };
    [&[tag][..], &length, content].concat()
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    tlv(0x31, &members.concat())
}

pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    tlv(0x06, ObjectIdentifier::new(dotted).unwrap().as_bytes())
}

pub(crate) fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

/// A positive INTEGER of big-endian octets.
pub(crate) fn integer(octets: &[u8]) -> Vec<u8> {
    let zero: &[u8] = if octets[0] >= 0x80 { &[0] } else { &[] };
    tlv(0x02, &[zero, octets].concat())
}
