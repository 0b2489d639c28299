"""Messages in the shapes of clients that no Debian package brings, and in every other shape that is allowed.

Each is a function of a scene and a URL that sends one PKCSReq its own way and returns the message and the HTTP reply.
"""

import base64
import os
import socket
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from . import build, cases, der
from .build import Recipient, algorithm, attribute, name

MESSAGE = "application/x-pki-message"
# The answer is there within a second; a machine busy with other tests may be slower.
TIMEOUT = 30


@dataclass
class Reply:
    status: int
    headers: dict
    body: bytes


def http(url, method="GET", version="1.1", path="", query="", headers=(), body=b""):
    """One request as it is given, byte for byte, over one connection."""
    parts = urlsplit(url)
    target = parts.path + path + query
    lines = [f"{method} {target} HTTP/{version}", *headers]
    if version == "1.1":
        lines += [f"Host: {parts.netloc}", "Connection: close"]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while octets := connection.recv(65536):
            answer += octets
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in fields)}
    assert "transfer-encoding" not in headers, "no chunks"
    assert int(headers["content-length"]) == len(body), "Content-Length"
    return Reply(int(status.split(" ")[1]), headers, body)


def post(url, body, path="", **options):
    return http(url, "POST", path=path, query="?operation=PKIOperation", body=body, **options)


def get(url, text, **options):
    return http(url, query=f"?operation=PKIOperation&message={text}", **options)


def base64_of(message):
    return base64.b64encode(message).decode()


def asked_before(url, message, path="", **options):
    """GetCACaps and GetCACert as this client sends them."""
    for operation, types in [
        ("GetCACaps", {"text/plain"}),
        ("GetCACert", {"application/x-x509-ca-cert", "application/x-x509-ca-ra-cert"}),
    ]:
        reply = http(url, path=path, query=f"?operation={operation}{message}", **options)
        assert reply.status == 200 and reply.headers["content-type"] in types, (operation, reply)


def jscep_ber(message):
    """BouncyCastle: indefinite lengths, 1,000-octet segments; certificates and signed attributes in DER."""
    ber = der.Ber(indefinite=True, segment=1000, implicit_octets=1000)
    message = replace(message, envelope_encoding=ber.encode)
    encoded = message.encode()
    signed = der.elements(der.split(der.elements(der.split(der.elements(der.split(encoded)[1])[1])[1])[0])[1])
    signer = der.elements(der.split(signed[4])[1])[0]
    return message, der.Ber(indefinite=True, segment=1000, keep=(signed[3], signer)).encode(encoded)


def jscep(scene, url):
    asked_before(url, "&message=devices")
    message, encoded = jscep_ber(scene.good())
    return message, post(url, encoded, headers=["Content-Type: application/octet-stream"])


def jscep_by_get(scene, url):
    message, encoded = jscep_ber(scene.good())
    return message, get(url, base64_of(encoded))


def cisco_ios(scene, url):
    """HTTP/1.0, GET although POST is advertised; a v1 certificate of another subject than the CSR's."""
    options = {"path": "/pkiclient.exe", "version": "1.0", "headers": ["User-Agent: Cisco PKI"]}
    asked_before(url, "&message=CAIdentifier", **options)
    signer = build.certificate(scene.key, name(common_name="router.example.com"), serial=b"\x0a", version=1)
    message = scene.good(signer=signer)
    lines = base64.encodebytes(message.encode()).decode()
    return message, get(url, quote(lines, safe=""), **options)


def windows(scene, url, path="/pkiclient.exe"):
    """A SHA-1 certificate with a critical authorityKeyIdentifier, OAEP."""
    asked_before(url, "&message=default", path)
    identifier = build.extension("2.5.29.35", der.seq(der.tlv(0x80, os.urandom(20))), critical=True)
    signer = build.certificate(
        scene.key, name(common_name="SCEP Protocol Certificate"), extensions=[identifier], hash_name="sha1"
    )
    envelope = build.Envelope([Recipient(scene.ra_enc, **build.oaep())], cipher=build.AES256)
    message = scene.good(signer=signer, envelope=envelope)
    return message, post(url, message.encode(), path=path, headers=[f"Content-Type: {MESSAGE}"])


def windows_ndes(scene, url):
    """The path of Microsoft's own service stands for the default profile."""
    root = url[: url.index("/scep/")]
    return windows(scene, root, "/certsrv/mscep/mscep.dll/pkiclient.exe")


def apple_envelope(scene):
    ber = der.Ber(indefinite=True, segment=512, implicit_octets=512)
    return scene.good(envelope_encoding=ber.encode)


def macos(scene, url):
    """GET with raw unescaped base64."""
    asked_before(url, "&message=Example%20Profile", "/")
    message = apple_envelope(scene)
    return message, get(url, base64_of(message.encode()), path="/")


def ios_11(scene, url):
    """A space in place of each plus sign."""
    message = apple_envelope(scene)
    return message, get(url, base64_of(message.encode()).replace("+", "%20"))


