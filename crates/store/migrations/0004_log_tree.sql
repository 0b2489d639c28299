-- The Merkle tree over the audit log, so that a proof reads a few rows, and the record of a certificate by its serial.

-- Tiles of C2SP tlog-tiles: 256 hashes of neighbouring subtrees of 256^level records each. Level 0 is written once it is
-- full, its last records stand in audit alone; a tile above grows with each full one below it.
CREATE TABLE log_tiles (
    level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
    position INTEGER NOT NULL CHECK (position >= 0),
    hashes   BLOB NOT NULL CHECK (length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (level, position),
    CHECK (level > 0 OR length(hashes) = 8192)
) STRICT;

CREATE INDEX issued_records ON audit (json_extract(CAST(record AS TEXT), '$.serial')) WHERE kind = 'request.issued';
