/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* instance-delete: once accepted it only goes forward; files go to the trash before they go. */
#include "lodge-manager-private.h"

#include "lodge-storage.h"

static gboolean
mark (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;
  LodgeRecordState before = instance->record;

  instance->record = LODGE_RECORD_DELETING;
  if (lodge_registry_commit_update (job->manager->store, instance, job->row, error))
    return TRUE;
  instance->record = before;
  return FALSE;
}

static gboolean
undefine (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL && lodge_driver_undefine (driver, job->instance->uuid, error);
}

static gboolean
remove_host (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;

  if (instance->mac == NULL || job->manager->network == NULL)
    return TRUE;
  return lodge_network_remove_host (job->manager->network, instance->mac, error);
}

static gboolean
discard (LodgeJob *job, GError **error)
{
  g_autofree char *tag = g_strdup_printf ("%" G_GINT64_FORMAT, job->row->id);

  return lodge_storage_discard (job->manager->state_dir, job->instance->uuid, tag, error);
}

static gboolean
forget (LodgeJob *job, GError **error)
{
  if (!lodge_registry_commit_delete (job->manager->store, job->instance, job->row, error))
    return FALSE;
  lodge_manager_forget (job->manager, job->instance);
  return TRUE;
}

static void
ended (LodgeJob *job)
{
  g_autofree char *tag = g_strdup_printf ("%" G_GINT64_FORMAT, job->row->id);

  lodge_instance_set_transient (job->instance, -1);
  if (job->error == NULL)
    {
      lodge_manager_empty_trash (job->manager, tag);
      lodge_cache_let_go (job->manager, job->instance->image_fingerprint);
      lodge_cache_let_go (job->manager, job->instance->medium);
      lodge_job_drop_private_images (job->manager);
    }
  else
    lodge_reconcile_look_up (job->manager, job->instance->uuid);
}

static const LodgeJobStep steps[] = {
  { .nick = "mark", .stage = "deleting", .where = LODGE_STEP_MAIN, .run = mark },
  { .nick = "kill", .stage = "stopping", .where = LODGE_STEP_DRIVER, .run = lodge_step_end_domain },
  { .nick = "undefine", .stage = "deleting", .where = LODGE_STEP_DRIVER, .run = undefine },
  { .nick = "host", .stage = "deleting", .where = LODGE_STEP_IO, .run = remove_host },
  { .nick = "discard", .stage = "deleting", .where = LODGE_STEP_IO, .run = discard },
  { .nick = "forget", .stage = "deleting", .where = LODGE_STEP_MAIN, .run = forget },
};

const LodgeJobKind lodge_job_kind_delete = { .operation = "instance-delete",
                                             .steps = steps,
                                             .n_steps = G_N_ELEMENTS (steps),
                                             .commit_step = -1,
                                             .cancellable = FALSE,
                                             .ended = ended };

static gboolean
check_deletable (LodgeInstance *instance, gboolean force, GError **error)
{
  if (lodge_instance_get_origin (instance) == LODGE_ORIGIN_FOREIGN)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "“%s” is not Lodge's to delete: somebody else made this libvirt domain\n"
                   "`virsh undefine` removes it",
                   instance->name);
      return FALSE;
    }
  if (instance->job_id != 0 || instance->record == LODGE_RECORD_CREATING)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY, "“%s” is busy with job %" G_GINT64_FORMAT,
                   instance->name, instance->job_id);
      return FALSE;
    }
  if (instance->file_sessions != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY, "files of “%s” are being copied",
                   instance->name);
      return FALSE;
    }
  if (!force
      && (instance->observed == LODGE_STATE_RUNNING || instance->observed == LODGE_STATE_PAUSED))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "“%s” cannot be deleted: it is %s\nstop it first, or use --force",
                   instance->name, lodge_state_nick (instance->observed));
      return FALSE;
    }
  return TRUE;
}

LodgeJob *
lodge_manager_delete_instance (LodgeManager *self, LodgeInstance *instance, gboolean force,
                               guint32 uid, GError **error)
{
  if (!check_deletable (instance, force, error))
    return NULL;

  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_delete);
  job->instance = g_object_ref (instance);
  job->instance_name = g_strdup (instance->name);
  job->target = instance->kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("deletion of “%s”", instance->name);
  json_object_set_string_member (job->data, "name", instance->name);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (instance->kind));
  lodge_instance_set_transient (instance, LODGE_STATE_STOPPING);
  if (!lodge_job_begin (job, error))
    {
      lodge_instance_set_transient (instance, -1);
      return NULL;
    }
  return job;
}
