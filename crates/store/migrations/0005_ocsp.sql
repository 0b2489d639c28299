-- OCSP responses, signed ahead of those who ask (RFC 5019). The tables stay empty while the signer has no responder.

-- Certificates of responders, which responses carry; an old one stays for as long as a response names it.
CREATE TABLE ocsp_responders (
    sha256      BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    ca_id       TEXT NOT NULL,
    certificate BLOB NOT NULL
) STRICT;

CREATE TABLE ocsp_responses (
    serial      BLOB NOT NULL UNIQUE REFERENCES certificates (serial),
    ca_id       TEXT NOT NULL,
    -- Of the certificate: past it nobody is answered.
    not_after   INTEGER NOT NULL,
    -- Rises with each change of status, so that a response signed for the one before is not kept.
    version     INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    -- When it is to be signed again. 0: its status changed; 1: it was never signed.
    refresh_at  INTEGER NOT NULL,
    responder   BLOB REFERENCES ocsp_responders (sha256),
    -- BasicOCSPResponse without certificates, by the hash algorithm of its CertID.
    sha1        BLOB,
    sha256      BLOB,
    this_update INTEGER,
    next_update INTEGER CHECK (next_update > this_update),
    CHECK ((sha1 IS NULL) = (responder IS NULL)),
    CHECK ((sha1 IS NULL) = (this_update IS NULL)),
    CHECK ((sha1 IS NULL) = (next_update IS NULL)),
    CHECK (sha1 IS NOT NULL OR sha256 IS NULL)
) STRICT;

CREATE INDEX ocsp_by_refresh ON ocsp_responses (ca_id, refresh_at);
CREATE INDEX ocsp_by_expiry ON ocsp_responses (not_after);
CREATE INDEX ocsp_waiting ON ocsp_responses (ca_id) WHERE sha1 IS NULL;

-- Triggers, so that no way to a certificate or to a change of its status can forget its response.
CREATE TRIGGER ocsp_of_the_new AFTER UPDATE OF state ON certificates
WHEN OLD.state = 'intent' AND NEW.state <> 'intent'
    AND EXISTS (SELECT 1 FROM ocsp_responders WHERE ca_id = NEW.ca_id)
BEGIN
    INSERT OR IGNORE INTO ocsp_responses (serial, ca_id, not_after, refresh_at)
    VALUES (NEW.serial, NEW.ca_id, NEW.not_after, 1);
END;

-- What is known to be false is not served until something better is signed.
CREATE TRIGGER ocsp_of_the_changed AFTER UPDATE OF revoked_at, revocation_reason ON certificates
WHEN NEW.revoked_at IS NOT OLD.revoked_at OR NEW.revocation_reason IS NOT OLD.revocation_reason
BEGIN
    UPDATE ocsp_responses
    SET version = version + 1, refresh_at = 0, responder = NULL, sha1 = NULL, sha256 = NULL,
        this_update = NULL, next_update = NULL
    WHERE serial = NEW.serial;
END;
