-- SPDX-License-Identifier: LGPL-2.1-or-later
--
-- The first schema of lodge.db.  A file of this folder is final once it was released: what comes
-- later is a file with the next number.  lodged runs each file in one transaction and sets
-- user_version to its number in the same transaction, so there is no BEGIN or COMMIT here.

-- The store-wide revision: +1 with each committed transaction that changes a key.
CREATE TABLE state (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  revision INTEGER NOT NULL CHECK (revision >= 0)
) STRICT;

INSERT INTO state (id, revision) VALUES (1, 0);

-- The shared keys.  Order is that of bytes, as in etcd.
CREATE TABLE kv (
  key        TEXT    NOT NULL PRIMARY KEY,
  create_rev INTEGER NOT NULL,
  mod_rev    INTEGER NOT NULL CHECK (mod_rev >= create_rev),
  version    INTEGER NOT NULL CHECK (version >= 1),
  lease      INTEGER NOT NULL DEFAULT 0,
  value      TEXT    NOT NULL CHECK (json_valid (value))
) STRICT;

CREATE INDEX kv_by_lease ON kv (lease) WHERE lease <> 0;

-- The latest changes, from which watches are served; the oldest revisions are dropped, always
-- whole ones and never the newest, so that seq grows for ever.
CREATE TABLE changes (
  seq        INTEGER PRIMARY KEY,
  revision   INTEGER NOT NULL,
  kind       INTEGER NOT NULL CHECK (kind IN (0, 1)),  -- 0: put, 1: delete
  key        TEXT    NOT NULL,
  create_rev INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  lease      INTEGER NOT NULL,
  value      TEXT    NOT NULL                          -- '' for a delete
) STRICT;

-- The journal of jobs: of this node only, never part of a shared store.
CREATE TABLE jobs (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,     -- never used twice
  operation     TEXT    NOT NULL CHECK (operation <> ''),
  description   TEXT    NOT NULL,
  object        TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'cancelling', 'succeeded',
                                                  'failed', 'cancelled')),
  step          TEXT    NOT NULL,
  direction     TEXT    NOT NULL CHECK (direction IN ('do', 'undo')),
  data          TEXT    NOT NULL CHECK (json_valid (data)),
  result        TEXT    NOT NULL CHECK (json_valid (result)),
  error_nick    TEXT    NOT NULL,
  error_message TEXT    NOT NULL,
  uid           INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),
  started_at    INTEGER NOT NULL,                      -- seconds since 1970
  ended_at      INTEGER NOT NULL DEFAULT 0             -- 0: it has no end yet
) STRICT;

CREATE INDEX jobs_unfinished ON jobs (id) WHERE ended_at = 0;
