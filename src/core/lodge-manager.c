/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-manager-private.h"

#include <string.h>

#include "lodge-name.h"
#include "lodge-storage.h"

/* Of one libvirt connection at most five calls are admitted at once; one stays free for reads. */
#define CHANGE_THREADS 4
#define QUERY_THREADS  2
#define IO_THREADS     4

/* How long an ended job can still be asked about. */
#define JOB_KEEP_SECONDS 60
/* But however quickly jobs come, what is remembered of them stays below 4 MiB. */
#define JOB_KEEP_MAX    2048
#define MIN_UUID_PREFIX 8

G_DEFINE_FINAL_TYPE (LodgeManager, lodge_manager, G_TYPE_OBJECT)

enum
{
  SIGNAL_INSTANCE_ADDED,
  SIGNAL_INSTANCE_REMOVED,
  SIGNAL_JOB_ADDED,
  SIGNAL_JOB_REMOVED,
  SIGNAL_EVENT,
  SIGNAL_DRIVERS_CHANGED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static void
lodge_manager_dispose (GObject *object)
{
  LodgeManager *self = LODGE_MANAGER (object);

  if (self->drivers != NULL)
    lodge_reconcile_stop (self);
  g_clear_handle_id (&self->housekeeping_source, g_source_remove);
  g_clear_handle_id (&self->forget_source, g_source_remove);
  g_queue_clear (&self->ended);
  g_clear_pointer (&self->left_over, g_ptr_array_unref);
  g_clear_pointer (&self->jobs, g_hash_table_unref);
  g_clear_pointer (&self->to_look_up, g_hash_table_unref);
  g_clear_pointer (&self->readings, g_hash_table_unref);
  g_clear_pointer (&self->forgotten, g_hash_table_unref);
  g_clear_pointer (&self->registry, lodge_registry_free);
  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    g_clear_object (&self->change_pool[kind]);
  g_clear_object (&self->query_pool);
  g_clear_object (&self->io_pool);
  g_clear_pointer (&self->drivers, g_ptr_array_unref);
  g_clear_object (&self->network);
  g_clear_object (&self->images);
  g_clear_object (&self->store);
  G_OBJECT_CLASS (lodge_manager_parent_class)->dispose (object);
}

static void
lodge_manager_finalize (GObject *object)
{
  LodgeManager *self = LODGE_MANAGER (object);

  g_free (self->state_dir);
  g_free (self->run_dir);
  G_OBJECT_CLASS (lodge_manager_parent_class)->finalize (object);
}

static void
lodge_manager_class_init (LodgeManagerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GType type = G_TYPE_FROM_CLASS (klass);

  object_class->dispose = lodge_manager_dispose;
  object_class->finalize = lodge_manager_finalize;
  signals[SIGNAL_INSTANCE_ADDED] = g_signal_new ("instance-added", type, G_SIGNAL_RUN_LAST, 0, NULL,
                                                 NULL, NULL, G_TYPE_NONE, 1, LODGE_TYPE_INSTANCE);
  signals[SIGNAL_INSTANCE_REMOVED]
      = g_signal_new ("instance-removed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                      1, LODGE_TYPE_INSTANCE);
  signals[SIGNAL_JOB_ADDED] = g_signal_new ("job-added", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                            NULL, G_TYPE_NONE, 1, LODGE_TYPE_JOB);
  signals[SIGNAL_JOB_REMOVED] = g_signal_new ("job-removed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                              NULL, G_TYPE_NONE, 1, LODGE_TYPE_JOB);
  signals[SIGNAL_EVENT]
      = g_signal_new ("event", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 3,
                      G_TYPE_STRING, G_TYPE_OBJECT, G_TYPE_STRING);
  signals[SIGNAL_DRIVERS_CHANGED] = g_signal_new ("drivers-changed", type, G_SIGNAL_RUN_LAST, 0,
                                                  NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
lodge_manager_init (LodgeManager *self)
{
  self->jobs = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_object_unref);
  g_queue_init (&self->ended);
  self->left_over = g_ptr_array_new_with_free_func (g_object_unref);
  self->readings = g_hash_table_new (g_str_hash, g_str_equal);
  self->forgotten = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->to_look_up = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->registry = lodge_registry_new ();
  self->query_pool = lodge_executor_new ("query", QUERY_THREADS);
  self->io_pool = lodge_executor_new ("io", IO_THREADS);
  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    self->change_pool[kind] = lodge_executor_new ("change", CHANGE_THREADS);
}

static void
on_image_event (LodgeImageStore *images, const char *fingerprint, gpointer user_data,
                const char *type)
{
  lodge_manager_emit_event (user_data, type, NULL, fingerprint);
}

static void
on_image_added (LodgeImageStore *images, const char *fingerprint, gpointer user_data)
{
  on_image_event (images, fingerprint, user_data, "image-added");
}

static void
on_image_removed (LodgeImageStore *images, const char *fingerprint, gpointer user_data)
{
  on_image_event (images, fingerprint, user_data, "image-removed");
}

static void
adopt_records (LodgeManager *self)
{
  g_autoptr (GPtrArray) all = lodge_registry_list (self->registry);

  for (guint i = 0; i < all->len; i++)
    {
      LodgeInstance *instance = g_ptr_array_index (all, i);
      LodgeDriver *driver = self->by_kind[instance->kind];

      if (driver != NULL)
        instance->caps = lodge_driver_get_caps (driver);
      /* Until libvirt has been asked nobody knows better. */
      if (instance->record != LODGE_RECORD_CREATING)
        lodge_manager_announce (self, instance);
    }
}

LodgeManager *
lodge_manager_new (const LodgeManagerConfig *config, GError **error)
{
  g_autoptr (LodgeManager) self = g_object_new (LODGE_TYPE_MANAGER, NULL);

  self->state_dir = g_strdup (config->state_dir);
  self->run_dir = g_strdup (config->run_dir);
  self->store = g_object_ref (config->store);
  self->images = g_object_ref (config->images);
  self->drivers = g_ptr_array_ref (config->drivers);
  self->network = config->network != NULL ? g_object_ref (config->network) : NULL;
  for (guint i = 0; i < self->drivers->len; i++)
    {
      LodgeDriver *driver = g_ptr_array_index (self->drivers, i);

      self->by_kind[lodge_driver_get_kind (driver)] = driver;
    }
  if (!lodge_storage_prepare (self->state_dir, error)
      || !lodge_registry_load (self->registry, LODGE_STORE (self->store), error)
      || !lodge_recovery_load (self, error))
    return NULL;
  g_signal_connect_object (self->images, "image-added", G_CALLBACK (on_image_added), self, 0);
  g_signal_connect_object (self->images, "image-removed", G_CALLBACK (on_image_removed), self, 0);
  adopt_records (self);
  return g_steal_pointer (&self);
}

/* ---- the trash ---- */

static void
empty_trash_on_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  const char *const *data = task_data;

  if (lodge_storage_empty_trash (data[0], data[1], &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_trash_emptied (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_warning ("the trash was not emptied: %s", error->message);
}

void
lodge_manager_empty_trash (LodgeManager *self, const char *tag)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, on_trash_emptied, NULL);
  char **data = g_new0 (char *, 3);

  data[0] = g_strdup (self->state_dir);
  data[1] = g_strdup (tag);
  g_task_set_task_data (task, data, (GDestroyNotify) g_strfreev);
  lodge_executor_run (self->io_pool, task, empty_trash_on_thread);
}

void
lodge_manager_start (LodgeManager *self)
{
  lodge_manager_empty_trash (self, NULL);
  lodge_cache_start (self);
  if (self->network != NULL)
    lodge_network_start (self->network);
  lodge_reconcile_start (self);
}

gboolean
lodge_manager_is_settled (LodgeManager *self)
{
  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    if (self->by_kind[kind] != NULL && !self->listed[kind])
      return FALSE;
  return TRUE;
}

LodgeImageStore *
lodge_manager_get_images (LodgeManager *self)
{
  return self->images;
}

GPtrArray *
lodge_manager_get_drivers (LodgeManager *self)
{
  return self->drivers;
}

LodgeDriver *
lodge_manager_driver_for (LodgeManager *self, LodgeKind kind, GError **error)
{
  if (self->by_kind[kind] != NULL)
    return self->by_kind[kind];
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED, "this lodged has no driver for a %s",
               lodge_kind_nick (kind));
  return NULL;
}

/* ---- events ---- */

void
lodge_manager_emit_event (LodgeManager *self, const char *type, gpointer about,
                          const char *fingerprint)
{
  g_signal_emit (self, signals[SIGNAL_EVENT], 0, type, about, fingerprint);
}

void
lodge_manager_announce (LodgeManager *self, LodgeInstance *instance)
{
  if (instance->announced)
    return;
  instance->announced = TRUE;
  if (instance->uri == NULL && self->by_kind[instance->kind] != NULL)
    {
      g_autoptr (GVariant) description
          = g_variant_ref_sink (lodge_driver_describe (self->by_kind[instance->kind]));

      g_variant_lookup (description, "uri", "s", &instance->uri);
    }
  g_signal_emit (self, signals[SIGNAL_INSTANCE_ADDED], 0, instance);
  lodge_manager_emit_event (self, "instance-created", instance, NULL);
}

/* Readings that were begun before this moment may still have it. */
static void
remember_forgotten (LodgeManager *self, const char *uuid)
{
  guint64 *reading = g_new (guint64, 1);

  *reading = ++self->reading;
  g_hash_table_replace (self->forgotten, g_strdup (uuid), reading);
}

void
lodge_manager_forget (LodgeManager *self, LodgeInstance *instance)
{
  g_autoptr (LodgeInstance) hold = g_object_ref (instance);

  g_clear_handle_id (&instance->grace_source, g_source_remove);
  remember_forgotten (self, instance->uuid);
  if (lodge_registry_get (self->registry, instance->uuid) == instance)
    lodge_registry_remove (self->registry, instance);
  if (!instance->announced)
    return;
  instance->announced = FALSE;
  g_signal_emit (self, signals[SIGNAL_INSTANCE_REMOVED], 0, instance);
  lodge_manager_emit_event (self, "instance-deleted", instance, NULL);
}

/* ---- instances ---- */

static LodgeInstance *
find_by_uuid_prefix (LodgeManager *self, const char *prefix)
{
  g_autoptr (GPtrArray) all = lodge_registry_list (self->registry);
  LodgeInstance *found = NULL;

  if (strlen (prefix) < MIN_UUID_PREFIX)
    return NULL;
  for (guint i = 0; i < all->len; i++)
    {
      LodgeInstance *instance = g_ptr_array_index (all, i);

      if (!g_str_has_prefix (instance->uuid, prefix))
        continue;
      if (found != NULL)
        return NULL;
      found = instance;
    }
  return found;
}

static const char *
nearest_name (LodgeManager *self, const char *name)
{
  g_autoptr (GPtrArray) all = lodge_registry_list (self->registry);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < all->len; i++)
    g_ptr_array_add (names, LODGE_INSTANCE (g_ptr_array_index (all, i))->name);
  g_ptr_array_add (names, NULL);
  return lodge_nearest (name, (const char *const *) names->pdata);
}

LodgeInstance *
lodge_manager_find_instance (LodgeManager *self, const char *name_or_uuid, GError **error)
{
  LodgeInstance *instance = lodge_registry_get_by_name (self->registry, name_or_uuid);

  if (instance == NULL)
    instance = lodge_registry_get (self->registry, name_or_uuid);
  if (instance == NULL)
    instance = find_by_uuid_prefix (self, name_or_uuid);
  if (instance != NULL && instance->announced)
    return instance;

  g_autofree char *head = g_strndup (name_or_uuid, 70);
  g_autofree char *shown = lodge_text_escape (head);
  const char *nearest = nearest_name (self, name_or_uuid);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no instance “%s”%s%s%s", shown,
               nearest != NULL ? "\ndid you mean " : "", nearest != NULL ? nearest : "",
               nearest != NULL ? "?" : "");
  return NULL;
}

GPtrArray *
lodge_manager_list_instances (LodgeManager *self)
{
  GPtrArray *all = lodge_registry_list (self->registry);

  for (guint i = 0; i < all->len;)
    if (LODGE_INSTANCE (g_ptr_array_index (all, i))->announced)
      i++;
    else
      g_ptr_array_remove_index (all, i);
  return all;
}

GPtrArray *
lodge_manager_list_users_of_image (LodgeManager *self, const char *fingerprint)
{
  g_autoptr (GPtrArray) all = lodge_registry_list (self->registry);
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < all->len; i++)
    {
      LodgeInstance *instance = g_ptr_array_index (all, i);

      if (instance->record != LODGE_RECORD_NONE
          && (g_strcmp0 (instance->image_fingerprint, fingerprint) == 0
              || g_strcmp0 (instance->medium, fingerprint) == 0))
        g_ptr_array_add (names, instance->name);
    }
  return names;
}

