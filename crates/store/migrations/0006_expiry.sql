-- What ends next, so that nobody walks through all certificates to tell who has to renew.

-- Only what is relied upon: issued and not revoked. Those without a successor lie together, for they are few among those
-- that end soon and the ones that are asked for.
CREATE INDEX certificates_by_end ON certificates (superseded_by IS NULL, not_after)
    WHERE state = 'issued' AND revoked_at IS NULL;
-- state and revoked_at are in it so that counting reads this index alone: SQLite does not conclude them from the condition.
CREATE INDEX certificates_of_profile_by_end
    ON certificates (profile, state, revoked_at, superseded_by IS NULL, not_after)
    WHERE state = 'issued' AND revoked_at IS NULL;
