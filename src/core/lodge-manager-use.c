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