/* ---- jobs ---- */

LodgeJob *
lodge_manager_find_job (LodgeManager *self, gint64 id)
{
  return g_hash_table_lookup (self->jobs, &id);
}

static int
compare_jobs (gconstpointer a, gconstpointer b)
{
  gint64 x = lodge_job_get_id (*(LodgeJob *const *) a);
  gint64 y = lodge_job_get_id (*(LodgeJob *const *) b);

  return x < y ? -1 : x > y;
}

GPtrArray *
lodge_manager_list_jobs (LodgeManager *self)
{
  GPtrArray *all = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer job;

  g_hash_table_iter_init (&iter, self->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &job))
    g_ptr_array_add (all, job);
  g_ptr_array_sort (all, compare_jobs);
  return all;
}

void
lodge_manager_own_job (LodgeManager *self, LodgeJob *job)
{
  gint64 *id = g_new (gint64, 1);

  *id = lodge_job_get_id (job);
  g_hash_table_insert (self->jobs, id, g_object_ref (job));
  g_signal_emit (self, signals[SIGNAL_JOB_ADDED], 0, job);
  lodge_manager_emit_event (self, "job-started", job, NULL);
}

/* ---- ended jobs ---- */

static void forget_later (LodgeManager *self);

static void
forget_oldest (LodgeManager *self)
{
  g_autoptr (LodgeJob) job = g_object_ref (g_queue_pop_head (&self->ended));
  gint64 id = lodge_job_get_id (job);

  g_hash_table_remove (self->jobs, &id);
  g_signal_emit (self, signals[SIGNAL_JOB_REMOVED], 0, job);
}

