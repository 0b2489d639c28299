"""Bad input: each case changes one thing of a good message. The expectations are those of SCEP's text and of the server's
documented decisions, and the names are sentences that CONFORMANCE and failing tests can be read by.

MALFORMED is HTTP 400; every other answer is a signed CertRep.
"""

import os
from dataclasses import dataclass, replace

from . import build, der, weak
from .build import (
    AES128, AES256, CONTENT_TYPE, DES, DES3, MESSAGE_DIGEST, MESSAGE_TYPE, RSA, SENDER_NONCE, SHA, TRANSACTION_ID,
    WITH_RSA, Key, Recipient, algorithm, attribute, extension, name,
)  # fmt: skip


@dataclass
class Expected:
    status: int = 200
    fail_info: int = None
    # What failInfoText begins with; None: there is none.
    rule: str = None
    # The cause shows only after decryption.
    decrypted: bool = False


MALFORMED = Expected(status=400)
# The one uniform failure: no text, and the same for all causes.
UNIFORM = Expected(fail_info=2, decrypted=True)


def bad_algorithm(rule):
    return Expected(fail_info=0, rule=f"SCEP:{rule}")


def bad_check(rule):
    return Expected(fail_info=1, rule=f"SCEP:{rule}")


def bad_request(rule):
    return Expected(fail_info=2, rule=f"SCEP:{rule}")


def unlisted():
    return Expected(fail_info=2, rule="SIG-01")


def bad_identifier(rule):
    return Expected(fail_info=4, rule=rule)


def policy(rule):
    return Expected(fail_info=2, rule=rule, decrypted=True)


# Where things are in the ContentInfo of a pkiMessage.
SIGNED = [1, 0]
ENCAPSULATED = [1, 0, 2]
CERTIFICATES = [1, 0, 3]
SIGNERS = [1, 0, 4]
SIGNER = [1, 0, 4, 0]
ATTRIBUTES = [1, 0, 4, 0, 3]
SIGNATURE = [1, 0, 4, 0, 5]


def children(encoded, change):
    """The element with its list of children changed."""
    tag, content = der.split(encoded)
    return der.tlv(tag, *change(der.elements(content)))


def flipped(octets, at=-1):
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)


def twice(encoded):
    return [encoded, encoded]


def nested(depth, tag=der.SEQUENCE):
    encoded = b""
    for _ in range(depth):
        encoded = der.tlv(tag, encoded)
    return encoded


def replaced(old, new):
    """Octets of a signed message replaced by as many others."""
    return lambda message: message.replace(old, new, 1)


def altered(scene, what, value):
    """A value altered after signing; the reply will echo it as it came."""
    message = scene.good().encode()
    old = getattr(scene.last, what)
    scene.last = replace(scene.last, **{what: value})
    return message.replace(*[text.encode() if isinstance(text, str) else text for text in (old, value)])


def after(scene, change):
    return change(scene.good().encode())


