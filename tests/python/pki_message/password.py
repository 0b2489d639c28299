"""PasswordRecipientInfo (RFC 5652 section 6.2.4): the key wrap of RFC 3211 section 2.3.1 undone, with PBKDF2."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from . import der

PASSWORD_RECIPIENT = 0xA3
PBKDF2 = der.oid("1.2.840.113549.1.5.12")
PWRI_KEK = der.oid("1.2.840.113549.1.9.16.3.9")
HMAC_SHA256 = der.seq(der.oid("1.2.840.113549.2.9"), der.null())
# Octets of a key by its cipher.
AES_CBC = {der.oid(f"2.16.840.1.101.3.4.1.{arc}"): octets for arc, octets in ((2, 16), (22, 24), (42, 32))}
BLOCK = 16


def expect(condition, what):
    if not condition:
        raise ValueError(what)


def contents(encoded):
    return der.elements(der.split(encoded)[1])


def unwrap(info, password):
    """The content-encryption key."""
    expect(info[0] == PASSWORD_RECIPIENT, "a PasswordRecipientInfo")
    version, derivation, encryption, wrapped = contents(info)
    expect(version == der.integer(0), "version 0")
    derivation_oid, parameters = contents(derivation)
    salt, iterations, prf = contents(parameters)
    expect(derivation_oid == PBKDF2 and prf == HMAC_SHA256, "PBKDF2 with HMAC-SHA-256")
    encryption_oid, inner = contents(encryption)
    expect(encryption_oid == PWRI_KEK, "id-alg-PWRI-KEK")
    cipher_oid, iv = contents(inner)
    length, iv = AES_CBC[cipher_oid], der.split(iv)[1]
    salt, iterations = der.split(salt)[1], int.from_bytes(der.split(iterations)[1], "big")
    kek = PBKDF2HMAC(hashes.SHA256(), length, salt, iterations).derive(password.encode())
    plain = _decrypt_twice(kek, iv, der.split(wrapped)[1])
    key = plain[4 : 4 + plain[0]]
    expect(bytes(octet ^ 0xFF for octet in plain[1:4]) == key[:3], "the check value")
    return key


def _decrypt(kek, iv, octets):
    decryptor = Cipher(algorithms.AES(kek), modes.CBC(iv)).decryptor()
    return decryptor.update(octets) + decryptor.finalize()


def _decrypt_twice(kek, iv, wrapped):
    last = _decrypt(kek, wrapped[-2 * BLOCK : -BLOCK], wrapped[-BLOCK:])
    return _decrypt(kek, iv, _decrypt(kek, last, wrapped))
