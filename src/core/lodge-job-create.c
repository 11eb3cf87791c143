/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * instance-create: from an image reference to a defined and, when wanted, running instance.
 *
 * data: image (as asked for), kind, config, start, wait-booted, disk-size; from "image" on:
 * fingerprint
 */
#include "lodge-manager-private.h"

#include <string.h>

#include "lodge-config-keys.h"
#include "lodge-name.h"
#include "lodge-storage.h"
#include "lodge-units.h"

/* Of a VM that a system is still to be installed on: what LXD's and Incus' pools give by default is
 * half of that, which desktops do not fit into.  It takes room as it fills. */
#define EMPTY_DISK_SIZE (G_GUINT64_CONSTANT (20) << 30)
#define DISK_SIZE_MIN   (G_GUINT64_CONSTANT (1) << 20)
#define DISK_SECTOR     512
#define DISK_SIZE_MAX   (G_GUINT64_CONSTANT (64) << 40)

static gboolean
is_image_cached (LodgeJob *job)
{
  const char *ref = lodge_json_get_string (job->data, "image", "");

  return lodge_image_store_resolve (job->manager->images, ref, job->target, NULL) != NULL;
}

/* Also when the job is taken up again: what was fetched leaves a directory. */
static gboolean
wants_image (LodgeJob *job)
{
  return lodge_json_get_bool (job->data, "fetch", FALSE);
}

gboolean
lodge_step_wants_network (LodgeJob *job)
{
  return job->manager->network != NULL;
}

static gboolean
wants_start (LodgeJob *job)
{
  return lodge_json_get_bool (job->data, "start", FALSE);
}

static gboolean
wants_boot (LodgeJob *job)
{
  return wants_start (job) && lodge_json_get_bool (job->data, "wait-booted", FALSE);
}

/* ---- image ---- */

static void
on_obtained (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;
  g_autofree char *fingerprint
      = lodge_image_store_obtain_finish (LODGE_IMAGE_STORE (source), result, &error);

  lodge_job_step_done (job, error);
}

static void
obtain_image (LodgeJob *job)
{
  g_autofree char *staging = lodge_storage_staging_dir (job->manager->state_dir, job->row->id);

  lodge_image_store_obtain_async (
      job->manager->images, lodge_json_get_string (job->data, "image", ""), job->target,
      LODGE_OBTAIN_NONE, NULL, staging, lodge_job_image_progress, lodge_job_image_notice, job,
      job->cancellable, on_obtained, g_object_ref (job));
}

/* ---- reserve ---- */

gboolean
lodge_step_ensure_network (LodgeJob *job, GError **error)
{
  job->network = lodge_network_ensure (job->manager->network, error);
  return job->network != NULL;
}

static gboolean
reserve_address (LodgeJob *job, GError **error)
{
  LodgeNetworkInfo *network = job->network;
  g_autoptr (GHashTable) taken = lodge_registry_addresses (job->manager->registry);
  LodgeInstance *instance = job->instance;

  instance->address = lodge_network_pick_address (job->manager->network, network, taken, error);
  if (instance->address == NULL)
    return FALSE;
  instance->network = g_strdup (network->name);
  instance->mac = lodge_network_make_mac (instance->uuid);
  instance->prefix = network->prefix;
  return TRUE;
}

