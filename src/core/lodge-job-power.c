/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start, stop, restart, pause, resume, rename: jobs that only go forward, because each of their
 * steps leads to the state that was asked for from wherever it finds the instance. */
#include "lodge-manager-private.h"

#include "lodge-name.h"

#define BOOT_TIMEOUT_SECONDS 300

/* ---- waiting for the guest ---- */

static void
end_wait (LodgeJob *job, GError *error)
{
  g_clear_handle_id (&job->wait_source, g_source_remove);
  if (job->wait_handler != 0)
    g_signal_handler_disconnect (job->instance, job->wait_handler);
  job->wait_handler = 0;
  lodge_job_step_done (job, error);
  g_object_unref (job);
}

static GError *
cancelled_error (LodgeJob *job)
{
  return g_error_new (LODGE_ERROR, LODGE_ERROR_CANCELLED, "%s was cancelled",
                      lodge_job_get_description (job));
}

/* Looks at once and then ten times a second, so that a cancellation is heard as well; what is
 * waited for itself comes by the instance's `changed`. */
static void
begin_wait (LodgeJob *job, GCallback on_changed, GSourceFunc on_tick)
{
  g_object_ref (job);
  job->rate_since = g_get_monotonic_time ();
  job->wait_handler = g_signal_connect (job->instance, "changed", on_changed, job);
  job->wait_source = g_timeout_add (100, on_tick, job);
  on_tick (job);
}

static gint64
seconds_waited (LodgeJob *job)
{
  return (g_get_monotonic_time () - job->rate_since) / G_USEC_PER_SEC;
}

static gboolean
check_booted (gpointer user_data)
{
  LodgeJob *job = user_data;
  LodgeInstance *instance = job->instance;
  GError *error = NULL;

  if (job->wait_handler == 0)
    return G_SOURCE_REMOVE;
  if (g_cancellable_is_cancelled (job->cancellable))
    error = cancelled_error (job);
  else if (instance->observed == LODGE_STATE_STOPPED || instance->observed == LODGE_STATE_CRASHED)
    error = g_error_new (LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                         "“%s” stopped while it was booting\n`lodge console --log %s` may tell why",
                         instance->name, instance->name);
  else if (seconds_waited (job) >= BOOT_TIMEOUT_SECONDS)
    error = g_error_new (LODGE_ERROR, LODGE_ERROR_TIMED_OUT,
                         "“%s” did not report that it had booted within %d seconds; it runs",
                         instance->name, BOOT_TIMEOUT_SECONDS);
  else if (!instance->booted && (instance->caps & LODGE_CAP_BOOT_REPORT) != 0)
    return G_SOURCE_CONTINUE;
  end_wait (job, error);
  return G_SOURCE_CONTINUE; /* the source is gone; g_source_remove() has seen to it */
}

static void
on_boot_changed (LodgeInstance *instance, guint fields, gpointer user_data)
{
  check_booted (user_data);
}

void
lodge_step_wait_booted (LodgeJob *job)
{
  /* power_on has just said so; what was read before it counts no more. */
  job->instance->settled = ++job->manager->reading;
  lodge_reconcile_set_state (job->manager, job->instance, LODGE_STATE_RUNNING);
  lodge_instance_set_transient (job->instance, -1);
  lodge_reconcile_look_up (job->manager, job->instance->uuid);
  begin_wait (job, G_CALLBACK (on_boot_changed), check_booted);
}

static gboolean
check_stopped (gpointer user_data)
{
  LodgeJob *job = user_data;
  LodgeInstance *instance = job->instance;
  gint64 timeout = lodge_json_get_int (job->data, "timeout", 30);
  GError *error = NULL;

  if (job->wait_handler == 0)
    return G_SOURCE_REMOVE;
  if (instance->observed != LODGE_STATE_STOPPED && instance->observed != LODGE_STATE_CRASHED
      && instance->present)
    {
      if (g_cancellable_is_cancelled (job->cancellable))
        error = cancelled_error (job);
      else if (seconds_waited (job) >= timeout)
        error
            = g_error_new (LODGE_ERROR, LODGE_ERROR_TIMED_OUT,
                           "“%s” did not stop within %" G_GINT64_FORMAT " seconds and still runs\n"
                           "`lodge stop --force %s` stops it at once",
                           instance->name, timeout, instance->name);
      else
        return G_SOURCE_CONTINUE;
    }
  end_wait (job, error);
  return G_SOURCE_CONTINUE;
}

