-- What deliveries of all nodes make. All times are microseconds since 1970, UTC; ids of 32 octets are SHA-256.

-- What services remember about an account. id: of account, service and name.
CREATE TABLE state_memory (
    id      BYTEA NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    value   TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX state_memory_expires ON state_memory (expires);

-- Branches of aliases that ended well while others had to be tried again.
CREATE TABLE state_finished (
    id BYTEA NOT NULL PRIMARY KEY,
    ended BIGINT NOT NULL
);
CREATE INDEX state_finished_ended ON state_finished (ended);

-- Hand-overs to the MTA. Rows of those that ended stay for a while, so that an entry is never made twice.
CREATE TABLE state_outbox (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id     BYTEA NOT NULL UNIQUE,           -- of entry
    entry        TEXT COLLATE "C" NOT NULL,       -- the entry's key
    on_behalf_of TEXT COLLATE "C" NOT NULL,
    sender       TEXT COLLATE "C" NOT NULL,       -- empty: the null sender
    recipient    TEXT COLLATE "C" NOT NULL,
    content      BYTEA,                           -- none when the content is gone
    octets       BIGINT NOT NULL,                 -- of the content, with lines ended by CRLF
    is_8bit      BIGINT NOT NULL,
    status       TEXT COLLATE "C" NOT NULL
        CHECK (status IN ('held', 'ready', 'sending', 'sent', 'failed', 'cancelled')),
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_attempt BIGINT NOT NULL,                 -- by the server's clock; while sending: the end of the lease
    lease        TEXT COLLATE "C",                -- NODE/UUID: who is sending it
    last_error   TEXT COLLATE "C" NOT NULL DEFAULT '',
    created      BIGINT NOT NULL,
    changed      BIGINT NOT NULL                  -- when the status changed last
);
CREATE INDEX state_outbox_due ON state_outbox (next_attempt) WHERE status IN ('ready', 'sending');
CREATE INDEX state_outbox_content ON state_outbox (content) WHERE content IS NOT NULL;
CREATE INDEX state_outbox_changed ON state_outbox (status, changed);

-- The octets that go out, in pieces counted from zero. Entries may share them.
CREATE TABLE state_contents (
    id    BYTEA  NOT NULL,
    nth   BIGINT NOT NULL,
    piece BYTEA  NOT NULL,
    PRIMARY KEY (id, nth)
);
ALTER TABLE state_contents ALTER COLUMN piece SET STORAGE EXTERNAL;

-- One row for each receipt. id: the spool file that it was in, and its line: however often a file is taken in, a
-- receipt is kept once.
CREATE TABLE state_receipts (
    id     BYTEA  NOT NULL PRIMARY KEY,
    made   BIGINT NOT NULL,
    detail BYTEA  NOT NULL -- as JSON
);
CREATE INDEX state_receipts_made ON state_receipts (made);

-- Under which words a receipt is found.
CREATE TABLE state_words (
    word BIGINT NOT NULL,
    made BIGINT NOT NULL,
    id   BYTEA  NOT NULL,
    PRIMARY KEY (word, made, id)
);

CREATE TABLE state_nodes (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    id         TEXT COLLATE "C" NOT NULL,
    heard      BIGINT NOT NULL, -- by the server's clock
    is_stopped BIGINT NOT NULL,
    report     TEXT COLLATE "C" NOT NULL -- as JSON
);

-- What one node does for all, and when it is to be done again, by the server's clock.
CREATE TABLE state_chores (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    due    BIGINT NOT NULL
);
INSERT INTO state_chores VALUES ('tidy', 0), ('prune', 0);
