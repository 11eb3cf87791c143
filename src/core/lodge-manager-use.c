/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done in instances without changing them: exec, console, files, usage, XML. */
#include "lodge-manager-private.h"

#include <string.h>

#include "lodge-config-keys.h"

static gboolean
check_runs (LodgeInstance *instance, const char *what, GError **error)
{
  if (instance->observed == LODGE_STATE_RUNNING)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
               "%s needs “%s” to run: it is %s\n`lodge %s %s` changes that", what, instance->name,
               lodge_state_nick (instance->observed),
               instance->observed == LODGE_STATE_PAUSED ? "resume" : "start", instance->name);
  return FALSE;
}

/* ---- exec ---- */

#define ENVIRONMENT_PREFIX "environment."

/* The instance's environment.* keys, overlaid with what the caller wants. */
static GPtrArray *
make_environment (LodgeInstance *instance, const char *const *own)
{
  GPtrArray *environment = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, instance->config);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (g_str_has_prefix (key, ENVIRONMENT_PREFIX))
      g_ptr_array_add (
          environment,
          g_strdup_printf ("%s=%s", (char *) key + strlen (ENVIRONMENT_PREFIX), (char *) value));
  for (gsize i = 0; own != NULL && own[i] != NULL; i++)
    g_ptr_array_add (environment, g_strdup (own[i]));
  g_ptr_array_add (environment, NULL);
  return environment;
}

static void
on_exec (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  LodgeExecResult *exec_result = lodge_driver_exec_finish (LODGE_DRIVER (source), result, &error);

  if (exec_result != NULL)
    g_task_return_pointer (task, exec_result, (GDestroyNotify) lodge_exec_result_free);
  else
    g_task_return_error (task, error);
}

void
lodge_manager_exec (LodgeManager *self, LodgeInstance *instance, const LodgeExecRequest *request,
                    GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;
  LodgeDriver *driver = lodge_manager_driver_for (self, instance->kind, &error);

  if (driver == NULL || !check_runs (instance, "exec", &error))
    {
      g_task_return_error (task, error);
      return;
    }

  g_autoptr (GPtrArray) environment = make_environment (instance, request->environment);
  LodgeExecRequest with_environment = *request;
  with_environment.environment = (const char *const *) environment->pdata;
  lodge_driver_exec (driver, instance->uuid, &with_environment, cancellable, on_exec,
                     g_steal_pointer (&task));
}

LodgeExecResult *
lodge_manager_exec_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* ---- console ---- */

int
lodge_manager_open_console (LodgeManager *self, LodgeInstance *instance, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (self, instance->kind, error);

  if (driver == NULL)
    return -1;
  if (instance->observed != LODGE_STATE_PAUSED && !check_runs (instance, "the console", error))
    return -1;
  return lodge_driver_open_console (driver, instance->uuid, error);
}

int
lodge_manager_open_console_log (LodgeManager *self, LodgeInstance *instance, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (self, instance->kind, error);

  return driver != NULL ? lodge_driver_open_console_log (driver, instance->uuid, error) : -1;
}

/* ---- files ---- */

typedef struct
{
  LodgeInstance *instance;
  gboolean offline;
} FilesCall;

static void
files_call_free (FilesCall *call)
{
  g_object_unref (call->instance);
  g_free (call);
}

static void
on_session_ended (LodgeProcess *server, int exit_status, int term_signal, LodgeInstance *instance)
{
  instance->file_sessions--;
  g_object_unref (server);
  g_object_unref (instance);
}

/* Keeps a stopped instance from being started under the session's feet. */
static void
hold_until_ended (LodgeInstance *instance, LodgeProcess *server)
{
  g_signal_connect (server, "exited", G_CALLBACK (on_session_ended), g_object_ref (instance));
  if (lodge_process_get_exited (server, NULL, NULL))
    {
      g_signal_handlers_disconnect_by_data (server, instance);
      on_session_ended (server, 0, 0, instance);
    }
}

static void
on_server_ended (LodgeProcess *server, int exit_status, int term_signal, gpointer user_data)
{
  g_object_unref (server);
}

static void
keep_until_ended (LodgeProcess *server)
{
  if (server == NULL)
    return;
  if (lodge_process_get_exited (server, NULL, NULL))
    g_object_unref (server);
  else
    g_signal_connect (server, "exited", G_CALLBACK (on_server_ended), NULL);
}

static void
on_files_opened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  FilesCall *call = g_task_get_task_data (task);
  GError *error = NULL;
  LodgeProcess *server = NULL;
  int fd = lodge_driver_open_files_finish (LODGE_DRIVER (source), result, &server, &error);

  if (fd < 0)
    {
      if (call->offline)
        call->instance->file_sessions--;
      g_task_return_error (task, error);
      return;
    }
  /* The session lives until its client closes it, whatever becomes of the caller. */
  if (call->offline)
    hold_until_ended (call->instance, server);
  else
    keep_until_ended (server);
  g_task_return_int (task, fd);
}

void
lodge_manager_open_files (LodgeManager *self, LodgeInstance *instance, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;
  LodgeDriver *driver = lodge_manager_driver_for (self, instance->kind, &error);
  gboolean running = instance->observed == LODGE_STATE_RUNNING;

  if (driver == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  if (instance->observed == LODGE_STATE_PAUSED || (!running && instance->job_id != 0)
      || (!running && (instance->caps & LODGE_CAP_FILES_OFFLINE) == 0))
    {
      g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                               "files of “%s” cannot be reached: it is %s", instance->name,
                               lodge_state_nick (lodge_instance_get_state (instance)));
      return;
    }

  FilesCall *call = g_new0 (FilesCall, 1);
  call->instance = g_object_ref (instance);
  call->offline = !running;
  if (call->offline)
    instance->file_sessions++;
  g_task_set_task_data (task, call, (GDestroyNotify) files_call_free);
  lodge_driver_open_files (driver, instance->uuid, running, cancellable, on_files_opened,
                           g_steal_pointer (&task));
}

int
lodge_manager_open_files_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return (int) g_task_propagate_int (G_TASK (result), error);
}

/* ---- usage and XML, read on a thread ---- */

typedef struct
{
  LodgeDriver *driver;
  char *uuid;
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

static void
read_usage (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Query *query = task_data;
  GError *error = NULL;
  LodgeUsage *usage = lodge_driver_get_usage (query->driver, query->uuid, &error);

  if (usage != NULL)
    g_task_return_pointer (task, usage, (GDestroyNotify) lodge_usage_free);
  else
    g_task_return_error (task, error);
}

void
lodge_manager_get_usage (LodgeManager *self, LodgeInstance *instance, GAsyncReadyCallback callback,
                         gpointer user_data)
{
  run_query (self, instance, read_usage, callback, user_data);
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
  g_autoptr (GPtrArray) all = lodge_registry_list (self->registry);
  GPtrArray *queries = g_ptr_array_new_with_free_func ((GDestroyNotify) query_free);

  for (guint i = 0; i < all->len; i++)
    {
      LodgeInstance *instance = g_ptr_array_index (all, i);
      LodgeDriver *driver = self->by_kind[instance->kind];

      if (driver != NULL && instance->record == LODGE_RECORD_READY
          && instance->observed == LODGE_STATE_RUNNING)
        g_ptr_array_add (queries, query_new (driver, instance->uuid));
    }
  g_task_set_task_data (task, queries, (GDestroyNotify) g_ptr_array_unref);
  lodge_executor_run (self->query_pool, task, read_usages);
}

GHashTable *
lodge_manager_get_usages_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
