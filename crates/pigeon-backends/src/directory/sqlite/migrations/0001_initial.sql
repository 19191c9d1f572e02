-- The directory. Ids never change; names are attributes. All times are microseconds since 1970, UTC.
-- Plain SQL edits are welcome: the triggers at the end log them and tell every node what changed.

CREATE TABLE domains (
    id     TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed'))
) WITHOUT ROWID;

-- Every name of a domain; exactly one is the primary one, the others are alias domains. Lower case, A-labels.
CREATE TABLE domain_names (
    name       TEXT    NOT NULL PRIMARY KEY CHECK (name = lower(name)),
    domain     TEXT    NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    is_primary INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1))
) WITHOUT ROWID;
CREATE UNIQUE INDEX domain_names_primary ON domain_names (domain) WHERE is_primary;

-- Rows are long: by their number, the tree above them stays small enough to be kept in memory.
CREATE TABLE accounts (
    number   INTEGER PRIMARY KEY,
    domain   TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    local    TEXT NOT NULL CHECK (local <> '' AND local = lower(local)),
    id       TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL DEFAULT '',
    mailbox  TEXT NOT NULL UNIQUE,
    password TEXT,
    status   TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed')),
    UNIQUE (domain, local)
);

-- Paths of accounts that are gone: never given out again, for mail may still be there.
CREATE TABLE retired_mailboxes (
    mailbox TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;

-- targets: a JSON array of addresses. A local part with '*' is a wildcard, '*' alone the catch-all.
CREATE TABLE aliases (
    domain  TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    local   TEXT NOT NULL CHECK (local <> '' AND local = lower(local)),
    id      TEXT NOT NULL UNIQUE,
    targets TEXT NOT NULL CHECK (json_valid(targets)),
    status  TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed')),
    PRIMARY KEY (domain, local)
) WITHOUT ROWID;
CREATE INDEX aliases_wildcard ON aliases (domain) WHERE instr(local, '*');

-- owner: the id of a domain or account; empty at the system layer. content: {"value": …} or {"range": …}.
-- The layer leads, so that those of the domains lie together.
CREATE TABLE settings (
    layer   TEXT NOT NULL CHECK (layer IN ('system', 'domain', 'account')),
    owner   TEXT NOT NULL CHECK ((layer = 'system') = (owner = '')),
    service TEXT NOT NULL,
    key     TEXT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('value', 'range')),
    content TEXT NOT NULL CHECK (json_valid(content)),
    pin     TEXT NOT NULL DEFAULT 'none' CHECK (pin IN ('none', 'domain', 'system')),
    until   INTEGER,
    reason  TEXT,
    written_by TEXT NOT NULL DEFAULT 'sql',
    PRIMARY KEY (layer, owner, service, key, kind)
) WITHOUT ROWID;

-- domain: empty for the whole system.
CREATE TABLE grants (
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    domain  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, domain)
) WITHOUT ROWID;

CREATE TABLE change_log (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    change TEXT    NOT NULL,
    before TEXT,
    after  TEXT
);

-- What each change touched: 'system', 'domain:ID', 'name:NAME', 'account:ID', 'address:KEY'.
CREATE TABLE change_scopes (
    seq   INTEGER NOT NULL,
    scope TEXT    NOT NULL,
    PRIMARY KEY (seq, scope)
) WITHOUT ROWID;

-- Holds a row only inside a transaction of PigeonDeliver, which writes its own row of the change log.
-- is_bulk: the transaction also says itself what it touched.
CREATE TABLE applying (
    is_bulk INTEGER NOT NULL
);

-- Every trigger below says here what it touches by itself (own), and where the row was and is: the domain it
-- belongs to, its name there, what it says. This one place then writes the log and the rest of what was touched.
-- The triggers are kept short, for every process that opens the directory reads them.
CREATE VIEW touched AS SELECT 1 AS what, 1 AS own, 1 AS domain0, 1 AS name0, 1 AS says0, 1 AS domain1, 1 AS name1, 1 AS says1;
CREATE TRIGGER touched_insert INSTEAD OF INSERT ON touched WHEN NOT EXISTS (SELECT 1 FROM applying WHERE is_bulk) BEGIN
    INSERT INTO change_log (at, actor, change, before, after)
        SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), 'sql',
            json_object('change', 'edit', 'table', new.what, 'row', new.own),
            iif(new.domain0 IS NULL, NULL, json_object('of', new.domain0, 'name', new.name0, 'says', new.says0)),
            iif(new.domain1 IS NULL, NULL, json_object('of', new.domain1, 'name', new.name1, 'says', new.says1))
        WHERE NOT EXISTS (SELECT 1 FROM applying);
    INSERT INTO change_scopes
        SELECT DISTINCT (SELECT max(seq) FROM change_log) AS now, touch FROM (
            SELECT new.own AS touch UNION ALL
            SELECT CASE
                WHEN new.what = 'settings' THEN rtrim(domain, ':')
                WHEN new.what = 'domain_names' THEN 'name:' || name
                WHEN instr(name, '*') THEN 'domain:' || domain
                ELSE 'address:' || name || '@' || (SELECT n.name FROM domain_names n WHERE n.domain = place.domain AND is_primary)
            END FROM (SELECT new.domain0 AS domain, new.name0 AS name UNION ALL SELECT new.domain1, new.name1) AS place)
        WHERE touch IS NOT NULL AND NOT EXISTS (SELECT 1 FROM change_scopes s WHERE s.seq = now AND s.scope = touch);
