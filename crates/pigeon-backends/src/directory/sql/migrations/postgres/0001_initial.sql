-- The directory. Ids never change; names are attributes. All times are microseconds since 1970, UTC.
-- Plain SQL edits are welcome: the triggers at the end log them and tell every node what changed.
-- Text is compared and sorted octet by octet (COLLATE "C"), on every node and in every engine alike.

CREATE TABLE domains (
    id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed'))
);

-- Every name of a domain; exactly one is the primary one, the others are alias domains. Lower case, A-labels.
CREATE TABLE domain_names (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name = lower(name)),
    domain     TEXT COLLATE "C" NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    is_primary BIGINT NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1))
);
CREATE UNIQUE INDEX domain_names_primary ON domain_names (domain) WHERE is_primary = 1;
CREATE INDEX domain_names_domain ON domain_names (domain);

CREATE TABLE accounts (
    domain   TEXT COLLATE "C" NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    local    TEXT COLLATE "C" NOT NULL CHECK (local <> '' AND local = lower(local)),
    id       TEXT COLLATE "C" NOT NULL UNIQUE,
    name     TEXT COLLATE "C" NOT NULL DEFAULT '',
    mailbox  TEXT COLLATE "C" NOT NULL UNIQUE,
    password TEXT COLLATE "C",
    status   TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed')),
    PRIMARY KEY (domain, local)
);

-- Paths of accounts that are gone: never given out again, for mail may still be there.
CREATE TABLE retired_mailboxes (
    mailbox TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

-- targets: a JSON array of addresses. A local part with '*' is a wildcard, '*' alone the catch-all.
CREATE TABLE aliases (
    domain  TEXT COLLATE "C" NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    local   TEXT COLLATE "C" NOT NULL CHECK (local <> '' AND local = lower(local)),
    id      TEXT COLLATE "C" NOT NULL UNIQUE,
    targets TEXT COLLATE "C" NOT NULL CHECK (jsonb_typeof(targets::jsonb) = 'array'),
    status  TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'removed')),
    PRIMARY KEY (domain, local)
);
CREATE INDEX aliases_wildcard ON aliases (domain) WHERE local LIKE '%*%';

-- owner: the id of a domain or account; empty at the system layer. content: {"value": …} or {"range": …}.
CREATE TABLE settings (
    layer   TEXT COLLATE "C" NOT NULL CHECK (layer IN ('system', 'domain', 'account')),
    owner   TEXT COLLATE "C" NOT NULL CHECK ((layer = 'system') = (owner = '')),
    service TEXT COLLATE "C" NOT NULL,
    key     TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL CHECK (kind IN ('value', 'range')),
    content TEXT COLLATE "C" NOT NULL CHECK (json_typeof(content::json) = 'object'),
    pin     TEXT COLLATE "C" NOT NULL DEFAULT 'none' CHECK (pin IN ('none', 'domain', 'system')),
    until   BIGINT,
    reason  TEXT COLLATE "C",
    written_by TEXT COLLATE "C" NOT NULL DEFAULT 'sql',
    PRIMARY KEY (layer, owner, service, key, kind)
);

-- domain: empty for the whole system.
CREATE TABLE grants (
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    domain  TEXT COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (account, domain)
);
CREATE INDEX grants_domain ON grants (domain);

CREATE TABLE change_log (
    seq    BIGINT NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT COLLATE "C" NOT NULL,
    change TEXT COLLATE "C" NOT NULL,
    before TEXT COLLATE "C",
    after  TEXT COLLATE "C"
);

-- What each change touched: 'system', 'domain:ID', 'name:NAME', 'account:ID', 'address:KEY'.
CREATE TABLE change_scopes (
    seq   BIGINT NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (seq, scope)
);

-- Where the log was when rows of it were deleted: positions never begin anew.
CREATE TABLE change_floor (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number = 1),
    seq    BIGINT NOT NULL
);
INSERT INTO change_floor VALUES (1, 0);

-- The position of the change log. A row that each change counts up would be no cheaper to read, and slow where one
-- transaction changes many rows.
CREATE VIEW change_position (number, seq) AS
    SELECT number, greatest(seq, (SELECT max(l.seq) FROM change_log l)) FROM change_floor;

