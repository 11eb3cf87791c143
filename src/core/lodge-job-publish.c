/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-export and instance-publish.  An instance becomes an image by the way that any other image
 * takes: it is packed as a unified archive, which is imported; so its fingerprint is that of LXD.
 *
 * data: fingerprint, format, compression; aliases, description
 */
#include "lodge-manager-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lodge-fd.h"
#include "lodge-storage.h"

#define ARCHIVE "published.tar"

static void
on_exported (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;

  (void) !lodge_image_store_export_finish (LODGE_IMAGE_STORE (source), result, &error);
  lodge_job_step_done (job, error);
}

static void
export_image (LodgeJob *job)
{
  g_autofree char *staging = lodge_storage_staging_dir (job->manager->state_dir, job->row->id);
  const int fds[] = { job->fd, job->root_fd };
  const LodgeImageExport what
      = { .fingerprint = lodge_json_get_string (job->data, "fingerprint", ""),
          .format = lodge_json_get_string (job->data, "format", "unified"),
          .compression = lodge_json_get_string (job->data, "compression", NULL),
          .fds = fds,
          .n_fds = job->root_fd >= 0 ? 2 : 1 };

  lodge_image_store_export_async (job->manager->images, &what, staging, lodge_job_image_progress,
                                  lodge_job_image_notice, job, job->cancellable, on_exported,
                                  g_object_ref (job));
}

/* ---- publishing ---- */

static void
pack_instance (LodgeJob *job)
{
  LodgeManager *manager = job->manager;
  LodgeInstance *instance = job->instance;
  g_autofree char *staging = lodge_storage_staging_dir (manager->state_dir, job->row->id);
  g_autofree char *path = g_build_filename (staging, ARCHIVE, NULL);
  g_autofree char *instance_dir = lodge_storage_instance_dir (manager->state_dir, instance->uuid);
  g_autofree char *plan = g_build_filename (instance_dir, "plan", NULL);
  g_autofree char *disk = lodge_storage_disk_path (manager->state_dir, instance->uuid);
  gboolean is_vm = instance->kind == LODGE_KIND_VM;
  GError *error = NULL;

  job->fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (job->fd < 0)
    {
      lodge_error_set_errno (&error, errno, "“%s” cannot be packed", instance->name);
      lodge_job_step_done (job, error);
      return;
    }
  const LodgeImageExport what = { .fingerprint = instance->image_fingerprint,
                                  .plan = is_vm ? NULL : plan,
                                  .disk = is_vm ? disk : NULL,
                                  .format = "unified",
                                  .compression = "none",
                                  .fds = &job->fd,
                                  .n_fds = 1 };
  lodge_image_store_export_async (manager->images, &what, staging, lodge_job_image_progress,
                                  lodge_job_image_notice, job, job->cancellable, on_exported,
                                  g_object_ref (job));
}

static const LodgeJobStep export_steps[] = {
  LODGE_STEP_STAGING,
  { .nick = "export", .stage = "exporting", .where = LODGE_STEP_ASYNC, .run_async = export_image },
  LODGE_STEP_CLEAN,
};

static const LodgeJobStep publish_steps[] = {
  LODGE_STEP_STAGING,
  { .nick = "pack", .stage = "packing", .where = LODGE_STEP_ASYNC, .run_async = pack_instance },
  { .nick = "import",
    .stage = "importing",
    .where = LODGE_STEP_ASYNC,
    .run_async = lodge_step_import_image },
  LODGE_STEP_CLEAN,
};

const LodgeJobKind lodge_job_kind_image_export = { .operation = "image-export",
                                                   .steps = export_steps,
                                                   .n_steps = G_N_ELEMENTS (export_steps),
                                                   .commit_step = 1,
                                                   .cancellable = TRUE };
const LodgeJobKind lodge_job_kind_publish = { .operation = "instance-publish",
                                              .steps = publish_steps,
                                              .n_steps = G_N_ELEMENTS (publish_steps),
                                              .commit_step = 2,
                                              .cancellable = TRUE };

LodgeJob *
lodge_manager_export_image (LodgeManager *self, const char *fingerprint, int fd, int root_fd,
                            const char *format, const char *compression, guint32 uid,
                            GError **error)
{
  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_image_export);

  job->fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  job->root_fd = root_fd >= 0 ? fcntl (root_fd, F_DUPFD_CLOEXEC, 3) : -1;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("export of image %.12s", fingerprint);
  json_object_set_string_member (job->data, "fingerprint", fingerprint);
  json_object_set_string_member (job->data, "format", format);
  if (compression != NULL)
    json_object_set_string_member (job->data, "compression", compression);
  return lodge_job_begin (job, error) ? job : NULL;
}

static gboolean
check_publishable (LodgeInstance *instance, GError **error)
{
  if (lodge_instance_get_origin (instance) == LODGE_ORIGIN_FOREIGN
      || (instance->image_fingerprint == NULL && instance->kind != LODGE_KIND_VM))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "“%s” was not made by Lodge and cannot be published", instance->name);
  else if (lodge_instance_get_state (instance) != LODGE_STATE_STOPPED)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                 "“%s” can only be published when it is stopped\n`lodge publish --force %s` stops "
                 "it for the time that takes",
                 instance->name, instance->name);
  else
    return TRUE;
  return FALSE;
}

LodgeJob *
lodge_manager_publish_instance (LodgeManager *self, LodgeInstance *instance,
                                const char *const *aliases, const char *description, guint32 uid,
                                GError **error)
{
  if (!check_publishable (instance, error))
    return NULL;

  g_autofree char *joined = aliases != NULL ? g_strjoinv ("\n", (char **) aliases) : g_strdup ("");
  g_autofree char *source = g_strconcat ("instance:", instance->name, NULL);
  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_publish);

  job->instance = g_object_ref (instance);
  job->instance_name = g_strdup (instance->name);
  job->target = instance->kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("an image of “%s”", instance->name);
  json_object_set_string_member (job->data, "aliases", joined);
  json_object_set_string_member (job->data, "source", source);
  if (description != NULL)
    json_object_set_string_member (job->data, "description", description);
  return lodge_job_begin (job, error) ? job : NULL;
}
