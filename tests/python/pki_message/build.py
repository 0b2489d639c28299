"""The parts of a pkiMessage (RFC 8894 section 3), each open to any change before it is encoded."""

import os
from dataclasses import dataclass, field, replace

from asn1crypto import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from . import der

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
LEGACY_EXTENSION_REQUEST = "2.16.840.1.113733.1.9.8"
MESSAGE_TYPE = "2.16.840.1.113733.1.9.2"
SENDER_NONCE = "2.16.840.1.113733.1.9.5"
TRANSACTION_ID = "2.16.840.1.113733.1.9.7"

RSA = "1.2.840.113549.1.1.1"
OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
PSS = "1.2.840.113549.1.1.10"
SHA = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
WITH_RSA = {
    "md5": "1.2.840.113549.1.1.4",
    "sha1": "1.2.840.113549.1.1.5",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
WITH_ECDSA = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
HASH = {"md5": hashes.MD5, "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}

# Object identifier, cipher, octets of key and of block.
AES128 = ("2.16.840.1.101.3.4.1.2", algorithms.AES, 16, 16)
AES192 = ("2.16.840.1.101.3.4.1.22", algorithms.AES, 24, 16)
AES256 = ("2.16.840.1.101.3.4.1.42", algorithms.AES, 32, 16)
DES3 = ("1.2.840.113549.3.7", algorithms.TripleDES, 24, 8)
# Three times the same key is single DES, which no library offers any more.
DES = ("1.3.14.3.2.7", lambda key: algorithms.TripleDES(key * 3), 8, 8)


def digest(name, data):
    hashed = hashes.Hash(HASH[name]())
    hashed.update(data)
    return hashed.finalize()


def algorithm(dotted, parameters=b""):
    return der.seq(der.oid(dotted), parameters)


def name(**values):
    return x509.Name.build(values).dump()


DEVICE = name(organization_name="Example", common_name="sensor-1")


class Key:
    """An RSA key of a device."""

    def __init__(self, bits=2048, exponent=65537, private=None):
        self.private = private or rsa.generate_private_key(exponent, bits)
        self.spki = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def identifier(self, hash_name):
        """AlgorithmIdentifier of a certificate's or a CSR's signature."""
        return algorithm(WITH_RSA[hash_name], der.null())

    def message_identifier(self, _):
        """signatureAlgorithm of a SignerInfo."""
        return algorithm(RSA, der.null())

    @classmethod
    def from_primes(cls, p, q, exponent=65537):
        private = pow(exponent, -1, (p - 1) * (q - 1))
        numbers = rsa.RSAPrivateNumbers(
            p, q, private, private % (p - 1), private % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(exponent, p * q)
        )
        return cls(private=numbers.private_key())

    def sign(self, data, hash_name="sha256"):
        return self.private.sign(data, padding.PKCS1v15(), HASH[hash_name]())

    def sign_pss(self, data, hash_name, salt):
        return self.private.sign(data, padding.PSS(padding.MGF1(HASH[hash_name]()), salt), HASH[hash_name]())


class EcKey:
    """An elliptic-curve key of a device: it signs, and decrypts nothing."""

    def __init__(self, curve):
        self.private = ec.generate_private_key(curve)
        self.spki = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def identifier(self, hash_name):
        return algorithm(WITH_ECDSA[hash_name])

    message_identifier = identifier

    def sign(self, data, hash_name="sha256"):
        return self.private.sign(data, ec.ECDSA(HASH[hash_name]()))


def rsa_spki(modulus, exponent=65537):
    """A public key that need not be one."""
    return der.seq(algorithm(RSA, der.null()), der.bits(der.seq(der.integer(modulus), der.integer(exponent))))


def extension(dotted, value, critical=False):
    return der.seq(der.oid(dotted), der.boolean(True) if critical else b"", der.octets(value))


def certificate(key, subject, issuer=None, serial=b"\x01", version=3, extensions=(), hash_name="sha256", spki=None):
    """A certificate signed by its own key."""
    issuer = subject if issuer is None else issuer
    identifier = key.identifier(hash_name)
    day = [der.tlv(0x17, text) for text in (b"250101000000Z", b"450101000000Z")]
    tbs = der.seq(
        der.explicit(0, der.integer(version - 1)) if version > 1 else b"",
        der.tlv(der.INTEGER, serial),
        identifier,
        issuer,
        der.seq(*day),
        subject,
        spki or key.spki,
        der.explicit(3, der.seq(*extensions)) if extensions else b"",
    )
    return der.seq(tbs, identifier, der.bits(key.sign(tbs, hash_name)))


def issuer_and_serial(certificate_der):
    fields = der.elements(der.split(der.elements(der.split(certificate_der)[1])[0])[1])
    if fields[0][0] == 0xA0:
        fields = fields[1:]
    return der.seq(fields[2], fields[0])


def attribute(dotted, *values):
    return der.seq(der.oid(dotted), der.set_of(*values))


@dataclass
class Csr:
    """CertificationRequest (RFC 2986)."""

    key: Key
    challenge: str
    subject: bytes = DEVICE
    version: int = 0
    spki: bytes = b""
    extensions: list = field(default_factory=list)
    extension_oid: str = EXTENSION_REQUEST
    challenge_tag: int = der.PRINTABLE
    attributes: list = field(default_factory=list)
    hash_name: str = "sha256"
    algorithm: bytes = b""
    signature: object = None

    def encode(self):
        attributes = list(self.attributes)
        if self.challenge is not None:
            encoding = {der.BMP: "utf-16-be", der.UNIVERSAL: "utf-32-be"}.get(self.challenge_tag, "utf-8")
            password = der.tlv(self.challenge_tag, self.challenge.encode(encoding))
            attributes.append(attribute(CHALLENGE_PASSWORD, password))
        if self.extensions:
            attributes.append(attribute(self.extension_oid, der.seq(*self.extensions)))
        info = der.seq(
            der.integer(self.version), self.subject, self.spki or self.key.spki, der.tlv(0xA0, *sorted(attributes))
        )
        signature = self.key.sign(info, self.hash_name)
        if self.signature:
            signature = self.signature(signature)
        identifier = self.algorithm or self.key.identifier(self.hash_name)
        return der.seq(info, identifier, der.bits(signature))


@dataclass
class Recipient:
    """KeyTransRecipientInfo (RFC 5652 section 6.2.1)."""

    certificate: bytes
    version: int = 0
    identifier: bytes = b""
    algorithm: bytes = field(default_factory=lambda: algorithm(RSA, der.null()))
    padding: object = field(default_factory=padding.PKCS1v15)
    # Bytes in place of the wrapped key, or a change of it.
    encrypted_key: object = None

    def encode(self, content_key):
        encrypted = self.encrypted_key
        if not isinstance(encrypted, bytes):
            public = serialization.load_der_public_key(x509.Certificate.load(self.certificate).public_key.dump())
            wrapped = public.encrypt(content_key, self.padding)
            encrypted = encrypted(wrapped, public) if encrypted else wrapped
        identifier = self.identifier or issuer_and_serial(self.certificate)
        return der.seq(der.integer(self.version), identifier, self.algorithm, der.octets(encrypted))


def oaep(hash_name="sha1"):
    """Algorithm and padding of RSAES-OAEP; SHA-1 is the default of RFC 8017 and so left out."""
    scheme = padding.OAEP(padding.MGF1(HASH[hash_name]()), HASH[hash_name](), None)
    if hash_name == "sha1":
        return {"algorithm": algorithm(OAEP, der.seq()), "padding": scheme}
    hashed = algorithm(SHA[hash_name])
    parameters = der.seq(der.explicit(0, hashed), der.explicit(1, algorithm(MGF1, hashed)))
    return {"algorithm": algorithm(OAEP, parameters), "padding": scheme}


@dataclass
class Envelope:
    """EnvelopedData in its ContentInfo (RFC 5652 section 6)."""

    recipients: list
    cipher: tuple = AES128
    content_type: str = DATA
    version: int = 0
    key: bytes = None
    iv: bytes = None
    cipher_algorithm: bytes = b""
    # Octets after the content, in place of the padding of RFC 5652 section 6.3.
    padding: object = None
    # Of the ciphertext.
    change: object = None
    others: list = field(default_factory=list)

    def encode(self, content):
        dotted, cipher, key_length, block = self.cipher
        key = os.urandom(key_length)
        iv = self.iv if self.iv is not None else os.urandom(block)
        fill = block - len(content) % block
        padded = content + (bytes([fill]) * fill if self.padding is None else self.padding(fill))
        encryptor = Cipher(cipher(key), modes.CBC(iv if len(iv) == block else bytes(block))).encryptor()
        ciphertext = encryptor.update(padded) + encryptor.finalize()
        if self.change:
            ciphertext = self.change(ciphertext)
        infos = [recipient.encode(key if self.key is None else self.key) for recipient in self.recipients] + self.others
        enveloped = der.seq(
            der.integer(self.version),
            der.set_of(*infos),
            der.seq(
                der.oid(self.content_type),
                self.cipher_algorithm or algorithm(dotted, der.octets(iv)),
                der.tlv(0x80, ciphertext),
            ),
        )
        return der.seq(der.oid(ENVELOPED_DATA), der.explicit(0, enveloped))


@dataclass
class Message:
    """pkiMessage: SignedData with one signer in its ContentInfo."""

    csr: Csr
    envelope: Envelope
    key: Key
    signer: bytes
    message_type: str = "19"
    transaction_id: str = field(default_factory=lambda: os.urandom(16).hex())
    sender_nonce: bytes = field(default_factory=lambda: os.urandom(16))
    hash_name: str = "sha256"
    # The content of the envelope, in place of the CSR.
    content: bytes = None
    # The eContent, in place of the envelope; False for none.
    econtent: object = None
    econtent_type: str = DATA
    econtent_encoding: object = staticmethod(der.octets)
    certificates: list = None
    others: list = field(default_factory=list)
    identifier: bytes = b""
    digest_algorithm: bytes = b""
    signature_algorithm: bytes = b""
    # Of the list of attributes before it is signed; the bytes of each.
    attributes: object = None
    sort: bool = True
    sign: object = None
    signature: object = None
    # Of the DER of the envelope before it is signed.
    envelope_encoding: object = staticmethod(lambda encoded: encoded)

    def signed_attributes(self, content):
        attributes = {
            CONTENT_TYPE: der.oid(DATA),
            MESSAGE_DIGEST: der.octets(digest(self.hash_name, content)),
            MESSAGE_TYPE: der.printable(self.message_type),
            TRANSACTION_ID: der.printable(self.transaction_id),
            SENDER_NONCE: der.octets(self.sender_nonce),
        }
        encoded = {dotted: attribute(dotted, value) for dotted, value in attributes.items()}
        if self.attributes:
            self.attributes(encoded)
        values = [value for each in encoded.values() for value in (each if isinstance(each, list) else [each])]
        return sorted(values) if self.sort else sorted(values, reverse=True)

    def encode(self):
        content = self.econtent
        if content is None:
            inside = self.content if self.content is not None else self.csr.encode()
            content = self.envelope_encoding(self.envelope.encode(inside))
        attributes = self.signed_attributes(content or b"")
        to_sign = der.tlv(der.SET, *attributes)
        signature = self.sign(to_sign) if self.sign else self.key.sign(to_sign, self.hash_name)
        if self.signature:
            signature = self.signature(signature)
        digest_algorithm = self.digest_algorithm or algorithm(SHA[self.hash_name])
        info = der.seq(
            der.integer(1),
            self.identifier or issuer_and_serial(self.signer),
            digest_algorithm,
            der.tlv(0xA0, *attributes) if attributes else b"",
            self.signature_algorithm or self.key.message_identifier(self.hash_name),
            der.octets(signature),
        )
        certificates = [self.signer] if self.certificates is None else self.certificates
        encapsulated = b"" if content is False else der.explicit(0, self.econtent_encoding(content))
        signed_data = der.seq(
            der.integer(1),
            der.set_of(digest_algorithm),
            der.seq(der.oid(self.econtent_type), encapsulated),
            der.tlv(0xA0, *certificates, *self.others) if certificates or self.others else b"",
            der.set_of(info),
        )
        return der.seq(der.oid(SIGNED_DATA), der.explicit(0, signed_data))


def pss(key, hash_name="sha256", salt=None):
    """Algorithm and signing of RSASSA-PSS, for a Message."""
    salt = HASH[hash_name].digest_size if salt is None else salt
    hashed = algorithm(SHA[hash_name])
    parameters = der.seq(
        der.explicit(0, hashed), der.explicit(1, algorithm(MGF1, hashed)), der.explicit(2, der.integer(salt))
    )
    return {
        "hash_name": hash_name,
        "signature_algorithm": algorithm(PSS, parameters),
        "sign": lambda data: key.sign_pss(data, hash_name, salt),
    }


def good(challenge, ra_enc, key, **changes):
    """A PKCSReq with nothing wrong."""
    signer = certificate(key, DEVICE, serial=b"\x01" + os.urandom(7))
    message = Message(Csr(key, challenge), Envelope([Recipient(ra_enc)]), key, signer)
    return replace(message, **changes)