def ios(scene, url):
    message = apple_envelope(scene)
    return message, post(url, message.encode(), headers=[f"Content-Type: {MESSAGE}", "User-Agent: profiled/1.0"])


def sscep(scene, url):
    """A serial of 32 octets, POST without a Content-Type."""
    asked_before(url, "&message=0", version="1.0")
    signer = build.certificate(scene.key, build.DEVICE, serial=b"\x7f" + os.urandom(31))
    message = scene.good(signer=signer)
    return message, post(url, message.encode(), version="1.0")


def certmonger(scene, url):
    """A v1 certificate with a serial of 32 octets, GET."""
    asked_before(url, "&message=0")
    signer = build.certificate(scene.key, build.DEVICE, serial=b"\x7f" + os.urandom(31), version=1)
    message = scene.good(signer=signer)
    return message, get(url, quote(base64_of(message.encode()), safe=""))


CLIENTS = {
    "jscep": jscep,
    "jscep by GET": jscep_by_get,
    "Cisco IOS": cisco_ios,
    "Windows": windows,
    "Windows at the NDES path": windows_ndes,
    "macOS": macos,
    "iOS 11": ios_11,
    "iOS": ios,
    "sscep": sscep,
    "certmonger": certmonger,
}


def posted(make):
    def send(scene, url):
        message = make(scene)
        return message, post(url, message.encode())

    return send


def transcoded(ber, inside=None):
    """Everything in other encodings, the envelope before it is signed."""

    def send(scene, url):
        message = scene.good(envelope_encoding=(inside or ber).encode)
        return message, post(url, ber.encode(message.encode()))

    return send


def by_key_identifier(scene):
    identifier = os.urandom(20)
    extension = build.extension("2.5.29.14", der.octets(identifier))
    signer = scene.signer_certificate(extensions=[extension])
    return scene.good(signer=signer, identifier=der.tlv(0x80, identifier))


def envelope(**changes):
    return posted(lambda s: s.good(envelope=build.Envelope([Recipient(s.ra_enc)], **changes)))


def several_recipients(scene):
    """Some clients encrypt to every certificate of GetCACert."""
    wrong = Recipient(scene.ra_sign)
    return scene.good(envelope=build.Envelope([wrong, Recipient(scene.ra_enc), wrong]))


def csr(**changes):
    return posted(lambda s: s.good(csr=s.csr(**changes)))


def further_attribute(attributes):
    attributes["1.2.840.113549.1.9.5"] = attribute("1.2.840.113549.1.9.5", der.tlv(0x17, b"261122000000Z"))


CLIENT_AUTH = build.extension("2.5.29.37", der.seq(der.oid("1.3.6.1.5.5.7.3.2")))
KEY_IDENTIFIER = build.extension("2.5.29.14", der.octets(bytes(20)))
NOT_A_CA = build.extension("2.5.29.19", der.seq())
WITH_NULL = algorithm(build.SHA["sha256"], der.null())

