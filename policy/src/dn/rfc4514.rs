//! The string form of distinguished names, RFC 4514.

use std::fmt;
use std::iter::{Enumerate, Peekable};
use std::str::Chars;

use der::asn1::AnyRef;
use der::{Decode, Tag};

use super::{Dn, DnAttribute, DnError, Rdn};
use crate::attribute;

/// Longest string form accepted, in bytes. Far above any real name; bounds the parser's work.
const MAX_TEXT: usize = 16 * 1024;

pub(super) fn parse(text: &str) -> Result<Dn, DnError> {
    if text.len() > MAX_TEXT {
        return Err(DnError::Syntax {
            position: MAX_TEXT,
            wanted: "a name must be shorter than 16 KiB",
        });
    }
    if text.trim().is_empty() {
        return Dn::new(Vec::new());
    }
    let mut parser = Parser {
        chars: text.chars().enumerate().peekable(),
        end: text.chars().count(),
    };
    let mut rdns = Vec::new();
    loop {
        let (rdn, more) = parser.rdn()?;
        rdns.push(rdn);
        if !more {
            break;
        }
    }
    rdns.reverse();
    Dn::new(rdns)
}

/// RFC 4514 section 2.4.
pub(super) fn write_escaped(value: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let outer =
            (index == 0 && matches!(character, ' ' | '#')) || (index == last && character == ' ');
        if outer || is_special(character) || character == '\\' || character == '=' {
            f.write_str("\\")?;
        }
        write!(f, "{character}")?;
    }
    Ok(())
}

fn is_special(character: char) -> bool {
    matches!(character, '"' | '+' | ',' | ';' | '<' | '>')
}

enum Next {
    Attribute,
    Rdn,
    End,
}

struct Parser<'a> {
    chars: Peekable<Enumerate<Chars<'a>>>,
    end: usize,
}

impl Parser<'_> {
    /// One RDN, and whether another follows.
    fn rdn(&mut self) -> Result<(Rdn, bool), DnError> {
        let mut attributes = Vec::new();
        loop {
            let (attribute, next) = self.attribute()?;
            attributes.push(attribute);
            match next {
                Next::Attribute => {}
                Next::Rdn => return Ok((Rdn::new(attributes)?, true)),
                Next::End => return Ok((Rdn::new(attributes)?, false)),
            }
        }
    }

    fn attribute(&mut self) -> Result<(DnAttribute, Next), DnError> {
        self.skip_spaces();
        let mut name = String::new();
        loop {
            match self.chars.next() {
                Some((_, '=')) => break,
                Some((_, c)) if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ' ') => {
                    name.push(c);
                }
                Some((position, _)) => {
                    return Err(syntax(
                        position,
                        "an attribute type has only letters, digits, `.` and `-`",
                    ));
                }
                None => return Err(syntax(self.end, "an attribute is written TYPE=value")),
            }
        }
        let name = name.trim_end();
        let oid =
            attribute::parse_type(name).ok_or_else(|| DnError::UnknownType(name.to_owned()))?;
        self.skip_spaces();
        let (value, next) = if matches!(self.chars.peek(), Some((_, '#'))) {
            self.hex_value()?
        } else {
            self.string_value()?
        };
        Ok((DnAttribute::new(oid, value)?, next))
    }

    fn string_value(&mut self) -> Result<(String, Next), DnError> {
        let mut bytes = Vec::new();
        // Length up to the last octet that an unescaped trailing space cannot take away.
        let mut kept = 0;
        let next = loop {
            let Some((position, character)) = self.chars.next() else {
                break Next::End;
            };
            match character {
                ',' => break Next::Rdn,
                '+' => break Next::Attribute,
                '\\' => {
                    self.escape(position, &mut bytes)?;
                    kept = bytes.len();
                }
                special if is_special(special) => {
                    return Err(syntax(
                        position,
                        "`\"`, `;`, `<` and `>` must be escaped with `\\`",
                    ));
                }
                plain => {
                    bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
                    if plain != ' ' {
                        kept = bytes.len();
                    }
                }
            }
        };
        bytes.truncate(kept);
        let value = String::from_utf8(bytes)
            .map_err(|_| syntax(self.position(), "escaped octets must form valid UTF-8"))?;
        Ok((value, next))
    }

    fn escape(&mut self, position: usize, bytes: &mut Vec<u8>) -> Result<(), DnError> {
        const WANTED: &str = "`\\` is followed by a special character or two hexadecimal digits";
        let (_, first) = self.chars.next().ok_or_else(|| syntax(position, WANTED))?;
        if is_special(first) || matches!(first, '\\' | ' ' | '#' | '=') {
            bytes.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        let second = self.chars.next().map(|(_, character)| character);
        let octet = second
            .and_then(|second| hex_octet(first, second))
            .ok_or_else(|| syntax(position, WANTED))?;
        bytes.push(octet);
        Ok(())
    }

    fn hex_value(&mut self) -> Result<(String, Next), DnError> {
        const WANTED: &str = "`#` is followed by the DER of a UTF8String, PrintableString or IA5String in hexadecimal";
        let start = self.position();
        self.chars.next();
        let mut digits = String::new();
        let next = loop {
            match self.chars.next() {
                None => break Next::End,
                Some((_, ',')) => break Next::Rdn,
                Some((_, '+')) => break Next::Attribute,
                Some((_, character)) => digits.push(character),
            }
        };
        let der = hex::decode(digits.trim_end()).map_err(|_| syntax(start, WANTED))?;
        let any = AnyRef::from_der(&der).map_err(|_| syntax(start, WANTED))?;
        let allowed = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String];
        let value = std::str::from_utf8(any.value())
            .ok()
            .filter(|_| allowed.contains(&der::Tagged::tag(&any)))
            .ok_or_else(|| syntax(start, WANTED))?;
        Ok((value.to_owned(), next))
    }

    fn skip_spaces(&mut self) {
        while self
            .chars
            .next_if(|(_, character)| *character == ' ')
            .is_some()
        {}
    }

    fn position(&mut self) -> usize {
        self.chars
            .peek()
            .map_or(self.end, |(position, _)| *position)
    }
}

fn hex_octet(first: char, second: char) -> Option<u8> {
    let octet = first.to_digit(16)? * 16 + second.to_digit(16)?;
    u8::try_from(octet).ok()
}

fn syntax(position: usize, wanted: &'static str) -> DnError {
    DnError::Syntax { position, wanted }
}
