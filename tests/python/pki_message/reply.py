"""Reading a CertRep as a client must (RFC 8894 section 3.3.2), by asn1crypto and cryptography."""

from asn1crypto import cms, core, x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from . import build, der, password

MESSAGE_TYPE, PKI_STATUS, FAIL_INFO, FAIL_INFO_TEXT = (
    "2.16.840.1.113733.1.9.2",
    "2.16.840.1.113733.1.9.3",
    "2.16.840.1.113733.1.9.4",
    "1.3.6.1.5.5.7.24.1",
)
RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6"
CIPHERS = {cipher[0]: cipher for cipher in (build.AES128, build.AES192, build.AES256, build.DES3)}


class Wrong(Exception):
    """The reply is not what the text says."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


def read(body, message, ra_sign):
    """The issued certificate, DER, of a CertRep SUCCESS that answers `message`."""
    signed = cms.ContentInfo.load(body, strict=True)["content"]
    check(len(signed["signer_infos"]) == 1, "one signer")
    signer = signed["signer_infos"][0]
    check(signer["digest_algorithm"]["algorithm"].native == message.hash_name, "the request's digest mirrored")
    content = signed["encap_content_info"]["content"]
    content = content.native if content else b""
    attributes = _attributes(signer)
    check(attributes[build.MESSAGE_DIGEST] == der.octets(build.digest(message.hash_name, content)), "messageDigest")

    to_verify = b"\x31" + signer["signed_attrs"].dump()[1:]
    certificate = x509.Certificate.load(ra_sign, strict=True)
    public = load_der_public_key(certificate.public_key.dump())
    public.verify(signer["signature"].native, to_verify, padding.PKCS1v15(), build.HASH[message.hash_name]())

    check(_text(attributes, MESSAGE_TYPE) == "3", "CertRep")
    check(_text(attributes, build.TRANSACTION_ID) == message.transaction_id, "the same transactionID")
    check(attributes[RECIPIENT_NONCE] == der.octets(message.sender_nonce), "the nonce returned")
    check(len(der.split(attributes[build.SENDER_NONCE])[1]) == 16, "a nonce of 16 octets")
    if _text(attributes, PKI_STATUS) != "0":
        refused = [attributes.get(each) for each in (FAIL_INFO, FAIL_INFO_TEXT)]
        raise Wrong(f"pkiStatus {_text(attributes, PKI_STATUS)}, {refused}")
    return _certificate(_open(content, message))


def _attributes(signer):
    values = {}
    for attribute in signer["signed_attrs"]:
        dotted = attribute["type"].dotted
        check(dotted not in values and len(attribute["values"]) == 1, f"{dotted} once, with one value")
        values[dotted] = der.elements(der.split(der.elements(der.split(attribute.dump())[1])[1])[1])[0]
    return values


def _text(attributes, dotted):
    value = core.load(attributes[dotted], strict=True)
    check(isinstance(value, core.PrintableString), f"{dotted} is a PrintableString")
    return value.native


def _open(content, message):
    enveloped = cms.ContentInfo.load(content, strict=True)["content"]
    check(len(enveloped["recipient_infos"]) == 1, "one recipient")
    if isinstance(message.key, build.EcKey):
        check(enveloped["version"].contents == b"\x03", "version 3 with a password's recipient")
        recipients = der.elements(der.split(enveloped["recipient_infos"].dump())[1])
        key = password.unwrap(recipients[0], message.csr.challenge)
    else:
        recipient = enveloped["recipient_infos"][0].chosen
        expected = message.identifier or build.issuer_and_serial(message.signer)
        check(recipient["rid"].dump() == expected, "enveloped to the certificate that signed, named as it was")
        key = message.key.private.decrypt(recipient["encrypted_key"].native, padding.PKCS1v15())
    info = enveloped["encrypted_content_info"]
    algorithm = info["content_encryption_algorithm"]
    check(algorithm["algorithm"].dotted == message.envelope.cipher[0], "the request's cipher mirrored")
    _, cipher, _, _ = CIPHERS[algorithm["algorithm"].dotted]
    decryptor = Cipher(cipher(key), modes.CBC(algorithm["parameters"].native)).decryptor()
    padded = decryptor.update(info["encrypted_content"].native) + decryptor.finalize()
    check(padded[-padded[-1] :] == bytes([padded[-1]]) * padded[-1], "the padding of RFC 5652")
    return padded[: -padded[-1]]


def _certificate(degenerate):
    signed = cms.ContentInfo.load(degenerate, strict=True)["content"]
    check(len(signed["signer_infos"]) == 0, "no signer of a degenerate SignedData")
    return signed["certificates"][0].chosen.dump()
