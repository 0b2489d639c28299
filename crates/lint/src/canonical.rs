//! LINT-01: DER all the way down. The codec that reads the fields looks no deeper than it must.

use der::{Reader, SliceReader};

use crate::parse::{Tbs, hexadecimal, tlv};
use crate::{Expectation, Verdict};

/// Deepest nesting read: a distribution point of ours stands at eight.
const MAX_DEPTH: usize = 16;
/// X.690 section 8.1.2.5: an identifier octet of a constructed encoding.
const CONSTRUCTED: u8 = 0x20;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SET: u8 = 0x31;

pub(crate) fn der(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    walk(tbs.der, 0)?;
    tbs.extensions.iter().try_for_each(|extension| {
        walk(extension.value, 0).map_err(|detail| format!("{}: {detail}", extension.oid))
    })
}

/// Every value of `content`, and every value inside it.
fn walk(content: &[u8], depth: usize) -> Verdict {
    if depth > MAX_DEPTH {
        return Err(format!("wanted at most {MAX_DEPTH} levels, got more"));
    }
    let unreadable = |error: der::Error| format!("wanted DER: {error}");
    let mut reader = SliceReader::new(content).map_err(unreadable)?;
    let mut values = 0_usize;
    while !reader.is_finished() {
        let rest = reader.remaining_len();
        let at = content.len() - usize::try_from(rest).unwrap_or_default();
        let (tag, value) = tlv(&mut reader).map_err(unreadable)?;
        let identifier = content.get(at).copied().unwrap_or_default();
        if identifier & CONSTRUCTED != 0 {
            walk(value, depth + 1)?;
        }
        if !is_canonical(identifier, value) {
            return Err(format!(
                "wanted the DER of a {tag}, got {}",
                hexadecimal(value)
            ));
        }
        values += 1;
    }
    if depth == 0 && values != 1 {
        return Err(format!("wanted one value, got {values}"));
    }
    Ok(())
}

/// X.690 sections 8 and 11, for the types that a certificate holds, by identifier octet.
fn is_canonical(identifier: u8, value: &[u8]) -> bool {
    match identifier {
        BOOLEAN => matches!(value, [0 | 0xff]),
        INTEGER => match value {
            [] => false,
            [0, second, ..] => second & 0x80 != 0,
            [0xff, second, ..] => second & 0x80 == 0,
            [_, ..] => true,
        },
        BIT_STRING => match value {
            [] => false,
            [unused] => *unused == 0,
            [unused @ 0..=7, .., last] => last & !(0xff_u8 << unused) == 0,
            [_, ..] => false,
        },
        NULL => value.is_empty(),
        OBJECT_IDENTIFIER => is_oid(value),
        UTF8_STRING => std::str::from_utf8(value).is_ok(),
        PRINTABLE_STRING => value.iter().copied().all(is_printable_string),
        IA5_STRING => value.is_ascii(),
        SET => is_ordered(value),
        _ => true,
    }
}

/// X.680 section 41.4.
pub(crate) fn is_printable_string(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// Arcs of seven bits each, in as few octets as serve.
fn is_oid(value: &[u8]) -> bool {
    let ends = value.last().is_some_and(|last| last & 0x80 == 0);
    let mut first_of_arc = true;
    let shortest = value.iter().all(|octet| {
        let padded = first_of_arc && *octet == 0x80;
        first_of_arc = octet & 0x80 == 0;
        !padded
    });
    ends && shortest
}

/// X.690 section 11.6: the members of a SET OF stand in the order of their encodings.
fn is_ordered(content: &[u8]) -> bool {
    let Ok(mut reader) = SliceReader::new(content) else {
        return content.is_empty();
    };
    let mut earlier: &[u8] = &[];
    while !reader.is_finished() {
        let Ok(member) = reader.tlv_bytes() else {
            return false;
        };
        if member < earlier {
            return false;
        }
        earlier = member;
    }
    true
}
