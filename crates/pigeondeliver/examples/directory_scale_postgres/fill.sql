-- :accounts accounts in :domains domains, with five settings at each account and at each domain and three for all.
-- Run as the owner of an empty directory, with the variables domains and accounts. OWN in the environment: how many of
-- their settings the accounts have (psql 15).
-- Ids are random, so that the rows of a domain lie apart: the worst case for the server's caches.
\set ON_ERROR_STOP on
\set own 5
\getenv own OWN
BEGIN;
SELECT pigeon_change_lock();
ALTER TABLE domain_names DISABLE TRIGGER USER;
ALTER TABLE accounts DISABLE TRIGGER USER;
ALTER TABLE settings DISABLE TRIGGER USER;

CREATE TEMPORARY TABLE made ON COMMIT DROP AS SELECT n, gen_random_uuid()::TEXT AS id FROM generate_series(0, :domains - 1) AS n;
INSERT INTO domains (id) SELECT id FROM made;
INSERT INTO domain_names (name, domain, is_primary) SELECT 'd' || n || '.example.org', id, 1 FROM made;
-- Account n is "user(n / domains)" in domain n % domains. The password is as long as a real one.
INSERT INTO accounts (domain, local, id, name, mailbox, password)
    SELECT made.id, 'user' || a / :domains, gen_random_uuid()::TEXT, 'A. User', made.n || '/user' || a / :domains,
        '{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$9/v1pjft6fTSgbbXm2t73w$jWpGaD/Rxk0R9dafu75AQyS0Q4hgZeK5nvt87Wm18UE'
    FROM generate_series(0, :accounts - 1) AS a JOIN made ON made.n = a % :domains;

INSERT INTO settings (layer, owner, service, key, kind, content) VALUES
    ('system', '', 'trace', 'max_hops', 'value', '{"value": 60}'),
    ('system', '', 'quota', 'messages', 'value', '{"value": 0}'),
    ('system', '', 'vacation', 'enabled', 'value', '{"value": true}');
INSERT INTO settings (layer, owner, service, key, kind, content)
    SELECT 'domain', made.id, s.service, s.key, 'value', json_build_object('value', s.value)
    FROM made CROSS JOIN LATERAL (VALUES
        ('trace', 'max_hops', '40'::JSON),
        ('quota', 'warn_at', '[80, 95]'),
        ('subaddress', 'create', 'true'),
        ('vacation', 'days', '7'),
        ('headers', 'add', json_build_array('X-Site: d' || made.n || '.example.org'))) AS s (service, key, value);
-- No two accounts have the same values, so that no two recipients can share a plan: the worst case for a node.
INSERT INTO settings (layer, owner, service, key, kind, content)
    SELECT 'account', a.id, s.service, s.key, 'value', json_build_object('value', s.value)
    FROM (SELECT id, mailbox, row_number() OVER () AS n FROM accounts) AS a CROSS JOIN LATERAL (VALUES
        (1, 'quota', 'octets', to_json(1073741824 + a.n)),
        (2, 'forward', 'keep', 'true'),
        (3, 'subaddress', 'max_depth', '3'),
        (4, 'vacation', 'subject', to_json('Away: ' || a.mailbox)),
        (5, 'vacation', 'text', to_json('I am away until Monday and read your message then. Yours, ' || a.mailbox))
    ) AS s (number, service, key, value)
    WHERE s.number <= :own;

ALTER TABLE domain_names ENABLE TRIGGER USER;
ALTER TABLE accounts ENABLE TRIGGER USER;
ALTER TABLE settings ENABLE TRIGGER USER;
INSERT INTO change_log (seq, at, actor, change)
    SELECT seq + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT, 'sql', '{"change": "edit", "table": "accounts", "row": null}'
    FROM change_position;
INSERT INTO change_scopes (seq, scope) SELECT seq, 'system' FROM change_position;
COMMIT;
ANALYZE domains, domain_names, accounts, aliases, settings, change_log, change_scopes;
