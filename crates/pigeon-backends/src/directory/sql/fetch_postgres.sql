-- Everything that look-ups of some addresses can need, of one moment. $1: [{"local": …, "domain": …}, …], for each
-- address every base of its local part. The subqueries with LIMIT or OFFSET keep the server from reading whole tables
-- where it guesses that very many rows are wanted. What is compared with itself is always equal, and makes it guess that
-- few are: for many it would set up tables in memory that take longer than all the rest.
WITH RECURSIVE walk (local, domain, depth) AS (
    SELECT asked.local COLLATE "C", asked.domain COLLATE "C", 0 FROM json_to_recordset($1::json) AS asked (local TEXT, domain TEXT)
    WHERE asked.local = asked.local || ''
    UNION
    -- Targets by their text; whatever is written otherwise than we would write it is asked for in the next round.
    SELECT lower(left(target.text, -length(target.domain) - 1)) COLLATE "C", lower(target.domain) COLLATE "C", walk.depth + 1
    FROM walk
    CROSS JOIN LATERAL (SELECT n.domain FROM domain_names n WHERE n.name = walk.domain LIMIT 1) AS home
    CROSS JOIN LATERAL (SELECT a.targets FROM aliases a
        WHERE a.domain = home.domain AND a.local = walk.local AND a.status = 'active' LIMIT 1) AS alias
    CROSS JOIN LATERAL (SELECT t.text, substring(t.text FROM '[^@]*$') AS domain
        FROM json_array_elements_text(alias.targets::json) AS t (text)
        WHERE t.text = t.text || '' LIMIT 1000) AS target
    WHERE walk.depth < 5
),
places AS MATERIALIZED (SELECT DISTINCT local, domain FROM walk),
names AS MATERIALIZED (
    SELECT here.name, d.id, p.name AS primary_name, d.status
    FROM (SELECT DISTINCT domain AS name FROM places) AS here
    CROSS JOIN LATERAL (SELECT n.domain FROM domain_names n WHERE n.name = here.name LIMIT 1) AS n
    CROSS JOIN LATERAL (SELECT p.name FROM domain_names p WHERE p.domain = n.domain AND p.is_primary = 1 LIMIT 1) AS p
    CROSS JOIN LATERAL (SELECT d.id, d.status FROM domains d WHERE d.id = n.domain LIMIT 1) AS d
),
ids AS MATERIALIZED (SELECT DISTINCT id FROM names),
homes AS MATERIALIZED (SELECT DISTINCT names.id, places.local FROM places JOIN names ON names.name = places.domain),
found AS MATERIALIZED (
    SELECT a.* FROM homes
    CROSS JOIN LATERAL (SELECT a.* FROM accounts a WHERE a.domain = homes.id AND a.local = homes.local LIMIT 1) AS a
)
SELECT 'position' AS kind, seq::TEXT AS a, NULL AS b, NULL AS c, NULL AS d, NULL AS e, NULL AS f, NULL AS g, NULL AS h, NULL AS i
    FROM change_position
UNION ALL SELECT 'reached', local, domain, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM places
UNION ALL SELECT 'domain', name, id, primary_name, status, NULL, NULL, NULL, NULL, NULL FROM names
UNION ALL SELECT 'account', domain, local, id, name, mailbox, password, status, NULL, NULL FROM found
UNION ALL SELECT 'alias', a.domain, a.local, a.id, a.targets, a.status, NULL, NULL, NULL, NULL FROM homes
    CROSS JOIN LATERAL (SELECT a.* FROM aliases a WHERE a.domain = homes.id AND a.local = homes.local
        AND a.status <> 'removed' LIMIT 1) AS a
UNION ALL SELECT 'alias', a.domain, a.local, a.id, a.targets, a.status, NULL, NULL, NULL, NULL FROM ids
    CROSS JOIN LATERAL (SELECT a.* FROM aliases a WHERE a.domain = ids.id AND a.local LIKE '%*%'
        AND a.status <> 'removed' OFFSET 0) AS a
UNION ALL SELECT 'setting', s.owner, s.layer, s.service, s.key, s.content, s.pin, s.until::TEXT, s.reason, s.written_by
    FROM (SELECT 'system' AS layer, '' AS owner UNION ALL SELECT 'domain', id FROM ids UNION ALL SELECT 'account', id FROM found) AS o
    CROSS JOIN LATERAL (SELECT s.* FROM settings s WHERE s.layer = o.layer AND s.owner = o.owner OFFSET 0) AS s
