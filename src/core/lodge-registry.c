/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-registry.h"

#include <stdlib.h>
#include <string.h>

#include "lodge-units.h"

struct _LodgeRegistry
{
  GHashTable *by_uuid; /* owns a reference */
  GHashTable *by_name;
  GHashTable *idmaps;  /* bases in use */
  GArray *foreign_ids; /* guint32 pairs, first and last, of /etc/subuid and /etc/subgid */
};

/* Other programs' delegated ranges: an overlap would let their users into our containers. */
static void
read_delegated (LodgeRegistry *self, const char *path)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return;
  lines = g_strsplit (text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) fields = g_strsplit (lines[i], ":", 3);
      guint64 first, count;

      if (g_strv_length (fields) != 3 || !lodge_parse_uint (fields[1], 0, G_MAXUINT32, &first, NULL)
          || !lodge_parse_uint (fields[2], 1, G_MAXUINT32, &count, NULL))
        continue;
      guint32 range[2] = { (guint32) first, (guint32) MIN (first + count - 1, G_MAXUINT32) };
      g_array_append_vals (self->foreign_ids, range, 2);
    }
}

LodgeRegistry *
lodge_registry_new (void)
{
  LodgeRegistry *self = g_new0 (LodgeRegistry, 1);

  self->by_uuid = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_object_unref);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->idmaps = g_hash_table_new (NULL, NULL);
  self->foreign_ids = g_array_new (FALSE, FALSE, sizeof (guint32));
  read_delegated (self, "/etc/subuid");
  read_delegated (self, "/etc/subgid");
  return self;
}

void
lodge_registry_free (LodgeRegistry *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->by_name);
  g_hash_table_unref (self->by_uuid);
  g_hash_table_unref (self->idmaps);
  g_array_unref (self->foreign_ids);
  g_free (self);
}

LodgeInstance *
lodge_registry_get (LodgeRegistry *self, const char *uuid)
{
  return uuid != NULL ? g_hash_table_lookup (self->by_uuid, uuid) : NULL;
}

LodgeInstance *
lodge_registry_get_by_name (LodgeRegistry *self, const char *name)
{
  return name != NULL ? g_hash_table_lookup (self->by_name, name) : NULL;
}

LodgeInstance *
lodge_registry_get_name_holder (LodgeRegistry *self, const char *name)
{
  LodgeInstance *holder = lodge_registry_get_by_name (self, name);
  GHashTableIter iter;
  gpointer instance;

  g_hash_table_iter_init (&iter, self->by_uuid);
  while (holder == NULL && g_hash_table_iter_next (&iter, NULL, &instance))
    if (g_strcmp0 (LODGE_INSTANCE (instance)->claimed_name, name) == 0)
      holder = instance;
  return holder;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  LodgeInstance *x = *(LodgeInstance *const *) a, *y = *(LodgeInstance *const *) b;

  return strcmp (x->name, y->name);
}

GPtrArray *
lodge_registry_list (LodgeRegistry *self)
{
  GPtrArray *all = g_ptr_array_new_full (g_hash_table_size (self->by_uuid), g_object_unref);
  GHashTableIter iter;
  gpointer instance;

  g_hash_table_iter_init (&iter, self->by_uuid);
  while (g_hash_table_iter_next (&iter, NULL, &instance))
    g_ptr_array_add (all, g_object_ref (instance));
  g_ptr_array_sort (all, compare_names);
  return all;
}

void
lodge_registry_add (LodgeRegistry *self, LodgeInstance *instance)
{
  g_hash_table_insert (self->by_uuid, instance->uuid, g_object_ref (instance));
  /* A foreign VM may have the name of a container; who was here first keeps it. */
  if (!g_hash_table_contains (self->by_name, instance->name))
    g_hash_table_insert (self->by_name, instance->name, instance);
  if (instance->idmap_base != 0)
    g_hash_table_add (self->idmaps, GUINT_TO_POINTER (instance->idmap_base));
}

