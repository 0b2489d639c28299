//! Hostile bytes are walked here first: sizes, depth and counts are held to [`Limits`] in one pass without
//! allocation for content, and BER becomes DER only where it is not DER already (X.690 §8, §10).

use std::borrow::Cow;

use super::{read::Fields, tag, write};
use crate::{Limits, Malformed};

/// Returns `bytes`, which are to be exactly one element, with minimal definite lengths and primitive OCTET STRINGs.
///
/// An IMPLICIT constructed OCTET STRING cannot be told from an EXPLICIT tag without its schema, so `[n]` stays
/// constructed with primitive segments inside, and its reader joins them. Elements are never reordered: an unsorted
/// SET OF is for a reader to refuse.
pub(crate) fn normalise<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, Malformed> {
    let scan = scan(bytes, limits)?;
    if scan.end < bytes.len() {
        return Err(Malformed::TrailingOctets {
            octets: bytes.len() - scan.end,
        });
    }
    if scan.canonical {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut der = Vec::with_capacity(bytes.len());
    let mut input = bytes;
    transcode(&mut input, &mut der)
        .filter(|element| *element == Transcoded::Element)
        .ok_or(Malformed::Structure("constructed OCTET STRING"))?;
    Ok(Cow::Owned(der))
}

/// Length octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Definite { octets: usize, minimal: bool },
    Indefinite,
}

/// Identifier and length octets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) tag: u8,
    pub(crate) length: Length,
    /// Octets of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// Reads the header that `bytes` start with. The content may reach beyond them.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        /// Low bits that announce a tag number of more octets.
        const HIGH_TAG_NUMBER: u8 = 0x1f;
        /// Octets of the longest length that is read: 4 GiB.
        const MAX_LENGTH_OCTETS: usize = 4;

        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        if tag & HIGH_TAG_NUMBER == HIGH_TAG_NUMBER {
            return None;
        }
        let (length, size) = match first {
            0..0x80 => (
                Length::Definite {
                    octets: first.into(),
                    minimal: true,
                },
                2,
            ),
            0x80 => (Length::Indefinite, 2),
            0x81.. => {
                let count = usize::from(first & 0x7f);
                let digits = rest.get(..count)?;
                let zeros = digits.iter().take_while(|digit| **digit == 0).count();
                let significant = digits.get(zeros..)?;
                if significant.len() > MAX_LENGTH_OCTETS {
                    return None;
                }
                let octets = significant
                    .iter()
                    .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (
                    Length::Definite {
                        octets,
                        minimal: zeros == 0 && octets >= 0x80,
                    },
                    2 + count,
                )
            }
        };
        Some(Header { tag, length, size })
    }

    pub(crate) fn is_constructed(&self) -> bool {
        self.tag & tag::CONSTRUCTED != 0
    }

    fn is_end_of_contents(&self) -> bool {
        self.tag == 0
            && self.length
                == Length::Definite {
                    octets: 0,
                    minimal: true,
                }
    }
}

struct Scan {
    /// Where the first element ends.
    end: usize,
    /// Nothing in it needs to be transcoded.
    canonical: bool,
}

/// An open constructed element.
struct Level {
    /// Where the nearest definite length around it ends.
    end: usize,
    indefinite: bool,
}

fn scan(bytes: &[u8], limits: &Limits) -> Result<Scan, Malformed> {
    if bytes.len() > limits.message {
        return Err(Malformed::TooLong {
            limit: limits.message,
        });
    }
    let mut levels: Vec<Level> = Vec::new();
    let mut position = 0;
    let mut canonical = true;

    for _ in 0..limits.elements {
        let encoding = |expected| Malformed::Encoding {
            offset: position,
            expected,
        };
        let end = levels.last().map_or(bytes.len(), |level| level.end);
        let header = bytes
            .get(position..end)
            .and_then(Header::read)
            .ok_or_else(|| {
                encoding("an identifier with a low tag number and a length of at most four octets")
            })?;
        let content = position + header.size;

        if header.is_end_of_contents() {
            let closed = levels.pop_if(|level| level.indefinite);
            closed.ok_or_else(|| encoding("end-of-contents only after an indefinite length"))?;
            position = content;
        } else {
            let (stop, indefinite) = match header.length {
                Length::Definite { octets, minimal } => {
                    let stop = content.checked_add(octets).filter(|stop| *stop <= end);
                    canonical &= minimal && header.tag != tag::OCTET_STRING | tag::CONSTRUCTED;
                    (
                        stop.ok_or_else(|| encoding("as many octets as the length says"))?,
                        false,
                    )
                }
                Length::Indefinite if header.is_constructed() => {
                    canonical = false;
                    (end, true)
                }
                Length::Indefinite => {
                    return Err(encoding("a definite length for a primitive value"));
                }
            };
            if header.is_constructed() {
                levels.push(Level {
                    end: stop,
                    indefinite,
                });
                position = content;
            } else {
                position = stop;
            }
        }
        if levels.len() > limits.depth {
            return Err(Malformed::TooDeep {
                limit: limits.depth,
            });
        }
        while levels
            .pop_if(|level| !level.indefinite && level.end == position)
            .is_some()
        {}
        if levels.is_empty() {
            return Ok(Scan {
                end: position,
                canonical,
            });
        }
    }
    Err(Malformed::TooManyElements {
        limit: limits.elements,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Transcoded {
    Element,
    EndOfContents,
}

/// Moves one element from `input` to `output`. Recursion is bounded by the depth that [`scan`] has allowed.
fn transcode(input: &mut &[u8], output: &mut Vec<u8>) -> Option<Transcoded> {
    let header = Header::read(input)?;
    let rest = input.get(header.size..)?;
    if header.is_end_of_contents() {
        *input = rest;
        return Some(Transcoded::EndOfContents);
    }
    if !header.is_constructed() {
        let Length::Definite { octets, .. } = header.length else {
            return None;
        };
        let (content, rest) = rest.split_at_checked(octets)?;
        *input = rest;
        write::tlv_into(output, header.tag, content);
        return Some(Transcoded::Element);
    }

    let mut children = Vec::new();
    match header.length {
        Length::Definite { octets, .. } => {
            let (mut content, rest) = rest.split_at_checked(octets)?;
            *input = rest;
            while !content.is_empty() {
                transcode(&mut content, &mut children)?;
            }
        }
        Length::Indefinite => {
            *input = rest;
            while transcode(input, &mut children)? == Transcoded::Element {}
        }
    }
    if header.tag == tag::OCTET_STRING | tag::CONSTRUCTED {
        write::tlv_into(output, tag::OCTET_STRING, &join_segments(&children)?);
    } else {
        write::tlv_into(output, header.tag, &children);
    }
    Some(Transcoded::Element)
}

/// The value of a constructed OCTET STRING: the octets of its primitive segments, in order (X.690 §8.7.3).
pub(crate) fn join_segments(segments: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(segments.len());
    let mut fields = Fields::new(segments);
    while !fields.is_empty() {
        octets.extend_from_slice(fields.take(tag::OCTET_STRING)?.content);
    }
    Some(octets)
}
