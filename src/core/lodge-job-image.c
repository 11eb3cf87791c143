/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-build (a pull from the build: remote), image-import, image-delete.
 *
 * data: ref, kind, rebuild; aliases, description; fingerprint, trash
 */
#include "lodge-manager-private.h"

#include <fcntl.h>
#include <string.h>

#include "lodge-fd.h"
#include "lodge-storage.h"

gboolean
lodge_step_make_staging (LodgeJob *job, GError **error)
{
  return lodge_storage_make_staging (job->manager->state_dir, job->row->id, error);
}

gboolean
lodge_step_remove_staging (LodgeJob *job, GError **error)
{
  return lodge_storage_remove_staging (job->manager->state_dir, job->row->id, error);
}

void
lodge_job_image_progress (double fraction, guint64 done, guint64 total, const char *stage,
                          gpointer job)
{
  lodge_job_set_progress (job, fraction, done, total, stage);
}

void
lodge_job_image_notice (const char *notice, gpointer job)
{
  lodge_job_add_notice (job, notice);
}

static void
take_fingerprint (LodgeJob *job, char *fingerprint, GError *error)
{
  if (fingerprint != NULL)
    {
      job->image_fingerprint = fingerprint;
      json_object_set_string_member (job->data, "fingerprint", fingerprint);
      lodge_job_touch (job, LODGE_JOB_FIELD_OBJECT);
    }
  lodge_job_step_done (job, error);
}

/* Of an image that the caller wants to have under names of its own. */
static gboolean
add_aliases (LodgeJob *job, const char *fingerprint, GError **error)
{
  g_auto (GStrv) aliases = g_strsplit (lodge_json_get_string (job->data, "aliases", ""), "\n", -1);

  for (char **alias = aliases; *alias != NULL; alias++)
    if (**alias != '\0'
        && !lodge_image_store_add_alias (job->manager->images, fingerprint, *alias, error))
      return FALSE;
  return TRUE;
}

/* Who names an address wants that file, and does not expect it to go again; what a launch gets from
 * one is its cache. */
static gboolean
is_import (LodgeJob *job)
{
  return strstr (lodge_json_get_string (job->data, "ref", ""), "://") != NULL;
}

static void
on_obtained (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;
  char *fingerprint = lodge_image_store_obtain_finish (LODGE_IMAGE_STORE (source), result, &error);

  if (fingerprint != NULL
      && ((is_import (job)
           && !lodge_image_store_keep (LODGE_IMAGE_STORE (source), fingerprint, &error))
          || !add_aliases (job, fingerprint, &error)))
    g_clear_pointer (&fingerprint, g_free);
  if (fingerprint != NULL)
    lodge_image_store_renew (LODGE_IMAGE_STORE (source), fingerprint);
  take_fingerprint (job, fingerprint, error);
}

static void
obtain (LodgeJob *job)
{
  g_autofree char *staging = lodge_storage_staging_dir (job->manager->state_dir, job->row->id);
  LodgeObtainFlags flags
      = (lodge_json_get_bool (job->data, "rebuild", FALSE) ? LODGE_OBTAIN_REBUILD : 0)
        | (lodge_json_get_bool (job->data, "allow-http", FALSE) ? LODGE_OBTAIN_HTTP : 0)
        | (job->row->uid == 0 ? LODGE_OBTAIN_PRIVATE : 0);
  const LodgeImageFile file
      = { .sha256 = lodge_json_get_string (job->data, "sha256", NULL),
          .description = lodge_json_get_string (job->data, "description", NULL) };

  lodge_image_store_obtain_async (job->manager->images,
                                  lodge_json_get_string (job->data, "ref", ""), job->target, flags,
                                  &file, staging, lodge_job_image_progress, lodge_job_image_notice,
                                  job, job->cancellable, on_obtained, g_object_ref (job));
}

static void
on_imported (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;
  char *fingerprint = lodge_image_store_import_finish (LODGE_IMAGE_STORE (source), result, &error);

  take_fingerprint (job, fingerprint, error);
}

void
lodge_step_import_image (LodgeJob *job)
{
  g_autofree char *staging = lodge_storage_staging_dir (job->manager->state_dir, job->row->id);
  g_auto (GStrv) aliases = g_strsplit (lodge_json_get_string (job->data, "aliases", ""), "\n", -1);
  const int fds[] = { job->fd, job->root_fd };
  const LodgeImageImport what
      = { .fds = fds,
          .n_fds = job->root_fd >= 0 ? 2 : 1,
          .aliases
          = aliases[0] != NULL && aliases[0][0] != '\0' ? (const char *const *) aliases : NULL,
          .description = lodge_json_get_string (job->data, "description", NULL),
          .source = lodge_json_get_string (job->data, "source", NULL) };

  lodge_image_store_import_async (job->manager->images, &what, staging, lodge_job_image_progress,
                                  lodge_job_image_notice, job, job->cancellable, on_imported,
                                  g_object_ref (job));
}

static gboolean
forget_image (LodgeJob *job, GError **error)
{
  const char *fingerprint = lodge_json_get_string (job->data, "fingerprint", "");
  g_autofree char *trash = NULL;

  if (lodge_image_store_get (job->manager->images, fingerprint) == NULL)
    return TRUE;
  trash = lodge_image_store_delete (job->manager->images, fingerprint, error);
  if (trash == NULL)
    return FALSE;
  json_object_set_string_member (job->data, "trash", trash);
  return TRUE;
}

