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
