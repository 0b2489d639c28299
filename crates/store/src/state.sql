-- The schema of the state, which is in memory and is rebuilt from the file at each start: a snapshot and the commits after it. What is too large for
-- that is in a table of the file (file.sql), under a digest that is here. Each table has a primary key of its own.
-- Times are Unix seconds unless the column says _ms; digests are SHA-256, 32 octets. Serials are the content octets of the
-- INTEGER (RFC 5280 section 4.1.2.2: at most 20).

CREATE TABLE challenges (
    position    INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    -- A keyed hash: the challenge itself is nowhere in this file, nor is the key.
    lookup      BLOB NOT NULL UNIQUE CHECK (length(lookup) = 32),
    kind        TEXT NOT NULL CHECK (kind IN ('one-time', 'static')),
    profile     TEXT NOT NULL,
    subject     TEXT NOT NULL,
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

CREATE INDEX challenges_of_profile ON challenges (profile, position);

CREATE TABLE inventory (
    profile     TEXT NOT NULL,
    -- One device whatever the case of its letters; only ASCII letters have one.
    name        TEXT NOT NULL COLLATE NOCASE,
    -- Pins the device's key.
    spki_sha256 BLOB CHECK (length(spki_sha256) = 32),
    -- What the static challenge was used for; NULL while it may issue for this name.
    serial      BLOB CHECK (length(serial) BETWEEN 1 AND 20),
    -- The request that reserves the name; no reference, as it is written just before that row.
    pending_id  TEXT CHECK (pending_id IS NULL OR serial IS NULL),
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

-- An intent and the certificate that it becomes are one row, so that no certificate can be issued without an intent. One
-- that was imported from the journal of the HSM service, by an operator or by a recovery, has no request, and nothing that
-- comes of one.
CREATE TABLE certificates (
    position           INTEGER PRIMARY KEY,
    serial             BLOB NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    state              TEXT NOT NULL CHECK (state IN ('intent', 'issued', 'abandoned', 'imported', 'recovered')),
    ca_id              TEXT NOT NULL,
    profile            TEXT,
    subject            TEXT NOT NULL,
    sans               TEXT NOT NULL,
    not_before         INTEGER NOT NULL,
    not_after          INTEGER NOT NULL,
    policy_hash        BLOB CHECK (length(policy_hash) = 32),
    signer_spki_sha256 BLOB CHECK (length(signer_spki_sha256) = 32),
    transaction_id     TEXT,
    request_digest     BLOB CHECK (length(request_digest) = 32),
    csr_digest         BLOB CHECK (length(csr_digest) = 32),
    -- Of the record that ends the request, in case another run of the signer has to write it; NULL once that is done.
    request            TEXT,
    challenge_id       TEXT REFERENCES challenges (id),
    inventory_name     TEXT,
    tbs                BLOB,
    tbs_digest         BLOB NOT NULL CHECK (length(tbs_digest) = 32),
    created_at         INTEGER NOT NULL,
    -- When recovery stops to try and gives the intent up.
    expires_at         INTEGER,
    closed_at          INTEGER,
    -- Of the certificate in certificate_contents.
    sha256             BLOB CHECK (length(sha256) = 32),
    -- Of an intent that was given up as well, if it may have been signed: then its serial goes onto the CRL.
    revoked_at         INTEGER,
    revocation_reason  INTEGER,
    renewal_of         BLOB REFERENCES certificates (serial),
    -- Seconds from the issue of this one to the revocation of the one that it renews; NULL keeps that.
    revoke_after       INTEGER CHECK (revoke_after >= 0),
    pending_id         TEXT REFERENCES pending (id),
    superseded_by      BLOB REFERENCES certificates (serial),
    -- When it is to be revoked; NULL once that is done.
    revoke_at          INTEGER,
    -- Recovery signs exactly the TBS of the intent; once issued, the certificate holds it.
    CHECK ((state IN ('issued', 'imported', 'recovered')) = (tbs IS NULL)),
    CHECK (state = 'recovered' OR (state IN ('issued', 'imported')) = (sha256 IS NOT NULL)),
    CHECK ((state = 'intent') = (closed_at IS NULL)),
    CHECK ((state = 'intent') = (request IS NOT NULL)),
    -- Nobody decided on one that was imported, so it is never in force: revoked for good, as 6 is certificateHold.
    CHECK (state <> 'imported' OR revoked_at IS NOT NULL),
    CHECK (state <> 'imported' OR coalesce(revocation_reason, 6) <> 6),
    -- One whose signature is not in the journal may have been signed all the same: revoked for good.
    CHECK (state <> 'recovered' OR sha256 IS NOT NULL OR (revoked_at IS NOT NULL AND coalesce(revocation_reason, 0) <> 6)),
    CHECK (state NOT IN ('imported', 'recovered')
           OR coalesce(challenge_id, inventory_name, renewal_of, pending_id, superseded_by) IS NULL),
    CHECK ((state IN ('imported', 'recovered')) = (coalesce(profile, policy_hash, signer_spki_sha256, transaction_id, request_digest,
                                            csr_digest, expires_at) IS NULL)),
    CHECK (state IN ('imported', 'recovered')
           OR (profile IS NOT NULL AND policy_hash IS NOT NULL AND signer_spki_sha256 IS NOT NULL
               AND transaction_id IS NOT NULL AND request_digest IS NOT NULL AND csr_digest IS NOT NULL
               AND expires_at IS NOT NULL))
) STRICT;

CREATE INDEX certificates_of_csr ON certificates (csr_digest);
CREATE INDEX certificates_of_profile ON certificates (profile, position);
CREATE INDEX certificates_of_subject ON certificates (subject, position);
CREATE INDEX certificates_of_transaction ON certificates (transaction_id, position);
CREATE INDEX certificates_of_renewal ON certificates (renewal_of) WHERE renewal_of IS NOT NULL;
CREATE INDEX open_intents ON certificates (created_at) WHERE state = 'intent';
CREATE INDEX revoked_certificates ON certificates (ca_id, not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX scheduled_revocations ON certificates (revoke_at) WHERE revoke_at IS NOT NULL;
-- Only what is relied upon: issued and not revoked. Those without a successor lie together, for they are few among those
-- that end soon and the ones that are asked for.
CREATE INDEX certificates_by_end ON certificates (superseded_by IS NULL, not_after)
    WHERE state = 'issued' AND revoked_at IS NULL;
-- state and revoked_at are in it so that counting reads this index alone: SQLite does not conclude them from the condition.
CREATE INDEX certificates_of_profile_by_end
    ON certificates (profile, state, revoked_at, superseded_by IS NULL, not_after)
    WHERE state = 'issued' AND revoked_at IS NULL;

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

-- CertReps as they were sent, for byte-identical retransmissions; pruned by age. They are in reply_contents.
CREATE TABLE replies (
    position       INTEGER PRIMARY KEY,
    request_digest BLOB NOT NULL UNIQUE CHECK (length(request_digest) = 32),
    serial         BLOB NOT NULL REFERENCES certificates (serial),
    digest         BLOB NOT NULL CHECK (length(digest) = 32),
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
    number           INTEGER PRIMARY KEY CHECK (number >= 1),
    file_hash        BLOB NOT NULL CHECK (length(file_hash) = 32),
    model_hash       BLOB NOT NULL CHECK (length(model_hash) = 32),
    profiles         TEXT NOT NULL,
    activated_at     INTEGER NOT NULL,
    activated_by     TEXT NOT NULL,
    -- The text that was signed, who wrote it, and the author's signature.
    proposal         BLOB NOT NULL,
    author           TEXT NOT NULL,
    author_signature BLOB NOT NULL,
    -- JSON list of people.
    approvers        TEXT NOT NULL
) STRICT;

CREATE TABLE policy_files (
    number  INTEGER NOT NULL REFERENCES policies (number),
    name    TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (number, name)
) STRICT, WITHOUT ROWID;

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

-- Recoveries from a backup. Records that the backup lacked are in the log as hashes alone: those after the last one that it had, up to
-- the record of the recovery. This table is their only mark, so that nobody can claim in the file that a record was lost.
CREATE TABLE recoveries (
    -- Of the record of the recovery.
    sequence     INTEGER PRIMARY KEY CHECK (sequence >= 1),
    -- Records that the backup had.
    restored     INTEGER NOT NULL CHECK (restored >= 0 AND restored < sequence),
    -- The text that was signed.
    statement    BLOB NOT NULL,
    -- The number of the next version of the policy is above it.
    policy_floor INTEGER NOT NULL CHECK (policy_floor >= 0)
) STRICT;

CREATE TABLE recovery_approvals (
    sequence  INTEGER NOT NULL REFERENCES recoveries (sequence),
    position  INTEGER NOT NULL CHECK (position >= 0),
    signature BLOB NOT NULL,
    PRIMARY KEY (sequence, position)
) STRICT, WITHOUT ROWID;

-- Which key challenges are hashed under: a keyed hash of a fixed text.
CREATE TABLE challenge_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    check_value BLOB NOT NULL CHECK (length(check_value) = 32)
) STRICT;

-- Leaf hashes of the newest records, which are in no full tile yet.
CREATE TABLE leaves (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),
    hash     BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

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
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (pending_id, approver)
) STRICT, WITHOUT ROWID;

CREATE TABLE crls (
    ca_id       TEXT NOT NULL,
    number      INTEGER NOT NULL CHECK (number >= 1),
    -- Of the list in crl_contents, from which old ones go.
    sha256      BLOB NOT NULL CHECK (length(sha256) = 32),
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL CHECK (next_update > this_update),
    PRIMARY KEY (ca_id, number)
) STRICT;

-- The last CRL of a CA by the journal of the HSM service, where a recovery found that the backup did not have it.
CREATE TABLE crl_floors (
    ca_id       TEXT PRIMARY KEY,
    number      INTEGER NOT NULL CHECK (number >= 1),
    this_update INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

-- Signed heads of the log. The frontier lets a start continue where the last one ended.
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

-- Tiles of C2SP tlog-tiles: 256 hashes of neighbouring subtrees of 256^level records each. Level 0 is written once it is
-- full, and its leaves go; a tile above grows with each full one below it.
CREATE TABLE log_tiles (
    level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
    position INTEGER NOT NULL CHECK (position >= 0),
    hashes   BLOB NOT NULL CHECK (length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (level, position),
    CHECK (level > 0 OR length(hashes) = 8192)
) STRICT;

-- OCSP responses, signed ahead of those who ask (RFC 5019). The tables stay empty while the signer has no responder.

-- Certificates of responders, which responses carry; an old one stays for as long as a response names it.
CREATE TABLE ocsp_responders (
    sha256      BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    ca_id       TEXT NOT NULL,
    certificate BLOB NOT NULL
) STRICT;

CREATE TABLE ocsp_responses (
    serial      BLOB PRIMARY KEY REFERENCES certificates (serial),
    ca_id       TEXT NOT NULL,
    -- Of the certificate: past it nobody is answered.
    not_after   INTEGER NOT NULL,
    -- Rises with each change of status, so that a response signed for the one before is not kept.
    version     INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    -- When it is to be signed again. 0: its status changed; 1: it was never signed.
    refresh_at  INTEGER NOT NULL,
    responder   BLOB REFERENCES ocsp_responders (sha256),
    -- Digests of the responses in ocsp_contents, by the hash algorithm of their CertID.
    sha1        BLOB CHECK (length(sha1) = 32),
    sha256      BLOB CHECK (length(sha256) = 32),
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
WHEN OLD.state = 'intent' AND (NEW.state = 'issued' OR NEW.revoked_at IS NOT NULL)
    AND EXISTS (SELECT 1 FROM ocsp_responders WHERE ca_id = NEW.ca_id)
BEGIN
    INSERT OR IGNORE INTO ocsp_responses (serial, ca_id, not_after, refresh_at)
    VALUES (NEW.serial, NEW.ca_id, NEW.not_after, 1);
END;

-- Its status is new to everyone, so it comes first.
CREATE TRIGGER ocsp_of_the_imported AFTER INSERT ON certificates
WHEN NEW.state IN ('imported', 'recovered') AND EXISTS (SELECT 1 FROM ocsp_responders WHERE ca_id = NEW.ca_id)
BEGIN
    INSERT INTO ocsp_responses (serial, ca_id, not_after, refresh_at)
    VALUES (NEW.serial, NEW.ca_id, NEW.not_after, 0);
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

-- CA rollover: the next CAs that devices were told of, so that no setting can take back what they rely on.
CREATE TABLE rollovers (
    -- Of the next CA.
    ca_id        TEXT PRIMARY KEY,
    -- When it takes over, as it was announced last.
    switch_at    INTEGER NOT NULL,
    announced_at INTEGER NOT NULL,
    -- When it took over; from then on switch_at stands.
    switched_at  INTEGER CHECK (switched_at >= switch_at)
) STRICT;