-- Positions of the change log are in the order of the commits, or a node that has read position 8 would miss a 7 that
-- comes later: so whoever changes the directory takes this lock before anything else and holds it until the commit.
-- PigeonDeliver asks for it by the same call; plain SQL edits get it from the triggers. Look-ups never wait for it.
CREATE FUNCTION pigeon_change_lock() RETURNS BIGINT LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pigeon changes'));
    RETURN 1;
END $$;

CREATE FUNCTION pigeon_changing() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pigeon_change_lock();
    RETURN NULL;
END $$;

-- Every trigger below says here what it touches by itself (own), and where the row was and is: the domain it
-- belongs to, its name there, what it says. This one place then writes the log and the rest of what was touched.
-- A transaction of PigeonDeliver writes its own row of the log and says so in pigeon.applying ('change'; 'bulk': it
-- also says itself what it touched).
CREATE FUNCTION pigeon_touched(what TEXT, own TEXT, domain0 TEXT, name0 TEXT, says0 TEXT, domain1 TEXT, name1 TEXT, says1 TEXT)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    applying TEXT := coalesce(current_setting('pigeon.applying', TRUE), '');
    place    BIGINT;
BEGIN
    IF applying = 'bulk' THEN
        RETURN;
    END IF;
    SELECT seq INTO place FROM change_position;
    IF applying = '' THEN
        place := place + 1;
        INSERT INTO change_log (seq, at, actor, change, before, after) VALUES (
            place, (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT, 'sql',
            json_build_object('change', 'edit', 'table', what, 'row', own),
            CASE WHEN domain0 IS NOT NULL THEN json_build_object('of', domain0, 'name', name0, 'says', says0) END,
            CASE WHEN domain1 IS NOT NULL THEN json_build_object('of', domain1, 'name', name1, 'says', says1) END);
    END IF;
    INSERT INTO change_scopes (seq, scope)
        SELECT DISTINCT place, touch FROM (
            SELECT own AS touch UNION ALL
            SELECT CASE
                WHEN what = 'settings' THEN rtrim(p.domain, ':')
                WHEN what = 'domain_names' THEN 'name:' || p.name
                WHEN p.name LIKE '%*%' THEN 'domain:' || p.domain
                ELSE 'address:' || p.name || '@' || (SELECT n.name FROM domain_names n WHERE n.domain = p.domain AND n.is_primary = 1)
            END FROM (VALUES (domain0, name0), (domain1, name1)) AS p (domain, name)) AS touches
        WHERE touch IS NOT NULL
        ON CONFLICT DO NOTHING;
END $$;

-- A new domain touches nothing until it has a name.
CREATE FUNCTION pigeon_domains() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM pigeon_touched('domains', 'domain:' || old.id, old.id, NULL, old.status, new.id, NULL, new.status);
    ELSE
        DELETE FROM settings WHERE layer = 'domain' AND owner = old.id;
        DELETE FROM grants WHERE domain = old.id;
        PERFORM pigeon_touched('domains', 'domain:' || old.id, old.id, NULL, old.status, NULL, NULL, NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION pigeon_domain_names() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pigeon_touched('domain_names', 'domain:' || new.domain, NULL, NULL, NULL, new.domain, new.name, new.is_primary::TEXT);
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM pigeon_touched('domain_names', 'domain:' || old.domain, old.domain, old.name, old.is_primary::TEXT,
            new.domain, new.name, new.is_primary::TEXT);
    ELSE
        PERFORM pigeon_touched('domain_names', 'domain:' || old.domain, old.domain, old.name, old.is_primary::TEXT, NULL, NULL, NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION pigeon_accounts() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pigeon_touched('accounts', 'account:' || new.id, NULL, NULL, NULL, new.domain, new.local, new.status);
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM pigeon_touched('accounts', 'account:' || old.id, old.domain, old.local, old.status, new.domain, new.local, new.status);
    ELSE
        DELETE FROM settings WHERE layer = 'account' AND owner = old.id;
        INSERT INTO retired_mailboxes VALUES (old.mailbox) ON CONFLICT DO NOTHING;
        PERFORM pigeon_touched('accounts', 'account:' || old.id, old.domain, old.local, old.status, NULL, NULL, NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION pigeon_aliases() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pigeon_touched('aliases', NULL, NULL, NULL, NULL, new.domain, new.local, new.targets);
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM pigeon_touched('aliases', NULL, old.domain, old.local, old.targets, new.domain, new.local, new.targets);
    ELSE
        PERFORM pigeon_touched('aliases', NULL, old.domain, old.local, old.targets, NULL, NULL, NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION pigeon_settings() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pigeon_touched('settings', NULL, NULL, NULL, NULL, new.layer || ':' || new.owner, new.service || '.' || new.key, new.content);
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM pigeon_touched('settings', NULL, old.layer || ':' || old.owner, old.service || '.' || old.key, old.content,
            new.layer || ':' || new.owner, new.service || '.' || new.key, new.content);
    ELSE
        PERFORM pigeon_touched('settings', NULL, old.layer || ':' || old.owner, old.service || '.' || old.key, old.content, NULL, NULL, NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER pigeon_touched AFTER UPDATE OR DELETE ON domains FOR EACH ROW EXECUTE FUNCTION pigeon_domains();
CREATE TRIGGER pigeon_touched AFTER INSERT OR UPDATE OR DELETE ON domain_names FOR EACH ROW EXECUTE FUNCTION pigeon_domain_names();
CREATE TRIGGER pigeon_touched AFTER INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION pigeon_accounts();
CREATE TRIGGER pigeon_touched AFTER INSERT OR UPDATE OR DELETE ON aliases FOR EACH ROW EXECUTE FUNCTION pigeon_aliases();
CREATE TRIGGER pigeon_touched AFTER INSERT OR UPDATE OR DELETE ON settings FOR EACH ROW EXECUTE FUNCTION pigeon_settings();

-- Before any row is locked: two who lock in different orders would wait for each other.
CREATE TRIGGER pigeon_changing BEFORE INSERT OR UPDATE OR DELETE ON domains FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changing();
CREATE TRIGGER pigeon_changing BEFORE INSERT OR UPDATE OR DELETE ON domain_names FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changing();
CREATE TRIGGER pigeon_changing BEFORE INSERT OR UPDATE OR DELETE ON accounts FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changing();
CREATE TRIGGER pigeon_changing BEFORE INSERT OR UPDATE OR DELETE ON aliases FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changing();
CREATE TRIGGER pigeon_changing BEFORE INSERT OR UPDATE OR DELETE ON settings FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changing();
CREATE TRIGGER pigeon_changing BEFORE INSERT OR UPDATE OR DELETE ON grants FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changing();

-- Whoever empties a table touches everything.
CREATE FUNCTION pigeon_emptied() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pigeon_change_lock();
    PERFORM pigeon_touched(TG_TABLE_NAME, 'system', NULL, NULL, NULL, NULL, NULL, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER pigeon_emptied AFTER TRUNCATE ON domains FOR EACH STATEMENT EXECUTE FUNCTION pigeon_emptied();
CREATE TRIGGER pigeon_emptied AFTER TRUNCATE ON domain_names FOR EACH STATEMENT EXECUTE FUNCTION pigeon_emptied();
CREATE TRIGGER pigeon_emptied AFTER TRUNCATE ON accounts FOR EACH STATEMENT EXECUTE FUNCTION pigeon_emptied();
CREATE TRIGGER pigeon_emptied AFTER TRUNCATE ON aliases FOR EACH STATEMENT EXECUTE FUNCTION pigeon_emptied();
CREATE TRIGGER pigeon_emptied AFTER TRUNCATE ON settings FOR EACH STATEMENT EXECUTE FUNCTION pigeon_emptied();

CREATE FUNCTION pigeon_cut() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pigeon_change_lock();
    UPDATE change_floor f SET seq = p.seq FROM change_position p WHERE f.seq < p.seq;
    RETURN NULL;
END $$;
CREATE TRIGGER pigeon_cut BEFORE DELETE OR TRUNCATE ON change_log FOR EACH STATEMENT EXECUTE FUNCTION pigeon_cut();

-- Wakes the nodes when the change is committed; many changes of one transaction wake them once.
CREATE FUNCTION pigeon_changed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY pigeon_changes;
    RETURN NULL;
END $$;
CREATE TRIGGER pigeon_changed AFTER INSERT ON change_log FOR EACH STATEMENT EXECUTE FUNCTION pigeon_changed();