static void
on_stop_changed (LodgeInstance *instance, guint fields, gpointer user_data)
{
  check_stopped (user_data);
}

void
lodge_step_wait_stopped (LodgeJob *job)
{
  lodge_reconcile_look_up (job->manager, job->instance->uuid);
  begin_wait (job, G_CALLBACK (on_stop_changed), check_stopped);
}

/* ---- steps on a driver's thread ---- */

gboolean
lodge_step_power_on (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL
         && lodge_driver_power_on (driver, job->instance->uuid, job->cancellable, error);
}

gboolean
lodge_step_kill (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL && lodge_driver_kill (driver, job->instance->uuid, error);
}

/* Somebody may have undefined the domain: then there is nothing to end. */
gboolean
lodge_step_end_domain (LodgeJob *job, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (lodge_step_kill (job, &local_error)
      || g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

gboolean
lodge_step_ask_to_stop (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL && lodge_driver_shutdown (driver, job->instance->uuid, error);
}

static gboolean
pause_it (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL && lodge_driver_pause (driver, job->instance->uuid, error);
}

static gboolean
resume_it (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL && lodge_driver_resume (driver, job->instance->uuid, error);
}

static gboolean
rename_domain (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL
         && lodge_driver_rename (driver, job->instance->uuid,
                                 lodge_json_get_string (job->data, "new-name", ""), error);
}

/* The name server knows instances by name, so it has to learn the new one. */
static gboolean
rename_host (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;
  LodgeNetwork *network = job->manager->network;

  if (network == NULL || instance->mac == NULL || instance->address == NULL)
    return TRUE;
  return lodge_network_rename_host (network, instance->mac,
                                    lodge_json_get_string (job->data, "new-name", ""),
                                    instance->address, error);
}

static gboolean
rename_record (LodgeJob *job, GError **error)
{
  LodgeManager *manager = job->manager;
  const char *new_name = lodge_json_get_string (job->data, "new-name", "");

  if (g_strcmp0 (job->instance->name, new_name) == 0)
    return TRUE;
  if (!lodge_registry_commit_rename (manager->store, job->instance, new_name, job->row, error))
    return FALSE;
  lodge_registry_rename (manager->registry, job->instance, new_name);
  lodge_manager_emit_event (manager, "instance-renamed", job->instance, NULL);
  return TRUE;
}

static gboolean
wants_force (LodgeJob *job)
{
  return lodge_json_get_bool (job->data, "force", FALSE);
}

static gboolean
wants_grace (LodgeJob *job)
{
  return !wants_force (job);
}

static gboolean
wants_boot (LodgeJob *job)
{
  return lodge_json_get_bool (job->data, "wait-booted", FALSE);
}

static void
ended (LodgeJob *job)
{
  lodge_instance_set_transient (job->instance, -1);
  lodge_reconcile_look_up (job->manager, job->instance->uuid);
}

/* The drivers return when libvirt has reached the state: who waits for the job sees it at once. */
static void
settle (LodgeJob *job, LodgeState state)
{
  if (job->error == NULL && job->instance->present)
    lodge_reconcile_set_state (job->manager, job->instance, state);
  ended (job);
}

static void
ended_renamed (LodgeJob *job)
{
  g_clear_pointer (&job->instance->claimed_name, g_free);
  ended (job);
}

static void
ended_stopped (LodgeJob *job)
{
  settle (job, LODGE_STATE_STOPPED);
}

static void
ended_running (LodgeJob *job)
{
  settle (job, LODGE_STATE_RUNNING);
}

static void
ended_paused (LodgeJob *job)
{
  settle (job, LODGE_STATE_PAUSED);
}

#define STEP_POWER_ON                                                                              \
  {                                                                                                \
    .nick = "start", .stage = "starting", .where = LODGE_STEP_DRIVER, .run = lodge_step_power_on   \
  }
#define STEP_SEED                                                                                  \
  {                                                                                                \
    .nick = "seed", .stage = "making it itself", .where = LODGE_STEP_ASYNC,                        \
    .run_async = lodge_step_seed, .wanted = lodge_step_wants_seed                                  \
  }
#define STEP_BOOT                                                                                  \
  {                                                                                                \
    .nick = "boot", .stage = "booting", .where = LODGE_STEP_ASYNC,                                 \
    .run_async = lodge_step_wait_booted, .wanted = wants_boot                                      \
  }
#define STEPS_STOP                                                                                 \
  { .nick = "kill",                                                                                \
    .stage = "stopping",                                                                           \
    .where = LODGE_STEP_DRIVER,                                                                    \
    .run = lodge_step_kill,                                                                        \
    .wanted = wants_force },                                                                       \
      { .nick = "shutdown",                                                                        \
        .stage = "asking the guest to stop",                                                       \
        .where = LODGE_STEP_DRIVER,                                                                \
        .run = lodge_step_ask_to_stop,                                                             \
        .wanted = wants_grace },                                                                   \
  {                                                                                                \
    .nick = "wait", .stage = "waiting for the guest to stop", .where = LODGE_STEP_ASYNC,           \
    .run_async = lodge_step_wait_stopped, .wanted = wants_grace                                    \
  }

static const LodgeJobStep start_steps[] = { STEP_SEED, STEP_POWER_ON, STEP_BOOT };
static const LodgeJobStep stop_steps[] = { STEPS_STOP };
static const LodgeJobStep restart_steps[] = { STEPS_STOP, STEP_SEED, STEP_POWER_ON, STEP_BOOT };
static const LodgeJobStep pause_steps[]
    = { { .nick = "pause", .stage = "pausing", .where = LODGE_STEP_DRIVER, .run = pause_it } };
static const LodgeJobStep resume_steps[]
    = { { .nick = "resume", .stage = "resuming", .where = LODGE_STEP_DRIVER, .run = resume_it } };
static const LodgeJobStep rename_steps[] = {
  { .nick = "domain", .stage = "renaming", .where = LODGE_STEP_DRIVER, .run = rename_domain },
  { .nick = "record", .stage = "renaming", .where = LODGE_STEP_MAIN, .run = rename_record },
  { .nick = "host", .stage = "renaming", .where = LODGE_STEP_IO, .run = rename_host },
};

#define KIND(nick, rows, may_cancel, settle)                                                       \
  {                                                                                                \
    .operation = (nick), .steps = (rows), .n_steps = G_N_ELEMENTS (rows), .commit_step = -1,       \
    .cancellable = (may_cancel), .ended = (settle)                                                 \
  }

const LodgeJobKind lodge_job_kind_start = KIND ("instance-start", start_steps, TRUE, ended_running);
const LodgeJobKind lodge_job_kind_stop = KIND ("instance-stop", stop_steps, TRUE, ended_stopped);
const LodgeJobKind lodge_job_kind_restart
    = KIND ("instance-restart", restart_steps, TRUE, ended_running);
const LodgeJobKind lodge_job_kind_pause = KIND ("instance-pause", pause_steps, FALSE, ended_paused);
const LodgeJobKind lodge_job_kind_resume
    = KIND ("instance-resume", resume_steps, FALSE, ended_running);
const LodgeJobKind lodge_job_kind_rename
    = KIND ("instance-rename", rename_steps, FALSE, ended_renamed);

/* ---- what the manager offers ---- */

static gboolean
check_free (LodgeInstance *instance, GError **error)
{
  if (instance->job_id != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY,
                   "“%s” is busy with job %" G_GINT64_FORMAT "\n`lodge job show %" G_GINT64_FORMAT
                   "` tells what it does",
                   instance->name, instance->job_id, instance->job_id);
      return FALSE;
    }
  if (instance->record == LODGE_RECORD_CREATING)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY, "“%s” is being created", instance->name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_state (LodgeInstance *instance, guint states, const char *verb, GError **error)
{
  if (!check_free (instance, error))
    return FALSE;
  if ((states & (1u << instance->observed)) != 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "“%s” cannot be %s: it is %s",
               instance->name, verb, lodge_state_nick (instance->observed));
  return FALSE;
}

#define OFF    (1u << LODGE_STATE_STOPPED | 1u << LODGE_STATE_CRASHED | 1u << LODGE_STATE_SAVED)
#define ACTIVE (1u << LODGE_STATE_RUNNING | 1u << LODGE_STATE_PAUSED)

static LodgeJob *
begin (LodgeManager *self, const LodgeJobKind *kind, LodgeInstance *instance, LodgeJob *prepared,
       const char *verb, int transient, guint32 uid, GError **error)
{
  g_autoptr (LodgeJob) job = prepared != NULL ? prepared : lodge_job_new (self, kind);

  job->instance = g_object_ref (instance);
  job->instance_name = g_strdup (instance->name);
  job->target = instance->kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("%s of “%s”", verb, instance->name);
  json_object_set_string_member (job->data, "name", instance->name);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (instance->kind));
  lodge_instance_set_transient (instance, transient);
  if (!lodge_job_begin (job, error))
    {
      lodge_instance_set_transient (instance, -1);
      return NULL;
    }
  return job;
}

static gboolean
check_no_file_session (LodgeInstance *instance, GError **error)
{
  if (instance->file_sessions == 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY,
               "files of “%s” are being copied while it is stopped\nwait until that has ended",
               instance->name);
  return FALSE;
}

LodgeJob *
lodge_manager_start_instance (LodgeManager *self, LodgeInstance *instance, gboolean wait_booted,
                              guint32 uid, GError **error)
{
  if (!check_state (instance, OFF, "started", error) || !check_no_file_session (instance, error))
    return NULL;

  LodgeJob *job = lodge_job_new (self, &lodge_job_kind_start);
  json_object_set_boolean_member (job->data, "wait-booted", wait_booted);
  return begin (self, NULL, instance, job, "start", LODGE_STATE_STARTING, uid, error);
}

static LodgeJob *
new_stop_job (LodgeManager *self, const LodgeJobKind *kind, gboolean force, guint timeout)
{
  LodgeJob *job = lodge_job_new (self, kind);

  json_object_set_boolean_member (job->data, "force", force);
  json_object_set_int_member (job->data, "timeout", timeout);
  return job;
}

LodgeJob *
lodge_manager_stop_instance (LodgeManager *self, LodgeInstance *instance, gboolean force,
                             guint timeout, guint32 uid, GError **error)
{
  if (!check_state (instance, ACTIVE, "stopped", error))
    return NULL;
  return begin (self, NULL, instance, new_stop_job (self, &lodge_job_kind_stop, force, timeout),
                "stop", LODGE_STATE_STOPPING, uid, error);
}

LodgeJob *
lodge_manager_restart_instance (LodgeManager *self, LodgeInstance *instance, gboolean force,
                                guint timeout, guint32 uid, GError **error)
{
  if (!check_state (instance, ACTIVE, "restarted", error))
    return NULL;
  return begin (self, NULL, instance, new_stop_job (self, &lodge_job_kind_restart, force, timeout),
                "restart", LODGE_STATE_STOPPING, uid, error);
}

LodgeJob *
lodge_manager_pause_instance (LodgeManager *self, LodgeInstance *instance, guint32 uid,
                              GError **error)
{
  if (!check_state (instance, 1u << LODGE_STATE_RUNNING, "paused", error))
    return NULL;
  return begin (self, &lodge_job_kind_pause, instance, NULL, "pause", -1, uid, error);
}

LodgeJob *
lodge_manager_resume_instance (LodgeManager *self, LodgeInstance *instance, guint32 uid,
                               GError **error)
{
  if (!check_state (instance, 1u << LODGE_STATE_PAUSED, "resumed", error))
    return NULL;
  return begin (self, &lodge_job_kind_resume, instance, NULL, "resume", -1, uid, error);
}

LodgeJob *
lodge_manager_rename_instance (LodgeManager *self, LodgeInstance *instance, const char *new_name,
                               guint32 uid, GError **error)
{
  if (!lodge_name_validate (new_name, error) || !check_state (instance, OFF, "renamed", error))
    return NULL;
  if (lodge_instance_get_origin (instance) == LODGE_ORIGIN_FOREIGN)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "“%s” is not Lodge's to rename\nuse `virsh domrename`", instance->name);
      return NULL;
    }
  if (lodge_registry_get_name_holder (self->registry, new_name) != NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                   "there is an instance with the name “%s” already", new_name);
      return NULL;
    }

  LodgeJob *job = lodge_job_new (self, &lodge_job_kind_rename);
  json_object_set_string_member (job->data, "new-name", new_name);
  instance->claimed_name = g_strdup (new_name);
  job = begin (self, NULL, instance, job, "rename", -1, uid, error);
  if (job == NULL)
    g_clear_pointer (&instance->claimed_name, g_free);
  return job;
}