END;

-- A new domain touches nothing until it has a name.
CREATE TRIGGER domains_update AFTER UPDATE ON domains BEGIN
    INSERT INTO touched VALUES ('domains', 'domain:' || old.id, old.id, NULL, old.status, new.id, NULL, new.status);
END;
CREATE TRIGGER domains_delete AFTER DELETE ON domains BEGIN
    DELETE FROM settings WHERE layer = 'domain' AND owner = old.id;
    DELETE FROM grants WHERE domain = old.id;
    INSERT INTO touched VALUES ('domains', 'domain:' || old.id, old.id, NULL, old.status, NULL, NULL, NULL);
END;

CREATE TRIGGER domain_names_insert AFTER INSERT ON domain_names BEGIN
    INSERT INTO touched VALUES ('domain_names', 'domain:' || new.domain, NULL, NULL, NULL, new.domain, new.name, new.is_primary);
END;
CREATE TRIGGER domain_names_update AFTER UPDATE ON domain_names BEGIN
    INSERT INTO touched VALUES ('domain_names', 'domain:' || old.domain, old.domain, old.name, old.is_primary, new.domain, new.name, new.is_primary);
END;
CREATE TRIGGER domain_names_delete AFTER DELETE ON domain_names BEGIN
    INSERT INTO touched VALUES ('domain_names', 'domain:' || old.domain, old.domain, old.name, old.is_primary, NULL, NULL, NULL);
END;

CREATE TRIGGER accounts_insert AFTER INSERT ON accounts BEGIN
    INSERT INTO touched VALUES ('accounts', 'account:' || new.id, NULL, NULL, NULL, new.domain, new.local, new.status);
END;
CREATE TRIGGER accounts_update AFTER UPDATE ON accounts BEGIN
    INSERT INTO touched VALUES ('accounts', 'account:' || old.id, old.domain, old.local, old.status, new.domain, new.local, new.status);
END;
CREATE TRIGGER accounts_delete AFTER DELETE ON accounts BEGIN
    DELETE FROM settings WHERE layer = 'account' AND owner = old.id;
    INSERT INTO retired_mailboxes SELECT old.mailbox WHERE old.mailbox NOT IN retired_mailboxes;
    INSERT INTO touched VALUES ('accounts', 'account:' || old.id, old.domain, old.local, old.status, NULL, NULL, NULL);
END;

CREATE TRIGGER aliases_insert AFTER INSERT ON aliases BEGIN
    INSERT INTO touched VALUES ('aliases', NULL, NULL, NULL, NULL, new.domain, new.local, new.targets);
END;
CREATE TRIGGER aliases_update AFTER UPDATE ON aliases BEGIN
    INSERT INTO touched VALUES ('aliases', NULL, old.domain, old.local, old.targets, new.domain, new.local, new.targets);
END;
CREATE TRIGGER aliases_delete AFTER DELETE ON aliases BEGIN
    INSERT INTO touched VALUES ('aliases', NULL, old.domain, old.local, old.targets, NULL, NULL, NULL);
END;

CREATE TRIGGER settings_insert AFTER INSERT ON settings BEGIN
    INSERT INTO touched VALUES ('settings', NULL, NULL, NULL, NULL, new.layer || ':' || new.owner, new.service || '.' || new.key, new.content);
END;
CREATE TRIGGER settings_update AFTER UPDATE ON settings BEGIN
    INSERT INTO touched VALUES ('settings', NULL, old.layer || ':' || old.owner, old.service || '.' || old.key, old.content,
        new.layer || ':' || new.owner, new.service || '.' || new.key, new.content);
END;
CREATE TRIGGER settings_delete AFTER DELETE ON settings BEGIN
    INSERT INTO touched VALUES ('settings', NULL, old.layer || ':' || old.owner, old.service || '.' || old.key, old.content, NULL, NULL, NULL);
END;