TINY = der.seq()
SHA224 = "2.16.840.1.101.3.4.2.4"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
DSA_SHA256 = "2.16.840.1.101.3.4.3.2"
RC2 = "1.2.840.113549.3.2"
AES128_GCM = "2.16.840.1.101.3.4.1.6"
UNKNOWN = "1.3.6.1.4.1.99999.1"
EC_SPKI = der.seq(
    der.seq(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")),
    der.bits(
        bytes.fromhex(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        )
    ),
)
ED25519_SPKI = der.seq(algorithm("1.3.101.112"), der.bits(bytes(range(32))))

STRUCTURE = [
    ("an empty body", lambda s: b""),
    ("one octet", lambda s: b"\x30"),
    ("text", lambda s: b"GetCACert please"),
    ("a message without its last octet", lambda s: s.good().encode()[:-1]),
    ("the first half of a message", lambda s: after(s, lambda m: m[: len(m) // 2])),
    ("a zero after the message", lambda s: s.good().encode() + b"\0"),
    ("the message twice", lambda s: s.good().encode() * 2),
    ("a SET in place of the ContentInfo", lambda s: b"\x31" + s.good().encode()[1:]),
    ("a SignedData without its ContentInfo", lambda s: der.split(der.elements(der.split(s.good().encode())[1])[1])[1]),
    ("an envelope alone", lambda s: s.envelope()),
    ("the CSR alone", lambda s: s.csr().encode()),
    ("contentType id-data outside", lambda s: s.edited([0], lambda _: der.oid(build.DATA))),
    ("no content in the ContentInfo", lambda s: s.edited([], lambda m: children(m, lambda c: c[:1]))),
    ("a second content in the ContentInfo", lambda s: s.edited([], lambda m: children(m, lambda c: c + c[1:]))),
    ("a SignedData without a version", lambda s: s.edited(SIGNED, lambda m: children(m, lambda c: c[1:]))),
    ("no digestAlgorithms", lambda s: s.edited(SIGNED, lambda m: children(m, lambda c: c[:1] + c[2:]))),
    ("no encapContentInfo", lambda s: s.edited(SIGNED, lambda m: children(m, lambda c: c[:2] + c[3:]))),
    ("no eContentType", lambda s: s.edited(ENCAPSULATED, lambda m: children(m, lambda c: c[1:]))),
    ("an INTEGER as eContent", lambda s: s.edited([1, 0, 2, 1], lambda _: der.explicit(0, der.integer(7)))),
    ("two OCTET STRINGs as eContent", lambda s: s.edited([1, 0, 2, 1], lambda m: children(m, twice_first))),
    ("no signerInfos", lambda s: s.edited(SIGNED, lambda m: children(m, lambda c: c[:4]))),
    ("something after signerInfos", lambda s: s.edited(SIGNED, lambda m: children(m, lambda c: c + [der.null()]))),
    ("no signer", lambda s: s.edited(SIGNERS, lambda _: der.set_of())),
    ("two signers", lambda s: s.edited(SIGNERS, lambda m: children(m, twice_first))),
    ("a NULL as second signer", lambda s: s.edited(SIGNERS, lambda m: children(m, lambda c: c + [der.null()]))),
    ("a SignerInfo without a version", lambda s: s.edited(SIGNER, lambda m: children(m, lambda c: c[1:]))),
    ("a SignerInfo without a signature", lambda s: s.edited(SIGNER, lambda m: children(m, lambda c: c[:5]))),
    ("a SignerInfo without a digestAlgorithm", lambda s: s.edited(SIGNER, lambda m: children(m, lambda c: c[:2] + c[3:]))),
    ("a field too many in the SignerInfo", lambda s: s.edited(SIGNER, lambda m: children(m, lambda c: c + [der.null()]))),
    ("no signed attributes", lambda s: s.edited(SIGNER, lambda m: children(m, lambda c: c[:3] + c[4:]))),
    ("signed attributes without a member", lambda s: s.edited(ATTRIBUTES, lambda _: der.explicit(0))),
    ("an OCTET STRING as signed attribute", lambda s: s.edited(ATTRIBUTES + [0], lambda _: der.octets(b"x"))),
    ("a signed attribute without its SET", lambda s: s.edited(ATTRIBUTES + [0], lambda m: children(m, lambda c: c[:1]))),
    ("no transactionID", lambda s: s.with_attribute(TRANSACTION_ID, lambda _: None)),
    ("an empty transactionID", lambda s: s.with_value(TRANSACTION_ID, der.printable(""))),
    ("a transactionID of 256 characters", lambda s: s.with_value(TRANSACTION_ID, der.printable("a" * 256))),
    ("a transactionID with a line break", lambda s: s.with_value(TRANSACTION_ID, der.printable("a\nb"))),
    ("a transactionID with a NUL", lambda s: s.with_value(TRANSACTION_ID, der.printable("a\0b"))),
    ("a transactionID in UTF-8", lambda s: s.with_value(TRANSACTION_ID, der.tlv(der.PRINTABLE, "é".encode()))),
    ("a transactionID as UTF8String", lambda s: s.with_value(TRANSACTION_ID, der.tlv(der.UTF8, b"a"))),
    ("a transactionID as OCTET STRING", lambda s: s.with_value(TRANSACTION_ID, der.octets(b"a"))),
    ("no senderNonce", lambda s: s.with_attribute(SENDER_NONCE, lambda _: None)),
    ("an empty senderNonce", lambda s: s.with_value(SENDER_NONCE, der.octets(b""))),
    ("a senderNonce of 65 octets", lambda s: s.with_value(SENDER_NONCE, der.octets(bytes(65)))),
    ("a senderNonce as PrintableString", lambda s: s.with_value(SENDER_NONCE, der.printable("a" * 16))),
    *[
        (f"{what} twice", lambda s, oid=oid: s.with_attribute(oid, twice))
        for what, oid in [
            ("transactionID", TRANSACTION_ID), ("senderNonce", SENDER_NONCE), ("messageType", MESSAGE_TYPE),
            ("contentType", CONTENT_TYPE), ("messageDigest", MESSAGE_DIGEST),
        ]
    ],
    ("a transactionID with two values", lambda s: s.with_value(TRANSACTION_ID, der.printable("a"), der.printable("b"))),
    ("a senderNonce with two values", lambda s: s.with_value(SENDER_NONCE, der.octets(b"a" * 16), der.octets(b"b" * 16))),
    ("a messageType with two values", lambda s: s.with_value(MESSAGE_TYPE, der.printable("19"), der.printable("17"))),
    ("a messageDigest without a value", lambda s: s.with_value(MESSAGE_DIGEST)),
    ("40 signed attributes", lambda s: s.with_attribute(TRANSACTION_ID, lambda a: [a, *many_attributes(35)])),
    ("17 certificates", lambda s: s.good(certificates=[s.ca] * 17).encode()),
    ("1,000 certificates", lambda s: s.good(certificates=[TINY] * 1000).encode()),
    ("17 CRLs", lambda s: s.edited(SIGNED, lambda m: children(m, lambda c: c[:4] + [der.explicit(1, *[TINY] * 17)] + c[4:]))),
    ("nine recipients", lambda s: s.recipients(*[Recipient(s.ra_enc)] * 9)),
    ("500 recipients", lambda s: s.recipients(Recipient(s.ra_enc), others=[der.tlv(0xA1, der.integer(n)) for n in range(500)])),
    ("33 levels of SEQUENCE", lambda s: nested(34)),
    ("20,000 levels of SEQUENCE", lambda s: nested(20_000)),
    ("60,000 levels of indefinite length", lambda s: b"\x30\x80" * 60_000),
    ("60,000 levels of OCTET STRING", lambda s: b"\x24\x80" * 60_000),
    ("20,000 levels inside the envelope", lambda s: s.signed_around(nested(20_000))),
    ("60,000 segments", lambda s: b"\x24\x80" + b"\x04\x00" * 60_000 + b"\0\0"),
    ("5,000 elements inside the envelope", lambda s: s.signed_around(der.seq(*[der.null()] * 5_000))),
    ("60,000 elements", lambda s: der.seq(*[der.null()] * 60_000)),
    ("a length of 4 GiB", lambda s: b"\x30\x84\xff\xff\xff\xff" + s.good().encode()),
    ("a length of 16 EiB", lambda s: b"\x30\x88" + b"\xff" * 8 + s.good().encode()),
    ("a length of 126 octets", lambda s: b"\x30\xfe" + b"\xff" * 126),
    ("the reserved length octet", lambda s: b"\x30\xff" + s.good().encode()),
    ("a tag number of two octets", lambda s: b"\x3f\x81\x01" + s.good().encode()),
    ("an indefinite length of a primitive", lambda s: s.edited(SIGNATURE, lambda m: b"\x04\x80\0\0")),
    ("an indefinite length without an end", lambda s: after(s, lambda m: b"\x30\x80" + der.split(m)[1])),
    ("end-of-contents in a definite length", lambda s: s.edited([], lambda m: children(m, lambda c: c + [b"\0\0"]))),
    ("an element that ends after its parent", lambda s: s.edited(CERTIFICATES, lambda m: b"\xa0\x02\x30\x7f")),
]


def twice_first(elements):
    return elements + elements[:1]


def many_attributes(count):
    return [attribute(f"1.3.6.1.4.1.99999.2.{number}", der.null()) for number in range(count)]


def pss_of(scene, **changes):
    return {**build.pss(scene.key), **changes}


CHECK = [
    ("another messageDigest", "message-digest", lambda s: s.with_value(MESSAGE_DIGEST, der.octets(bytes(32)))),
    ("a messageDigest of 20 octets", "message-digest", lambda s: s.with_value(MESSAGE_DIGEST, der.octets(bytes(20)))),
    ("no messageDigest", "message-digest", lambda s: s.with_attribute(MESSAGE_DIGEST, lambda _: None)),
    ("a messageDigest as PrintableString", "message-digest", lambda s: s.with_value(MESSAGE_DIGEST, der.printable("a" * 32))),
    ("the envelope altered", "message-digest", lambda s: s.edited([1, 0, 2, 1, 0], flipped)),
    ("the envelope of another message", "message-digest", lambda s: s.edited([1, 0, 2, 1, 0], lambda _: der.octets(s.envelope()))),
    ("no eContent after signing", "message-digest", lambda s: s.edited(ENCAPSULATED, lambda m: children(m, lambda c: c[:1]))),
    ("no contentType", "content-type", lambda s: s.with_attribute(CONTENT_TYPE, lambda _: None)),
    ("contentType enveloped-data", "content-type", lambda s: s.with_value(CONTENT_TYPE, der.oid(build.ENVELOPED_DATA))),
    ("contentType as OCTET STRING", "content-type", lambda s: s.with_value(CONTENT_TYPE, der.octets(der.oid(build.DATA)[2:]))),
    ("eContentType enveloped-data", "content-type", lambda s: s.good(econtent_type=build.ENVELOPED_DATA).encode()),
    ("eContentType signed-data", "content-type", lambda s: s.good(econtent_type=build.SIGNED_DATA).encode()),
    ("the last bit of the signature flipped", "signature", lambda s: s.good(signature=flipped).encode()),
    ("the first bit of the signature flipped", "signature", lambda s: s.good(signature=lambda o: flipped(o, 0)).encode()),
    ("an empty signature", "signature", lambda s: s.good(signature=lambda _: b"").encode()),
    ("a signature of zeros", "signature", lambda s: s.good(signature=lambda o: bytes(len(o))).encode()),
    ("a signature of ones", "signature", lambda s: s.good(signature=lambda o: b"\xff" * len(o)).encode()),
    ("a signature without its last octet", "signature", lambda s: s.good(signature=lambda o: o[:-1]).encode()),
    ("a signature with a further octet", "signature", lambda s: s.good(signature=lambda o: o + b"\0").encode()),
    ("a signature of another key", "signature", lambda s: s.good(sign=s.other_key.sign).encode()),
    ("a signature over the content", "signature", lambda s: s.good(sign=lambda _: s.key.sign(b"content")).encode()),
    ("a signature over attributes tagged [0]", "signature", lambda s: s.good(sign=lambda data: s.key.sign(b"\xa0" + data[1:])).encode()),
    ("a SHA-512 signature under SHA-256", "signature", lambda s: s.good(sign=lambda data: s.key.sign(data, "sha512")).encode()),
    ("a PSS signature as PKCS#1 v1.5", "signature", lambda s: s.good(sign=lambda data: s.key.sign_pss(data, "sha256", 32)).encode()),
    ("a PKCS#1 v1.5 signature as PSS", "signature", lambda s: s.good(**pss_of(s, sign=s.key.sign)).encode()),
    ("PSS with another salt length", "signature", lambda s: s.good(**pss_of(s, sign=lambda data: s.key.sign_pss(data, "sha256", 20))).encode()),
    ("transactionID altered after signing", "signature", lambda s: altered(s, "transaction_id", "f" * 32)),
    ("senderNonce altered after signing", "signature", lambda s: altered(s, "sender_nonce", b"n" * 16)),
    ("messageType altered after signing", "signature", lambda s: after(s, replaced(attribute(MESSAGE_TYPE, der.printable("19")), attribute(MESSAGE_TYPE, der.printable("17"))))),
    ("an attribute added after signing", "", lambda s: s.edited(ATTRIBUTES, lambda m: children(m, lambda c: sorted(c + many_attributes(1))))),
    ("signed attributes in reverse order", "unsorted-attributes", lambda s: s.good(sort=False).encode()),
    ("no certificate", "signer-certificate-missing", lambda s: s.good(certificates=[]).encode()),
    ("the CA's certificate alone", "signer-certificate-missing", lambda s: s.good(certificates=[s.ca]).encode()),
    ("another certificate of the same key", "signer-certificate-missing", lambda s: s.good(certificates=[s.signer_certificate()]).encode()),
    ("another key under the same issuer and serial", "signature", lambda s: s.good(certificates=[build.certificate(s.other_key, build.DEVICE, serial=b"\x05")], signer=build.certificate(s.key, build.DEVICE, serial=b"\x05")).encode()),
    ("a signer named by a key identifier of none", "signer-certificate-missing", lambda s: s.good(identifier=der.tlv(0x80, bytes(20))).encode()),
    ("a signer named by nothing", "signer-certificate-missing", lambda s: s.good(identifier=der.seq()).encode()),
    ("a signer named by a NULL", "signer-certificate-missing", lambda s: s.good(identifier=der.null()).encode()),
    ("the certificate without its last field", "signer-certificate-missing", lambda s: s.edited(CERTIFICATES + [0], lambda m: children(m, lambda c: c[:2]))),
    ("the certificate as attribute certificate", "signer-certificate-missing", lambda s: s.edited(CERTIFICATES + [0], lambda m: b"\xa2" + m[1:])),
    ("sha512WithRSA under SHA-256", "digest-disagreement", lambda s: s.good(signature_algorithm=algorithm(WITH_RSA["sha512"], der.null())).encode()),
    ("PSS with SHA-512 under SHA-256", "digest-disagreement", lambda s: s.good(**{**build.pss(s.key, "sha512"), "hash_name": "sha256"}).encode()),
]  # fmt: skip

ALGORITHMS = [
    ("MD5", "digest-algorithm", lambda s: s.good(hash_name="md5").encode()),
    ("SHA-1", "digest-algorithm", lambda s: s.good(hash_name="sha1").encode()),
    ("SHA-224", "digest-algorithm", lambda s: s.good(digest_algorithm=algorithm(SHA224)).encode()),
    ("an unknown digest", "digest-algorithm", lambda s: s.good(digest_algorithm=algorithm(UNKNOWN)).encode()),
    ("a digest with parameters", "digest-algorithm", lambda s: s.good(digest_algorithm=algorithm(SHA["sha256"], der.integer(1))).encode()),
    ("ECDSA", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(ECDSA_SHA256)).encode()),
    ("DSA", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(DSA_SHA256)).encode()),
    ("md5WithRSA", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(WITH_RSA["md5"], der.null())).encode()),
    ("a digest as signature algorithm", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(SHA["sha256"])).encode()),
    ("a signature algorithm with parameters", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(RSA, der.integer(1))).encode()),
    ("PSS without parameters", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(build.PSS)).encode()),
    ("PSS with an unknown mask", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(build.PSS, der.seq(der.explicit(1, algorithm(UNKNOWN))))).encode()),
    ("PSS with another trailer", "signature-algorithm", lambda s: s.good(signature_algorithm=algorithm(build.PSS, der.seq(der.explicit(3, der.integer(2))))).encode()),
    ("a signer with an EC key", "signer-key-algorithm", lambda s: s.good(signer=s.signer_certificate(spki=EC_SPKI)).encode()),
    ("a signer with an Ed25519 key", "signer-key-algorithm", lambda s: s.good(signer=s.signer_certificate(spki=ED25519_SPKI)).encode()),
    ("single DES", "content-encryption-algorithm", lambda s: s.enveloped(cipher=DES)),
    ("3DES", "content-encryption-algorithm", lambda s: s.enveloped(cipher=DES3)),
    ("RC2", "content-encryption-algorithm", lambda s: s.enveloped(cipher_algorithm=algorithm(RC2, der.octets(bytes(8))))),
    ("AES-GCM", "content-encryption-algorithm", lambda s: s.enveloped(cipher_algorithm=algorithm(AES128_GCM, der.seq(der.octets(bytes(12)))))),
    ("an unknown cipher", "content-encryption-algorithm", lambda s: s.enveloped(cipher_algorithm=algorithm(UNKNOWN))),
    ("AES with an IV of 8 octets", "content-encryption-algorithm", lambda s: s.enveloped(iv=bytes(8))),
    ("AES with an IV of 17 octets", "content-encryption-algorithm", lambda s: s.enveloped(iv=bytes(17))),
    ("AES without an IV", "content-encryption-algorithm", lambda s: s.enveloped(cipher_algorithm=algorithm(AES128[0]))),
    ("an INTEGER as IV", "content-encryption-algorithm", lambda s: s.enveloped(cipher_algorithm=algorithm(AES128[0], der.tlv(2, b"\x01" * 16)))),
    ("an unknown key transport", "key-transport-algorithm", lambda s: s.recipient(algorithm=algorithm(UNKNOWN))),
    ("key transport with parameters", "key-transport-algorithm", lambda s: s.recipient(algorithm=algorithm(RSA, der.integer(1)))),
    ("OAEP with SHA-512", "key-transport-algorithm", lambda s: s.recipient(**build.oaep("sha512"))),
    ("OAEP with MD5", "key-transport-algorithm", lambda s: s.recipient(algorithm=algorithm(build.OAEP, der.seq(der.explicit(0, algorithm(SHA["md5"])))))),
    ("OAEP with a label", "key-transport-algorithm", lambda s: s.recipient(algorithm=algorithm(build.OAEP, der.seq(der.explicit(2, algorithm("1.2.840.113549.1.1.9", der.octets(b"label"))))))),
    ("no recipient", "recipient-kind", lambda s: s.recipients()),
    ("a key agreement recipient", "recipient-kind", lambda s: s.recipients(others=[der.tlv(0xA1, der.integer(3))])),
    ("a key encryption key recipient", "recipient-kind", lambda s: s.recipients(others=[der.tlv(0xA2, der.integer(4))])),
    ("a password recipient", "recipient-kind", lambda s: s.recipients(others=[der.tlv(0xA3, der.integer(0))])),
    ("a recipient of another kind", "recipient-kind", lambda s: s.recipients(others=[der.tlv(0xA4, der.oid(UNKNOWN))])),
]  # fmt: skip