static gboolean
forget_old_jobs (gpointer user_data)
{
  LodgeManager *self = user_data;
  gint64 now = g_get_monotonic_time ();
  LodgeJob *oldest;

  self->forget_source = 0;
  while ((oldest = g_queue_peek_head (&self->ended)) != NULL && oldest->keep_until <= now)
    forget_oldest (self);
  forget_later (self);
  return G_SOURCE_REMOVE;
}

/* One source for all of them: it waits for the oldest. */
static void
forget_later (LodgeManager *self)
{
  LodgeJob *oldest = g_queue_peek_head (&self->ended);
  gint64 wait;

  if (oldest == NULL || self->forget_source != 0)
    return;
  wait = MAX (oldest->keep_until - g_get_monotonic_time (), 0);
  self->forget_source = g_timeout_add_seconds_full (
      G_PRIORITY_LOW, (guint) (wait / G_USEC_PER_SEC + 1), forget_old_jobs, self, NULL);
}

void
lodge_manager_job_ended (LodgeManager *self, LodgeJob *job)
{
  job->keep_until = g_get_monotonic_time () + JOB_KEEP_SECONDS * G_USEC_PER_SEC;
  g_queue_push_tail (&self->ended, job);
  lodge_manager_emit_event (self, "job-ended", job, NULL);
  if (g_queue_get_length (&self->ended) > JOB_KEEP_MAX)
    forget_oldest (self);
  forget_later (self);
}