static LodgeDomainSpec *
make_spec (LodgeJob *job, const LodgeImage *image)
{
  LodgeManager *manager = job->manager;
  LodgeInstance *instance = job->instance;
  LodgeNetworkInfo *network = job->network;
  LodgeDomainSpec *spec = lodge_domain_spec_new ();
  g_autofree char *container_dir = lodge_storage_container_dir (manager->state_dir, instance->uuid);

  spec->uuid = g_strdup (instance->uuid);
  spec->name = g_strdup (instance->name);
  spec->kind = instance->kind;
  g_clear_pointer (&spec->config, g_hash_table_unref);
  spec->config = lodge_config_effective (instance->kind, instance->config);
  spec->image_fingerprint = g_strdup (instance->image_fingerprint);
  spec->image_alias = g_strdup (instance->image_alias);
  spec->architecture = g_strdup (instance->architecture);
  spec->os_id = g_strdup (g_hash_table_lookup (image->properties, "os-id"));
  if (instance->kind == LODGE_KIND_CONTAINER)
    {
      spec->lower_dir = lodge_image_store_get_rootfs_dir (manager->images, image->fingerprint);
      spec->upper_dir = g_build_filename (container_dir, "upper", NULL);
      spec->work_dir = g_build_filename (container_dir, "work", NULL);
      spec->idmap_base = instance->idmap_base;
      spec->idmap_count = LODGE_IDMAP_COUNT;
    }
  else
    {
      spec->disk_path = lodge_storage_disk_path (manager->state_dir, instance->uuid);
      if (instance->medium != NULL)
        spec->medium_path = lodge_image_store_get_medium_path (manager->images, instance->medium);
      if (lodge_job_wants_cloud_init (instance, image))
        spec->seed_path = lodge_job_seed_disk (manager, instance);
    }
  if (network != NULL)
    {
      spec->network = g_strdup (network->name);
      spec->bridge = g_strdup (network->bridge);
      spec->mac = g_strdup (instance->mac);
      spec->address = g_strdup (instance->address);
      spec->prefix = instance->prefix;
      spec->gateway = g_strdup (network->gateway);
      spec->dns_domain = g_strdup (network->dns_domain);
    }
  spec->instance_dir = lodge_storage_instance_dir (manager->state_dir, instance->uuid);
  spec->run_dir = g_strdup (manager->run_dir);
  return spec;
}

/* A disk can be larger than what it is built on, and not smaller. */
static gboolean
check_size (LodgeJob *job, const LodgeImage *image, GError **error)
{
  guint64 size = (guint64) lodge_json_get_int (job->data, "disk-size", 0);

  if (size == 0 || size >= image->virtual_size || image->medium)
    return TRUE;
  g_autofree char *least = lodge_format_size (image->virtual_size);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "the disk of “%s” cannot be smaller than that of its image, which has %s",
               job->instance_name, least);
  return FALSE;
}

gboolean
lodge_step_reserve (LodgeJob *job, GError **error)
{
  LodgeManager *manager = job->manager;
  LodgeInstance *instance = job->instance;
  const char *ref = lodge_json_get_string (job->data, "image", "");
  const LodgeImage *image = lodge_image_store_resolve (manager->images, ref, instance->kind, error);

  if (image == NULL)
    return FALSE;
  if (!check_size (job, image, error))
    return FALSE;
  if (image->medium)
    instance->medium = g_strdup (image->fingerprint);
  else
    instance->image_fingerprint = g_strdup (image->fingerprint);
  if (!g_str_has_prefix (image->fingerprint, ref))
    instance->image_alias = g_strdup (ref);
  if (instance->kind == LODGE_KIND_CONTAINER)
    {
      instance->idmap_base = lodge_registry_pick_idmap (manager->registry, error);
      if (instance->idmap_base == 0)
        return FALSE;
    }
  if (job->network != NULL && !reserve_address (job, error))
    return FALSE;
  lodge_image_store_touch (manager->images, image->fingerprint);
  job->spec = make_spec (job, image);

  /* Into the registry again, now that there is more to find it by. */
  g_autoptr (LodgeInstance) hold = g_object_ref (instance);
  lodge_registry_remove (manager->registry, instance);
  lodge_registry_add (manager->registry, instance);
  return lodge_registry_commit_new (manager->store, instance, job->row, error);
}

gboolean
lodge_step_unreserve (LodgeJob *job, GError **error)
{
  return lodge_registry_commit_delete (job->manager->store, job->instance, job->row, error);
}

/* ---- files, network, domain ---- */

gboolean
lodge_step_create_storage (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;
  guint64 size = (guint64) lodge_json_get_int (job->data, "disk-size", 0);
  g_autofree char *backing = NULL;

  if (instance->kind == LODGE_KIND_VM && instance->medium == NULL)
    backing = lodge_image_store_get_disk_path (job->manager->images, instance->image_fingerprint);
  else if (size == 0)
    size = EMPTY_DISK_SIZE;
  return lodge_storage_create (job->manager->state_dir, instance->uuid, instance->kind, backing,
                               size, error);
}

gboolean
lodge_step_discard_storage (LodgeJob *job, GError **error)
{
  g_autofree char *tag = g_strdup_printf ("%" G_GINT64_FORMAT, job->row->id);

  return lodge_storage_discard (job->manager->state_dir, job->instance->uuid, tag, error)
         && lodge_storage_empty_trash (job->manager->state_dir, tag, error);
}

