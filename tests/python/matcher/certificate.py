"""The head of policy/RULES.md: what a certificate is built of, compared field by field with the TBSCertificate."""

import datetime
import hashlib

from . import der, names


def compare(encoded, policy, request, permitted, given):
    """The first field that differs, with what was wanted and what came; None where none does."""
    fields = der.whole(der.inside(encoded, der.SEQUENCE))
    if len(fields) != 8:
        return f"fields: {len(fields)}"
    issuer, now = given["issuer"], given["now"]
    subject, sans = permitted.carry(policy, request)
    not_before = max(now - policy.backdate_at(now), issuer["not_before"])
    not_after = min(now + policy.validity, issuer["not_after"])
    wanted = {
        "version": der.tlv(0xA0, der.number(2)),
        "serial": der.number(int(given["serial"], 16)),
        "signature": bytes.fromhex(issuer["signature_algorithm"]),
        "issuer": bytes.fromhex(issuer["subject"]),
        "validity": der.tlv(der.SEQUENCE, time(not_before), time(not_after)),
        "subject": der.tlv(der.SEQUENCE, *map(rdn, subject)),
        "key": request.spki,
    }
    for (field, want), got in zip(wanted.items(), fields):
        if want != got:
            return f"{field}: wanted {want.hex()}, got {got.hex()}"
    return compare_extensions(der.inside(der.inside(fields[7], 0xA3), der.SEQUENCE), policy, request, (subject, sans), issuer)


def compare_extensions(content, policy, request, carried, issuer):
    subject, sans = carried
    got = {}
    for tag, extension in der.elements(content):
        (oid_tag, oid), *critical, (value_tag, value) = der.elements(extension)
        oid = der.dotted(oid)
        if oid in got:
            return f"extension {oid} twice"
        tags = (tag, oid_tag, value_tag) == (der.SEQUENCE, der.OID, der.OCTET_STRING)
        if not tags or critical not in ([], [(der.BOOLEAN, b"\xff")]):
            return f"extension {oid}: not as RFC 5280 section 4.1 has it"
        got[oid] = (bool(critical), value)
    if sans:
        # Alternative names are a set; their order is not part of what is permitted.
        _, value = got.get("2.5.29.17", (None, der.tlv(der.SEQUENCE)))
        if sorted(der.whole(der.inside(value, der.SEQUENCE))) != sorted(map(names.san_to_der, sans)):
            return f"subjectAltName: {value.hex()}"
        got["2.5.29.17"] = (got["2.5.29.17"][0], None)
    wanted = extensions(policy, request, carried, issuer)
    for oid in wanted.keys() | got.keys():
        if wanted.get(oid) != got.get(oid):
            return f"extension {oid}: wanted {wanted.get(oid)}, got {got.get(oid)}"
    return None


def extensions(policy, request, carried, issuer):
    subject, sans = carried
    key = der.inside(der.whole(der.inside(request.spki, der.SEQUENCE))[1], der.BIT_STRING)[1:]
    found = {
        "2.5.29.19": (True, der.tlv(der.SEQUENCE)),
        "2.5.29.15": (True, key_usage(policy.key_usage)),
        "2.5.29.37": (False, der.tlv(der.SEQUENCE, *map(der.oid, policy.extended_key_usage))),
        "2.5.29.14": (False, der.tlv(der.OCTET_STRING, hashlib.sha1(key).digest())),
        "2.5.29.35": (False, der.tlv(der.SEQUENCE, der.tlv(0x80, bytes.fromhex(issuer["key_identifier"])))),
    }
    if sans:
        found["2.5.29.17"] = (not subject, None)
    if policy.policies:
        listed = [der.tlv(der.SEQUENCE, der.oid(oid)) for oid in policy.policies]
        found["2.5.29.32"] = (False, der.tlv(der.SEQUENCE, *listed))
    if policy.crl_distribution_points:
        urls = [uri(of_issuer(url, issuer)) for url in policy.crl_distribution_points]
        point = der.tlv(der.SEQUENCE, der.tlv(0xA0, der.tlv(0xA0, *urls)))
        found["2.5.29.31"] = (False, der.tlv(der.SEQUENCE, point))
    places = [("1.3.6.1.5.5.7.48.2", of_issuer(url, issuer)) for url in policy.ca_issuers]
    places += [("1.3.6.1.5.5.7.48.1", url) for url in policy.ocsp]
    if places:
        described = [der.tlv(der.SEQUENCE, der.oid(method), uri(url)) for method, url in places]
        found["1.3.6.1.5.5.7.1.1"] = (False, der.tlv(der.SEQUENCE, *described))
    return found


def key_usage(bits):
    length = max(bits) + 1
    octets = (length + 7) // 8
    value = sum(1 << (8 * octets - 1 - bit) for bit in bits)
    return der.tlv(der.BIT_STRING, bytes([8 * octets - length]), value.to_bytes(octets, "big"))


def of_issuer(url, issuer):
    """`{ca}` stands for the key identifier of the issuing CA."""
    return bytes.fromhex(issuer["key_identifier"]).hex().join(url.split("{ca}"))


def uri(url):
    return der.tlv(0x86, url.encode("ascii"))


def rdn(attributes):
    encoded = [
        der.tlv(der.SEQUENCE, der.oid(oid), der.tlv(tag, text.encode()))
        for oid, text, tag in attributes
    ]
    return der.tlv(der.SET, *sorted(encoded))


def time(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    if moment.year < 2050:
        return der.tlv(der.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return der.tlv(der.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())
