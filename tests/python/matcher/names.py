"""Names: what is clean text, what each form wants, and what a policy permits by a claim or an inventory."""

import ipaddress
import re
import unicodedata

from . import der

# Short names, object identifiers and upper bounds: RFC 5280 appendix A.1, RFC 4519, RFC 2985.
ATTRIBUTES = {
    "CN": ("2.5.4.3", 64),
    "SN": ("2.5.4.4", 32768),
    "serialNumber": ("2.5.4.5", 64),
    "C": ("2.5.4.6", 2),
    "L": ("2.5.4.7", 128),
    "ST": ("2.5.4.8", 128),
    "STREET": ("2.5.4.9", 128),
    "O": ("2.5.4.10", 64),
    "OU": ("2.5.4.11", 64),
    "T": ("2.5.4.12", 64),
    "GN": ("2.5.4.42", 32768),
    "UID": ("0.9.2342.19200300.100.1.1", 256),
    "DC": ("0.9.2342.19200300.100.1.25", 63),
    "emailAddress": ("1.2.840.113549.1.9.1", 255),
    "unstructuredName": ("1.2.840.113549.1.9.2", 255),
    "unstructuredAddress": ("1.2.840.113549.1.9.8", 255),
}
BOUNDS = dict(ATTRIBUTES.values())
TAGS = {"utf8": der.UTF8, "printable": der.PRINTABLE, "ia5": der.IA5, "teletex": der.TELETEX}
UPN = "1.3.6.1.4.1.311.20.2.3"
SID = "tag:microsoft.com,2022-09-14:sid:"
LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
DOMAIN_COMPONENT, EMAIL_ADDRESS = ATTRIBUTES["DC"][0], ATTRIBUTES["emailAddress"][0]


class Unfit(Exception):
    """No name can be issued."""


class Unclaimed(Unfit):
    """The claimed subject lacks an attribute."""


def lower(text):
    """Only ASCII letters have a case."""
    return text.translate({letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)})


def after(text, mark):
    """In lower case after the last mark."""
    start, found, end = text.rpartition(mark)
    return start + found + lower(end) if found else text


def before(text, mark):
    """In lower case before the first mark."""
    start, found, end = text.partition(mark)
    return lower(start) + found + end if found else text


def folded_attribute(oid, text):
    """The table of comparisons, for values of a subject: what is equal is the same text."""
    if oid == DOMAIN_COMPONENT:
        return lower(text)
    return after(text, "@") if oid == EMAIL_ADDRESS else text


def folded_san(san):
    """The same for subject alternative names."""
    kind, value = san
    if kind == "dns":
        return kind, lower(value)
    if kind in ("email", "upn"):
        return kind, after(value, "@")
    return (kind, before(value, ":")) if kind in ("uri", "microsoft-sid") else san


def attribute_type(text):
    for name, (oid, _) in ATTRIBUTES.items():
        if name.lower() == text.lower():
            return oid
    return text


def clean(text):
    controls = any(unicodedata.category(character) == "Cc" for character in text)
    return bool(text) and not controls and text.strip() == text and unicodedata.normalize("NFC", text) == text


def admits(tag, text):
    if tag == der.PRINTABLE:
        return re.fullmatch(r"[A-Za-z0-9 '()+,\-./:=?]*", text) is not None
    return tag not in (der.IA5, der.TELETEX) or text.isascii()


def dns_is_well_formed(name):
    if not 1 <= len(name) <= 253:
        return False
    try:
        ipaddress.IPv4Address(name)
        return False
    except ValueError:
        return re.fullmatch(rf"(\*\.)?{LABEL}(\.{LABEL})*", name) is not None


