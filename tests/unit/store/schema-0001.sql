-- SPDX-License-Identifier: LGPL-2.1-or-later
-- A database of schema 1 as it was first released, with something in each table.  Every later
-- Lodge must open it.
PRAGMA application_id = 1281648485;
PRAGMA user_version = 1;
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL CHECK (revision >= 0)) STRICT;
INSERT INTO state VALUES (1, 7);
CREATE TABLE kv (key TEXT NOT NULL PRIMARY KEY, create_rev INTEGER NOT NULL, mod_rev INTEGER NOT NULL CHECK (mod_rev >= create_rev), version INTEGER NOT NULL CHECK (version >= 1), lease INTEGER NOT NULL DEFAULT 0, value TEXT NOT NULL CHECK (json_valid (value))) STRICT;
CREATE INDEX kv_by_lease ON kv (lease) WHERE lease <> 0;
INSERT INTO kv VALUES ('/instances/a', 3, 7, 2, 0, '{"name":"web"}');
INSERT INTO kv VALUES ('/aliases/debian/12', 4, 4, 1, 0, '"0123"');
INSERT INTO kv VALUES ('/nodes/1', 5, 5, 1, 77, '{}');
CREATE TABLE changes (seq INTEGER PRIMARY KEY, revision INTEGER NOT NULL, kind INTEGER NOT NULL CHECK (kind IN (0, 1)), key TEXT NOT NULL, create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL, value TEXT NOT NULL) STRICT;
INSERT INTO changes VALUES (9, 5, 0, '/nodes/1', 5, 1, 77, '{}');
INSERT INTO changes VALUES (10, 6, 1, '/gone', 0, 0, 0, '');
INSERT INTO changes VALUES (11, 7, 0, '/instances/a', 3, 2, 0, '{"name":"web"}');
CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL CHECK (operation <> ''), description TEXT NOT NULL, object TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')), step TEXT NOT NULL, direction TEXT NOT NULL CHECK (direction IN ('do', 'undo')), data TEXT NOT NULL CHECK (json_valid (data)), result TEXT NOT NULL CHECK (json_valid (result)), error_nick TEXT NOT NULL, error_message TEXT NOT NULL, uid INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295), started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX jobs_unfinished ON jobs (id) WHERE ended_at = 0;
INSERT INTO jobs VALUES (41, 'instance-create', 'Create web', 'a', 'running', 'define', 'do', '{}', '{}', '', '', 1000, 1700000000, 0);
