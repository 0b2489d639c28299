-- Every CA that certificates were ever issued under here, so that the log can be verified after it is gone from signer.toml.

CREATE TABLE issuers (
    position INTEGER PRIMARY KEY,
    -- Of the CA certificate: one that was renewed over its key is kept beside the one before.
    sha256   BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    -- As certificates.ca_id.
    ca_id    TEXT NOT NULL,
    -- When it was first seen in the configuration.
    since    INTEGER NOT NULL
) STRICT;

-- The CA certificate, then those above it.
CREATE TABLE issuer_certificates (
    issuer      BLOB NOT NULL REFERENCES issuers (sha256),
    place       INTEGER NOT NULL CHECK (place >= 0),
    certificate BLOB NOT NULL,
    PRIMARY KEY (issuer, place)
) STRICT, WITHOUT ROWID;
