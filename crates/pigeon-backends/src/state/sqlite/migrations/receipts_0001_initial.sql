-- One row for each receipt, newest last.
CREATE TABLE receipts (
    seq    INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL, -- microseconds since 1970
    detail BLOB NOT NULL     -- the receipt as JSON
) STRICT;

-- Under which words a receipt is found: the first 64 bits of the SHA-256 of 'a' and an address in key form
-- (the recipient, and the targets of its branches), or of 'm' and the Message-ID; what is found is compared
-- with the receipt itself. Words come in no order, and a tree that grows in random places is dear to write. So
-- each 16,384 receipts have a part of the tree to themselves (part = seq >> 14): small enough to stay in
-- memory while it grows, and few enough to look into each when somebody asks.
CREATE TABLE words (
    part INTEGER NOT NULL,
    word INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (part, word, seq)
) STRICT, WITHOUT ROWID;

-- Spool files taken in, so that none counts twice after a crash.
CREATE TABLE taken (
    file TEXT NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
