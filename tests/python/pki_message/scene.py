"""What the makers of bad messages share: one device, its keys, and the certificates of the service."""

import os
from dataclasses import replace
from functools import cached_property

from . import build, der


class Scene:
    def __init__(self, ra_enc, ra_sign, ca, challenge, static_challenge):
        self.ra_enc, self.ra_sign, self.ca = ra_enc, ra_sign, ca
        self.challenge, self.static_challenge = challenge, static_challenge
        self.key = build.Key()
        self.last = None

    @cached_property
    def other_key(self):
        return build.Key()

    def good(self, **changes):
        """A message with these changes; the last one made is the one that a reply will be for."""
        self.last = build.good(self.challenge, self.ra_enc, self.key, **changes)
        return self.last

    def csr(self, **changes):
        return build.Csr(**{"key": self.key, "challenge": self.challenge, **changes})

    def with_csr(self, **changes):
        return self.good(csr=self.csr(**changes)).encode()

    def with_extension(self, *extensions):
        return self.with_csr(extensions=list(extensions))

    def with_key(self, key, **changes):
        """The signer and the CSR with another key."""
        self.last = build.good(self.challenge, self.ra_enc, key)
        return replace(self.last, **changes).encode()

    def with_attribute(self, dotted, change):
        """Signed attributes of which one is changed; `None` removes it, a list is put in its place."""

        def changed(attributes):
            value = change(attributes[dotted])
            if value is None:
                del attributes[dotted]
            else:
                attributes[dotted] = value

        return self.good(attributes=changed).encode()

    def with_value(self, dotted, *values):
        return self.with_attribute(dotted, lambda _: build.attribute(dotted, *values))

    def edited(self, path, change):
        """A good message changed after it was signed."""
        return der.edit(self.good().encode(), path, change)

    def enveloped(self, content=None, **changes):
        """An envelope with changes, honestly signed."""
        envelope = build.Envelope([build.Recipient(self.ra_enc)], **changes)
        return self.good(envelope=envelope, content=content).encode()

    def recipients(self, *recipients, others=()):
        return self.good(envelope=build.Envelope(list(recipients), others=list(others))).encode()

    def recipient(self, **changes):
        return self.recipients(build.Recipient(self.ra_enc, **changes))

    def signed_around(self, econtent):
        return self.good(econtent=econtent).encode()

    def envelope(self):
        return build.Envelope([build.Recipient(self.ra_enc)]).encode(self.csr().encode())

    def signer_certificate(self, **changes):
        return build.certificate(self.key, build.DEVICE, serial=b"\x02" + os.urandom(7), **changes)
