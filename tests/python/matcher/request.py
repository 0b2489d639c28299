"""A CSR (RFC 2986), read from its DER."""

from . import der, names

SAN, KEY_USAGE, EXTENDED_KEY_USAGE, BASIC_CONSTRAINTS = "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.19"
KEY_IDENTIFIERS = ("2.5.29.14", "2.5.29.35")
EXTENSION_REQUESTS = ("1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14")
SIGNATURES = {
    "1.2.840.113549.1.1.5": "sha1",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}


class Request:
    """What a CSR asks for. `malformed` says what of it cannot be read: rule REQ-01."""

    def __init__(self, encoded):
        self.malformed = None
        # RDNs of (type, tag, content).
        self.subject = []
        self.sans = self.key_usage = self.extended_key_usage = self.ca = None
        self.other = []
        self.spki = b""
        self.digest = None
        try:
            self.read(encoded)
        except (der.Malformed, ValueError) as error:
            self.malformed = str(error) or "unreadable"

    def read(self, encoded):
        info, algorithm, _ = der.whole(der.inside(encoded, der.SEQUENCE))
        self.digest = SIGNATURES.get(der.dotted(der.elements(der.inside(algorithm, der.SEQUENCE))[0][1]))
        version, subject, self.spki, *attributes = der.whole(der.inside(info, der.SEQUENCE))
        if version != der.number(0):
            raise der.Malformed("version")
        self.subject = [self.rdn(rdn) for rdn in der.elements(der.inside(subject, der.SEQUENCE))]
        seen = set()
        for attribute in der.elements(der.inside(attributes[0], 0xA0)) if attributes else []:
            (_, kind), (_, values) = der.elements(attribute[1])
            if der.dotted(kind) in EXTENSION_REQUESTS:
                for _, extension in der.elements(der.inside(values, der.SEQUENCE)):
                    self.extension(der.elements(extension), seen)

    @staticmethod
    def rdn(element):
        tag, content = element
        members = der.whole(content)
        if tag != der.SET or not members or members != sorted(members):
            raise der.Malformed("an RDN is no set in order")
        rdn = []
        for member in members:
            (oid_tag, oid), (value_tag, value) = der.elements(der.inside(member, der.SEQUENCE))
            if oid_tag != der.OID:
                raise der.Malformed("an attribute without a type")
            rdn.append((der.dotted(oid), value_tag, value))
        return rdn

    def extension(self, fields, seen):
        oid = der.dotted(fields[0][1])
        if oid in seen:
            raise der.Malformed(f"{oid} twice")
        seen.add(oid)
        value = fields[-1][1]
        if oid == SAN:
            names_ = der.elements(der.inside(value, der.SEQUENCE))
            self.sans = [names.san_of_der(tag, content) for tag, content in names_]
        elif oid == KEY_USAGE:
            unused, *octets = der.inside(value, der.BIT_STRING)
            bits = "".join(f"{octet:08b}" for octet in octets)
            self.key_usage = {at for at, bit in enumerate(bits[: len(bits) - unused]) if bit == "1"}
        elif oid == EXTENDED_KEY_USAGE:
            self.extended_key_usage = [der.dotted(c) for _, c in der.elements(der.inside(value, der.SEQUENCE))]
        elif oid == BASIC_CONSTRAINTS:
            fields = der.elements(der.inside(value, der.SEQUENCE))
            self.ca = bool(fields) and fields[0] == (der.BOOLEAN, b"\xff")
            if any(tag == der.INTEGER for tag, _ in fields) and not self.ca:
                raise der.Malformed("a path length without CA:TRUE")
        elif oid not in KEY_IDENTIFIERS:
            self.other.append(oid)
