/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases of the SQLite store are timers of this process and nothing on the disk: they end with
 * it, and the next one deletes the keys that still have a lease when it opens the database.
 */
#include "lodge-sqlite-store-private.h"

/* How long after a failed deletion (full disk) it is tried again. */
#define RETRY_MS 1000

#define SQL_KEYS_OF_LEASE     "SELECT key FROM kv WHERE lease = ?1 AND lease <> 0 ORDER BY key"
#define SQL_KEYS_OF_ANY_LEASE "SELECT key FROM kv WHERE lease <> 0 ORDER BY key"

typedef struct
{
  gint64 id;
  guint ttl_seconds;
  gboolean ended; /* its keys are still to be deleted */
  GSource *timer;
  LodgeSqliteStore *store; /* unowned */
} Lease;

static void
lease_free (gpointer data)
{
  Lease *lease = data;

  g_source_destroy (lease->timer);
  g_source_unref (lease->timer);
  g_free (lease);
}

GHashTable *
lodge_sqlite_lease_table_new (void)
{
  return g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, lease_free);
}

static GPtrArray *
list_keys (LodgeSqliteStore *self, gint64 lease, GError **error)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean row = TRUE;

  if (!lodge_stmt_use (&stmt, self->db, lease != 0 ? SQL_KEYS_OF_LEASE : SQL_KEYS_OF_ANY_LEASE,
                       error))
    return NULL;
  if (lease != 0)
    lodge_stmt_bind_int (&stmt, 1, lease);
  while (row)
    {
      if (!lodge_stmt_step (&stmt, &row, error))
        return NULL;
      if (row)
        g_ptr_array_add (keys, lodge_stmt_dup_text (&stmt, 0));
    }
  return g_steal_pointer (&keys);
}

gboolean
lodge_sqlite_lease_drop_keys (LodgeSqliteStore *self, gint64 lease, GError **error)
{
  g_autoptr (GPtrArray) keys = list_keys (self, lease, error);
  g_autofree LodgeStoreOp *ops = NULL;
  LodgeStoreTxn txn = { 0 };

  if (keys == NULL)
    return FALSE;
  if (keys->len == 0)
    return TRUE;
  ops = g_new0 (LodgeStoreOp, keys->len);
  for (guint i = 0; i < keys->len; i++)
    ops[i] = (LodgeStoreOp){ .kind = LODGE_STORE_OP_DELETE, .key = keys->pdata[i] };
  txn.ops = ops;
  txn.n_ops = keys->len;
  return lodge_sqlite_txn_commit (self, &txn, NULL, NULL, NULL, error);
}

static Lease *
find_alive (LodgeSqliteStore *self, gint64 id)
{
  Lease *lease = g_hash_table_lookup (self->leases, &id);

  return lease != NULL && !lease->ended ? lease : NULL;
}

gboolean
lodge_sqlite_lease_is_alive (LodgeSqliteStore *self, gint64 lease)
{
  return find_alive (self, lease) != NULL;
}

static gboolean
on_timer (gpointer user_data)
{
  Lease *lease = user_data;
  g_autoptr (LodgeSqliteStore) store = g_object_ref (lease->store);

  lease->ended = TRUE;
  /* There is nobody to tell of a failure, and the keys must go in the end. */
  if (!lodge_sqlite_lease_drop_keys (store, lease->id, NULL))
    return G_SOURCE_CONTINUE;
  g_hash_table_remove (store->leases, &lease->id);
  return G_SOURCE_REMOVE;
}

static void
start_timer (Lease *lease)
{
  g_source_set_ready_time (lease->timer,
                           g_get_monotonic_time () + (gint64) lease->ttl_seconds * G_USEC_PER_SEC);
}

gint64
lodge_sqlite_lease_grant (LodgeStore *store, guint ttl_seconds, GError **error)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (store);
  Lease *lease;

  if (!lodge_sqlite_store_check_open (self, error))
    return 0;
  lease = g_new0 (Lease, 1);
  /* Random, so that an id that outlived a restart is not somebody else's lease. */
  do
    lease->id = ((gint64) (g_random_int () >> 1) << 32) | g_random_int ();
  while (lease->id == 0 || g_hash_table_contains (self->leases, &lease->id));
  lease->ttl_seconds = ttl_seconds;
  lease->store = self;
  lease->timer = g_timeout_source_new (RETRY_MS);
  g_source_set_callback (lease->timer, on_timer, lease, NULL);
  start_timer (lease);
  g_source_attach (lease->timer, self->context);
  g_hash_table_insert (self->leases, &lease->id, lease);
  return lease->id;
}

static Lease *
require_alive (LodgeSqliteStore *self, gint64 id, GError **error)
{
  Lease *lease = NULL;

  if (!lodge_sqlite_store_check_open (self, error))
    return NULL;
  lease = find_alive (self, id);
  if (lease == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "Lease %" G_GINT64_FORMAT " has ended",
                 id);
  return lease;
}

gboolean
lodge_sqlite_lease_keepalive (LodgeStore *store, gint64 id, GError **error)
{
  Lease *lease = require_alive (LODGE_SQLITE_STORE (store), id, error);

  if (lease == NULL)
    return FALSE;
  start_timer (lease);
  return TRUE;
}

gboolean
lodge_sqlite_lease_revoke (LodgeStore *store, gint64 id, GError **error)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (store);

  if (require_alive (self, id, error) == NULL || !lodge_sqlite_lease_drop_keys (self, id, error))
    return FALSE;
  g_hash_table_remove (self->leases, &id);
  return TRUE;
}
