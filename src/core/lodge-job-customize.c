/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-customize: a changed copy of an image.  What it is made from stays.
 *
 * data: fingerprint (of the source, then of the result), aliases, description, ssh-keys,
 * password-hash, script, hostname, machine-id, serial, size, paths
 */
#include <gio/gunixfdlist.h>
#include <string.h>

#include "lodge-image-tailor.h"
#include "lodge-manager-private.h"

#define FILES_MAX     16 /* as many as a message of the system bus can bring */
#define PATH_LEN      4096
#define HOST_NAME_LEN 64
#define DISK_SIZE_MAX (G_GUINT64_CONSTANT (64) << 40)
#define SECTOR        512

static void
on_tailored (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;
  char *fingerprint = lodge_image_store_tailor_finish (LODGE_IMAGE_STORE (source), result, &error);

  if (fingerprint != NULL)
    {
      job->image_fingerprint = fingerprint;
      json_object_set_string_member (job->data, "fingerprint", fingerprint);
      lodge_job_touch (job, LODGE_JOB_FIELD_OBJECT);
    }
  lodge_job_step_done (job, error);
}

/* (transfer full): what lines a member of the data has; none when it is absent. */
static char **
get_lines (LodgeJob *job, const char *key)
{
  const char *text = lodge_json_get_string (job->data, key, "");

  return *text != '\0' ? g_strsplit (text, "\n", -1) : g_new0 (char *, 1);
}

static void
tailor (LodgeJob *job)
{
  g_auto (GStrv) aliases = get_lines (job, "aliases");
  g_auto (GStrv) ssh_keys = get_lines (job, "ssh-keys");
  g_auto (GStrv) paths = get_lines (job, "paths");
  const LodgeImageTailor what
      = { .fingerprint = lodge_json_get_string (job->data, "fingerprint", ""),
          .aliases = (const char *const *) aliases,
          .description = lodge_json_get_string (job->data, "description", NULL),
          .ssh_keys = (const char *const *) ssh_keys,
          .password_hash = lodge_json_get_string (job->data, "password-hash", NULL),
          .script = lodge_json_get_string (job->data, "script", NULL),
          .hostname = lodge_json_get_string (job->data, "hostname", NULL),
          .reset_machine_id = lodge_json_get_bool (job->data, "machine-id", FALSE),
          .serial = lodge_json_get_bool (job->data, "serial", FALSE),
          .size = (guint64) lodge_json_get_int (job->data, "size", 0),
          .paths = (const char *const *) paths,
          .fds = job->files != NULL ? g_unix_fd_list_peek_fds (job->files, NULL) : NULL };

  lodge_image_store_tailor_async (job->manager->images, &what, lodge_job_image_progress,
                                  lodge_job_image_notice, job, job->cancellable, on_tailored,
                                  g_object_ref (job));
}

static const LodgeJobStep steps[] = {
  { .nick = "tailor", .stage = "customizing", .where = LODGE_STEP_ASYNC, .run_async = tailor },
};

const LodgeJobKind lodge_job_kind_image_customize = { .operation = "image-customize",
                                                      .steps = steps,
                                                      .n_steps = G_N_ELEMENTS (steps),
                                                      .commit_step = 0,
                                                      .cancellable = TRUE };

/* ---- what may be asked for ---- */

static gboolean
check_hostname (const char *name, GError **error)
{
  static const char allowed[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-.";

  if (name == NULL
      || (g_ascii_isalnum (*name) && strlen (name) <= HOST_NAME_LEN
          && name[strspn (name, allowed)] == '\0'))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "a host name has letters, digits, “-” and “.”, %d at most", HOST_NAME_LEN);
  return FALSE;
}

static gboolean
is_good_path (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);

  if (*path != '/' || strlen (path) >= PATH_LEN || !g_utf8_validate (path, -1, NULL)
      || g_strv_contains ((const char *const *) parts, "..") || g_str_has_suffix (path, "/"))
    return FALSE;
  for (const char *p = path; *p != '\0'; p++)
    if (g_ascii_iscntrl (*p))
      return FALSE;
  return TRUE;
}