static void
forget_name (LodgeRegistry *self, LodgeInstance *instance)
{
  GHashTableIter iter;
  gpointer other;

  if (g_hash_table_lookup (self->by_name, instance->name) != instance)
    return;
  g_hash_table_remove (self->by_name, instance->name);
  g_hash_table_iter_init (&iter, self->by_uuid);
  while (g_hash_table_iter_next (&iter, NULL, &other))
    if (other != instance && strcmp (LODGE_INSTANCE (other)->name, instance->name) == 0)
      {
        g_hash_table_insert (self->by_name, LODGE_INSTANCE (other)->name, other);
        return;
      }
}

void
lodge_registry_remove (LodgeRegistry *self, LodgeInstance *instance)
{
  forget_name (self, instance);
  if (instance->idmap_base != 0)
    g_hash_table_remove (self->idmaps, GUINT_TO_POINTER (instance->idmap_base));
  g_hash_table_remove (self->by_uuid, instance->uuid);
}

void
lodge_registry_rename (LodgeRegistry *self, LodgeInstance *instance, const char *new_name)
{
  g_autofree char *copy = g_strdup (new_name);
  char *old_name = instance->name;

  forget_name (self, instance);
  instance->name = g_steal_pointer (&copy);
  g_free (old_name);
  if (!g_hash_table_contains (self->by_name, instance->name))
    g_hash_table_insert (self->by_name, instance->name, instance);
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_NAME);
}

static gboolean
is_delegated (LodgeRegistry *self, guint32 first, guint32 last)
{
  for (guint i = 0; i + 1 < self->foreign_ids->len; i += 2)
    if (first <= g_array_index (self->foreign_ids, guint32, i + 1)
        && last >= g_array_index (self->foreign_ids, guint32, i))
      return TRUE;
  return FALSE;
}

guint32
lodge_registry_pick_idmap (LodgeRegistry *self, GError **error)
{
  for (guint64 base = LODGE_IDMAP_FIRST; base + LODGE_IDMAP_COUNT - 1 <= LODGE_IDMAP_LAST;
       base += LODGE_IDMAP_COUNT)
    if (!g_hash_table_contains (self->idmaps, GUINT_TO_POINTER ((guint32) base))
        && !is_delegated (self, (guint32) base, (guint32) (base + LODGE_IDMAP_COUNT - 1)))
      return (guint32) base;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
               "there is no range of user ids left for another container");
  return 0;
}

GHashTable *
lodge_registry_addresses (LodgeRegistry *self)
{
  GHashTable *taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->by_uuid);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (LODGE_INSTANCE (value)->address != NULL)
      g_hash_table_add (taken, g_strdup (LODGE_INSTANCE (value)->address));
  return taken;
}

gboolean
lodge_registry_load (LodgeRegistry *self, LodgeStore *store, GError **error)
{
  g_autoptr (GPtrArray) entries = lodge_store_list (store, "/instances/", NULL, error);

  if (entries == NULL)
    return FALSE;
  for (guint i = 0; i < entries->len; i++)
    {
      LodgeStoreEntry *entry = g_ptr_array_index (entries, i);
      g_autoptr (LodgeInstance) instance = lodge_instance_from_json (entry->value, error);

      if (instance == NULL)
        return FALSE;
      lodge_registry_add (self, instance);
    }
  return TRUE;
}

/* ---- commits ---- */

typedef struct
{
  char *record;
  char *name;
  char *idmap;
  char *quoted_uuid;
} Keys;

static void
keys_init (Keys *keys, LodgeInstance *instance, const char *name)
{
  keys->record = g_strconcat ("/instances/", instance->uuid, NULL);
  keys->name = g_strconcat ("/names/", name, NULL);
  keys->idmap = g_strdup_printf ("/idmaps/%u", instance->idmap_base);
  keys->quoted_uuid = g_strdup_printf ("\"%s\"", instance->uuid);
}

static void
keys_clear (Keys *keys)
{
  g_free (keys->record);
  g_free (keys->name);
  g_free (keys->idmap);
  g_free (keys->quoted_uuid);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Keys, keys_clear)

