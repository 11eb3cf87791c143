/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * instance-eject: the install medium leaves a VM's drive, and its image is not in use by it any
 * more.  Only forward: each step may be done again.
 *
 * data: name, kind, force
 */
#include "lodge-manager-private.h"

static gboolean
eject (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL
         && lodge_driver_eject (driver, job->instance->uuid,
                                lodge_json_get_bool (job->data, "force", FALSE), error);
}

static gboolean
record (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;
  char *medium = g_steal_pointer (&instance->medium);

  if (medium == NULL)
    return TRUE;
  if (!lodge_registry_commit_update (job->manager->store, instance, job->row, error))
    {
      instance->medium = medium;
      return FALSE;
    }
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_CONFIG);
  lodge_cache_let_go (job->manager, medium);
  g_free (medium);
  return TRUE;
}

static void
ended (LodgeJob *job)
{
  lodge_reconcile_look_up (job->manager, job->instance->uuid);
}

static const LodgeJobStep steps[] = {
  { .nick = "eject", .stage = "ejecting", .where = LODGE_STEP_DRIVER, .run = eject },
  { .nick = "record", .stage = "ejecting", .where = LODGE_STEP_MAIN, .run = record },
};

const LodgeJobKind lodge_job_kind_eject = { .operation = "instance-eject",
                                            .steps = steps,
                                            .n_steps = G_N_ELEMENTS (steps),
                                            .commit_step = -1,
                                            .ended = ended };

static gboolean
check (LodgeInstance *instance, GError **error)
{
  if (instance->job_id != 0 || instance->record == LODGE_RECORD_CREATING)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY, "“%s” is busy with job %" G_GINT64_FORMAT,
                 instance->name, instance->job_id);
  else if (lodge_instance_get_origin (instance) == LODGE_ORIGIN_FOREIGN)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "“%s” is not Lodge's to change\nuse `virsh change-media --eject`", instance->name);
  else if (instance->medium == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                 instance->kind == LODGE_KIND_VM ? "“%s” has no install medium"
                                                 : "“%s” is a container and has no drive",
                 instance->name);
  else
    return TRUE;
  return FALSE;
}

LodgeJob *
lodge_manager_eject_medium (LodgeManager *self, LodgeInstance *instance, gboolean force,
                            guint32 uid, GError **error)
{
  if (!check (instance, error))
    return NULL;

  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_eject);
  job->instance = g_object_ref (instance);
  job->instance_name = g_strdup (instance->name);
  job->target = instance->kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("ejecting the install medium of “%s”", instance->name);
  json_object_set_string_member (job->data, "name", instance->name);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (instance->kind));
  json_object_set_boolean_member (job->data, "force", force);
  return lodge_job_begin (job, error) ? job : NULL;
}
