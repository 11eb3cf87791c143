/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is read from the drivers for a caller, on a thread: usage and XML. */
#include "lodge-manager-private.h"

#include "lodge-storage.h"

typedef struct
{
  LodgeDriver *driver;
  char *uuid;
  char *state_dir; /* nullable: of a container whose files are measured */
} Query;

static Query *
query_new (LodgeDriver *driver, const char *uuid)
{
  Query *query = g_new0 (Query, 1);

  query->driver = g_object_ref (driver);
  query->uuid = g_strdup (uuid);
  return query;
}

static void
query_free (Query *query)
{
  g_object_unref (query->driver);
  g_free (query->uuid);
  g_free (query->state_dir);
  g_free (query);
}

static void
run_query (LodgeManager *self, LodgeInstance *instance, GTaskThreadFunc func,
           GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  GError *error = NULL;
  LodgeDriver *driver = lodge_manager_driver_for (self, instance->kind, &error);

  if (driver == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_set_task_data (task, query_new (driver, instance->uuid), (GDestroyNotify) query_free);
  lodge_executor_run (self->query_pool, task, func);
}

/* ---- usage: who asks while it is being read shares the answer ---- */

typedef struct
{
  char *key;          /* what is read; owned, also the key of `readings` */
  GPtrArray *waiting; /* GTask */
  GBoxedCopyFunc copy;
  GDestroyNotify free;
} Reading;

static void
reading_free (Reading *reading)
{
  g_ptr_array_unref (reading->waiting);
  g_free (reading->key);
  g_free (reading);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reading, reading_free)

static void
on_read (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeManager *self = LODGE_MANAGER (source);
  g_autoptr (Reading) reading = user_data;
  g_autoptr (GError) error = NULL;
  gpointer value = g_task_propagate_pointer (G_TASK (result), &error);

  g_hash_table_remove (self->readings, reading->key);
  for (guint i = 0; i < reading->waiting->len; i++)
    if (value != NULL)
      g_task_return_pointer (reading->waiting->pdata[i], reading->copy (value), reading->free);
    else
      g_task_return_error (reading->waiting->pdata[i], g_error_copy (error));
  if (value != NULL)
    reading->free (value);
}

/* Lets @task have the answer to @key.  Returns the task that is to read it, or NULL when one does
 * so already. */
static GTask *
share_reading (LodgeManager *self, const char *key, GTask *task, GBoxedCopyFunc copy,
               GDestroyNotify free)
{
  Reading *reading = g_hash_table_lookup (self->readings, key);
  gboolean is_new = reading == NULL;

  if (is_new)
    {
      reading = g_new0 (Reading, 1);
      reading->key = g_strdup (key);
      reading->waiting = g_ptr_array_new_with_free_func (g_object_unref);
      reading->copy = copy;
      reading->free = free;
      g_hash_table_insert (self->readings, reading->key, reading);
    }
  g_ptr_array_add (reading->waiting, g_object_ref (task));
  return is_new ? g_task_new (self, NULL, on_read, reading) : NULL;
}

static gpointer
copy_usage (gpointer usage)
{
  return lodge_usage_copy (usage);
}

static void
free_usage (gpointer usage)
{
  lodge_usage_free (usage);
}

static gpointer
ref_table (gpointer table)
{
  return g_hash_table_ref (table);
}

static void
unref_table (gpointer table)
{
  g_hash_table_unref (table);
}

static void
read_usage (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Query *query = task_data;
  GError *error = NULL;
  LodgeUsage *usage = lodge_driver_get_usage (query->driver, query->uuid, &error);
  guint64 disk;

  if (usage != NULL && usage->disk < 0 && query->state_dir != NULL
      && lodge_storage_measure_container (query->state_dir, query->uuid, &disk))
    usage->disk = (gint64) disk;
  if (usage != NULL)
    g_task_return_pointer (task, usage, (GDestroyNotify) lodge_usage_free);
  else
    g_task_return_error (task, error);
}

void
lodge_manager_get_usage (LodgeManager *self, LodgeInstance *instance, GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  GError *error = NULL;
  LodgeDriver *driver = lodge_manager_driver_for (self, instance->kind, &error);
  /* What was begun before a job's end is no answer to who asks after it. */
  g_autofree char *key
      = g_strdup_printf ("%s %" G_GUINT64_FORMAT, instance->uuid, instance->settled);
  g_autoptr (GTask) reader = NULL;

  if (driver == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  reader = share_reading (self, key, task, copy_usage, free_usage);
  if (reader == NULL)
    return;
  Query *query = query_new (driver, instance->uuid);
  if (instance->kind == LODGE_KIND_CONTAINER && instance->record != LODGE_RECORD_NONE)
    query->state_dir = g_strdup (self->state_dir);
  g_task_set_task_data (reader, query, (GDestroyNotify) query_free);
  lodge_executor_run (self->query_pool, reader, read_usage);
}

LodgeUsage *
lodge_manager_get_usage_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
read_xml (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Query *query = task_data;
  GError *error = NULL;
  char *xml = lodge_driver_get_xml (query->driver, query->uuid, &error);

  if (xml != NULL)
    g_task_return_pointer (task, xml, g_free);
  else
    g_task_return_error (task, error);
}

void
lodge_manager_get_xml (LodgeManager *self, LodgeInstance *instance, GAsyncReadyCallback callback,
                       gpointer user_data)
{
  run_query (self, instance, read_xml, callback, user_data);
}

char *
lodge_manager_get_xml_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* One trip to a thread for all of them: each is a few reads below /sys and /proc. */
static void
read_usages (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GPtrArray *queries = task_data;
  GHashTable *usages
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) lodge_usage_free);

  for (guint i = 0; i < queries->len; i++)
    {
      Query *query = g_ptr_array_index (queries, i);
      LodgeUsage *usage = lodge_driver_get_usage (query->driver, query->uuid, NULL);

      /* One that has just stopped has none; the others are wanted all the same. */
      if (usage != NULL)
        g_hash_table_insert (usages, g_strdup (query->uuid), usage);
    }
  g_task_return_pointer (task, usages, (GDestroyNotify) g_hash_table_unref);
}

void
lodge_manager_get_usages (LodgeManager *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  g_autofree char *key = g_strdup_printf ("all %" G_GUINT64_FORMAT, self->reading);
  g_autoptr (GTask) reader = share_reading (self, key, task, ref_table, unref_table);
  g_autoptr (GPtrArray) all = NULL;
  GPtrArray *queries;

  if (reader == NULL)
    return;
  all = lodge_registry_list (self->registry);
  queries = g_ptr_array_new_with_free_func ((GDestroyNotify) query_free);
  for (guint i = 0; i < all->len; i++)
    {
      LodgeInstance *instance = g_ptr_array_index (all, i);
      LodgeDriver *driver = self->by_kind[instance->kind];

      if (driver != NULL && instance->record == LODGE_RECORD_READY
          && instance->observed == LODGE_STATE_RUNNING)
        g_ptr_array_add (queries, query_new (driver, instance->uuid));
    }
  g_task_set_task_data (reader, queries, (GDestroyNotify) g_ptr_array_unref);
  lodge_executor_run (self->query_pool, reader, read_usages);
}

GHashTable *
lodge_manager_get_usages_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
