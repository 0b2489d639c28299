"""Encodings by hand: what a broken message needs, no library will write."""

from asn1crypto import core

SEQUENCE, SET, BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x30, 0x31, 1, 2, 3, 4, 5, 6
UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
CONSTRUCTED = 0x20


def length(octets):
    if octets < 0x80:
        return bytes([octets])
    digits = octets.to_bytes((octets.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def tlv(tag, *contents):
    content = b"".join(contents)
    return bytes([tag]) + length(len(content)) + content


def seq(*elements):
    return tlv(SEQUENCE, *elements)


def set_of(*elements):
    """DER: sorted (X.690 section 11.6)."""
    return tlv(SET, *sorted(elements))


def explicit(number, *elements):
    return tlv(0xA0 | number, *elements)


def oid(dotted):
    return core.ObjectIdentifier(dotted).dump()


def integer(number):
    return core.Integer(number).dump()


def octets(content):
    return tlv(OCTET_STRING, content)


def bits(content):
    return tlv(BIT_STRING, b"\0", content)


def printable(text):
    return tlv(PRINTABLE, text.encode("ascii"))


def null():
    return tlv(NULL)


def boolean(value):
    return tlv(BOOLEAN, b"\xff" if value else b"\0")


def header(encoded):
    """Tag, where the content begins and where it ends, of a definite length."""
    first = encoded[1]
    if first < 0x80:
        return encoded[0], 2, 2 + first
    begin = 2 + (first & 0x7F)
    return encoded[0], begin, begin + int.from_bytes(encoded[2:begin], "big")


def split(encoded):
    """Tag and content of one element."""
    tag, begin, end = header(encoded)
    return tag, encoded[begin:end]


def elements(content):
    """The elements one after the other in `content`, each whole."""
    found = []
    while content:
        _, _, end = header(content)
        found.append(content[:end])
        content = content[end:]
    return found


def edit(encoded, path, change):
    """Replaces the element at `path` (child indices), and every length around it."""
    if not path:
        return change(encoded)
    tag, content = split(encoded)
    children = elements(content)
    children[path[0]] = edit(children[path[0]], path[1:], change)
    return tlv(tag, *children)


class Ber:
    """How else than in DER a message may be encoded (X.690 section 8)."""

    def __init__(self, indefinite=False, segment=None, long_form=0, nested=False, implicit_octets=None, keep=()):
        # Encodings that stay as they are.
        self.keep = keep
        self.indefinite = indefinite
        # Octets of each segment of an OCTET STRING that is longer.
        self.segment = segment
        # Octets that each length takes at least.
        self.long_form = long_form
        # A segmented OCTET STRING as the only segment of another.
        self.nested = nested
        # A primitive `[0]` that is an implicit OCTET STRING: encryptedContent.
        self.implicit_octets = implicit_octets

    def encode(self, der):
        if der in self.keep:
            return der
        tag, content = split(der)
        if tag == OCTET_STRING and self.segment and len(content) > self.segment:
            return self._segmented(CONSTRUCTED | OCTET_STRING, content)
        if tag == 0x80 and self.implicit_octets:
            return self._segmented(0xA0, content, self.implicit_octets)
        if not tag & CONSTRUCTED:
            return self._tlv(tag, content)
        return self._constructed(tag, b"".join(map(self.encode, elements(content))))

    def _segmented(self, tag, content, size=None):
        size = size or self.segment
        pieces = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        inner = b"".join(self._tlv(OCTET_STRING, piece) for piece in pieces)
        if self.nested and tag == CONSTRUCTED | OCTET_STRING:
            inner = self._constructed(tag, inner)
        return self._constructed(tag, inner)

    def _constructed(self, tag, content):
        if self.indefinite:
            return bytes([tag, 0x80]) + content + b"\0\0"
        return self._tlv(tag, content)

    def _tlv(self, tag, content):
        if self.long_form:
            return bytes([tag, 0x80 | self.long_form]) + len(content).to_bytes(self.long_form, "big") + content
        return tlv(tag, content)
