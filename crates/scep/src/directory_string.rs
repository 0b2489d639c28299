//! Text of the ASN.1 string types that a challengePassword comes in (RFC 2985 §5.4.1, RFC 5280 DirectoryString).

use crate::asn1::{read::Element, tag};

/// The text of a DirectoryString or IA5String; `None` for another type or a broken encoding.
pub(crate) fn decode(element: &Element<'_>) -> Option<String> {
    let octets = element.content;
    match element.tag {
        tag::UTF8_STRING => utf8(octets),
        tag::PRINTABLE_STRING | tag::IA5_STRING => utf8(octets).filter(|text| text.is_ascii()),
        // Senders put UTF-8 or Latin-1 there; T.61 proper has died out.
        tag::TELETEX_STRING => {
            utf8(octets).or_else(|| Some(octets.iter().copied().map(char::from).collect()))
        }
        tag::BMP_STRING => {
            let (units, rest) = octets.as_chunks();
            let units: Vec<u16> = units.iter().copied().map(u16::from_be_bytes).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
        tag::UNIVERSAL_STRING => {
            let (units, rest) = octets.as_chunks();
            let text = units
                .iter()
                .copied()
                .map(|unit| char::from_u32(u32::from_be_bytes(unit)));
            text.collect::<Option<String>>().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

fn utf8(octets: &[u8]) -> Option<String> {
    str::from_utf8(octets).ok().map(str::to_owned)
}
