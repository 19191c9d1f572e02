-- What services remember about an account.
CREATE TABLE memory (
    account TEXT NOT NULL,
    service TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    expires INTEGER NOT NULL, -- microseconds since 1970, as all times here
    PRIMARY KEY (account, service, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_expires ON memory (expires);

-- Branches of aliases that ended well while others had to be tried again.
CREATE TABLE finished (
    key TEXT NOT NULL PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX finished_at ON finished (at);

-- Hand-overs to the MTA. Rows of those that ended stay for a while, so that a key is never used twice.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY,
    key          TEXT NOT NULL UNIQUE,
    on_behalf_of TEXT NOT NULL,
    sender       TEXT NOT NULL, -- empty: the null sender
    recipient    TEXT NOT NULL,
    file         TEXT,          -- in the directory outbox/; none when the content is gone
    octets       INTEGER NOT NULL, -- of the content, with lines ended by CRLF
    is_8bit      INTEGER NOT NULL,
    status       TEXT NOT NULL
        CHECK (status IN ('held', 'ready', 'sending', 'sent', 'failed', 'cancelled')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL, -- while sending: the end of the lease
    lease        TEXT,             -- who is sending it
    last_error   TEXT NOT NULL DEFAULT '',
    created      INTEGER NOT NULL,
    changed      INTEGER NOT NULL  -- when the status changed last
) STRICT;
CREATE INDEX outbox_due ON outbox (next_attempt) WHERE status IN ('ready', 'sending');
CREATE INDEX outbox_file ON outbox (file) WHERE file IS NOT NULL;
CREATE INDEX outbox_changed ON outbox (changed) WHERE status IN ('held', 'sent', 'failed', 'cancelled');
