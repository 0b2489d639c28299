"""DER, read strictly and written plainly. Object identifiers are asn1crypto's business."""

from asn1crypto import core

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, UTF8 = 1, 2, 3, 4, 5, 6, 0x0C
PRINTABLE, TELETEX, IA5, UTC_TIME, GENERALIZED_TIME = 0x13, 0x14, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


class Malformed(Exception):
    """Not DER, or not what was to come."""


def one(encoded):
    """Tag and content of the one element that `encoded` is."""
    tag, content, rest = take(encoded)
    if rest:
        raise Malformed("octets after the end")
    return tag, content


def take(encoded):
    """Tag and content of the first element, and what follows it."""
    if len(encoded) < 2 or encoded[0] & 0x1F == 0x1F:
        raise Malformed("no element")
    length, begin = encoded[1], 2
    if length >= 0x80:
        begin += length & 0x7F
        digits = encoded[2:begin]
        length = int.from_bytes(digits, "big")
        if not digits or digits[0] == 0 or length < 0x80:
            raise Malformed("a length in another form than the shortest")
    if len(encoded) < begin + length:
        raise Malformed("cut off")
    return encoded[0], encoded[begin : begin + length], encoded[begin + length :]


def elements(content):
    """Every element of `content`, as tag and content."""
    found = []
    while content:
        tag, inner, content = take(content)
        found.append((tag, inner))
    return found


def whole(content):
    """Every element of `content`, as its whole encoding."""
    found = []
    while content:
        _, _, rest = take(content)
        found.append(content[: len(content) - len(rest)])
        content = rest
    return found


def inside(encoded, tag):
    got, content = one(encoded)
    if got != tag:
        raise Malformed(f"tag {got:#04x} where {tag:#04x} was to come")
    return content


def dotted(content):
    try:
        return core.ObjectIdentifier(contents=content).dotted
    except (ValueError, IndexError) as error:
        raise Malformed("no object identifier") from error


def tlv(tag, *contents):
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    digits = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def oid(text):
    return core.ObjectIdentifier(text).dump()


def number(value):
    return core.Integer(value).dump()
