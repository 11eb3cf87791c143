/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one way in which anything is written: compare, change the keys, append to the ring of
 * changes, let the journal add its row, commit with one sync of the log.
 */
#include "lodge-sqlite-store-private.h"

#include <string.h>

#include "lodge-failpoint.h"

/* How much of the past a watch can ask for; who comes later lists again.  Little is enough, and
 * each backup carries it. */
#define HISTORY_MAX_ROWS  2048
#define HISTORY_MAX_BYTES (4 * 1024 * 1024)

#define SQL_REVISION     "SELECT revision FROM state WHERE id = 1"
#define SQL_SET_REVISION "UPDATE state SET revision = ?1 WHERE id = 1"
#define SQL_MOD_REV      "SELECT mod_rev FROM kv WHERE key = ?1"
#define SQL_PUT                                                                                    \
  "INSERT INTO kv (key, create_rev, mod_rev, version, lease, value)"                               \
  " VALUES (?1, ?2, ?2, 1, ?3, ?4)"                                                                \
  " ON CONFLICT (key) DO UPDATE SET mod_rev = excluded.mod_rev, version = version + 1,"            \
  " lease = excluded.lease, value = excluded.value"
#define SQL_DELETE "DELETE FROM kv WHERE key = ?1"
#define SQL_LOG_PUT                                                                                \
  "INSERT INTO changes (seq, revision, kind, key, create_rev, version, lease, value)"              \
  " SELECT ?1, mod_rev, 0, key, create_rev, version, lease, value FROM kv WHERE key = ?2"
#define SQL_LOG_DELETE                                                                             \
  "INSERT INTO changes (seq, revision, kind, key, create_rev, version, lease, value)"              \
  " VALUES (?1, ?2, 1, ?3, 0, 0, 0, '')"
#define SQL_HISTORY                                                                                \
  "SELECT seq, revision, length (CAST (key AS BLOB)) + length (CAST (value AS BLOB))"              \
  " FROM changes ORDER BY seq"
#define SQL_TRIM "DELETE FROM changes WHERE seq <= ?1"

gboolean
lodge_sqlite_txn_load (LodgeSqliteStore *self, GError **error)
{
  LodgeHistory history = { 0 };
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean row = TRUE;

  if (!lodge_db_query_int (self->db, SQL_REVISION, &history.revision, error)
      || !lodge_stmt_use (&stmt, self->db, SQL_HISTORY, error))
    return FALSE;
  while (row)
    {
      if (!lodge_stmt_step (&stmt, &row, error))
        return FALSE;
      if (!row)
        break;
      history.last_seq = lodge_stmt_get_int (&stmt, 0);
      if (history.n_rows == 0)
        {
          history.trimmed = history.last_seq - 1;
          history.compacted = lodge_stmt_get_int (&stmt, 1) - 1;
        }
      history.n_rows++;
      history.n_bytes += lodge_stmt_get_int (&stmt, 2);
    }
  self->history = history;
  return TRUE;
}

static gboolean
check_compare (LodgeSqliteStore *self, const LodgeStoreCompare *compare, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean exists, holds;
  gint64 mod_rev;

  if (!lodge_stmt_use (&stmt, self->db, SQL_MOD_REV, error))
    return FALSE;
  lodge_stmt_bind_text (&stmt, 1, compare->key);
  if (!lodge_stmt_step (&stmt, &exists, error))
    return FALSE;
  /* An absent key has revision 0, as in etcd. */
  mod_rev = exists ? lodge_stmt_get_int (&stmt, 0) : 0;
  switch (compare->kind)
    {
    case LODGE_STORE_COMPARE_ABSENT:
      holds = !exists;
      break;
    case LODGE_STORE_COMPARE_EXISTS:
      holds = exists;
      break;
    case LODGE_STORE_COMPARE_MOD_REV:
      holds = mod_rev == compare->revision;
      break;
    default:
      g_return_val_if_reached (FALSE);
    }
  if (!holds)
    g_set_error (
        error, LODGE_ERROR, LODGE_ERROR_CONFLICT, "Key \"%s\" was %s in the meantime", compare->key,
        exists ? (compare->kind == LODGE_STORE_COMPARE_ABSENT ? "made" : "changed") : "deleted");
  return holds;
}

static gboolean
log_put (LodgeSqliteStore *self, const char *key, gint64 seq, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!lodge_stmt_use (&stmt, self->db, SQL_LOG_PUT, error))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, seq);
  lodge_stmt_bind_text (&stmt, 2, key);
  return lodge_stmt_run (&stmt, error);
}

static gboolean
log_delete (LodgeSqliteStore *self, const char *key, gint64 seq, gint64 revision, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!lodge_stmt_use (&stmt, self->db, SQL_LOG_DELETE, error))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, seq);
  lodge_stmt_bind_int (&stmt, 2, revision);
  lodge_stmt_bind_text (&stmt, 3, key);
  return lodge_stmt_run (&stmt, error);
}

/* Accounts for one more change and gives the revision that it is part of. */
static gint64
count_change (LodgeSqliteStore *self, LodgeHistory *next, gsize n_bytes)
{
  next->revision = self->history.revision + 1;
  next->last_seq++;
  next->n_rows++;
  next->n_bytes += (gint64) n_bytes;
  return next->revision;
}

