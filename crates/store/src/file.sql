-- The schema of the state file: the commits that the state is rebuilt from, the log, and what is too large for memory. No row
-- here is believed for itself: commits carry a tag, and of all else the state has the digest.

CREATE TABLE commits (
    number  INTEGER PRIMARY KEY CHECK (number >= 0),
    -- The changes of the state (commits.rs).
    content BLOB NOT NULL,
    -- HMAC-SHA-256 over the tag before, the number and the content.
    tag     BLOB NOT NULL CHECK (length(tag) = 32)
) STRICT;

-- The state as it was after a commit, so that a start runs the commits after that one alone. Those before are gone.
CREATE TABLE snapshots (
    part    INTEGER PRIMARY KEY CHECK (part >= 0),
    -- Part 0 says what the others are, under a tag of its own (snapshot.rs); the others are the image of the database.
    content BLOB NOT NULL,
    tag     BLOB CHECK (length(tag) = 32),
    CHECK ((part = 0) = (tag IS NOT NULL))
) STRICT;

-- The log. Leaf hashes and tree are in the state.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),
    -- Of the record itself, so that no index can name another.
    kind     TEXT NOT NULL AS (json_extract(CAST(record AS TEXT), '$.kind')) VIRTUAL,
    -- Canonical JSON; a leaf of the log is at most 4 KiB.
    record   BLOB NOT NULL CHECK (length(record) BETWEEN 2 AND 4096)
) STRICT;

CREATE INDEX audit_of_kind ON audit (kind, sequence);
CREATE INDEX issued_records ON audit (json_extract(CAST(record AS TEXT), '$.serial')) WHERE kind = 'request.issued';
CREATE INDEX opened_records ON audit (json_extract(CAST(record AS TEXT), '$.serial')) WHERE kind = 'intent.opened';

-- The content of a record's salted hash. Rows go when their time is over; the record and its hash stay.
CREATE TABLE evidence (
    sequence   INTEGER PRIMARY KEY REFERENCES audit (sequence),
    salt       BLOB NOT NULL CHECK (length(salt) = 32),
    content    BLOB NOT NULL CHECK (length(content) BETWEEN 2 AND 65536),
    keep_until INTEGER NOT NULL
) STRICT;

CREATE INDEX evidence_by_age ON evidence (keep_until);

-- DER by certificates.position.
CREATE TABLE certificate_contents (
    position INTEGER PRIMARY KEY,
    der      BLOB NOT NULL
) STRICT;

-- By replies.position.
CREATE TABLE reply_contents (
    position INTEGER PRIMARY KEY,
    cert_rep BLOB NOT NULL
) STRICT;

CREATE TABLE crl_contents (
    ca_id  TEXT NOT NULL,
    number INTEGER NOT NULL,
    der    BLOB NOT NULL,
    PRIMARY KEY (ca_id, number)
) STRICT;

-- BasicOCSPResponse without certificates, by the hash algorithm of its CertID.
CREATE TABLE ocsp_contents (
    serial BLOB PRIMARY KEY,
    sha1   BLOB NOT NULL,
    sha256 BLOB
) STRICT;