gboolean
lodge_step_add_host (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;

  return lodge_network_add_host (job->manager->network, instance->mac, instance->name,
                                 instance->address, error);
}

gboolean
lodge_step_remove_host (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;

  return instance->mac == NULL
         || lodge_network_remove_host (job->manager->network, instance->mac, error);
}

gboolean
lodge_step_define (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL
         && lodge_driver_define (driver, job->spec, job->output, job->cancellable, error);
}

gboolean
lodge_step_undefine (LodgeJob *job, GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (job->manager, job->target, error);

  return driver != NULL && lodge_driver_undefine (driver, job->instance->uuid, error);
}

/* From here on the instance exists: a crash finishes the job, a failed start leaves it stopped. */
gboolean
lodge_step_commit_new (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;

  instance->record = LODGE_RECORD_READY;
  if (!lodge_registry_commit_update (job->manager->store, instance, job->row, error))
    {
      instance->record = LODGE_RECORD_CREATING;
      return FALSE;
    }
  instance->present = TRUE;
  instance->observed = LODGE_STATE_STOPPED;
  lodge_instance_set_transient (instance, wants_start (job) ? LODGE_STATE_STARTING : -1);
  lodge_manager_announce (job->manager, instance);
  return TRUE;
}

/* Of a launch that was cancelled while it started.  The record goes with the rest of it; until then
 * a crash must not take the instance for one that is complete. */
gboolean
lodge_step_uncommit (LodgeJob *job, GError **error)
{
  LodgeInstance *instance = job->instance;
  LodgeRecordState before = instance->record;

  instance->record = LODGE_RECORD_CREATING;
  lodge_instance_set_transient (instance, LODGE_STATE_STOPPING);
  if (lodge_registry_commit_update (job->manager->store, instance, job->row, error))
    return TRUE;
  instance->record = before;
  return FALSE;
}

static void
ended (LodgeJob *job)
{
  LodgeInstance *instance = job->instance;

  if (job->error == NULL && wants_start (job) && instance->present)
    lodge_reconcile_set_state (job->manager, instance, LODGE_STATE_RUNNING);
  lodge_instance_set_transient (instance, -1);
  if (instance->record == LODGE_RECORD_READY)
    lodge_reconcile_look_up (job->manager, instance->uuid);
  else
    lodge_manager_forget (job->manager, instance);
}

static const LodgeJobStep steps[] = {
  { .nick = "staging",
    .stage = "preparing",
    .where = LODGE_STEP_IO,
    .run = lodge_step_make_staging,
    .undo_where = LODGE_STEP_IO,
    .undo = lodge_step_remove_staging,
    .wanted = wants_image },
  { .nick = "image",
    .stage = "getting the image",
    .where = LODGE_STEP_ASYNC,
    .run_async = obtain_image,
    .wanted = wants_image },
  { .nick = "clean",
    .stage = "getting the image",
    .where = LODGE_STEP_IO,
    .run = lodge_step_remove_staging,
    .wanted = wants_image },
  { .nick = "network",
    .stage = "looking at the network",
    .where = LODGE_STEP_DRIVER,
    .run = lodge_step_ensure_network,
    .wanted = lodge_step_wants_network },
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
  { .nick = "commit",
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
    .undo = lodge_step_end_domain,
    .wanted = wants_start },
  { .nick = "boot",
    .stage = "booting",
    .where = LODGE_STEP_ASYNC,
    .run_async = lodge_step_wait_booted,
    .wanted = wants_boot },
};

const LodgeJobKind lodge_job_kind_create = { .operation = "instance-create",
                                             .steps = steps,
                                             .n_steps = G_N_ELEMENTS (steps),
                                             .commit_step = 9,
                                             .cancellable = TRUE,
                                             .cancel_undoes = TRUE,
                                             .ended = ended };

/* Its disk is empty: there is no system yet that keys or a script could go into. */
static gboolean
check_medium (const LodgeImage *image, const LodgeCreateRequest *request, GError **error)
{
  gboolean has_keys = request->ssh_keys != NULL && *request->ssh_keys != NULL;

  if (!has_keys && request->password_hash == NULL && request->script == NULL)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
               "keys, a password and a script need an installed system, which “%s” is only the "
               "medium for\ncloud-init.user-data reaches installers that read it",
               request->image);
  return FALSE;
}

