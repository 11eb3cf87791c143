/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The step of creation, conversion and start that gives an instance its own name, files and
 * cloud-init data.  A file beside the instance, the stamp, tells for what that was done last: a
 * start does it again when the name or the configuration has become another, or when the image
 * wants it each time.
 *
 * cloud-init knows a guest by its "instance-id", and makes new host keys and runs everything once
 * more when it is another.  A guest that is converted stays the same one, so the stamp keeps that.
 */
#include "lodge-image-seed.h"
#include "lodge-manager-private.h"

#include <string.h>

#include "lodge-fd.h"
#include "lodge-storage.h"

#define STAMP      "seed.stamp"
#define CLOUD_INIT "cloud-init"

static const char *const documents[] = {
  "cloud-init.user-data", "cloud-init.vendor-data", "cloud-init.network-config",
  "user.user-data",       "user.vendor-data",       "user.network-config",
  "user.meta-data",
};

static gboolean
has_documents (LodgeInstance *instance)
{
  for (gsize i = 0; i < G_N_ELEMENTS (documents); i++)
    if (g_hash_table_contains (instance->config, documents[i]))
      return TRUE;
  return FALSE;
}

/* Also without one of its documents: cloud-init waits for a data source, and takes the name. */
gboolean
lodge_job_wants_cloud_init (LodgeInstance *instance, const LodgeImage *image)
{
  return has_documents (instance)
         || (image != NULL
             && g_strcmp0 (g_hash_table_lookup (image->properties, CLOUD_INIT), "yes") == 0);
}

/* Whether a template of @image is for @trigger; NULL: for anything. */
static gboolean
has_template (const LodgeImage *image, const char *trigger)
{
  const char *list
      = image != NULL ? g_hash_table_lookup (image->properties, LODGE_IMAGE_TEMPLATES) : NULL;

  if (list == NULL || trigger == NULL)
    return list != NULL;
  g_auto (GStrv) words = g_strsplit (list, ",", -1);
  return g_strv_contains ((const char *const *) words, trigger);
}

static const LodgeImage *
find_image (LodgeJob *job)
{
  const char *fingerprint = job->instance->image_fingerprint;

  return fingerprint != NULL ? lodge_image_store_get (job->manager->images, fingerprint) : NULL;
}

/* ---- the stamp ---- */

/* (transfer full) (nullable): what the stamp of the instance @uuid says; NULL: nothing was put into
 * it when it was made. */
static char *
read_stamp (LodgeManager *manager, const char *uuid)
{
  g_autofree char *dir = lodge_storage_instance_dir (manager->state_dir, uuid);
  g_autofree char *path = g_build_filename (dir, STAMP, NULL);
  char *stamp = NULL;

  return g_file_get_contents (path, &stamp, NULL, NULL) ? stamp : NULL;
}

/* (transfer full): as what cloud-init knows the guest */
static char *
get_identity (LodgeJob *job)
{
  const char *old = job->kind == &lodge_job_kind_convert
                        ? lodge_json_get_string (job->data, "old", NULL)
                        : NULL;
  const char *uuid = old != NULL ? old : job->instance->uuid;
  g_autofree char *stamp = read_stamp (job->manager, uuid);
  g_auto (GStrv) lines = g_strsplit (stamp != NULL ? stamp : "", "\n", -1);

  return g_strdup (g_strv_length (lines) > 2 && g_uuid_string_is_valid (lines[2]) ? lines[2]
                                                                                  : uuid);
}

/* "<name>\n<digest>\n<identity>\n" */
static char *
make_stamp (LodgeJob *job)
{
  LodgeInstance *instance = job->instance;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *identity = get_identity (job);

  for (gsize i = 0; i < G_N_ELEMENTS (documents); i++)
    {
      const char *value = g_hash_table_lookup (instance->config, documents[i]);
      g_checksum_update (checksum, (const guchar *) documents[i], -1);
      if (value != NULL)
        g_checksum_update (checksum, (const guchar *) value, -1);
    }
  return g_strdup_printf ("%s\n%s\n%s\n", instance->name, g_checksum_get_string (checksum),
                          identity);
}

static gboolean
is_of_name (const char *stamp, const char *name)
{
  return g_str_has_prefix (stamp, name) && stamp[strlen (name)] == '\n';
}

/* ---- the step ---- */

static gboolean
has_access (LodgeJob *job)
{
  static const char *const members[] = { "ssh-keys", "password-hash", "script" };

  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    if (json_object_has_member (job->data, members[i]))
      return TRUE;
  return FALSE;
}

/* Also of the other kind: the new root has nothing of what is beside it. */
static gboolean
is_creation (LodgeJob *job)
{
  return job->kind == &lodge_job_kind_create || job->kind == &lodge_job_kind_convert;
}

gboolean
lodge_step_wants_seed (LodgeJob *job)
{
  const LodgeImage *image = find_image (job);
  gboolean is_container = job->target == LODGE_KIND_CONTAINER;

  if (is_creation (job))
    return has_access (job) || lodge_job_wants_cloud_init (job->instance, image)
           || (is_container && has_template (image, NULL));

  if (!is_container && !lodge_job_wants_cloud_init (job->instance, image))
    return FALSE;
  g_autofree char *stamp = read_stamp (job->manager, job->instance->uuid);
  g_autofree char *now = make_stamp (job);
  return stamp != NULL
         && (strcmp (stamp, now) != 0 || (is_container && has_template (image, "start")));
}

