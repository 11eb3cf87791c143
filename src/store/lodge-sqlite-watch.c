/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches read the ring of changes: each has a position in it and moves on when the main context
 * has time.  So nothing is queued in memory, what came before the watch and what comes after it
 * take the same way, and a watch that falls behind the ring is told so.
 */
#include "lodge-sqlite-store-private.h"

#include <string.h>

/* So many changes a watch gets before the others and the main context have their turn. */
#define BATCH 64

#define SQL_NEXT                                                                                   \
  "SELECT seq, kind, key, create_rev, revision, version, lease, value FROM changes"                \
  " WHERE seq > ?1 AND revision >= ?2 AND key >= ?3 AND key < ?4 ORDER BY seq LIMIT 1"

typedef struct
{
  guint id;
  char *prefix;
  char *prefix_end;
  gint64 first_revision;
  gint64 seq;    /* of the change that was read last */
  gboolean over; /* it was removed, or was told that its history is gone */
  LodgeStoreWatchFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} Watch;

static void
watch_clear (gpointer data)
{
  Watch *watch = data;

  if (watch->destroy != NULL)
    watch->destroy (watch->user_data);
  g_free (watch->prefix);
  g_free (watch->prefix_end);
}

static gpointer
watch_copy_ref (gconstpointer watch, gpointer user_data)
{
  return g_rc_box_acquire ((gpointer) watch);
}

static void
watch_unref (gpointer watch)
{
  g_rc_box_release_full (watch, watch_clear);
}

GPtrArray *
lodge_sqlite_watch_table_new (void)
{
  return g_ptr_array_new_with_free_func (watch_unref);
}

guint
lodge_sqlite_watch_add (LodgeStore *store, const char *prefix, gint64 from_revision,
                        LodgeStoreWatchFunc func, gpointer user_data, GDestroyNotify destroy)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (store);
  const LodgeHistory *history = &self->history;
  Watch *watch = g_rc_box_new0 (Watch);

  do
    watch->id = ++self->last_watch;
  while (watch->id == 0);
  watch->prefix = g_strdup (prefix);
  watch->prefix_end = lodge_sqlite_prefix_end (prefix);
  watch->func = func;
  watch->user_data = user_data;
  watch->destroy = destroy;
  watch->first_revision = from_revision != 0 ? from_revision : history->revision + 1;
  watch->seq = watch->first_revision > history->revision    ? history->last_seq
               : watch->first_revision > history->compacted ? history->trimmed
                                                            : -1;
  g_ptr_array_add (self->watches, watch);
  if (watch->seq < history->last_seq)
    lodge_sqlite_watch_wake (self);
  return watch->id;
}

void
lodge_sqlite_watch_remove (LodgeStore *store, guint id)
{
  LodgeSqliteStore *self = LODGE_SQLITE_STORE (store);

  for (guint i = 0; i < self->watches->len; i++)
    {
      Watch *watch = self->watches->pdata[i];

      if (watch->id != id)
        continue;
      watch->over = TRUE;
      g_ptr_array_remove_index (self->watches, i);
      return;
    }
  /* A close has ended them all already. */
  if (self->db != NULL)
    g_critical ("%s: there is no watch %u", G_STRFUNC, id);
}

static gboolean
has_lost_history (const Watch *watch, const LodgeHistory *history)
{
  return watch->seq < history->trimmed && watch->first_revision <= history->compacted;
}

/* Reads the next change for @watch and moves it on; %FALSE when it cannot be read. */
static gboolean
read_next (LodgeSqliteStore *self, Watch *watch, LodgeStoreChangeKind *out_kind,
           LodgeStoreEntry **out_entry)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  LodgeStoreEntry *entry;
  gboolean row;

  if (!lodge_stmt_use (&stmt, self->db, SQL_NEXT, NULL))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, watch->seq);
  lodge_stmt_bind_int (&stmt, 2, watch->first_revision);
  lodge_stmt_bind_text (&stmt, 3, watch->prefix);
  lodge_stmt_bind_text (&stmt, 4, watch->prefix_end);
  if (!lodge_stmt_step (&stmt, &row, NULL))
    return FALSE;
  if (!row)
    {
      watch->seq = self->history.last_seq;
      *out_entry = NULL;
      return TRUE;
    }
  watch->seq = lodge_stmt_get_int (&stmt, 0);
  *out_kind
      = lodge_stmt_get_int (&stmt, 1) == 0 ? LODGE_STORE_CHANGE_PUT : LODGE_STORE_CHANGE_DELETE;
  entry = g_new0 (LodgeStoreEntry, 1);
  entry->key = lodge_stmt_dup_text (&stmt, 2);
  entry->create_rev = lodge_stmt_get_int (&stmt, 3);
  entry->mod_rev = lodge_stmt_get_int (&stmt, 4);
  entry->version = lodge_stmt_get_int (&stmt, 5);
  entry->lease = lodge_stmt_get_int (&stmt, 6);
  entry->value = lodge_stmt_dup_text (&stmt, 7);
  *out_entry = entry;
  return TRUE;
}

/* Returns: whether there may be more for @watch. */
static gboolean
deliver_one (LodgeSqliteStore *self, Watch *watch)
{
  LodgeStoreChangeKind kind = LODGE_STORE_CHANGE_PUT;
  g_autoptr (LodgeStoreEntry) entry = NULL;

  if (self->db == NULL || watch->over || watch->seq >= self->history.last_seq)
    return FALSE;
  if (has_lost_history (watch, &self->history) || !read_next (self, watch, &kind, &entry))
    {
      watch->over = TRUE;
      watch->func (LODGE_STORE_CHANGE_PUT, NULL, watch->user_data);
      return FALSE;
    }
  if (entry == NULL)
    return FALSE;
  watch->func (kind, entry, watch->user_data);
  return TRUE;
}

static gboolean
deliver (gpointer user_data)
{
  g_autoptr (LodgeSqliteStore) self = g_object_ref (user_data);
  g_autoptr (GPtrArray) watches = g_ptr_array_copy (self->watches, watch_copy_ref, NULL);
  gboolean more = FALSE;

  g_clear_pointer (&self->delivery, g_source_unref);
  for (guint i = 0; i < watches->len; i++)
    {
      guint n = 0;

      while (n < BATCH && deliver_one (self, watches->pdata[i]))
        n++;
      more |= n == BATCH;
    }
  if (more && self->db != NULL)
    lodge_sqlite_watch_wake (self);
  return G_SOURCE_REMOVE;
}

void
lodge_sqlite_watch_wake (LodgeSqliteStore *self)
{
  if (self->delivery != NULL || self->watches->len == 0)
    return;
  self->delivery = g_idle_source_new ();
  g_source_set_priority (self->delivery, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->delivery, deliver, self, NULL);
  g_source_attach (self->delivery, self->context);
}

void
lodge_sqlite_watch_stop (LodgeSqliteStore *self)
{
  if (self->delivery != NULL)
    g_source_destroy (self->delivery);
  g_clear_pointer (&self->delivery, g_source_unref);
  for (guint i = 0; i < self->watches->len; i++)
    ((Watch *) self->watches->pdata[i])->over = TRUE;
  g_ptr_array_set_size (self->watches, 0);
}
