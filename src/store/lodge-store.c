/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-store-private.h"

#include <string.h>

#include "lodge-name.h"

G_DEFINE_INTERFACE (LodgeStore, lodge_store, G_TYPE_OBJECT)

static void
lodge_store_default_init (LodgeStoreInterface *iface)
{
}

void
lodge_store_entry_free (LodgeStoreEntry *entry)
{
  if (entry == NULL)
    return;
  g_free (entry->key);
  g_free (entry->value);
  g_free (entry);
}

gboolean
lodge_store_key_check (const char *key, GError **error)
{
  if (key != NULL && *key == '/' && strlen (key) <= LODGE_STORE_MAX_KEY_BYTES
      && g_utf8_validate (key, -1, NULL))
    return TRUE;

  g_autofree char *start = g_strndup (key != NULL ? key : "", 64);
  g_autofree char *shown = lodge_text_escape (start);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "Key \"%s\" is not a path of at most %d bytes of UTF-8 that starts with '/'", shown,
               LODGE_STORE_MAX_KEY_BYTES);
  return FALSE;
}

static gboolean
check_op (const LodgeStoreOp *op, GError **error)
{
  if (!lodge_store_key_check (op->key, error))
    return FALSE;
  if (op->kind == LODGE_STORE_OP_DELETE)
    return TRUE;
  if (op->value == NULL || op->lease < 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "The change of key \"%s\" has no value or no possible lease", op->key);
      return FALSE;
    }
  if (strlen (op->value) > LODGE_STORE_MAX_VALUE_BYTES)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                   "The value of key \"%s\" has more than %d bytes", op->key,
                   LODGE_STORE_MAX_VALUE_BYTES);
      return FALSE;
    }
  if (!g_utf8_validate (op->value, -1, NULL))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "The value of key \"%s\" is not UTF-8", op->key);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_keys_differ (const LodgeStoreTxn *txn, GError **error)
{
  g_autoptr (GHashTable) seen = NULL;

  if (txn->n_ops < 2)
    return TRUE;
  seen = g_hash_table_new (g_str_hash, g_str_equal);
  for (gsize i = 0; i < txn->n_ops; i++)
    if (!g_hash_table_add (seen, (gpointer) txn->ops[i].key))
      {
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     "Key \"%s\" is changed twice in one transaction", txn->ops[i].key);
        return FALSE;
      }
  return TRUE;
}

gboolean
lodge_store_txn_check (const LodgeStoreTxn *txn, GError **error)
{
  if (txn->n_ops > LODGE_STORE_MAX_OPERATIONS || txn->n_compares > LODGE_STORE_MAX_OPERATIONS)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                   "A transaction has more than %d operations", LODGE_STORE_MAX_OPERATIONS);
      return FALSE;
    }
  for (gsize i = 0; i < txn->n_compares; i++)
    if (!lodge_store_key_check (txn->compares[i].key, error))
      return FALSE;
  for (gsize i = 0; i < txn->n_ops; i++)
    if (!check_op (&txn->ops[i], error))
      return FALSE;
  return check_keys_differ (txn, error);
}

gboolean
lodge_store_get (LodgeStore *self, const char *key, LodgeStoreEntry **out_entry, GError **error)
{
  g_return_val_if_fail (LODGE_IS_STORE (self), FALSE);
  g_return_val_if_fail (out_entry != NULL, FALSE);

  return lodge_store_key_check (key, error)
         && LODGE_STORE_GET_IFACE (self)->get (self, key, out_entry, error);
}

GPtrArray *
lodge_store_list (LodgeStore *self, const char *prefix, gint64 *out_revision, GError **error)
{
  g_return_val_if_fail (LODGE_IS_STORE (self), NULL);

  if (!lodge_store_key_check (prefix, error))
    return NULL;
  return LODGE_STORE_GET_IFACE (self)->list (self, prefix, out_revision, error);
}

gboolean
lodge_store_txn (LodgeStore *self, const LodgeStoreCompare *compares, gsize n_compares,
                 const LodgeStoreOp *ops, gsize n_ops, gint64 *out_revision, GError **error)
{
  const LodgeStoreTxn txn = { compares, n_compares, ops, n_ops };

  g_return_val_if_fail (LODGE_IS_STORE (self), FALSE);

  return lodge_store_txn_check (&txn, error)
         && LODGE_STORE_GET_IFACE (self)->txn (self, compares, n_compares, ops, n_ops, out_revision,
                                               error);
}

guint
lodge_store_watch (LodgeStore *self, const char *prefix, gint64 from_revision,
                   LodgeStoreWatchFunc func, gpointer user_data, GDestroyNotify destroy)
{
  g_return_val_if_fail (LODGE_IS_STORE (self), 0);
  g_return_val_if_fail (lodge_store_key_check (prefix, NULL), 0);
  g_return_val_if_fail (from_revision >= 0, 0);
  g_return_val_if_fail (func != NULL, 0);

  return LODGE_STORE_GET_IFACE (self)->watch (self, prefix, from_revision, func, user_data,
                                              destroy);
}

void
lodge_store_unwatch (LodgeStore *self, guint id)
{
  g_return_if_fail (LODGE_IS_STORE (self));

  LODGE_STORE_GET_IFACE (self)->unwatch (self, id);
}

gint64
lodge_store_lease_grant (LodgeStore *self, guint ttl_seconds, GError **error)
{
  g_return_val_if_fail (LODGE_IS_STORE (self), 0);

  if (ttl_seconds == 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "A lease of 0 seconds ends before it begins");
      return 0;
    }
  return LODGE_STORE_GET_IFACE (self)->lease_grant (self, ttl_seconds, error);
}

gboolean
lodge_store_lease_keepalive (LodgeStore *self, gint64 lease, GError **error)
{
  g_return_val_if_fail (LODGE_IS_STORE (self), FALSE);

  return LODGE_STORE_GET_IFACE (self)->lease_keepalive (self, lease, error);
}

gboolean
lodge_store_lease_revoke (LodgeStore *self, gint64 lease, GError **error)
{
  g_return_val_if_fail (LODGE_IS_STORE (self), FALSE);

  return LODGE_STORE_GET_IFACE (self)->lease_revoke (self, lease, error);
}