def typed(text):
    return lambda s: s.good(message_type=text).encode()


def recipient_of(certificate):
    return lambda s: s.recipients(Recipient(certificate(s)))


REQUESTS = [
    *[(f"messageType {text!r}", unlisted(), typed(text)) for text in
      ["0", "1", "2", "3", "4", "16", "18", "23", "190", "019", "-19", "+19", "19 ", "1 9", "", "PKCSReq", "9" * 200]],
    ("no messageType", unlisted(), lambda s: s.with_attribute(MESSAGE_TYPE, lambda _: None)),
    ("messageType as INTEGER", unlisted(), lambda s: s.with_value(MESSAGE_TYPE, der.integer(19))),
    ("messageType as UTF8String", unlisted(), lambda s: s.with_value(MESSAGE_TYPE, der.tlv(der.UTF8, b"19"))),
    ("a RenewalReq signed by its own key", Expected(fail_info=2, rule="SIG-09"), typed("17")),
    ("a CertPoll of nothing", bad_identifier("SIG-16"), typed("20")),
    ("a GetCert by a stranger", bad_identifier("SIG-15"), typed("21")),
    ("a GetCRL by a stranger", bad_identifier("SIG-15"), typed("22")),
    ("no eContent", bad_request("envelope-missing"), lambda s: s.signed_around(False)),
    ("an empty eContent", bad_request("envelope-structure"), lambda s: s.signed_around(b"")),
    ("text as eContent", bad_request("envelope-structure"), lambda s: s.signed_around(b"no CMS")),
    ("the CSR as eContent", bad_request("envelope-structure"), lambda s: s.signed_around(s.csr().encode())),
    ("a truncated envelope", bad_request("envelope-structure"), lambda s: s.signed_around(s.envelope()[:-1])),
    ("a zero after the envelope", bad_request("envelope-structure"), lambda s: s.signed_around(s.envelope() + b"\0")),
    ("a SignedData as envelope", bad_request("envelope-structure"), lambda s: s.signed_around(der.edit(s.envelope(), [0], lambda _: der.oid(build.SIGNED_DATA)))),
    ("an envelope without recipientInfos", bad_request("envelope-structure"), lambda s: s.signed_around(der.edit(s.envelope(), SIGNED, lambda m: children(m, lambda c: c[:1] + c[2:])))),
    ("an envelope without encryptedContentInfo", bad_request("envelope-structure"), lambda s: s.signed_around(der.edit(s.envelope(), SIGNED, lambda m: children(m, lambda c: c[:2])))),
    ("an envelope without encryptedContent", bad_request("envelope-structure"), lambda s: s.signed_around(der.edit(s.envelope(), [1, 0, 2], lambda m: children(m, lambda c: c[:2])))),
    ("encryptedContent as OCTET STRING", bad_request("envelope-structure"), lambda s: s.signed_around(der.edit(s.envelope(), [1, 0, 2, 2], lambda m: b"\x04" + m[1:]))),
    ("a recipient without an encryptedKey", bad_request("envelope-structure"), lambda s: s.signed_around(der.edit(s.envelope(), [1, 0, 1, 0], lambda m: children(m, lambda c: c[:3])))),
    ("encrypted content of another type", bad_request("envelope-structure"), lambda s: s.enveloped(content_type=build.SIGNED_DATA)),
    ("enveloped to the CA", bad_request("not-for-this-ra"), lambda s: s.recipients(Recipient(s.ca, encrypted_key=bytes(256)))),
    ("enveloped to the RA's signing certificate", bad_request("not-for-this-ra"), recipient_of(lambda s: s.ra_sign)),
    ("enveloped to a stranger", bad_request("not-for-this-ra"), recipient_of(lambda s: s.signer_certificate())),
    ("enveloped to another serial of the RA", bad_request("not-for-this-ra"), lambda s: s.recipient(identifier=der.edit(build.issuer_and_serial(s.ra_enc), [1], lambda _: der.integer(4711)))),
    ("enveloped to another issuer's serial", bad_request("not-for-this-ra"), lambda s: s.recipient(identifier=der.edit(build.issuer_and_serial(s.ra_enc), [0], lambda _: build.DEVICE))),
    ("enveloped to a key identifier of none", bad_request("not-for-this-ra"), lambda s: s.recipient(identifier=der.tlv(0x80, bytes(20)))),
    ("a signer with a modulus of 512 bits", bad_request("signer-key-size"), lambda s: s.good(signer=s.signer_certificate(spki=build.rsa_spki((1 << 511) + 1))).encode()),
    ("a signer with a modulus of 65,536 bits", bad_request("signer-key-size"), lambda s: s.good(signer=s.signer_certificate(spki=build.rsa_spki((1 << 65535) + 1))).encode()),
    ("a signer with an even modulus", bad_request("signer-key-size"), lambda s: s.good(signer=s.signer_certificate(spki=build.rsa_spki(1 << 2047))).encode()),
    ("a signer with exponent 1", bad_request("signer-key-size"), lambda s: s.good(signer=s.signer_certificate(spki=build.rsa_spki((1 << 2047) + 1, 1))).encode()),
    ("a signer with an even exponent", bad_request("signer-key-size"), lambda s: s.good(signer=s.signer_certificate(spki=build.rsa_spki((1 << 2047) + 1, 65538))).encode()),
    ("a signer with an exponent of 2,048 bits", bad_request("signer-key-size"), lambda s: s.good(signer=s.signer_certificate(spki=build.rsa_spki((1 << 2047) + 1, (1 << 2046) + 1))).encode()),
]  # fmt: skip