static gboolean
check_request_size (const LodgeCreateRequest *request, GError **error)
{
  if (request->size == 0)
    return TRUE;
  if (request->kind != LODGE_KIND_VM)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "a container has no disk whose size could be set\n--vm makes a VM");
  else if (request->size < DISK_SIZE_MIN || request->size > DISK_SIZE_MAX
           || request->size % DISK_SECTOR != 0)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "a disk has between 1 MiB and 64 TiB, in whole sectors of 512 bytes");
  else
    return TRUE;
  return FALSE;
}

static gboolean
check_image (LodgeManager *self, const LodgeCreateRequest *request, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  const LodgeImage *image
      = lodge_image_store_resolve (self->images, request->image, request->kind, &local_error);

  if (image != NULL && image->medium)
    return check_medium (image, request, error);
  const LodgeImage *other
      = image == NULL && request->kind == LODGE_KIND_CONTAINER
            ? lodge_image_store_resolve (self->images, request->image, LODGE_KIND_VM, NULL)
            : NULL;
  if (other != NULL && other->medium)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED, local_error->message);
      return FALSE;
    }
  return lodge_image_store_check_ref (self->images, request->image, request->kind, error);
}

static char *
choose_name (LodgeManager *self, const char *wanted, GError **error)
{
  LodgeInstance *other;

  if (wanted == NULL || wanted[0] == '\0')
    for (;;)
      {
        g_autofree char *name = lodge_name_generate ();

        if (lodge_registry_get_name_holder (self->registry, name) == NULL)
          return g_steal_pointer (&name);
      }
  if (!lodge_name_validate (wanted, error))
    return NULL;
  other = lodge_registry_get_name_holder (self->registry, wanted);
  if (other == NULL)
    return g_strdup (wanted);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
               lodge_instance_get_origin (other) == LODGE_ORIGIN_FOREIGN
                   ? "a libvirt domain that is not Lodge's has the name “%s” already"
                   : "there is an instance with the name “%s” already",
               wanted);
  return NULL;
}

static void
fill_data (LodgeJob *job, const LodgeCreateRequest *request)
{
  json_object_set_string_member (job->data, "image", request->image);
  json_object_set_string_member (job->data, "name", job->instance->name);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (request->kind));
  json_object_set_boolean_member (job->data, "start", request->start);
  json_object_set_int_member (job->data, "disk-size", (gint64) request->size);
  json_object_set_boolean_member (job->data, "wait-booted", request->wait_booted);
  json_object_set_boolean_member (job->data, "fetch", !is_image_cached (job));
}

LodgeJob *
lodge_manager_create (LodgeManager *self, const LodgeCreateRequest *request, guint32 uid,
                      GError **error)
{
  LodgeDriver *driver = lodge_manager_driver_for (self, request->kind, error);
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *name = NULL;
  GHashTableIter iter;
  gpointer key, value;

  if (driver == NULL)
    return NULL;
  if (request->image == NULL || request->image[0] == '\0')
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "no image was given\nfor example debian/12");
      return NULL;
    }
  name = choose_name (self, request->name, error);
  if (name == NULL
      || (request->config != NULL && !lodge_config_validate (request->kind, request->config, error))
      || !check_request_size (request, error) || !check_image (self, request, error))
    return NULL;

  g_autoptr (LodgeInstance) instance = lodge_instance_new (uuid, name, request->kind);
  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_create);
  instance->record = LODGE_RECORD_CREATING;
  instance->created_at = g_get_real_time () / G_USEC_PER_SEC;
  instance->caps = lodge_driver_get_caps (driver);
  if (request->config != NULL)
    {
      g_hash_table_iter_init (&iter, request->config);
      while (g_hash_table_iter_next (&iter, &key, &value))
        g_hash_table_insert (instance->config, g_strdup (key), g_strdup (value));
    }
  job->instance = g_object_ref (instance);
  job->instance_name = g_strdup (name);
  job->target = request->kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf (
      "%s of “%s” from %s", request->start ? "launch" : "creation", name, request->image);
  fill_data (job, request);
  if (!lodge_job_set_access (job, request, error))
    return NULL;

  /* The name is taken from now on, in memory; in the store from the step "reserve" on. */
  lodge_registry_add (self->registry, instance);
  if (!lodge_job_begin (job, error))
    {
      lodge_registry_remove (self->registry, instance);
      return NULL;
    }
  return job;
}
