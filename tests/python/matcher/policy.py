"""A policy file, as plain data. That it loads is for the loader to see to; here it is only read."""

import re
import tomllib

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
EXTENDED_KEY_USAGES = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "ipsecIKE": "1.3.6.1.5.5.7.3.17",
    "smartcardLogon": "1.3.6.1.4.1.311.20.2.2",
}
# RFC 5280 section 4.2.1.3, in the order of the bits.
KEY_USAGES = [
    "digitalSignature",
    "contentCommitment",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
]
CURVES = {"p256": "1.2.840.10045.3.1.7", "p384": "1.3.132.0.34", "p521": "1.3.132.0.35"}


def seconds(text):
    parts = re.findall(r"(\d+)\s*([smhdwy])", text)
    return sum(int(count) * UNITS[unit] for count, unit in parts)


class Policy:
    def __init__(self, name, text):
        file = tomllib.loads(text)
        self.name = name
        self.not_before = file["not_before"].timestamp()
        self.expires = file["expires"].timestamp()
        enrolment = file["enrolment"]
        self.challenge = enrolment["challenge"]
        self.inventory = enrolment.get("inventory")
        self.accept_shared_secret = enrolment.get("accept_shared_secret", False)
        self.ignored_extensions = enrolment.get("ignored_extensions", [])
        self.message_digests = file["algorithms"]["message_digests"]
        self.csr_digests = file["algorithms"]["csr_digests"]
        self.rsa = file["keys"].get("rsa")
        self.curves = [CURVES[curve] for curve in file["keys"].get("curves", [])]
        # Each RDN is a list of attributes, in the file's order.
        self.subject = [rdn["set"] if "set" in rdn else [rdn] for rdn in file["subject"]]
        self.optional = [rdn.get("optional", False) for rdn in file["subject"]]
        self.sans = file.get("san", [])
        certificate = file["certificate"]
        self.validity = seconds(certificate["validity"])
        self.backdate = seconds(certificate["backdate"])
        self.key_usage = {KEY_USAGES.index(usage) for usage in certificate["key_usage"]}
        self.extended_key_usage = [EXTENDED_KEY_USAGES.get(usage, usage) for usage in certificate["extended_key_usage"]]
        self.name_case = certificate.get("name_case", "lower")
        self.policies = certificate.get("policies", [])
        self.crl_distribution_points = certificate.get("crl_distribution_points", [])
        self.ca_issuers = certificate.get("ca_issuers", [])
        self.ocsp = certificate.get("ocsp", [])
        self.renewal = file.get("renewal")
        self.quirks = file.get("quirks", {})

    def quirk(self, name, now):
        """The value of an exception, or None where it is off: from its `until` on it is."""
        value = self.quirks.get(name)
        if isinstance(value, dict):
            return value["value"] if now < value["until"].timestamp() else None
        return value

    def backdate_at(self, now):
        return self.backdate + seconds(self.quirk("not_before_skew", now) or "")
