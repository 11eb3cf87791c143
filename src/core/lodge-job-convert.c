/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * instance-convert: a container becomes a VM or the other way round.
 *
 * The job's instance is the new one.  The old one ("old" in the data) is renamed to "old-name",
 * the new one is made from an image of the old one's root, started, and must boot; only then is
 * the old one deleted.  Everything before that is undone when it fails or is cut short: the new
 * one goes, the old one has its name again.
 *
 * data: old, old-kind, old-name; name, kind, size, keep (running); image, fingerprint, agent;
 * start, timeout
 */
#include <string.h>

#include "lodge-config-keys.h"
#include "lodge-image-turn.h"
#include "lodge-manager-private.h"
#include "lodge-storage.h"

#define SOURCE_PREFIX        "convert:instance:"
#define NAME_MAX_LENGTH      63
#define STOP_TIMEOUT_SECONDS 120

static LodgeInstance *
get_old (LodgeJob *job)
{
  return lodge_registry_get (job->manager->registry,
                             lodge_json_get_string (job->data, "old", NULL));
}

static LodgeDriver *
get_old_driver (LodgeJob *job, GError **error)
{
  LodgeKind kind = LODGE_KIND_CONTAINER;

  lodge_kind_from_nick (lodge_json_get_string (job->data, "old-kind", ""), &kind);
  return lodge_manager_driver_for (job->manager, kind, error);
}

static const char *
get_text (LodgeJob *job, const char *key)
{
  return lodge_json_get_string (job->data, key, "");
}

/* A guest that tells when it has booted: else the old one is kept. */
static gboolean
can_prove (LodgeJob *job)
{
  return lodge_json_get_bool (job->data, "agent", FALSE);
}

/* ---- images of instances ---- */

static gboolean
is_wanted (LodgeManager *manager, const LodgeImage *image)
{
  g_autoptr (GPtrArray) users = lodge_manager_list_users_of_image (manager, image->fingerprint);
  GHashTableIter iter;
  gpointer value;

  if (users->len > 0 || (image->aliases != NULL && image->aliases[0] != NULL))
    return TRUE;
  g_hash_table_iter_init (&iter, manager->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const LodgeJob *job = value;
      /* Of one that goes on, or is being undone, the job itself knows best. */
      if (job->kind == &lodge_job_kind_convert && job->state == LODGE_JOB_RUNNING && !job->undoing
          && g_strcmp0 (image->source + strlen (SOURCE_PREFIX), job->instance_name) == 0)
        return TRUE;
    }
  return FALSE;
}

void
lodge_job_drop_private_images (LodgeManager *manager)
{
  g_autoptr (GPtrArray) images = lodge_image_store_list (manager->images);
  g_autoptr (GPtrArray) unwanted = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < images->len; i++)
    {
      const LodgeImage *image = g_ptr_array_index (images, i);
      if (g_str_has_prefix (image->source, SOURCE_PREFIX) && !is_wanted (manager, image))
        g_ptr_array_add (unwanted, g_strdup (image->fingerprint));
    }
  for (guint i = 0; i < unwanted->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *trash
          = lodge_image_store_delete (manager->images, unwanted->pdata[i], &error);
      g_autofree char *tag = trash != NULL ? g_path_get_basename (trash) : NULL;

      if (trash != NULL)
        lodge_manager_empty_trash (manager, tag);
      else
        g_warning ("the image %.12s stays: %s", (const char *) unwanted->pdata[i], error->message);
    }
}

/* ---- turn ---- */

static void
on_turned (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  LodgeImageStore *images = LODGE_IMAGE_STORE (source);
  GError *error = NULL;
  g_autofree char *fingerprint = lodge_image_store_turn_finish (images, result, &error);
  const LodgeImage *image
      = fingerprint != NULL ? lodge_image_store_get (images, fingerprint) : NULL;

  if (image != NULL)
    {
      gboolean agent = job->target == LODGE_KIND_CONTAINER
                       || g_hash_table_contains (image->properties, "agent");
      json_object_set_string_member (job->data, "image", fingerprint);
      json_object_set_string_member (job->data, "fingerprint", fingerprint);
      json_object_set_boolean_member (job->data, "agent", agent);
    }
  lodge_job_step_done (job, error);
}