/* What an image does at a start is also for the first one. */
static char *
choose_triggers (LodgeJob *job)
{
  if (is_creation (job))
    return g_strdup (lodge_json_get_bool (job->data, "start", FALSE) ? "create,start" : "create");

  g_autofree char *stamp = read_stamp (job->manager, job->instance->uuid);
  gboolean renamed = stamp != NULL && !is_of_name (stamp, job->instance->name);
  return g_strdup (renamed ? "rename,start" : "start");
}

/* A stamp that a crash takes away only means that the same is done once more. */
static void
write_stamp (LodgeJob *job)
{
  LodgeManager *manager = job->manager;
  g_autofree char *dir = lodge_storage_instance_dir (manager->state_dir, job->instance->uuid);
  g_autofree char *path = g_build_filename (dir, STAMP, NULL);
  g_autofree char *stamp = make_stamp (job);

  if (!g_file_set_contents_full (path, stamp, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    g_warning ("%s cannot be written", path);
}

static void
on_seeded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;

  if (lodge_image_store_seed_finish (LODGE_IMAGE_STORE (source), result, &error))
    write_stamp (job);
  lodge_job_step_done (job, error);
}

char *
lodge_job_seed_disk (LodgeManager *manager, LodgeInstance *instance)
{
  g_autofree char *dir = lodge_storage_instance_dir (manager->state_dir, instance->uuid);

  return g_build_filename (dir, "seed.iso", NULL);
}

void
lodge_step_seed (LodgeJob *job)
{
  LodgeManager *manager = job->manager;
  LodgeInstance *instance = job->instance;
  g_autofree char *dir = lodge_storage_instance_dir (manager->state_dir, instance->uuid);
  g_autofree char *plan = g_build_filename (dir, "plan", NULL);
  g_autofree char *disk = lodge_job_seed_disk (manager, instance);
  g_autofree char *triggers = choose_triggers (job);
  g_autofree char *identity = get_identity (job);
  g_autofree char *root_disk = lodge_storage_disk_path (manager->state_dir, instance->uuid);
  const char *keys = lodge_json_get_string (job->data, "ssh-keys", "");
  g_auto (GStrv) ssh_keys = g_strsplit (keys, "\n", -1);
  gboolean cloud_init = lodge_job_wants_cloud_init (instance, find_image (job));
  gboolean is_vm = job->target == LODGE_KIND_VM;
  const LodgeImageSeed what
      = { .fingerprint = instance->image_fingerprint,
          .plan = is_vm ? NULL : plan,
          .output = is_vm && cloud_init ? disk : NULL,
          .name = instance->name,
          .uuid = identity,
          .architecture = instance->architecture,
          .triggers = triggers,
          .cloud_init = cloud_init,
          .config = instance->config,
          .ssh_keys = (const char *const *) ssh_keys,
          .password_hash = lodge_json_get_string (job->data, "password-hash", NULL),
          .script = lodge_json_get_string (job->data, "script", NULL),
          .disk = is_vm && !cloud_init ? root_disk : NULL };

  lodge_image_store_seed_async (manager->images, &what, lodge_job_image_notice, job,
                                job->cancellable, on_seeded, g_object_ref (job));
}

/* ---- what a request may ask for ---- */

#define KEY_MAX    8192
#define KEYS_MAX   64
#define HASH_MAX   256
#define SCRIPT_MAX 65536

static gboolean
is_one_line (const char *text, gsize max)
{
  if (*text == '\0' || strlen (text) > max || !g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (const char *p = text; *p != '\0'; p++)
    if (g_ascii_iscntrl (*p))
      return FALSE;
  return TRUE;
}

/* "[options] ssh-ed25519 AAAA… [comment]" */
static gboolean
check_ssh_keys (const char *const *keys, GError **error)
{
  guint n = keys != NULL ? g_strv_length ((char **) keys) : 0;

  for (guint i = 0; i < n; i++)
    if (n > KEYS_MAX || !is_one_line (keys[i], KEY_MAX) || strstr (keys[i], " AAAA") == NULL)
      {
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     "SSH key number %u is no public key\nit is one line, such as “ssh-ed25519 "
                     "AAAA… you@host”, of a file that ends in .pub",
                     i + 1);
        return FALSE;
      }
  return TRUE;
}

static gboolean
check_password_hash (const char *hash, GError **error)
{
  static const char allowed[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "./$,=_-";

  if (hash == NULL
      || (*hash == '$' && strlen (hash) <= HASH_MAX && hash[strspn (hash, allowed)] == '\0'))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "the password is not hashed as in crypt(5)");
  return FALSE;
}

static gboolean
check_script (const char *script, GError **error)
{
  if (script == NULL || (g_str_has_prefix (script, "#!") && strlen (script) <= SCRIPT_MAX))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "the script does not begin with “#!”, or is larger than 64 KiB");
  return FALSE;
}

gboolean
lodge_job_set_access (LodgeJob *job, const LodgeCreateRequest *request, GError **error)
{
  if (!check_ssh_keys (request->ssh_keys, error)
      || !check_password_hash (request->password_hash, error)
      || !check_script (request->script, error))
    return FALSE;
  if (request->ssh_keys != NULL && *request->ssh_keys != NULL)
    {
      g_autofree char *keys = g_strjoinv ("\n", (char **) request->ssh_keys);
      json_object_set_string_member (job->data, "ssh-keys", keys);
    }
  if (request->password_hash != NULL)
    json_object_set_string_member (job->data, "password-hash", request->password_hash);
  if (request->script != NULL)
    json_object_set_string_member (job->data, "script", request->script);
  return TRUE;
}
