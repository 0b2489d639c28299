-- Evidence of decisions, checkpoints of the log, and who approved which policy.

-- What a record's salted hash is of. Rows go when their time is over; the record and its hash stay.
CREATE TABLE evidence (
    sequence   INTEGER PRIMARY KEY REFERENCES audit (sequence),
    salt       BLOB NOT NULL CHECK (length(salt) = 32),
    content    BLOB NOT NULL CHECK (length(content) BETWEEN 2 AND 65536),
    keep_until INTEGER NOT NULL
) STRICT;

CREATE INDEX evidence_by_age ON evidence (keep_until);

-- Signed heads of the log. The frontier lets a start go on where the last one ended.
CREATE TABLE checkpoints (
    size      INTEGER PRIMARY KEY CHECK (size >= 1),
    root      BLOB NOT NULL CHECK (length(root) = 32),
    -- The hashes of the perfect subtrees that make up the tree, left to right.
    frontier  BLOB NOT NULL CHECK (length(frontier) % 32 = 0),
    -- The signed note with the log's own signature.
    note      TEXT NOT NULL,
    signed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE cosignatures (
    size    INTEGER NOT NULL REFERENCES checkpoints (size),
    witness TEXT NOT NULL,
    line    TEXT NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;

-- NULL in versions of before there were proposals; such a version does not come into force again.
ALTER TABLE policies ADD COLUMN proposal BLOB;
ALTER TABLE policies ADD COLUMN author TEXT;
ALTER TABLE policies ADD COLUMN author_signature BLOB;
-- JSON list of people.
ALTER TABLE policies ADD COLUMN approvers TEXT NOT NULL DEFAULT '[]';

CREATE TABLE policy_approvals (
    number    INTEGER NOT NULL REFERENCES policies (number),
    position  INTEGER NOT NULL CHECK (position >= 0),
    signature BLOB NOT NULL,
    PRIMARY KEY (number, position)
) STRICT, WITHOUT ROWID;

-- Profiles that issue nothing until an approved version resumes them.
CREATE TABLE stops (
    profile    TEXT PRIMARY KEY,
    reason     TEXT NOT NULL,
    stopped_at INTEGER NOT NULL,
    stopped_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