static void
turn (LodgeJob *job)
{
  LodgeManager *manager = job->manager;
  LodgeInstance *old = get_old (job);
  g_autofree char *dir = lodge_storage_instance_dir (manager->state_dir, old->uuid);
  g_autofree char *plan = g_build_filename (dir, "plan", NULL);
  g_autofree char *disk = lodge_storage_disk_path (manager->state_dir, old->uuid);
  gboolean to_vm = job->target == LODGE_KIND_VM;
  const LodgeImageTurn what = { .kind = job->target,
                                .fingerprint = old->image_fingerprint,
                                .size = (guint64) lodge_json_get_int (job->data, "size", 0),
                                .plan = to_vm ? plan : NULL,
                                .disk = to_vm ? NULL : disk,
                                .name = job->instance_name };

  old->job_id = job->row->id;
  lodge_instance_touch (old, LODGE_INSTANCE_FIELD_JOB);
  lodge_image_store_turn_async (manager->images, &what, lodge_job_image_progress,
                                lodge_job_image_notice, job, job->cancellable, on_turned,
                                g_object_ref (job));
}

static gboolean
drop_image (LodgeJob *job, GError **error)
{
  lodge_job_drop_private_images (job->manager);
  return TRUE;
}

/* ---- putting the old one aside ---- */

static gboolean
rename_domain (LodgeJob *job, const char *name, GError **error)
{
  LodgeDriver *driver = get_old_driver (job, error);

  return driver != NULL && lodge_driver_rename (driver, get_text (job, "old"), name, error);
}

static gboolean
aside_domain (LodgeJob *job, GError **error)
{
  return rename_domain (job, get_text (job, "old-name"), error);
}

static gboolean
restore_domain (LodgeJob *job, GError **error)
{
  return rename_domain (job, get_text (job, "name"), error);
}

static gboolean
rename_record (LodgeJob *job, const char *name, GError **error)
{
  LodgeManager *manager = job->manager;
  LodgeInstance *old = get_old (job);

  if (old == NULL || g_strcmp0 (old->name, name) == 0)
    return TRUE;
  if (!lodge_registry_commit_rename (manager->store, old, name, job->row, error))
    return FALSE;
  lodge_registry_rename (manager->registry, old, name);
  lodge_manager_emit_event (manager, "instance-renamed", old, NULL);
  return TRUE;
}

static gboolean
aside_record (LodgeJob *job, GError **error)
{
  return rename_record (job, get_text (job, "old-name"), error);
}

static gboolean
restore_record (LodgeJob *job, GError **error)
{
  return rename_record (job, get_text (job, "name"), error);
}

static gboolean
rename_host (LodgeJob *job, const char *name, GError **error)
{
  LodgeInstance *old = get_old (job);
  LodgeNetwork *network = job->manager->network;

  if (network == NULL || old == NULL || old->mac == NULL || old->address == NULL)
    return TRUE;
  return lodge_network_rename_host (network, old->mac, name, old->address, error);
}

static gboolean
aside_host (LodgeJob *job, GError **error)
{
  return rename_host (job, get_text (job, "old-name"), error);
}

static gboolean
restore_host (LodgeJob *job, GError **error)
{
  return rename_host (job, get_text (job, "name"), error);
}

/* ---- the new one ---- */

static gboolean
wants_no_keep (LodgeJob *job)
{
  return !lodge_json_get_bool (job->data, "keep", FALSE);
}

/* ---- the end of the old one ---- */

static gboolean
retire (LodgeJob *job, GError **error)
{
  LodgeInstance *old = get_old (job);

  if (old == NULL)
    return TRUE;
  LodgeRecordState before = old->record;
  old->record = LODGE_RECORD_DELETING;
  if (lodge_registry_commit_update (job->manager->store, old, job->row, error))
    return TRUE;
  old->record = before;
  return FALSE;
}

static gboolean
undefine_old (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = get_old_driver (job, error);

  return driver != NULL && lodge_driver_undefine (driver, get_text (job, "old"), error);
}

static gboolean
remove_old_host (LodgeJob *job, GError **error)
{
  LodgeInstance *old = get_old (job);

  return old == NULL || old->mac == NULL || job->manager->network == NULL
         || lodge_network_remove_host (job->manager->network, old->mac, error);
}

static gboolean
discard_old (LodgeJob *job, GError **error)
{
  g_autofree char *tag = g_strdup_printf ("%" G_GINT64_FORMAT, job->row->id);

  return lodge_storage_discard (job->manager->state_dir, get_text (job, "old"), tag, error);
}

static gboolean
forget_old (LodgeJob *job, GError **error)
{
  LodgeInstance *old = get_old (job);

  if (old == NULL)
    return TRUE;
  if (!lodge_registry_commit_delete (job->manager->store, old, job->row, error))
    return FALSE;
  lodge_manager_forget (job->manager, old);
  return TRUE;
}

static void
settle_old (LodgeJob *job, LodgeInstance *old)
{
  old->job_id = 0;
  old->settled = ++job->manager->reading;
  lodge_instance_touch (old, LODGE_INSTANCE_FIELD_JOB);
  lodge_reconcile_look_up (job->manager, old->uuid);
}