def is_well_formed(san):
    kind, value = san
    if kind == "dns":
        return dns_is_well_formed(value)
    if kind == "email":
        local, at, domain = value.rpartition("@")
        atom = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
        sound = re.fullmatch(rf"{atom}(\.{atom})*", local) is not None
        return bool(at) and sound and len(value) <= 254 and domain[:2] != "*." and dns_is_well_formed(domain)
    if kind in ("uri", "microsoft-sid"):
        sound = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*:[!#-;=?-\[\]_a-z~]+", value) is not None
        return len(value) <= 1024 and sound and (kind == "uri" or value.startswith(SID) and value != SID)
    if kind == "upn":
        return clean(value) and re.fullmatch(r"[^@]+@[^@]+", value) is not None
    return True


def san_of_text(text):
    kind, _, value = text.partition(":")
    return san_of(kind, value)


def san_of(kind, value):
    if kind == "ip":
        try:
            return kind, ipaddress.ip_address(value).packed
        except ValueError as error:
            raise Unfit(f"{value} is no address") from error
    if kind == "uri" and lower(value).startswith("tag:microsoft.com,"):
        return "microsoft-sid", value
    return kind, value


def san_of_der(tag, content):
    """A GeneralName; a form that no policy can list is malformed."""
    forms = {0x81: "email", 0x82: "dns", 0x86: "uri"}
    if tag in forms:
        if not content.isascii():
            raise der.Malformed("an IA5String with other characters")
        return san_of(forms[tag], content.decode("ascii"))
    if tag == 0x87:
        if len(content) not in (4, 16):
            raise der.Malformed("an address of another length")
        return "ip", content
    if tag == 0xA0:
        (oid_tag, oid), (value_tag, value) = der.elements(content)
        if oid_tag != der.OID or value_tag != 0xA0:
            raise der.Malformed("no otherName")
        if der.dotted(oid) == UPN:
            return "upn", der.inside(value, der.UTF8).decode("utf-8")
        return "other", (der.dotted(oid), value)
    raise der.Malformed(f"a name of form {tag:#04x}")


def san_to_der(san):
    kind, value = san
    if kind == "ip":
        return der.tlv(0x87, value)
    if kind == "upn":
        return der.tlv(0xA0, der.oid(UPN), der.tlv(0xA0, der.tlv(der.UTF8, value.encode())))
    tag = {"email": 0x81, "dns": 0x82, "uri": 0x86, "microsoft-sid": 0x86}[kind]
    return der.tlv(tag, value.encode("ascii"))


class Permitted:
    """The one subject and the one set of alternative names, from policy, claims and inventory."""

    def __init__(self, policy, claims):
        # RDNs of (type, value, encodings of issue).
        self.subject = []
        # The rules of these RDNs.
        self.rules = []
        for rdn, optional in zip(policy.subject, policy.optional, strict=True):
            try:
                texts = [value(rule["value"], claims) for rule in rdn]
            except Unclaimed:
                if optional:
                    continue
                raise
            attributes = []
            self.rules.append(rdn)
            for rule, text in zip(rdn, texts, strict=True):
                oid = attribute_type(rule["type"])
                if not clean(text) or len(text) > BOUNDS.get(oid, 32768):
                    raise Unfit(f"{oid} `{text}`")
                issued = rule["accept"] if rule["issue"] == "requested" else [rule["issue"]]
                attributes.append((oid, text, issued))
            self.subject.append(sorted(attributes))
        plain = [[(oid, folded_attribute(oid, text)) for oid, text, _ in rdn] for rdn in self.subject]
        if any(plain.count(rdn) > 1 for rdn in plain):
            raise Unfit("an RDN twice")
        self.sans = []
        # Those that are issued without being asked for.
        self.added = []
        claimed = [san_of_text(text) for text in claims.get("sans", [])]
        for rule in policy.sans:
            if "claimed" in rule:
                names = [san for san in claimed if san[0] == rule["type"]]
                if not rule["claimed"]["min"] <= len(names) <= rule["claimed"]["max"]:
                    raise Unfit(f"{len(names)} names of type {rule['type']}")
                self.sans += names
            else:
                san = san_of(rule["type"], value(rule["value"], claims))
                self.sans.append(san)
                if rule.get("add", False):
                    self.added.append(folded_san(san))
        kinds = {rule["type"] for rule in policy.sans}
        folded = [folded_san(san) for san in self.sans]
        for san in self.sans:
            if not is_well_formed(san) or san[0] not in kinds or folded.count(folded_san(san)) > 1:
                raise Unfit(f"name {san}")

    def issuable(self):
        return all(
            any(admits(TAGS[issue], text) for issue in issues) for rdn in self.subject for _, text, issues in rdn
        )

    def equal(self, claims):
        """Whether these are exactly the names that challenge or renewed certificate has."""
        subject = [sorted((oid, folded_attribute(oid, text)) for oid, text, _ in rdn) for rdn in self.subject]
        claimed = [sorted((oid, folded_attribute(oid, text)) for oid, text in rdn) for rdn in claims["subject"]]
        sans = [san_of_text(text) for text in claims["sans"]]
        return subject == claimed and folded_set(sans) == folded_set(self.sans)

    def carry(self, policy, request):
        """The names as the certificate has them: RDNs of (type, value, tag), and alternative names."""
        requested = policy.name_case == "requested"
        subject = []
        for rdn, asked in zip(self.subject, request.subject, strict=True):
            asked = {oid: (tag, content.decode()) for oid, tag, content in asked}
            carried = []
            for oid, text, issues in rdn:
                tag, spelt = asked[oid]
                # Of several encodings of issue the requested one is taken.
                carried.append(
                    (oid, spelt if requested else folded_attribute(oid, text), tag if len(issues) > 1 else TAGS[issues[0]])
                )
            subject.append(carried)
        spelt = {folded_san(san): san for san in request.sans or []}
        sans = [spelt.get(folded_san(san), san) if requested else folded_san(san) for san in self.sans]
        return subject, sans


def folded_set(sans):
    return sorted(repr(folded_san(san)) for san in sans)


def value(source, claims):
    if "literal" in source:
        return source["literal"]
    if "inventory" in source:
        if not claims.get("entry"):
            raise Unfit("no entry of the inventory")
        return claims["entry"]["name"]
    if "claim" in source:
        oid = attribute_type(source["claim"])
        found = [text for rdn in claims.get("subject", []) for kind, text in rdn if kind == oid]
        if "number" in source:
            found = found[source["number"] - 1 : source["number"]]
        if len(found) != 1:
            raise Unclaimed(f"{len(found)} claims of {oid}")
        return found[0]
    return "".join(value(part, claims) for part in source["join"])
