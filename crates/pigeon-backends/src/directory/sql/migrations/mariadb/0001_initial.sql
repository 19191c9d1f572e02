-- The directory. Ids never change; names are attributes. All times are microseconds since 1970, UTC.
-- Plain SQL edits are welcome: the triggers at the end log them and tell every node what changed.
-- Text is compared and sorted octet by octet (utf8mb4_nopad_bin), on every node and in every engine alike.
-- MariaDB keeps a table although what follows it fails, so every statement here can be run again.

CREATE TABLE IF NOT EXISTS domains (
    id     VARCHAR(64) NOT NULL PRIMARY KEY,
    status VARCHAR(16) NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed'))
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Every name of a domain; exactly one is the primary one, the others are alias domains. Lower case, A-labels.
-- Foreign keys do not cascade: MariaDB runs no triggers for what a cascade deletes. The triggers below do it.
CREATE TABLE IF NOT EXISTS domain_names (
    name       VARCHAR(255) NOT NULL PRIMARY KEY CHECK (name = lower(name)),
    domain     VARCHAR(64)  NOT NULL REFERENCES domains (id),
    is_primary BIGINT       NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1)),
    primary_of VARCHAR(64)  GENERATED ALWAYS AS (IF(is_primary = 1, domain, NULL)) VIRTUAL INVISIBLE,
    UNIQUE INDEX domain_names_primary (primary_of)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS accounts (
    domain   VARCHAR(64)  NOT NULL REFERENCES domains (id),
    local    VARCHAR(256) NOT NULL CHECK (local <> '' AND local = lower(local)),
    id       VARCHAR(64)  NOT NULL UNIQUE,
    name     TEXT         NOT NULL DEFAULT '',
    mailbox  VARCHAR(512) NOT NULL UNIQUE,
    password TEXT,
    status   VARCHAR(16)  NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed')),
    PRIMARY KEY (domain, local)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Paths of accounts that are gone: never given out again, for mail may still be there.
CREATE TABLE IF NOT EXISTS retired_mailboxes (
    mailbox VARCHAR(512) NOT NULL PRIMARY KEY
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- targets: a JSON array of addresses. A local part with '*' is a wildcard, '*' alone the catch-all.
CREATE TABLE IF NOT EXISTS aliases (
    domain  VARCHAR(64)  NOT NULL REFERENCES domains (id),
    local   VARCHAR(256) NOT NULL CHECK (local <> '' AND local = lower(local)),
    id      VARCHAR(64)  NOT NULL UNIQUE,
    targets LONGTEXT     NOT NULL CHECK (JSON_VALID(targets) AND JSON_TYPE(targets) = 'ARRAY'),
    status  VARCHAR(16)  NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed')),
    is_wildcard BIGINT   GENERATED ALWAYS AS (local LIKE '%*%') VIRTUAL INVISIBLE,
    PRIMARY KEY (domain, local),
    INDEX aliases_wildcard (domain, is_wildcard)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- owner: the id of a domain or account; empty at the system layer. content: {"value": …} or {"range": …}.
CREATE TABLE IF NOT EXISTS settings (
    layer   VARCHAR(16)  NOT NULL CHECK (layer IN ('system', 'domain', 'account')),
    owner   VARCHAR(64)  NOT NULL CHECK ((layer = 'system') = (owner = '')),
    service VARCHAR(100) NOT NULL,
    `key`   VARCHAR(255) NOT NULL,
    kind    VARCHAR(16)  NOT NULL CHECK (kind IN ('value', 'range')),
    content LONGTEXT     NOT NULL CHECK (JSON_VALID(content) AND JSON_TYPE(content) = 'OBJECT'),
    pin     VARCHAR(16)  NOT NULL DEFAULT 'none' CHECK (pin IN ('none', 'domain', 'system')),
    until   BIGINT,
    reason  TEXT,
    written_by TEXT      NOT NULL DEFAULT 'sql',
    PRIMARY KEY (layer, owner, service, `key`, kind)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- domain: empty for the whole system.
CREATE TABLE IF NOT EXISTS grants (
    account VARCHAR(64) NOT NULL REFERENCES accounts (id),
    domain  VARCHAR(64) NOT NULL DEFAULT '',
    PRIMARY KEY (account, domain),
    INDEX grants_domain (domain)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS change_log (
    seq      BIGINT   NOT NULL PRIMARY KEY,
    at       BIGINT   NOT NULL,
    actor    TEXT     NOT NULL,
    `change` LONGTEXT NOT NULL,
    `before` LONGTEXT,
    after    LONGTEXT
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- What each change touched: 'system', 'domain:ID', 'name:NAME', 'account:ID', 'address:KEY'.
CREATE TABLE IF NOT EXISTS change_scopes (
    seq   BIGINT       NOT NULL,
    scope VARCHAR(700) NOT NULL,
    PRIMARY KEY (seq, scope)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Positions of the change log are in the order of the commits, or a node that has read position 8 would miss a 7 that
-- comes later: so whoever changes the directory locks this row and holds it until the commit. PigeonDeliver does so
-- before anything else; plain SQL edits, in the triggers. Where an edit has locked the row that it changes before,
-- MariaDB sees that two wait for each other: PigeonDeliver begins again, or the edit is refused and is to be repeated.
-- Look-ups never wait for it.
CREATE TABLE IF NOT EXISTS change_position (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number = 1),
    seq    BIGINT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
INSERT IGNORE INTO change_position (number, seq) VALUES (1, 0);

-- Every trigger below says here what it touches by itself (own), and where the row was and is: the domain it
-- belongs to, its name there, what it says. This one place then writes the log and the rest of what was touched.
-- A transaction of PigeonDeliver writes its own row of the log and says so in @pigeon_applying ('change'; 'bulk': it
-- also says itself what it touched).
-- Its arguments are text of our own kind, whatever the database was made for.
CREATE OR REPLACE PROCEDURE pigeon_touched(
    what VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, own VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    domain0 VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, name0 VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    says0 LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    domain1 VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, name1 VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    says1 LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    DECLARE place BIGINT;
    IF NOT (@pigeon_applying <=> 'bulk') THEN
        IF @pigeon_applying IS NULL THEN
            UPDATE change_position SET seq = seq + 1 WHERE number = 1;
            SELECT seq INTO place FROM change_position WHERE number = 1 FOR UPDATE;
            INSERT INTO change_log (seq, at, actor, `change`, `before`, after) VALUES (
                place, CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED), 'sql',
                JSON_OBJECT('change', 'edit', 'table', what, 'row', own),
                IF(domain0 IS NULL, NULL, JSON_OBJECT('of', domain0, 'name', name0, 'says', says0)),
                IF(domain1 IS NULL, NULL, JSON_OBJECT('of', domain1, 'name', name1, 'says', says1)));
        ELSE
            SELECT seq INTO place FROM change_position WHERE number = 1 FOR UPDATE;
        END IF;
        INSERT IGNORE INTO change_scopes (seq, scope)
            SELECT place, touch FROM (
                SELECT own AS touch UNION ALL
                SELECT CASE
                    WHEN what = 'settings' THEN TRIM(TRAILING ':' FROM p.domain)
                    WHEN what = 'domain_names' THEN CONCAT('name:', p.name)
                    WHEN p.name LIKE '%*%' THEN CONCAT('domain:', p.domain)
                    ELSE CONCAT('address:', p.name, '@', (SELECT n.name FROM domain_names n WHERE n.primary_of = p.domain))
                END FROM (SELECT domain0 AS domain, name0 AS name UNION ALL SELECT domain1, name1) AS p) AS touches
            WHERE touch IS NOT NULL;
    END IF;
END;

-- A new domain touches nothing until it has a name.
CREATE OR REPLACE TRIGGER domains_update AFTER UPDATE ON domains FOR EACH ROW
    CALL pigeon_touched('domains', CONCAT('domain:', old.id), old.id, NULL, old.status, new.id, NULL, new.status);
CREATE OR REPLACE TRIGGER domains_delete BEFORE DELETE ON domains FOR EACH ROW
BEGIN
    DELETE FROM aliases WHERE domain = old.id;
    DELETE FROM accounts WHERE domain = old.id;
    DELETE FROM settings WHERE layer = 'domain' AND owner = old.id;
    DELETE FROM grants WHERE domain = old.id;
    DELETE FROM domain_names WHERE domain = old.id;
    CALL pigeon_touched('domains', CONCAT('domain:', old.id), old.id, NULL, old.status, NULL, NULL, NULL);
END;

CREATE OR REPLACE TRIGGER domain_names_insert AFTER INSERT ON domain_names FOR EACH ROW
    CALL pigeon_touched('domain_names', CONCAT('domain:', new.domain), NULL, NULL, NULL, new.domain, new.name, new.is_primary);
CREATE OR REPLACE TRIGGER domain_names_update AFTER UPDATE ON domain_names FOR EACH ROW
    CALL pigeon_touched('domain_names', CONCAT('domain:', old.domain), old.domain, old.name, old.is_primary, new.domain, new.name, new.is_primary);
CREATE OR REPLACE TRIGGER domain_names_delete AFTER DELETE ON domain_names FOR EACH ROW
    CALL pigeon_touched('domain_names', CONCAT('domain:', old.domain), old.domain, old.name, old.is_primary, NULL, NULL, NULL);

CREATE OR REPLACE TRIGGER accounts_insert AFTER INSERT ON accounts FOR EACH ROW
    CALL pigeon_touched('accounts', CONCAT('account:', new.id), NULL, NULL, NULL, new.domain, new.local, new.status);
CREATE OR REPLACE TRIGGER accounts_update AFTER UPDATE ON accounts FOR EACH ROW
    CALL pigeon_touched('accounts', CONCAT('account:', old.id), old.domain, old.local, old.status, new.domain, new.local, new.status);
CREATE OR REPLACE TRIGGER accounts_delete BEFORE DELETE ON accounts FOR EACH ROW
BEGIN
    DELETE FROM settings WHERE layer = 'account' AND owner = old.id;
    DELETE FROM grants WHERE account = old.id;
    INSERT IGNORE INTO retired_mailboxes VALUES (old.mailbox);
    CALL pigeon_touched('accounts', CONCAT('account:', old.id), old.domain, old.local, old.status, NULL, NULL, NULL);
END;

CREATE OR REPLACE TRIGGER aliases_insert AFTER INSERT ON aliases FOR EACH ROW
    CALL pigeon_touched('aliases', NULL, NULL, NULL, NULL, new.domain, new.local, new.targets);
CREATE OR REPLACE TRIGGER aliases_update AFTER UPDATE ON aliases FOR EACH ROW
    CALL pigeon_touched('aliases', NULL, old.domain, old.local, old.targets, new.domain, new.local, new.targets);
CREATE OR REPLACE TRIGGER aliases_delete AFTER DELETE ON aliases FOR EACH ROW
    CALL pigeon_touched('aliases', NULL, old.domain, old.local, old.targets, NULL, NULL, NULL);

CREATE OR REPLACE TRIGGER settings_insert AFTER INSERT ON settings FOR EACH ROW
    CALL pigeon_touched('settings', NULL, NULL, NULL, NULL, CONCAT(new.layer, ':', new.owner), CONCAT(new.service, '.', new.`key`), new.content);
CREATE OR REPLACE TRIGGER settings_update AFTER UPDATE ON settings FOR EACH ROW
    CALL pigeon_touched('settings', NULL, CONCAT(old.layer, ':', old.owner), CONCAT(old.service, '.', old.`key`), old.content,
        CONCAT(new.layer, ':', new.owner), CONCAT(new.service, '.', new.`key`), new.content);
CREATE OR REPLACE TRIGGER settings_delete AFTER DELETE ON settings FOR EACH ROW
    CALL pigeon_touched('settings', NULL, CONCAT(old.layer, ':', old.owner), CONCAT(old.service, '.', old.`key`), old.content, NULL, NULL, NULL);
