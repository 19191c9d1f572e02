-- What deliveries of all nodes make. All times are microseconds since 1970, UTC; ids of 32 octets are SHA-256.
-- MariaDB keeps a table although what follows it fails, so every statement here can be run again.

-- What services remember about an account. id: of account, service and name.
CREATE TABLE IF NOT EXISTS state_memory (
    id      BINARY(32) NOT NULL PRIMARY KEY,
    account TEXT     NOT NULL,
    service TEXT     NOT NULL,
    name    TEXT     NOT NULL,
    value   LONGTEXT NOT NULL,
    expires BIGINT   NOT NULL,
    INDEX state_memory_expires (expires)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Branches of aliases that ended well while others had to be tried again.
CREATE TABLE IF NOT EXISTS state_finished (
    id    BINARY(32) NOT NULL PRIMARY KEY,
    ended BIGINT NOT NULL,
    INDEX state_finished_ended (ended)
) ENGINE = InnoDB;

-- Hand-overs to the MTA. Rows of those that ended stay for a while, so that an entry is never made twice.
CREATE TABLE IF NOT EXISTS state_outbox (
    id           BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    entry_id     BINARY(32) NOT NULL UNIQUE,      -- of entry
    entry        TEXT NOT NULL,                   -- the entry's key
    on_behalf_of TEXT NOT NULL,
    sender       TEXT NOT NULL,                   -- empty: the null sender
    recipient    TEXT NOT NULL,
    content      BINARY(16),                      -- none when the content is gone
    octets       BIGINT NOT NULL,                 -- of the content, with lines ended by CRLF
    is_8bit      BIGINT NOT NULL,
    status       VARCHAR(16) NOT NULL
        CHECK (status IN ('held', 'ready', 'sending', 'sent', 'failed', 'cancelled')),
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_attempt BIGINT NOT NULL,                 -- by the server's clock; while sending: the end of the lease
    lease        TEXT,                            -- NODE/UUID: who is sending it
    last_error   TEXT NOT NULL DEFAULT '',
    created      BIGINT NOT NULL,
    changed      BIGINT NOT NULL,                 -- when the status changed last
    INDEX state_outbox_due (status, next_attempt),
    INDEX state_outbox_content (content),
    INDEX state_outbox_changed (status, changed)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The octets that go out, in pieces counted from zero. Entries may share them.
CREATE TABLE IF NOT EXISTS state_contents (
    id    BINARY(16) NOT NULL,
    nth   BIGINT     NOT NULL,
    piece MEDIUMBLOB NOT NULL,
    PRIMARY KEY (id, nth)
) ENGINE = InnoDB;

-- One row for each receipt. id: the spool file that it was in, and its line: however often a file is taken in, a
-- receipt is kept once.
CREATE TABLE IF NOT EXISTS state_receipts (
    id     BINARY(20) NOT NULL PRIMARY KEY,
    made   BIGINT     NOT NULL,
    detail MEDIUMBLOB NOT NULL, -- as JSON
    INDEX state_receipts_made (made)
) ENGINE = InnoDB;

-- Under which words a receipt is found.
CREATE TABLE IF NOT EXISTS state_words (
    word BIGINT     NOT NULL,
    made BIGINT     NOT NULL,
    id   BINARY(20) NOT NULL,
    PRIMARY KEY (word, made, id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS state_nodes (
    name       VARCHAR(255) NOT NULL PRIMARY KEY,
    id         VARCHAR(64)  NOT NULL,
    heard      BIGINT       NOT NULL, -- by the server's clock
    is_stopped BIGINT       NOT NULL,
    report     LONGTEXT     NOT NULL  -- as JSON
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- What one node does for all, and when it is to be done again, by the server's clock.
CREATE TABLE IF NOT EXISTS state_chores (
    name   VARCHAR(64) NOT NULL PRIMARY KEY,
    due    BIGINT      NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
INSERT IGNORE INTO state_chores VALUES ('tidy', 0), ('prune', 0);
