-- Revocation lists, renewals, and requests that wait for an operator.

-- Requests answered with PENDING. A row is also the binding of its transaction until a certificate is made for it.
CREATE TABLE pending (
    position           INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    state              TEXT NOT NULL DEFAULT 'waiting'
                       CHECK (state IN ('waiting', 'approved', 'issued', 'denied', 'expired')),
    ca_id              TEXT NOT NULL,
    signer_spki_sha256 BLOB NOT NULL CHECK (length(signer_spki_sha256) = 32),
    transaction_id     TEXT NOT NULL,
    request_digest     BLOB NOT NULL CHECK (length(request_digest) = 32),
    csr_digest         BLOB NOT NULL CHECK (length(csr_digest) = 32),
    csr                BLOB NOT NULL,
    -- The reply to a poll is enveloped to it.
    signer_certificate BLOB NOT NULL,
    -- Hash algorithms of the pkiMessage's and the CSR's signatures, which policy judges again when it is issued.
    message_hash       TEXT NOT NULL,
    csr_hash           TEXT NOT NULL,
    profile            TEXT NOT NULL,
    subject            TEXT NOT NULL,
    sans               TEXT NOT NULL,
    key_info           TEXT NOT NULL,
    -- JSON, as the caller writes it.
    evidence           TEXT NOT NULL,
    request            TEXT NOT NULL,
    -- What it reserves: a one-time challenge, a name for a static one, or the right to renew a certificate.
    challenge_id       TEXT REFERENCES challenges (id),
    inventory_name     TEXT,
    renewal_of         BLOB REFERENCES certificates (serial),
    revoke_after       INTEGER CHECK (revoke_after >= 0),
    -- The PENDING that was sent, for the byte-identical pkiMessage.
    cert_rep           BLOB,
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER NOT NULL,
    -- When it was approved, denied or expired.
    decided_at         INTEGER,
    -- Of the certificate or intent; no reference, as it is written just before that row.
    serial             BLOB CHECK (length(serial) BETWEEN 1 AND 20),
    -- An intent that failed gave the approval back. It does so once, as for challenges.
    freed              INTEGER NOT NULL DEFAULT 0 CHECK (freed IN (0, 1)),
    CHECK ((state = 'waiting') = (decided_at IS NULL)),
    CHECK ((state = 'issued') = (serial IS NOT NULL)),
    CHECK ((challenge_id IS NULL) = (renewal_of IS NOT NULL)),
    CHECK (inventory_name IS NULL OR challenge_id IS NOT NULL),
    CHECK (revoke_after IS NULL OR renewal_of IS NOT NULL)
) STRICT;

CREATE INDEX pending_of_transaction ON pending (ca_id, signer_spki_sha256, transaction_id, position);
CREATE INDEX pending_of_csr ON pending (csr_digest);
CREATE INDEX pending_of_request ON pending (request_digest);
CREATE INDEX pending_by_state ON pending (state, position);
-- An old certificate renews by one waiting request at a time, so that its holder cannot fill the queue.
CREATE UNIQUE INDEX open_renewals ON pending (renewal_of) WHERE state IN ('waiting', 'approved');

-- The key makes an operator count once, however often he decides.
CREATE TABLE approvals (
    pending_id TEXT NOT NULL REFERENCES pending (id),
    approver   TEXT NOT NULL,
    verdict    TEXT NOT NULL CHECK (verdict IN ('approve', 'deny')),
    note       TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (pending_id, approver)
) STRICT, WITHOUT ROWID;

-- A new state needs a new CHECK, and so a new table (SQLite's ALTER TABLE, section 7).
CREATE TABLE challenges_0002 (
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
    state       TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'reserved', 'spent', 'revoked')),
    -- Of the certificate or intent it was spent on; no reference, as it is written just before that row.
    serial      BLOB CHECK (length(serial) BETWEEN 1 AND 20),
    -- The request that reserves it; no reference, for the same reason.
    pending_id  TEXT,
    -- An intent that failed gave it back. It does so once: else a token that keeps failing would let one challenge make
    -- any number of serials.
    freed       INTEGER NOT NULL DEFAULT 0 CHECK (freed IN (0, 1)),
    -- A static challenge issues once for each inventory name and so is never used up itself.
    CHECK (kind = 'one-time' OR state NOT IN ('reserved', 'spent')),
    -- A one-time challenge that is never used must not stay usable for ever.
    CHECK (kind = 'static' OR expires_at IS NOT NULL),
    -- Spent means spent on something that can be named.
    CHECK (state <> 'spent' OR serial IS NOT NULL),
    CHECK ((state = 'reserved') = (pending_id IS NOT NULL))
) STRICT;

INSERT INTO challenges_0002 (position, id, lookup, kind, profile, subject, subject_der, sans, issued_at, expires_at,
                             issued_by, state, serial, freed)
SELECT position, id, lookup, kind, profile, subject, subject_der, sans, issued_at, expires_at,
       issued_by, state, serial, freed
FROM challenges;

DROP TABLE challenges;
ALTER TABLE challenges_0002 RENAME TO challenges;
CREATE INDEX challenges_of_profile ON challenges (profile, position);

-- The request that reserves the name; no reference, as it is written just before that row.
ALTER TABLE inventory ADD COLUMN pending_id TEXT CHECK (pending_id IS NULL OR serial IS NULL);

ALTER TABLE certificates ADD COLUMN renewal_of BLOB REFERENCES certificates (serial);
-- Seconds from the issue of this one to the revocation of the one that it renews; NULL keeps that.
ALTER TABLE certificates ADD COLUMN revoke_after INTEGER CHECK (revoke_after >= 0);
ALTER TABLE certificates ADD COLUMN pending_id TEXT REFERENCES pending (id);
ALTER TABLE certificates ADD COLUMN superseded_by BLOB REFERENCES certificates (serial);
-- When it is to be revoked; NULL once that is done.
ALTER TABLE certificates ADD COLUMN revoke_at INTEGER;

CREATE INDEX revoked_certificates ON certificates (ca_id, not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX scheduled_revocations ON certificates (revoke_at) WHERE revoke_at IS NOT NULL;

CREATE TABLE crls (
    ca_id       TEXT NOT NULL,
    number      INTEGER NOT NULL CHECK (number >= 1),
    -- NULL once it is old.
    der         BLOB,
    sha256      BLOB NOT NULL CHECK (length(sha256) = 32),
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL CHECK (next_update > this_update),
    PRIMARY KEY (ca_id, number)
) STRICT;

-- Which devices still need an exception of their profile, so that somebody can see when it may go.
CREATE TABLE quirk_uses (
    profile  TEXT NOT NULL,
    quirk    TEXT NOT NULL,
    device   TEXT NOT NULL,
    uses     INTEGER NOT NULL CHECK (uses >= 1),
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (profile, quirk, device)
) STRICT, WITHOUT ROWID;
