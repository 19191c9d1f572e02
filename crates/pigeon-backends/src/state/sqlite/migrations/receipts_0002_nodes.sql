-- The nodes that use this State: mostly one.
CREATE TABLE nodes (
    name       TEXT NOT NULL PRIMARY KEY,
    id         TEXT NOT NULL,
    heard      INTEGER NOT NULL, -- microseconds since 1970
    is_stopped INTEGER NOT NULL,
    report     TEXT NOT NULL     -- as JSON
) STRICT, WITHOUT ROWID;