static gboolean
remove_files (LodgeJob *job, GError **error)
{
  const char *trash = lodge_json_get_string (job->data, "trash", NULL);

  return trash == NULL || lodge_tree_remove (trash, error);
}

static const LodgeJobStep pull_steps[] = {
  LODGE_STEP_STAGING,
  { .nick = "obtain", .stage = "building", .where = LODGE_STEP_ASYNC, .run_async = obtain },
  LODGE_STEP_CLEAN,
};

static const LodgeJobStep import_steps[] = {
  LODGE_STEP_STAGING,
  { .nick = "import",
    .stage = "importing",
    .where = LODGE_STEP_ASYNC,
    .run_async = lodge_step_import_image },
  LODGE_STEP_CLEAN,
};

static const LodgeJobStep delete_steps[] = {
  { .nick = "forget", .stage = "deleting", .where = LODGE_STEP_MAIN, .run = forget_image },
  { .nick = "remove", .stage = "deleting", .where = LODGE_STEP_IO, .run = remove_files },
};

const LodgeJobKind lodge_job_kind_image_pull = { .operation = "image-build",
                                                 .steps = pull_steps,
                                                 .n_steps = G_N_ELEMENTS (pull_steps),
                                                 .commit_step = 1,
                                                 .cancellable = TRUE };
const LodgeJobKind lodge_job_kind_image_import = { .operation = "image-import",
                                                   .steps = import_steps,
                                                   .n_steps = G_N_ELEMENTS (import_steps),
                                                   .commit_step = 1,
                                                   .cancellable = TRUE };
const LodgeJobKind lodge_job_kind_image_delete = { .operation = "image-delete",
                                                   .steps = delete_steps,
                                                   .n_steps = G_N_ELEMENTS (delete_steps),
                                                   .commit_step = -1,
                                                   .cancellable = FALSE };

static LodgeJob *
begin (LodgeJob *prepared, guint32 uid, GError **error)
{
  g_autoptr (LodgeJob) job = prepared;

  job->row->uid = uid;
  return lodge_job_begin (job, error) ? job : NULL;
}

LodgeJob *
lodge_manager_pull_image (LodgeManager *self, const LodgeManagerPull *what, guint32 uid,
                          GError **error)
{
  const char *ref = what->ref;
  LodgeKind kind = what->kind;
  g_autofree char *aliases
      = what->aliases != NULL ? g_strjoinv ("\n", (char **) what->aliases) : g_strdup ("");

  if (!lodge_image_store_check_address (ref, what->allow_http ? LODGE_OBTAIN_HTTP : 0, error))
    return NULL;
  if (!lodge_image_store_check_ref (self->images, ref, kind, error))
    return NULL;

  LodgeJob *job = lodge_job_new (self, &lodge_job_kind_image_pull);
  job->target = kind;
  job->row->description = g_strdup_printf ("image %s for a %s", ref, lodge_kind_nick (kind));
  json_object_set_string_member (job->data, "ref", ref);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (kind));
  json_object_set_boolean_member (job->data, "rebuild", what->rebuild);
  json_object_set_boolean_member (job->data, "allow-http", what->allow_http);
  json_object_set_string_member (job->data, "aliases", aliases);
  if (what->sha256 != NULL)
    json_object_set_string_member (job->data, "sha256", what->sha256);
  if (what->description != NULL)
    json_object_set_string_member (job->data, "description", what->description);
  return begin (job, uid, error);
}

LodgeJob *
lodge_manager_import_image (LodgeManager *self, int fd, int root_fd, const char *const *aliases,
                            const char *description, guint32 uid, GError **error)
{
  g_autofree char *joined = aliases != NULL ? g_strjoinv ("\n", (char **) aliases) : g_strdup ("");

  LodgeJob *job = lodge_job_new (self, &lodge_job_kind_image_import);
  job->fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  job->root_fd = root_fd >= 0 ? fcntl (root_fd, F_DUPFD_CLOEXEC, 3) : -1;
  job->row->description = g_strdup ("import of an image");
  json_object_set_string_member (job->data, "aliases", joined);
  if (description != NULL)
    json_object_set_string_member (job->data, "description", description);
  return begin (job, uid, error);
}

LodgeJob *
lodge_manager_delete_image (LodgeManager *self, const char *fingerprint, guint32 uid,
                            GError **error)
{
  g_autoptr (GPtrArray) users = lodge_manager_list_users_of_image (self, fingerprint);

  if (lodge_image_store_get (self->images, fingerprint) == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no image %.12s",
                   fingerprint);
      return NULL;
    }
  if (users->len > 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_IN_USE,
                   "image %.12s cannot be deleted: %u instance%s, “%s” among them, %s built on it",
                   fingerprint, users->len, users->len == 1 ? "" : "s",
                   (const char *) g_ptr_array_index (users, 0), users->len == 1 ? "is" : "are");
      return NULL;
    }

  LodgeJob *job = lodge_job_new (self, &lodge_job_kind_image_delete);
  job->row->description = g_strdup_printf ("deletion of image %.12s", fingerprint);
  job->image_fingerprint = g_strdup (fingerprint);
  json_object_set_string_member (job->data, "fingerprint", fingerprint);
  return begin (job, uid, error);
}