def wrapped(octets):
    return lambda s: s.recipient(encrypted_key=octets)


def content_key(length):
    return lambda s: s.enveloped(key=os.urandom(length))


def inside(change):
    """The CSR's own encoding changed."""
    return lambda s: s.good(content=change(s.csr().encode())).encode()


UNDECIPHERABLE = [
    ("an encrypted key of zeros", wrapped(bytes(256))),
    ("an encrypted key of one", wrapped(bytes(255) + b"\x01")),
    ("an encrypted key above the modulus", wrapped(b"\xff" * 256)),
    ("an empty encrypted key", wrapped(b"")),
    ("an encrypted key of 255 octets", wrapped(b"\x7f" * 255)),
    ("an encrypted key of 257 octets", wrapped(b"\0" + b"\x7f" * 256)),
    ("a flipped bit in the encrypted key", wrapped(lambda encrypted, _: flipped(encrypted))),
    ("an OAEP key said to be PKCS#1 v1.5", lambda s: s.recipient(padding=build.oaep()["padding"])),
    ("a PKCS#1 v1.5 key said to be OAEP", lambda s: s.recipient(algorithm=build.oaep()["algorithm"])),
    ("a flipped bit in an OAEP key", lambda s: s.recipient(encrypted_key=lambda encrypted, _: flipped(encrypted), **build.oaep())),
    ("key padding without its zero", wrapped(lambda _, public: raw_rsa(public, b"\0\x02" + b"\x55" * 254))),
    ("key padding of block type 1", wrapped(lambda _, public: raw_rsa(public, b"\0\x01" + b"\xff" * 237 + b"\0" + bytes(16)))),
    ("key padding with seven random octets", wrapped(lambda _, public: raw_rsa(public, b"\0\x02" + b"\x55" * 7 + b"\0" + bytes(246)))),
    ("an empty content key", content_key(0)),
    ("a content key of 8 octets", content_key(8)),
    ("a content key of 15 octets", content_key(15)),
    ("a content key of 17 octets", content_key(17)),
    ("a content key of 32 octets for AES-128", content_key(32)),
    ("a content key of 16 octets for AES-256", lambda s: s.enveloped(cipher=AES256, key=os.urandom(16))),
    ("another content key", content_key(16)),
    ("content padding of zeros", lambda s: s.enveloped(padding=lambda fill: bytes(fill))),
    ("content padding longer than a block", lambda s: s.enveloped(padding=lambda fill: b"\x11" * fill)),
    ("content padding of two values", lambda s: s.enveloped(padding=lambda fill: b"\x01" * (fill - 1) + b"\x02" if fill > 1 else b"\x01" * 16 + b"\x02")),
    ("the last block flipped", lambda s: s.enveloped(change=flipped)),
    ("the first block flipped", lambda s: s.enveloped(change=lambda text: flipped(text, 0))),
    ("no ciphertext", lambda s: s.enveloped(change=lambda _: b"")),
    ("one block of ciphertext", lambda s: s.enveloped(change=lambda text: text[:16])),
    ("ciphertext of half a block more", lambda s: s.enveloped(change=lambda text: text + bytes(8))),
    ("ciphertext without its last block", lambda s: s.enveloped(change=lambda text: text[:-16])),
    ("nothing enveloped", lambda s: s.enveloped(content=b"")),
    ("garbage enveloped", lambda s: s.enveloped(content=os.urandom(600))),
    ("a certificate enveloped", lambda s: s.enveloped(content=s.ca)),
    ("a truncated CSR", inside(lambda csr: csr[:-1])),
    ("a zero after the CSR", inside(lambda csr: csr + b"\0")),
    ("a CSR in BER", inside(lambda csr: der.Ber(indefinite=True).encode(csr))),
    ("a CSR with a long length", inside(lambda csr: b"\x30\x83\0" + csr[2:])),
    ("a CSR without a signature", inside(lambda csr: children(csr, lambda c: c[:2]))),
    ("a CSR of version 1", lambda s: s.with_csr(version=1)),
    ("a flipped bit in the CSR's signature", lambda s: s.with_csr(signature=flipped)),
    ("an empty signature of the CSR", lambda s: s.with_csr(signature=lambda _: b"")),
    ("a CSR signed by another key", lambda s: s.with_csr(key=s.other_key, spki=s.key.spki)),
    ("a CSR altered after signing", inside(replaced(b"sensor-1", b"sensor-2"))),
    ("the CSR of another key", lambda s: s.with_csr(key=s.other_key)),
    ("a CSR signed with MD5", lambda s: s.with_csr(hash_name="md5")),
    ("a CSR signed by an unknown algorithm", lambda s: s.with_csr(algorithm=algorithm(UNKNOWN))),
    ("a CSR said to be signed by ECDSA", lambda s: s.with_csr(algorithm=algorithm(ECDSA_SHA256))),
    ("a CSR with an EC key and an RSA signature", lambda s: s.with_csr(spki=EC_SPKI)),
    ("a CSR with an even modulus", lambda s: s.with_csr(spki=build.rsa_spki(1 << 2047))),
    ("two challengePasswords", lambda s: s.with_csr(attributes=[attribute(build.CHALLENGE_PASSWORD, der.printable("another"))])),
    ("a challengePassword of two values", lambda s: s.good(csr=build.Csr(s.key, None, attributes=[attribute(build.CHALLENGE_PASSWORD, der.printable(s.challenge), der.printable("b"))])).encode()),
    ("a challengePassword as INTEGER", lambda s: s.good(csr=build.Csr(s.key, None, attributes=[attribute(build.CHALLENGE_PASSWORD, der.integer(7))])).encode()),
    ("a challengePassword of 9,000 characters", lambda s: s.good(csr=build.Csr(s.key, "a" * 9000)).encode()),
    ("an attribute twice", lambda s: s.with_csr(attributes=[attribute(UNKNOWN, der.null()), attribute(UNKNOWN, der.integer(1))])),
    ("40 attributes", lambda s: s.with_csr(attributes=many_attributes(40))),
    ("40 extensions", lambda s: s.with_extension(*[extension(f"1.3.6.1.4.1.99999.3.{number}", der.null()) for number in range(40)])),
    ("an extension twice", lambda s: s.with_extension(dns("a.example.com"), dns("a.example.com"))),
    ("an extension that is none", lambda s: s.with_extension(der.null())),
]  # fmt: skip


