-- The first schema. Times are Unix seconds unless the column says _ms; digests are SHA-256, 32 octets.
-- Serials are the content octets of the INTEGER (RFC 5280 section 4.1.2.2: at most 20).

CREATE TABLE challenges (
    position    INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    -- A keyed hash: the challenge itself is nowhere in this file, nor is the key.
    lookup      BLOB NOT NULL UNIQUE CHECK (length(lookup) = 32),
    kind        TEXT NOT NULL CHECK (kind IN ('one-time', 'static')),
    profile     TEXT NOT NULL,
    subject     TEXT NOT NULL,
    subject_der BLOB,
    sans        TEXT NOT NULL,
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER,
    issued_by   TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'spent', 'revoked')),
    -- Of the certificate or intent it was spent on; no reference, as it is written just before that row.
    serial      BLOB CHECK (length(serial) BETWEEN 1 AND 20),
    -- An intent that failed gave it back. It does so once: else a token that keeps failing would let one challenge make
    -- any number of serials.
    freed       INTEGER NOT NULL DEFAULT 0 CHECK (freed IN (0, 1)),
    -- A static challenge issues once for each inventory name and so is never spent itself.
    CHECK (kind = 'one-time' OR state <> 'spent'),
    -- A one-time challenge that is never used must not stay usable for ever.
    CHECK (kind = 'static' OR expires_at IS NOT NULL),
    -- Spent means spent on something that can be named.
    CHECK (state <> 'spent' OR serial IS NOT NULL)
) STRICT;

CREATE INDEX challenges_of_profile ON challenges (profile, position);

CREATE TABLE inventory (
    profile     TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- Pins the device's key.
    spki_sha256 BLOB CHECK (length(spki_sha256) = 32),
    -- What the static challenge was used for; NULL while it may issue for this name.
    serial      BLOB CHECK (length(serial) BETWEEN 1 AND 20),
    freed       INTEGER NOT NULL DEFAULT 0 CHECK (freed IN (0, 1)),
    added_at    INTEGER NOT NULL,
    added_by    TEXT NOT NULL,
    PRIMARY KEY (profile, name)
) STRICT, WITHOUT ROWID;

-- Every change in full, chained, so that membership at any time can be derived again and no change can be taken out.
CREATE TABLE inventory_changes (
    profile     TEXT NOT NULL,
    sequence    INTEGER NOT NULL CHECK (sequence >= 1),
    -- JSON: operation, names with their pins, when and by whom.
    content     TEXT NOT NULL,
    -- SHA-256(hash of the change before, or 32 zero octets || content).
    hash        BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (profile, sequence)
) STRICT, WITHOUT ROWID;

-- An intent and the certificate that it becomes are one row, so that no certificate can be without an intent.
CREATE TABLE certificates (
    position           INTEGER PRIMARY KEY,
    serial             BLOB NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    state              TEXT NOT NULL CHECK (state IN ('intent', 'issued', 'abandoned')),
    ca_id              TEXT NOT NULL,
    profile            TEXT NOT NULL,
    subject            TEXT NOT NULL,
    sans               TEXT NOT NULL,
    not_before         INTEGER NOT NULL,
    not_after          INTEGER NOT NULL,
    policy_hash        BLOB NOT NULL CHECK (length(policy_hash) = 32),
    signer_spki_sha256 BLOB NOT NULL CHECK (length(signer_spki_sha256) = 32),
    transaction_id     TEXT NOT NULL,
    request_digest     BLOB NOT NULL CHECK (length(request_digest) = 32),
    csr_digest         BLOB NOT NULL CHECK (length(csr_digest) = 32),
    -- Of the record that ends the request, in case another run of the signer has to write it.
    request            TEXT NOT NULL,
    challenge_id       TEXT REFERENCES challenges (id),
    inventory_name     TEXT,
    tbs                BLOB,
    tbs_digest         BLOB NOT NULL CHECK (length(tbs_digest) = 32),
    created_at         INTEGER NOT NULL,
    -- When recovery stops to try and gives the intent up.
    expires_at         INTEGER NOT NULL,
    closed_at          INTEGER,
    der                BLOB,
    sha256             BLOB CHECK (length(sha256) = 32),
    revoked_at         INTEGER,
    revocation_reason  INTEGER,
    -- Recovery signs exactly the TBS of the intent; once issued, the certificate holds it.
    CHECK ((state = 'issued') = (tbs IS NULL)),
    CHECK ((state = 'issued') = (der IS NOT NULL)),
    CHECK ((der IS NULL) = (sha256 IS NULL)),
    CHECK ((state = 'intent') = (closed_at IS NULL)),
    -- Nobody knows whether an abandoned intent was signed, so its serial must go onto the CRL.
    CHECK (state <> 'abandoned' OR revoked_at IS NOT NULL)
) STRICT;

CREATE INDEX certificates_of_csr ON certificates (csr_digest);
CREATE INDEX certificates_of_profile ON certificates (profile, position);
CREATE INDEX open_intents ON certificates (created_at) WHERE state = 'intent';

-- Bound at permit, never by a refusal: else anyone could occupy transactionIDs in advance.
CREATE TABLE transactions (
    ca_id              TEXT NOT NULL,
    signer_spki_sha256 BLOB NOT NULL CHECK (length(signer_spki_sha256) = 32),
    transaction_id     TEXT NOT NULL,
    request_digest     BLOB NOT NULL CHECK (length(request_digest) = 32),
    csr_digest         BLOB NOT NULL CHECK (length(csr_digest) = 32),
    serial             BLOB NOT NULL REFERENCES certificates (serial),
    created_at         INTEGER NOT NULL,
    PRIMARY KEY (ca_id, signer_spki_sha256, transaction_id)
) STRICT, WITHOUT ROWID;

-- CertReps as they were sent, for byte-identical retransmissions; pruned by age.
CREATE TABLE replies (
    position       INTEGER PRIMARY KEY,
    request_digest BLOB NOT NULL UNIQUE CHECK (length(request_digest) = 32),
    serial         BLOB NOT NULL REFERENCES certificates (serial),
    cert_rep       BLOB NOT NULL,
    stored_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX replies_by_age ON replies (stored_at);

CREATE TABLE quotas (
    key          TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    used         INTEGER NOT NULL CHECK (used >= 1),
    PRIMARY KEY (key, window_start)
) STRICT, WITHOUT ROWID;

CREATE INDEX quotas_by_age ON quotas (window_start);

-- The policy in force is the one with the highest number: the number only rises, also when older files come back.
CREATE TABLE policies (
    number       INTEGER PRIMARY KEY CHECK (number >= 1),
    file_hash    BLOB NOT NULL CHECK (length(file_hash) = 32),
    model_hash   BLOB NOT NULL CHECK (length(model_hash) = 32),
    profiles     TEXT NOT NULL,
    activated_at INTEGER NOT NULL,
    activated_by TEXT NOT NULL
) STRICT;

CREATE TABLE policy_files (
    number  INTEGER NOT NULL REFERENCES policies (number),
    name    TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (number, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    sequence  INTEGER PRIMARY KEY CHECK (sequence >= 1),
    kind      TEXT NOT NULL,
    -- Canonical JSON; a leaf of the log is at most 4 KiB.
    record    BLOB NOT NULL CHECK (length(record) BETWEEN 2 AND 4096),
    leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32)
) STRICT;

CREATE INDEX audit_of_kind ON audit (kind, sequence);

-- Guards against our own mistakes; against others who can write this file stands the log's Merkle tree.
CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit)
BEGIN SELECT raise(ABORT, 'the audit log has no gaps'); END;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