VARIANTS = {
    "DER": posted(lambda s: s.good()),
    "indefinite lengths": transcoded(der.Ber(indefinite=True)),
    "constructed OCTET STRINGs of definite length": transcoded(der.Ber(segment=100)),
    "segments of seven octets": transcoded(der.Ber(segment=7), inside=der.Ber(segment=64)),
    "segments, indefinite": transcoded(der.Ber(indefinite=True, segment=100, implicit_octets=100)),
    "segments in segments": transcoded(der.Ber(segment=300, nested=True, implicit_octets=100)),
    "lengths of two octets": transcoded(der.Ber(long_form=2)),
    "lengths of four octets": transcoded(der.Ber(long_form=4)),
    "long lengths and segments": transcoded(der.Ber(long_form=3, segment=100, implicit_octets=100)),
    "SHA-384": posted(lambda s: s.good(hash_name="sha384")),
    "SHA-512": posted(lambda s: s.good(hash_name="sha512")),
    "PSS": posted(lambda s: s.good(**build.pss(s.key))),
    "PSS with SHA-512": posted(lambda s: s.good(**build.pss(s.key, "sha512"))),
    "PSS without salt": posted(lambda s: s.good(**build.pss(s.key, salt=0))),
    "sha256WithRSA as signature algorithm": posted(lambda s: s.good(signature_algorithm=algorithm(build.WITH_RSA["sha256"], der.null()))),
    "absent parameters of rsaEncryption": posted(lambda s: s.good(signature_algorithm=algorithm(build.RSA))),
    "NULL parameters of SHA-256": posted(lambda s: s.good(digest_algorithm=WITH_NULL)),
    "AES-192": envelope(cipher=build.AES192),
    "AES-256": envelope(cipher=build.AES256),
    "OAEP": posted(lambda s: s.good(envelope=build.Envelope([Recipient(s.ra_enc, **build.oaep())]))),
    "EnvelopedData of version 2": envelope(version=2),
    "a signer named by its key identifier": posted(by_key_identifier),
    "three recipients": posted(several_recipients),
    "a further certificate": posted(lambda s: (lambda m: replace(m, certificates=[s.ca, m.signer]))(s.good())),
    "a further signed attribute": posted(lambda s: s.good(attributes=further_attribute)),
    "a nonce of one octet": posted(lambda s: s.good(sender_nonce=b"\x07")),
    "a nonce of 64 octets": posted(lambda s: s.good(sender_nonce=os.urandom(64))),
    "a transactionID of 255 characters": posted(lambda s: s.good(transaction_id=os.urandom(128).hex()[:255])),
    "a transactionID with blanks and signs": posted(lambda s: s.good(transaction_id=f"{os.urandom(8).hex()} +/=:?")),
    "the challenge as UTF8String": csr(challenge_tag=der.UTF8),
    "the challenge as IA5String": csr(challenge_tag=der.IA5),
    "the challenge as TeletexString": csr(challenge_tag=der.TELETEX),
    "the challenge as BMPString": csr(challenge_tag=der.BMP),
    "the challenge as UniversalString": csr(challenge_tag=der.UNIVERSAL),
    "the subject as PrintableString": csr(subject=der.seq(cases.rdn(cases.ORGANISATION, b"Example", der.PRINTABLE), cases.rdn(cases.COMMON_NAME, b"sensor-1", der.PRINTABLE))),
    "extensions that equal what is issued": csr(extensions=[CLIENT_AUTH, NOT_A_CA]),
    "a subjectKeyIdentifier of another key": csr(extensions=[KEY_IDENTIFIER]),
    "extensions under the legacy attribute": csr(extensions=[CLIENT_AUTH], extension_oid=build.LEGACY_EXTENSION_REQUEST),
    "a friendly name": csr(attributes=[attribute("1.2.840.113549.1.9.20", der.tlv(der.BMP, "sensor".encode("utf-16-be")))]),
    "a CSR signed with SHA-512": csr(hash_name="sha512"),
}  # fmt: skip



def elliptic(curve, hash_name="sha256", **changes):
    """Signed by an elliptic-curve key, so that the reply is enveloped under the challenge."""

    def send(scene, url):
        key = build.EcKey(curve)
        envelope = build.Envelope([Recipient(scene.ra_enc)], **changes)
        csr = scene.csr(key=key, hash_name=hash_name)
        message = build.good(scene.challenge, scene.ra_enc, key, csr=csr, hash_name=hash_name, envelope=envelope)
        return message, post(url, message.encode())

    return send


ELLIPTIC = {
    "P-256": elliptic(ec.SECP256R1()),
    "P-384": elliptic(ec.SECP384R1(), "sha384"),
    "P-256 with SHA-512 and AES-256": elliptic(ec.SECP256R1(), "sha512", cipher=build.AES256),
    "P-384 with SHA-256 and AES-192": elliptic(ec.SECP384R1(), "sha256", cipher=build.AES192),
}

UNSTRUCTURED_NAME, UNSTRUCTURED_ADDRESS, SERIAL_NUMBER = "1.2.840.113549.1.9.2", "1.2.840.113549.1.9.8", "2.5.4.5"
ORGANISATIONAL_UNIT = "2.5.4.11"


def router_subject():
    """OU, then chassis number, address and host name in one RDN."""
    last = der.set_of(
        *sorted(
            [
                der.seq(der.oid(SERIAL_NUMBER), der.printable("FTX1840ALBW")),
                der.seq(der.oid(UNSTRUCTURED_ADDRESS), der.printable("192.0.2.7")),
                der.seq(der.oid(UNSTRUCTURED_NAME), der.tlv(der.IA5, b"R1.example.org")),
            ]
        )
    )
    return der.seq(cases.rdn(ORGANISATIONAL_UNIT, b"Routers", der.PRINTABLE), last)


def router(scene, url):
    """Cisco IOS and IOS-XE as they come: 3DES, HTTP/1.0 GET, base64 in lines, a v3 certificate without extensions."""
    options = {"path": "/pkiclient.exe", "version": "1.0", "headers": ["User-Agent: Cisco PKI"]}
    asked_before(url, "&message=CAIdentifier", **options)
    subject = router_subject()
    signer = build.certificate(scene.key, name(common_name="R1.example.org"), serial=b"\x03")
    envelope = build.Envelope([Recipient(scene.ra_enc)], cipher=build.DES3)
    message = scene.good(signer=signer, envelope=envelope, csr=scene.csr(subject=subject))
    lines = base64.encodebytes(message.encode()).decode()
    answer = get(url, quote(lines, safe=""), **options)
    return message, answer


ROUTERS = {"IOS-XE in its default configuration": router}

SHAPES = {"routers": ROUTERS, "clients": CLIENTS, "variants": VARIANTS, "elliptic": ELLIPTIC}
