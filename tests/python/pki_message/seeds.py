"""Seeds for the fuzzers: what real clients send to a listener that holds its own key, and so can open it.

Debian's clients run as they are; the others are the shapes of `clients.py`. Only what they send matters: the answer to a
PKIOperation is HTTP 500.
"""

import base64
import os
import re
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from asn1crypto import cms
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from . import build, clients, der
from .scene import Scene

CAPABILITIES = b"AES\nDES3\nSHA-1\nSHA-256\nSHA-384\nSHA-512\nRenewal\nPOSTPKIOperation\nSCEPStandard\n"
# A client that waits longer for an answer than this is one that retries.
RUN = 30

CERTMONGER = """
getcert add-scep-ca -c Seeds -u {url} || exit
getcert request -w -v --wait-timeout=10 -I seed -c Seeds -N O=Example,CN=sensor-1 -L challenge -f {dir}/c.pem -k {dir}/c.key
"""


class Listener:
    """A CA that is its own RA, and writes down what it is sent."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.key = build.Key()
        usage = build.extension("2.5.29.15", b"\x03\x02\x01\xa6", critical=True)
        is_ca = build.extension("2.5.29.19", der.seq(der.boolean(True)), critical=True)
        subject = build.name(organization_name="Example", common_name="Seeds")
        self.certificate = build.certificate(self.key, subject, serial=b"\x11" * 8, extensions=[is_ca, usage])
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = urlsplit(self.path).query
                operation = parse_qs(query).get("operation", [""])[0]
                if operation == "GetCACaps":
                    return self.answer(200, "text/plain", CAPABILITIES)
                if operation.startswith("GetCACert"):
                    return self.answer(200, "application/x-x509-ca-cert", listener.certificate)
                value = re.search("message=([^&]*)", query)
                if operation != "PKIOperation" or not value:
                    return self.answer(404, "text/plain", b"")
                raw = value[1].encode()
                listener.write("get_base64", self.client(), raw)
                text = unquote_to_bytes(raw).replace(b" ", b"+")
                self.received(base64.b64decode(text + b"=="))

            def do_POST(self):
                self.received(self.rfile.read(int(self.headers["Content-Length"])))

            def client(self):
                return re.search("/scep/([a-z0-9-]+)|$", self.path)[1] or "ndes"

            def received(self, message):
                listener.take(self.client(), message)
                self.answer(500, "text/plain", b"")

            def answer(self, status, content_type, body):
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, client):
        return f"http://127.0.0.1:{self.server.server_port}/scep/{client}"

    def write(self, target, client, octets):
        crate = "scep-http" if target == "get_base64" else "scep"
        file = self.folder / crate / "fuzz/seeds" / target / client
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(octets)

    def take(self, client, message):
        self.write("outer_message", client, message)
        envelope = cms.ContentInfo.load(message)["content"]["encap_content_info"]["content"].native
        self.write("envelope", client, envelope)
        self.write("csr", client, self.open(envelope))

    def open(self, envelope):
        """Through OpenSSL, which reads BER and has, of old, single DES too."""
        with tempfile.NamedTemporaryFile() as key:
            key.write(self.key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            key.flush()
            providers = ["-provider", "default", "-provider", "legacy"]
            command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", key.name, *providers]
            return subprocess.run(command, input=envelope, capture_output=True, check=True).stdout


def write_pem(file, octets, label):
    text = base64.encodebytes(octets).decode()
    file.write_text(f"-----BEGIN {label}-----\n{text}-----END {label}-----\n")


def strongswan(listener, scratch, url):
    ca, key = scratch / "ca.pem", scratch / "strongswan.key"
    write_pem(ca, listener.certificate, "CERTIFICATE")
    key.write_bytes(subprocess.run(["pki", "--gen", "--type", "rsa", "--outform", "pem"], capture_output=True).stdout)
    certificates = [f"--{name}={ca}" for name in ("cacert", "cacert-enc", "cacert-sig")]
    names = ["--dn", "O=Example, CN=sensor-1", "--san", "sensor-1.example.com", "--password", "challenge"]
    run(["pki", "--scep", "--url", url, "--in", key, "--maxpolltime", "1", *names, *certificates], scratch)


def certmonger(listener, scratch, url):
    folders = {name: scratch / name.lower() for name in ("REQUESTS_DIR", "CAS_DIR", "CONFIG_DIR", "LOCAL_CA_DIR", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    script = scratch / "certmonger.sh"
    script.write_text(CERTMONGER.format(url=url, dir=scratch))
    environment = {f"CERTMONGER_{name}": str(folder) for name, folder in folders.items()}
    environment["CERTMONGER_SYSTEM_LOCK_FILE"] = str(scratch / "lock")
    command = ["/usr/sbin/certmonger", "-L", "-n", "-d", "2", "-P", scratch / "socket", "-c", f"/bin/sh {script}"]
    run(command, scratch, environment)


def scepclient(listener, scratch, url):
    names = ["-cn", "sensor-1", "-organization", "Example", "-ou", "", "-country", "", "-challenge", "challenge"]
    run(["scepclient", "-server-url", url, "-private-key", "s.key", "-certificate", "s.pem", *names], scratch)


def run(command, scratch, environment=None):
    """Runs a client that will fail, as it gets no certificate."""
    try:
        subprocess.run(
            command, cwd=scratch, env={**os.environ, **(environment or {})}, capture_output=True, timeout=RUN, check=False
        )
    except subprocess.TimeoutExpired:
        pass


def cert_rep_under_password(certificate, key):
    """A CertRep with the certificate, enveloped by OpenSSL under the challenge."""
    certificates = der.tlv(0xA0, certificate)
    content = der.seq(der.oid(build.DATA))
    signed = der.seq(der.integer(1), der.set_of(), content, certificates, der.set_of())
    listed = der.seq(der.oid(build.SIGNED_DATA), der.explicit(0, signed))
    command = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes128", "-pwri_password", "challenge"]
    envelope = subprocess.run(command, input=listed, capture_output=True, check=True).stdout
    status = "2.16.840.1.113733.1.9.3"

    def succeeded(attributes):
        attributes[status] = build.attribute(status, der.printable("0"))

    message = build.good("challenge", certificate, key, message_type="3", econtent=envelope, attributes=succeeded)
    return message.encode()


def make(folder):
    """Writes `folder/CRATE/fuzz/seeds/TARGET/CLIENT`, and the certificate that the messages are enveloped to; returns the
    names of all seeds."""
    listener = Listener(folder)
    listener.write("", "ra.der", listener.certificate)
    with tempfile.TemporaryDirectory() as scratch:
        for client in (strongswan, certmonger, scepclient):
            client(listener, Path(scratch), listener.url(client.__name__))
    scene = Scene(listener.certificate, listener.certificate, listener.certificate, "challenge", "challenge")
    for client, send in clients.CLIENTS.items():
        if client != "certmonger":
            send(scene, listener.url(client.replace(" ", "-").lower()))
    for name, send in clients.ELLIPTIC.items():
        if " " not in name:
            send(scene, listener.url(name.lower()))
    listener.write("outer_message", "cert-rep-under-password", cert_rep_under_password(listener.certificate, listener.key))
    listener.write("query", "issuer-and-serial", build.issuer_and_serial(listener.certificate))
    listener.write("query", "issuer-and-subject", der.seq(build.DEVICE, build.DEVICE))
    return sorted(str(file.relative_to(folder)) for file in listener.folder.glob("*/fuzz/seeds/**/*") if file.is_file())