static void
ended (LodgeJob *job)
{
  g_autofree char *tag = g_strdup_printf ("%" G_GINT64_FORMAT, job->row->id);
  LodgeInstance *old = get_old (job);

  if (old != NULL)
    settle_old (job, old);
  lodge_instance_set_transient (job->instance, -1);
  if (job->undoing)
    {
      if (lodge_registry_get (job->manager->registry, job->instance->uuid) == job->instance)
        lodge_manager_forget (job->manager, job->instance);
    }
  else
    {
      if (!can_prove (job))
        {
          g_autofree char *notice = g_strdup_printf (
              "“%s” has no guest agent, so whether it has booted cannot be told: what it was made "
              "from is kept as “%s”.",
              job->instance_name, get_text (job, "old-name"));
          lodge_job_add_notice (job, notice);
        }
      lodge_reconcile_look_up (job->manager, job->instance->uuid);
    }
  lodge_manager_empty_trash (job->manager, tag);
  lodge_job_drop_private_images (job->manager);
}

static const LodgeJobStep steps[] = {
  { .nick = "turn",
    .stage = "converting",
    .where = LODGE_STEP_ASYNC,
    .run_async = turn,
    .undo_where = LODGE_STEP_MAIN,
    .undo = drop_image },
  { .nick = "network",
    .stage = "looking at the network",
    .where = LODGE_STEP_DRIVER,
    .run = lodge_step_ensure_network,
    .wanted = lodge_step_wants_network },
  { .nick = "aside",
    .stage = "putting the old one aside",
    .where = LODGE_STEP_DRIVER,
    .run = aside_domain,
    .undo_where = LODGE_STEP_DRIVER,
    .undo = restore_domain },
  { .nick = "aside-record",
    .stage = "putting the old one aside",
    .where = LODGE_STEP_MAIN,
    .run = aside_record,
    .undo_where = LODGE_STEP_MAIN,
    .undo = restore_record },
  { .nick = "aside-host",
    .stage = "putting the old one aside",
    .where = LODGE_STEP_IO,
    .run = aside_host,
    .undo_where = LODGE_STEP_IO,
    .undo = restore_host },
  { .nick = "reserve",
    .stage = "reserving",
    .where = LODGE_STEP_MAIN,
    .run = lodge_step_reserve,
    .undo_where = LODGE_STEP_MAIN,
    .undo = lodge_step_unreserve },
  { .nick = "storage",
    .stage = "making the root",
    .where = LODGE_STEP_IO,
    .run = lodge_step_create_storage,
    .undo_where = LODGE_STEP_IO,
    .undo = lodge_step_discard_storage },
  { .nick = "host",
    .stage = "reserving the address",
    .where = LODGE_STEP_IO,
    .run = lodge_step_add_host,
    .undo_where = LODGE_STEP_IO,
    .undo = lodge_step_remove_host,
    .wanted = lodge_step_wants_network },
  { .nick = "define",
    .stage = "defining",
    .where = LODGE_STEP_DRIVER,
    .run = lodge_step_define,
    .undo_where = LODGE_STEP_DRIVER,
    .undo = lodge_step_undefine },
  { .nick = "seed",
    .stage = "making it itself",
    .where = LODGE_STEP_ASYNC,
    .run_async = lodge_step_seed,
    .wanted = lodge_step_wants_seed },
  { .nick = "show",
    .stage = "committing",
    .where = LODGE_STEP_MAIN,
    .run = lodge_step_commit_new,
    .undo_where = LODGE_STEP_MAIN,
    .undo = lodge_step_uncommit },
  { .nick = "start",
    .stage = "starting",
    .where = LODGE_STEP_DRIVER,
    .run = lodge_step_power_on,
    .undo_where = LODGE_STEP_DRIVER,
    .undo = lodge_step_end_domain },
  { .nick = "boot",
    .stage = "booting",
    .where = LODGE_STEP_ASYNC,
    .run_async = lodge_step_wait_booted,
    .wanted = can_prove },
  { .nick = "retire",
    .stage = "removing the old one",
    .where = LODGE_STEP_MAIN,
    .run = retire,
    .wanted = can_prove },
  { .nick = "undefine-old",
    .stage = "removing the old one",
    .where = LODGE_STEP_DRIVER,
    .run = undefine_old,
    .wanted = can_prove },
  { .nick = "host-old",
    .stage = "removing the old one",
    .where = LODGE_STEP_IO,
    .run = remove_old_host,
    .wanted = can_prove },
  { .nick = "discard-old",
    .stage = "removing the old one",
    .where = LODGE_STEP_IO,
    .run = discard_old,
    .wanted = can_prove },
  { .nick = "forget-old",
    .stage = "removing the old one",
    .where = LODGE_STEP_MAIN,
    .run = forget_old,
    .wanted = can_prove },
  { .nick = "shutdown",
    .stage = "asking the guest to stop",
    .where = LODGE_STEP_DRIVER,
    .run = lodge_step_ask_to_stop,
    .wanted = wants_no_keep },
  { .nick = "wait",
    .stage = "waiting for the guest to stop",
    .where = LODGE_STEP_ASYNC,
    .run_async = lodge_step_wait_stopped,
    .wanted = wants_no_keep },
};