static gboolean
put (LodgeSqliteStore *self, const LodgeStoreOp *op, LodgeHistory *next, GError **error)
{
  gint64 revision;
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  g_autoptr (GError) local_error = NULL;

  if (op->lease != 0 && !lodge_sqlite_lease_is_alive (self, op->lease))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                   "Key \"%s\" is put under a lease that has ended", op->key);
      return FALSE;
    }
  if (!lodge_stmt_use (&stmt, self->db, SQL_PUT, error))
    return FALSE;
  revision = count_change (self, next, strlen (op->key) + strlen (op->value));
  lodge_stmt_bind_text (&stmt, 1, op->key);
  lodge_stmt_bind_int (&stmt, 2, revision);
  lodge_stmt_bind_int (&stmt, 3, op->lease);
  lodge_stmt_bind_text (&stmt, 4, op->value);
  if (!lodge_stmt_run (&stmt, &local_error))
    {
      if (sqlite3_extended_errcode (self->db->handle) == SQLITE_CONSTRAINT_CHECK)
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     "The value of key \"%s\" is not well-formed JSON", op->key);
      else
        g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  return log_put (self, op->key, next->last_seq, error);
}

static gboolean delete (LodgeSqliteStore *self, const LodgeStoreOp *op, LodgeHistory *next,
                        GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gint64 revision;

  if (!lodge_stmt_use (&stmt, self->db, SQL_DELETE, error))
    return FALSE;
  lodge_stmt_bind_text (&stmt, 1, op->key);
  if (!lodge_stmt_run (&stmt, error))
    return FALSE;
  if (sqlite3_changes (self->db->handle) == 0)
    return TRUE;
  revision = count_change (self, next, strlen (op->key));
  return log_delete (self, op->key, next->last_seq, revision, error);
}

static gboolean
change_keys (LodgeSqliteStore *self, const LodgeStoreTxn *txn, LodgeHistory *next, GError **error)
{
  for (gsize i = 0; i < txn->n_compares; i++)
    if (!check_compare (self, &txn->compares[i], error))
      return FALSE;
  for (gsize i = 0; i < txn->n_ops; i++)
    if (!(txn->ops[i].kind == LODGE_STORE_OP_PUT ? put : delete) (self, &txn->ops[i], next, error))
      return FALSE;
  return TRUE;
}

static gboolean
is_too_long (const LodgeHistory *history, gint64 percent)
{
  return history->n_rows > HISTORY_MAX_ROWS * percent / 100
         || history->n_bytes > HISTORY_MAX_BYTES * percent / 100;
}

/* Finds how much goes: whole revisions from the oldest on, and never the newest. */
static gboolean
plan_trim (LodgeSqliteStore *self, LodgeHistory *next, GError **error)
{
  LodgeHistory shorter = *next;
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean row;

  if (!lodge_stmt_use (&stmt, self->db, SQL_HISTORY, error))
    return FALSE;
  for (;;)
    {
      gint64 revision;

      if (!lodge_stmt_step (&stmt, &row, error))
        return FALSE;
      revision = row ? lodge_stmt_get_int (&stmt, 1) : next->revision;
      if (revision != shorter.compacted)
        {
          *next = shorter;
          if (revision == next->revision || !is_too_long (next, 75))
            return TRUE;
        }
      shorter.compacted = revision;
      shorter.trimmed = lodge_stmt_get_int (&stmt, 0);
      shorter.n_rows--;
      shorter.n_bytes -= lodge_stmt_get_int (&stmt, 2);
    }
}

static gboolean
trim (LodgeSqliteStore *self, LodgeHistory *next, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!is_too_long (next, 100))
    return TRUE;
  if (!plan_trim (self, next, error) || !lodge_stmt_use (&stmt, self->db, SQL_TRIM, error))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, next->trimmed);
  return lodge_stmt_run (&stmt, error);
}

static gboolean
save_revision (LodgeSqliteStore *self, gint64 revision, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!lodge_stmt_use (&stmt, self->db, SQL_SET_REVISION, error))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, revision);
  return lodge_stmt_run (&stmt, error);
}

gboolean
lodge_sqlite_txn_commit (LodgeSqliteStore *self, const LodgeStoreTxn *txn,
                         LodgeSqliteExtraFunc extra, gpointer user_data, gint64 *out_revision,
                         GError **error)
{
  LodgeHistory next = self->history;
  g_autoptr (LodgeDbTransaction) transaction = NULL;
  gboolean changed, writes;

  if (!lodge_sqlite_store_check_open (self, error))
    return FALSE;
  transaction = lodge_db_begin (self->db, error);
  if (transaction == NULL || (txn != NULL && !change_keys (self, txn, &next, error))
      || (extra != NULL && !extra (self, user_data, error)))
    return FALSE;
  changed = next.revision != self->history.revision;
  writes = changed || extra != NULL;
  if (changed && (!trim (self, &next, error) || !save_revision (self, next.revision, error)))
    return FALSE;
  if (writes && !lodge_failpoint ("store:commit", error))
    return FALSE;
  if (!lodge_db_commit (g_steal_pointer (&transaction), error))
    return FALSE;
  self->history = next;
  if (changed)
    lodge_sqlite_watch_wake (self);
  if (writes && !lodge_failpoint ("store:committed", error))
    return FALSE;
  if (out_revision != NULL)
    *out_revision = next.revision;
  return TRUE;
}