static gboolean
check_paths (const char *const *paths, GError **error)
{
  guint n = paths != NULL ? g_strv_length ((char **) paths) : 0;

  if (n > FILES_MAX)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                   "%d files can be copied into an image at once\na script can fetch more from an "
                   "archive among them",
                   FILES_MAX);
      return FALSE;
    }
  for (guint i = 0; i < n; i++)
    if (!is_good_path (paths[i]))
      {
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     "file number %u has no absolute path in the image to go to", i + 1);
        return FALSE;
      }
  return TRUE;
}

static gboolean
check_size (const LodgeImage *image, guint64 size, GError **error)
{
  if (size == 0 || (size >= image->virtual_size && size <= DISK_SIZE_MAX && size % SECTOR == 0))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "a disk can only grow, to 64 TiB at most and in whole sectors of 512 bytes");
  return FALSE;
}

static gboolean
check_kind (const LodgeImage *image, const LodgeImageTailor *what, GError **error)
{
  const char *option = what->size > 0 ? "size" : what->serial ? "serial login" : NULL;

  if (image->medium)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "the image %.12s is an install medium, which is not changed", image->fingerprint);
  else if (option != NULL && image->kind != LODGE_KIND_VM)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "the image %.12s is for containers, which have no disk with a %s of its own",
                 image->fingerprint, option);
  else
    return TRUE;
  return FALSE;
}

static gboolean
check_change (const LodgeImageTailor *what, GError **error)
{
  if ((what->ssh_keys != NULL && *what->ssh_keys != NULL) || what->password_hash != NULL
      || what->script != NULL || what->hostname != NULL || what->reset_machine_id || what->serial
      || what->size > 0 || (what->paths != NULL && *what->paths != NULL))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "there is nothing to change\n`lodge image customize --help` lists what can be");
  return FALSE;
}

/* ---- the beginning ---- */

static void
set_text (LodgeJob *job, const char *key, const char *value)
{
  if (value != NULL)
    json_object_set_string_member (job->data, key, value);
}

static void
set_lines (LodgeJob *job, const char *key, const char *const *lines)
{
  g_autofree char *joined = lines != NULL ? g_strjoinv ("\n", (char **) lines) : NULL;

  set_text (job, key, joined);
}

static gboolean
keep_files (LodgeJob *job, const LodgeImageTailor *what, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  job->files = g_unix_fd_list_new ();
  for (guint i = 0; what->paths != NULL && what->paths[i] != NULL; i++)
    if (g_unix_fd_list_append (job->files, what->fds[i], &local_error) < 0)
      {
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED, "the files cannot be kept open: %s",
                     local_error->message);
        return FALSE;
      }
  set_lines (job, "paths", what->paths);
  return TRUE;
}

static gboolean
fill (LodgeJob *job, const LodgeImageTailor *what, GError **error)
{
  const LodgeCreateRequest access = { .ssh_keys = what->ssh_keys,
                                      .password_hash = what->password_hash,
                                      .script = what->script };

  json_object_set_string_member (job->data, "fingerprint", what->fingerprint);
  set_lines (job, "aliases", what->aliases);
  set_text (job, "description", what->description);
  set_text (job, "hostname", what->hostname);
  json_object_set_boolean_member (job->data, "machine-id", what->reset_machine_id);
  json_object_set_boolean_member (job->data, "serial", what->serial);
  json_object_set_int_member (job->data, "size", (gint64) what->size);
  return lodge_job_set_access (job, &access, error) && keep_files (job, what, error);
}

LodgeJob *
lodge_manager_customize_image (LodgeManager *self, const LodgeImageTailor *what, guint32 uid,
                               GError **error)
{
  const LodgeImage *image = lodge_image_store_get (self->images, what->fingerprint);

  if (image == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no image %.12s",
                   what->fingerprint);
      return NULL;
    }
  if (!check_change (what, error) || !check_kind (image, what, error)
      || !check_hostname (what->hostname, error) || !check_size (image, what->size, error)
      || !check_paths (what->paths, error))
    return NULL;

  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_image_customize);
  job->target = image->kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("a changed copy of image %.12s", what->fingerprint);
  return fill (job, what, error) && lodge_job_begin (job, error) ? job : NULL;
}
