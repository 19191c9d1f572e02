-- Everything that look-ups of some addresses can need, of one moment. ?: [{"local": …, "domain": …}, …], for each
-- address every base of its local part. STRAIGHT_JOIN keeps the server from reading whole tables first.
WITH RECURSIVE walk (local, domain, depth) AS (
    SELECT CAST(asked.local AS CHAR(256)) COLLATE utf8mb4_nopad_bin, CAST(asked.domain AS CHAR(255)) COLLATE utf8mb4_nopad_bin, 0
    FROM JSON_TABLE(?, '$[*]' COLUMNS (local VARCHAR(256) CHARACTER SET utf8mb4 PATH '$.local', domain VARCHAR(255) CHARACTER SET utf8mb4 PATH '$.domain')) AS asked
    UNION
    -- Targets by their text; whatever is written otherwise than we would write it is asked for in the next round.
    SELECT LOWER(LEFT(LEFT(target.text, CHAR_LENGTH(target.text) - CHAR_LENGTH(SUBSTRING_INDEX(target.text, '@', -1)) - 1), 256)) COLLATE utf8mb4_nopad_bin,
        LOWER(LEFT(SUBSTRING_INDEX(target.text, '@', -1), 255)) COLLATE utf8mb4_nopad_bin, walk.depth + 1
    FROM walk
    STRAIGHT_JOIN domain_names n ON n.name = walk.domain
    STRAIGHT_JOIN aliases a ON a.domain = n.domain AND a.local = walk.local AND a.status = 'active'
    STRAIGHT_JOIN JSON_TABLE(a.targets, '$[*]' COLUMNS (text VARCHAR(600) CHARACTER SET utf8mb4 PATH '$')) AS target
    WHERE walk.depth < 5
),
places AS (SELECT DISTINCT local, domain FROM walk),
names AS (
    SELECT here.name, d.id, p.name AS primary_name, d.status
    FROM (SELECT DISTINCT domain AS name FROM walk) AS here
    STRAIGHT_JOIN domain_names n ON n.name = here.name
    STRAIGHT_JOIN domain_names p ON p.primary_of = n.domain
    STRAIGHT_JOIN domains d ON d.id = n.domain
),
homes AS (SELECT DISTINCT n.domain AS id, places.local FROM places STRAIGHT_JOIN domain_names n ON n.name = places.domain)
SELECT 'position' AS kind, CAST(seq AS CHAR) AS a, NULL AS b, NULL AS c, NULL AS d, NULL AS e, NULL AS f, NULL AS g, NULL AS h, NULL AS i
    FROM change_position
UNION ALL SELECT 'reached', local, domain, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM places
UNION ALL SELECT 'domain', name, id, primary_name, status, NULL, NULL, NULL, NULL, NULL FROM names
UNION ALL SELECT 'account', a.domain, a.local, a.id, a.name, a.mailbox, a.password, a.status, NULL, NULL FROM homes
    STRAIGHT_JOIN accounts a ON a.domain = homes.id AND a.local = homes.local
UNION ALL SELECT 'alias', a.domain, a.local, a.id, a.targets, a.status, NULL, NULL, NULL, NULL FROM homes
    STRAIGHT_JOIN aliases a ON a.domain = homes.id AND a.local = homes.local AND a.status <> 'removed'
UNION ALL SELECT 'alias', a.domain, a.local, a.id, a.targets, a.status, NULL, NULL, NULL, NULL FROM (SELECT DISTINCT id FROM names) AS ids
    STRAIGHT_JOIN aliases a FORCE INDEX (aliases_wildcard) ON a.domain = ids.id AND a.is_wildcard = 1 AND a.status <> 'removed'
UNION ALL SELECT 'setting', s.owner, s.layer, s.service, s.`key`, s.content, s.pin, CAST(s.until AS CHAR), s.reason, s.written_by
    FROM settings s WHERE s.layer = 'system' AND s.owner = ''
UNION ALL SELECT 'setting', s.owner, s.layer, s.service, s.`key`, s.content, s.pin, CAST(s.until AS CHAR), s.reason, s.written_by
    FROM (SELECT DISTINCT id FROM names) AS ids STRAIGHT_JOIN settings s ON s.layer = 'domain' AND s.owner = ids.id
UNION ALL SELECT 'setting', s.owner, s.layer, s.service, s.`key`, s.content, s.pin, CAST(s.until AS CHAR), s.reason, s.written_by
    FROM homes STRAIGHT_JOIN accounts a ON a.domain = homes.id AND a.local = homes.local
    STRAIGHT_JOIN settings s ON s.layer = 'account' AND s.owner = a.id