/* From "retire" on it only goes forward. */
const LodgeJobKind lodge_job_kind_convert = { .operation = "instance-convert",
                                              .steps = steps,
                                              .n_steps = G_N_ELEMENTS (steps),
                                              .commit_step = 13,
                                              .cancellable = TRUE,
                                              .ended = ended };

/* ---- the beginning ---- */

static gboolean
check_convertible (LodgeInstance *instance, LodgeKind kind, GError **error)
{
  const char *name = instance->name;

  if (lodge_instance_get_origin (instance) == LODGE_ORIGIN_FOREIGN
      || (instance->image_fingerprint == NULL && instance->kind != LODGE_KIND_VM))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "“%s” was not made by Lodge and cannot be converted", name);
  else if (instance->kind == kind)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "“%s” is a %s already", name,
                 lodge_kind_nick (kind));
  else if (instance->job_id != 0 || instance->record != LODGE_RECORD_READY)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY, "“%s” is busy with job %" G_GINT64_FORMAT,
                 name, instance->job_id);
  else if (instance->file_sessions != 0)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY, "files of “%s” are being copied", name);
  else if (lodge_instance_get_state (instance) != LODGE_STATE_STOPPED)
    g_set_error (
        error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
        "“%s” can only be converted when it is stopped\n`lodge convert --force %s …` stops "
        "it",
        name, name);
  else
    return TRUE;
  return FALSE;
}

/* "web-old", "web-old-2": a name that is free.  (transfer full) */
static char *
choose_old_name (LodgeManager *self, const char *name)
{
  for (guint i = 1;; i++)
    {
      g_autofree char *suffix = i == 1 ? g_strdup ("-old") : g_strdup_printf ("-old-%u", i);
      g_autofree char *old_name
          = g_strdup_printf ("%.*s%s", (int) (NAME_MAX_LENGTH - strlen (suffix)), name, suffix);

      if (lodge_registry_get_name_holder (self->registry, old_name) == NULL)
        return g_steal_pointer (&old_name);
    }
}

/* Keys that the other kind does not know are left behind, and that is said. */
static void
take_config (LodgeJob *job, LodgeInstance *old)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, old->config);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      g_autoptr (GHashTable) one = g_hash_table_new (g_str_hash, g_str_equal);
      g_autofree char *notice = NULL;

      g_hash_table_insert (one, key, value);
      if (lodge_config_validate (job->target, one, NULL))
        {
          g_hash_table_insert (job->instance->config, g_strdup (key), g_strdup (value));
          continue;
        }
      notice = g_strdup_printf ("%s is not for a %s and was left out.", (const char *) key,
                                lodge_kind_nick (job->target));
      lodge_job_add_notice (job, notice);
    }
}

static void
fill_data (LodgeJob *job, LodgeInstance *old, guint64 size, gboolean start)
{
  g_autofree char *old_name = choose_old_name (job->manager, old->name);

  json_object_set_string_member (job->data, "old", old->uuid);
  json_object_set_string_member (job->data, "old-kind", lodge_kind_nick (old->kind));
  json_object_set_string_member (job->data, "old-name", old_name);
  json_object_set_string_member (job->data, "name", old->name);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (job->target));
  json_object_set_int_member (job->data, "size", (gint64) size);
  json_object_set_int_member (job->data, "timeout", STOP_TIMEOUT_SECONDS);
  json_object_set_boolean_member (job->data, "start", TRUE);
  json_object_set_boolean_member (job->data, "keep", start);
}

LodgeJob *
lodge_manager_convert_instance (LodgeManager *self, LodgeInstance *instance, LodgeKind kind,
                                guint64 size, gboolean start, guint32 uid, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (self, kind, error);
  g_autofree char *uuid = g_uuid_string_random ();

  if (driver == NULL || !check_convertible (instance, kind, error))
    return NULL;

  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_convert);
  job->instance = lodge_instance_new (uuid, instance->name, kind);
  job->instance->record = LODGE_RECORD_CREATING;
  job->instance->created_at = instance->created_at;
  job->instance->caps = lodge_driver_get_caps (driver);
  job->instance_name = g_strdup (instance->name);
  job->target = kind;
  job->row->uid = uid;
  job->row->description
      = g_strdup_printf ("conversion of “%s” to a %s", instance->name, lodge_kind_nick (kind));
  take_config (job, instance);
  fill_data (job, instance, size, start);
  return lodge_job_begin (job, error) ? job : NULL;
}