gboolean
lodge_registry_commit_new (LodgeSqliteStore *store, LodgeInstance *instance,
                           const LodgeJournalRow *row, GError **error)
{
  g_auto (Keys) keys = { 0 };
  g_autofree char *json = lodge_instance_to_json (instance);
  gsize n_ops = 2;

  keys_init (&keys, instance, instance->name);
  const LodgeStoreCompare compares[] = { { LODGE_STORE_COMPARE_ABSENT, keys.name, 0 },
                                         { LODGE_STORE_COMPARE_ABSENT, keys.record, 0 },
                                         { LODGE_STORE_COMPARE_ABSENT, keys.idmap, 0 } };
  LodgeStoreOp ops[3] = { { LODGE_STORE_OP_PUT, keys.record, json, 0 },
                          { LODGE_STORE_OP_PUT, keys.name, keys.quoted_uuid, 0 } };
  if (instance->idmap_base != 0)
    ops[n_ops++] = (LodgeStoreOp){ LODGE_STORE_OP_PUT, keys.idmap, keys.quoted_uuid, 0 };

  g_autoptr (GError) local_error = NULL;
  if (lodge_journal_update (store, row, compares, n_ops, ops, n_ops, &local_error))
    return TRUE;
  if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_CONFLICT))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                 "there is an instance with the name “%s” already", instance->name);
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

gboolean
lodge_registry_commit_update (LodgeSqliteStore *store, LodgeInstance *instance,
                              const LodgeJournalRow *row, GError **error)
{
  g_auto (Keys) keys = { 0 };
  g_autofree char *json = lodge_instance_to_json (instance);

  keys_init (&keys, instance, instance->name);
  const LodgeStoreCompare compare = { LODGE_STORE_COMPARE_EXISTS, keys.record, 0 };
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, keys.record, json, 0 };
  return lodge_journal_update (store, row, &compare, 1, &op, 1, error);
}

gboolean
lodge_registry_commit_delete (LodgeSqliteStore *store, LodgeInstance *instance,
                              const LodgeJournalRow *row, GError **error)
{
  g_auto (Keys) keys = { 0 };
  g_autoptr (LodgeStoreEntry) entry = NULL;
  gsize n_ops = 2;

  keys_init (&keys, instance, instance->name);
  if (!lodge_store_get (LODGE_STORE (store), keys.record, &entry, error))
    return FALSE;
  /* Without a record the name may be somebody else's. */
  if (entry == NULL)
    return lodge_journal_update (store, row, NULL, 0, NULL, 0, error);
  LodgeStoreOp ops[3] = { { LODGE_STORE_OP_DELETE, keys.record, NULL, 0 },
                          { LODGE_STORE_OP_DELETE, keys.name, NULL, 0 } };
  if (instance->idmap_base != 0)
    ops[n_ops++] = (LodgeStoreOp){ LODGE_STORE_OP_DELETE, keys.idmap, NULL, 0 };
  return lodge_journal_update (store, row, NULL, 0, ops, n_ops, error);
}

gboolean
lodge_registry_commit_rename (LodgeSqliteStore *store, LodgeInstance *instance,
                              const char *new_name, const LodgeJournalRow *row, GError **error)
{
  g_auto (Keys) old_keys = { 0 };
  g_auto (Keys) new_keys = { 0 };
  g_autofree char *json = NULL;
  char *old_name = instance->name;

  keys_init (&old_keys, instance, old_name);
  keys_init (&new_keys, instance, new_name);
  /* The document as it will be; in memory the name changes after the commit. */
  instance->name = (char *) new_name;
  json = lodge_instance_to_json (instance);
  instance->name = old_name;

  const LodgeStoreCompare compare = { LODGE_STORE_COMPARE_ABSENT, new_keys.name, 0 };
  const LodgeStoreOp ops[] = { { LODGE_STORE_OP_PUT, new_keys.record, json, 0 },
                               { LODGE_STORE_OP_PUT, new_keys.name, new_keys.quoted_uuid, 0 },
                               { LODGE_STORE_OP_DELETE, old_keys.name, NULL, 0 } };
  if (row != NULL)
    return lodge_journal_update (store, row, &compare, 1, ops, G_N_ELEMENTS (ops), error);
  return lodge_store_txn (LODGE_STORE (store), &compare, 1, ops, G_N_ELEMENTS (ops), NULL, error);
}
