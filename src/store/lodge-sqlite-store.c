/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store of one machine.  This file is the object and its reads; writes are in
 * lodge-sqlite-txn.c, and what is on the disk in lodge-state-dir.c.
 */
#include "lodge-sqlite-store-private.h"

#include <string.h>

#include "lodge-state-dir.h"

#define SQL_GET "SELECT key, create_rev, mod_rev, version, lease, value FROM kv WHERE key = ?1"
#define SQL_LIST                                                                                   \
  "SELECT key, create_rev, mod_rev, version, lease, value FROM kv"                                 \
  " WHERE key >= ?1 AND key < ?2 ORDER BY key"

static void store_interface_init (LodgeStoreInterface *iface);

G_DEFINE_TYPE_WITH_CODE (LodgeSqliteStore, lodge_sqlite_store, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (LODGE_TYPE_STORE, store_interface_init))

static void
lodge_sqlite_store_finalize (GObject *object)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (object);

  lodge_sqlite_store_close (self);
  g_hash_table_unref (self->leases);
  g_ptr_array_unref (self->watches);
  g_main_context_unref (self->context);
  g_free (self->state_dir);
  G_OBJECT_CLASS (lodge_sqlite_store_parent_class)->finalize (object);
}

static void
lodge_sqlite_store_class_init (LodgeSqliteStoreClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_sqlite_store_finalize;
}

static void
lodge_sqlite_store_init (LodgeSqliteStore *self)
{
  self->lock = -1;
  self->context = g_main_context_ref_thread_default ();
  self->leases = lodge_sqlite_lease_table_new ();
  self->watches = lodge_sqlite_watch_table_new ();
}

LodgeSqliteStore *
lodge_sqlite_store_open_with (const char *state_dir, const LodgeMigration *migrations,
                              GError **error)
{
  g_autoptr (LodgeSqliteStore) self = g_object_new (LODGE_TYPE_SQLITE_STORE, NULL);

  self->state_dir = g_strdup (state_dir);
  self->lock = lodge_state_dir_lock (state_dir, error);
  if (self->lock < 0)
    return NULL;
  self->db = lodge_state_dir_open_db (state_dir, migrations, error);
  if (self->db == NULL || !lodge_sqlite_txn_load (self, error)
      || !lodge_sqlite_lease_drop_keys (self, 0, error))
    return NULL;
  return g_steal_pointer (&self);
}

LodgeSqliteStore *
lodge_sqlite_store_open (const char *state_dir, GError **error)
{
  g_return_val_if_fail (state_dir != NULL && *state_dir != '\0', NULL);

  return lodge_sqlite_store_open_with (state_dir, lodge_migrations, error);
}

void
lodge_sqlite_store_close (LodgeSqliteStore *self)
{
  g_return_if_fail (LODGE_IS_SQLITE_STORE (self));

  lodge_sqlite_watch_stop (self);
  g_hash_table_remove_all (self->leases);
  g_clear_pointer (&self->db, lodge_db_free);
  lodge_fd_clear (&self->lock);
}

gboolean
lodge_sqlite_store_check_open (LodgeSqliteStore *self, GError **error)
{
  if (self->db != NULL)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE, "The store of \"%s\" was closed",
               self->state_dir);
  return FALSE;
}

char *
lodge_sqlite_prefix_end (const char *prefix)
{
  char *end = g_strdup (prefix);

  /* No byte of UTF-8 is 0xff, so the last one always has a successor. */
  end[strlen (end) - 1]++;
  return end;
}

static LodgeStoreEntry *
read_entry (LodgeStmt *stmt)
{
  LodgeStoreEntry *entry = g_new0 (LodgeStoreEntry, 1);

  entry->key = lodge_stmt_dup_text (stmt, 0);
  entry->create_rev = lodge_stmt_get_int (stmt, 1);
  entry->mod_rev = lodge_stmt_get_int (stmt, 2);
  entry->version = lodge_stmt_get_int (stmt, 3);
  entry->lease = lodge_stmt_get_int (stmt, 4);
  entry->value = lodge_stmt_dup_text (stmt, 5);
  return entry;
}

static gboolean
get (LodgeStore *store, const char *key, LodgeStoreEntry **out_entry, GError **error)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (store);
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean row;

  if (!lodge_sqlite_store_check_open (self, error)
      || !lodge_stmt_use (&stmt, self->db, SQL_GET, error))
    return FALSE;
  lodge_stmt_bind_text (&stmt, 1, key);
  if (!lodge_stmt_step (&stmt, &row, error))
    return FALSE;
  *out_entry = row ? read_entry (&stmt) : NULL;
  return TRUE;
}

static GPtrArray *
list (LodgeStore *store, const char *prefix, gint64 *out_revision, GError **error)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (store);
  g_autoptr (GPtrArray) entries
      = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_store_entry_free);
  g_autofree char *end = lodge_sqlite_prefix_end (prefix);
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean row = TRUE;

  if (!lodge_sqlite_store_check_open (self, error)
      || !lodge_stmt_use (&stmt, self->db, SQL_LIST, error))
    return NULL;
  lodge_stmt_bind_text (&stmt, 1, prefix);
  lodge_stmt_bind_text (&stmt, 2, end);
  while (row)
    {
      if (!lodge_stmt_step (&stmt, &row, error))
        return NULL;
      if (row)
        g_ptr_array_add (entries, read_entry (&stmt));
    }
  if (out_revision != NULL)
    *out_revision = self->history.revision;
  return g_steal_pointer (&entries);
}

static gboolean
txn (LodgeStore *store, const LodgeStoreCompare *compares, gsize n_compares,
     const LodgeStoreOp *ops, gsize n_ops, gint64 *out_revision, GError **error)
{
  const LodgeStoreTxn what = { compares, n_compares, ops, n_ops };

  return lodge_sqlite_txn_commit (LODGE_SQLITE_STORE (store), &what, NULL, NULL, out_revision,
                                  error);
}

static void
store_interface_init (LodgeStoreInterface *iface)
{
  iface->get = get;
  iface->list = list;
  iface->txn = txn;
  iface->watch = lodge_sqlite_watch_add;
  iface->unwatch = lodge_sqlite_watch_remove;
  iface->lease_grant = lodge_sqlite_lease_grant;
  iface->lease_keepalive = lodge_sqlite_lease_keepalive;
  iface->lease_revoke = lodge_sqlite_lease_revoke;
}