def raw_rsa(public, block):
    numbers = public.public_numbers()
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(public.key_size // 8, "big")


def dns(*names):
    return extension("2.5.29.17", der.seq(*[der.tlv(0x82, text.encode()) for text in names]))


def rdn(dotted, value, tag=der.UTF8):
    return der.set_of(der.seq(der.oid(dotted), der.tlv(tag, value)))


ORGANISATION, UNIT, COMMON_NAME = "2.5.4.10", "2.5.4.11", "2.5.4.3"
EXAMPLE = rdn(ORGANISATION, b"Example")


def common_name(value, tag=der.UTF8):
    return lambda s: s.with_csr(subject=der.seq(EXAMPLE, rdn(COMMON_NAME, value, tag)))


def subject(*rdns):
    return lambda s: s.with_csr(subject=der.seq(*rdns))


def challenge(text, **changes):
    return lambda s: s.good(csr=build.Csr(s.key, text(s) if callable(text) else text, **changes)).encode()


SENSOR = rdn(COMMON_NAME, b"sensor-1")
BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = "2.5.29.19", "2.5.29.15", "2.5.29.37"

POLICY = [
    ("no challengePassword", "CHA-01", challenge(None)),
    ("an empty challengePassword", "CHA-01", challenge("")),
    ("a challengePassword never issued", "CHA-01", challenge("never-issued")),
    ("the challengePassword in other letters", "CHA-01", challenge(lambda s: s.challenge.swapcase())),
    ("the challengePassword and a space", "CHA-01", challenge(lambda s: s.challenge + " ")),
    ("half the challengePassword", "CHA-01", challenge(lambda s: s.challenge[: len(s.challenge) // 2])),
    ("the challengePassword of another profile", "CHA-0", challenge(lambda s: s.static_challenge)),
    ("no subject", "SUB-04", subject()),
    ("no O", "SUB-04", subject(SENSOR)),
    ("no CN", "SUB-04", subject(EXAMPLE)),
    ("CN before O", "SUB-04", subject(SENSOR, EXAMPLE)),
    ("an OU more", "SUB-04", subject(EXAMPLE, rdn(UNIT, b"Extra"), SENSOR)),
    ("an emailAddress more", "SUB-04", subject(EXAMPLE, SENSOR, rdn("1.2.840.113549.1.9.1", b"a@example.com", der.IA5))),
    ("a userId more", "SUB-04", subject(EXAMPLE, SENSOR, rdn("0.9.2342.19200300.100.1.1", b"root"))),
    ("CN twice", "SUB-03", subject(EXAMPLE, SENSOR, SENSOR)),
    ("O twice", "SUB-03", subject(EXAMPLE, EXAMPLE, SENSOR)),
    ("O and CN in one RDN", "SUB-04", subject(der.set_of(der.split(EXAMPLE)[1], der.split(SENSOR)[1]))),
    ("another O", "SUB-05", subject(rdn(ORGANISATION, b"Evil"), SENSOR)),
    ("another CN", "SUB-05", common_name(b"sensor-2")),
    ("the CN in capitals", "SUB-05", common_name(b"SENSOR-1")),
    ("the CN and a further name", "SUB-05", common_name(b"sensor-1.example.com")),
    ("an empty CN", "SUB-0", common_name(b"")),
    ("a NUL after the CN", "SUB-02", common_name(b"sensor-1\0")),
    ("a NUL and another name", "SUB-02", common_name(b"sensor-1\0.evil.example")),
    ("a control character in the CN", "SUB-02", common_name(b"sensor-1\x07")),
    ("a line break in the CN", "SUB-02", common_name(b"sensor\n-1")),
    ("a space after the CN", "SUB-02", common_name(b"sensor-1 ")),
    ("a right-to-left mark in the CN", "SUB-0", common_name("sensor\u200f-1".encode())),
    ("broken UTF-8 in the CN", "", common_name(b"sensor-1\xff")),
    ("the CN as TeletexString", "SUB-06", common_name(b"sensor-1", der.TELETEX)),
    ("the CN as BMPString", "SUB-01", common_name("sensor-1".encode("utf-16-be"), der.BMP)),
    ("the CN as UniversalString", "REQ-01", common_name("sensor-1".encode("utf-32-be"), der.UNIVERSAL)),
    ("the CN as IA5String", "SUB-06", common_name(b"sensor-1", der.IA5)),
    ("a DNS name that the challenge has not", "SAN-0", lambda s: s.with_extension(dns("sensor-1.example.com"))),
    ("an IP address", "SAN-01", lambda s: s.with_extension(extension("2.5.29.17", der.seq(der.tlv(0x87, bytes([192, 0, 2, 1])))))),
    ("an e-mail address", "SAN-01", lambda s: s.with_extension(extension("2.5.29.17", der.seq(der.tlv(0x81, b"a@example.com"))))),
    ("a user principal name", "", lambda s: s.with_extension(extension("2.5.29.17", der.seq(der.tlv(0xA0, der.oid("1.3.6.1.4.1.311.20.2.3"), der.explicit(0, der.tlv(der.UTF8, b"admin@example.com"))))))),
    ("a directory name as alternative", "REQ-01", lambda s: s.with_extension(extension("2.5.29.17", der.seq(der.explicit(4, build.DEVICE))))),
    ("an empty subjectAltName", "", lambda s: s.with_extension(extension("2.5.29.17", der.seq()))),
    ("a subjectAltName that is none", "REQ-01", lambda s: s.with_extension(extension("2.5.29.17", b"\x01\x02\x03"))),
    ("CA:TRUE", "EXT-03", lambda s: s.with_extension(extension(BASIC_CONSTRAINTS, der.seq(der.boolean(True)), True))),
    ("CA:TRUE under the legacy attribute", "EXT-03", lambda s: s.with_csr(extensions=[extension(BASIC_CONSTRAINTS, der.seq(der.boolean(True)), True)], extension_oid=build.LEGACY_EXTENSION_REQUEST)),
    ("a path length", "REQ-01", lambda s: s.with_extension(extension(BASIC_CONSTRAINTS, der.seq(der.integer(0))))),
    ("keyCertSign", "EXT-01", lambda s: s.with_extension(extension(KEY_USAGE, b"\x03\x02\x02\x04", True))),
    ("digitalSignature alone", "EXT-01", lambda s: s.with_extension(extension(KEY_USAGE, b"\x03\x02\x07\x80", True))),
    ("serverAuth", "EXT-02", lambda s: s.with_extension(extension(EXTENDED_KEY_USAGE, der.seq(der.oid("1.3.6.1.5.5.7.3.1"))))),
    ("any extended key usage", "EXT-02", lambda s: s.with_extension(extension(EXTENDED_KEY_USAGE, der.seq(der.oid("2.5.29.37.0"))))),
    ("a Windows SID", "EXT-04", lambda s: s.with_extension(extension("1.3.6.1.4.1.311.25.2", der.seq()))),
    ("name constraints", "EXT-04", lambda s: s.with_extension(extension("2.5.29.30", der.seq(), True))),
    ("an unknown extension", "EXT-04", lambda s: s.with_extension(extension(UNKNOWN, der.null()))),
    ("a CSR signed with SHA-1", "ALG-02", lambda s: s.with_csr(hash_name="sha1")),
    ("a key of 1,024 bits", "KEY-02", lambda s: s.with_key(Key(1024))),
    ("exponent 3", "KEY-03", lambda s: s.with_key(Key(exponent=3))),
    ("a modulus with the factor 751", "KEY-04", lambda s: s.with_key(weak.small_factor())),
    ("a modulus with the ROCA fingerprint", "KEY-05", lambda s: s.with_key(weak.roca())),
    ("close primes", "KEY-06", lambda s: s.with_key(weak.close_primes())),
]  # fmt: skip

GROUPS = {
    "structure": [(what, MALFORMED, make) for what, make in STRUCTURE],
    "check": [(what, bad_check(rule), make) for what, rule, make in CHECK],
    "algorithms": [(what, bad_algorithm(rule), make) for what, rule, make in ALGORITHMS],
    "requests": REQUESTS,
    "undecipherable": [(what, UNIFORM, make) for what, make in UNDECIPHERABLE],
    "policy": [(what, policy(rule), make) for what, rule, make in POLICY],
}


def make(group, scene):
    """The cases of a group as they go to whoever sends them."""
    for what, expected, build_message in GROUPS[group]:
        scene.good()
        message = build_message(scene)
        yield {
            "name": what,
            "message": message.hex(),
            "expected": expected.__dict__,
            "transaction_id": scene.last.transaction_id,
            "sender_nonce": scene.last.sender_nonce.hex(),
        }
