/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-image-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"

#define NOTICE_WORD "notice "
#define WORK_DIR    "export"

typedef struct
{
  LodgeImageStore *store;
  LodgeHelper *helper;
  char *dir;
  GError *error;
  LodgeImageProgressFunc progress;
  LodgeImageNoticeFunc notice;
  gpointer func_data;
} Export;

static void
export_free (Export *self)
{
  g_object_unref (self->store);
  g_clear_object (&self->helper);
  g_free (self->dir);
  g_clear_error (&self->error);
  g_free (self);
}

static void
on_progress (LodgeHelper *helper, double fraction, guint64 done, guint64 total, const char *stage,
             gpointer user_data)
{
  Export *self = user_data;

  if (self->progress != NULL)
    self->progress (fraction, done, total, stage, self->func_data);
}

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  Export *self = user_data;

  if (fd >= 0)
    close (fd);
  if (self->notice != NULL && g_str_has_prefix (line, NOTICE_WORD))
    self->notice (line + strlen (NOTICE_WORD), self->func_data);
}

static void
on_discarded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Export *self = g_task_get_task_data (task);

  if (self->error != NULL)
    g_task_return_error (task, g_steal_pointer (&self->error));
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_written (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Export *self = g_task_get_task_data (user_data);

  (void) !lodge_helper_run_finish (self->helper, result, &self->error);
  lodge_image_discard_async (self->store, self->dir, on_discarded, user_data);
}

/* For a metadata.yaml of an image that came without one. */
static void
add_description (LodgeHelper *helper, const LodgeImage *image)
{
  g_autoptr (GList) keys = g_hash_table_get_keys (image->properties);

  keys = g_list_sort (keys, (GCompareFunc) strcmp);
  lodge_helper_add (helper, "architecture", image->architecture);
  lodge_helper_add (helper, "description", image->description);
  for (GList *item = keys; item != NULL; item = item->next)
    {
      const char *value = g_hash_table_lookup (image->properties, item->data);
      g_autofree char *pair = g_strconcat (item->data, "=", value, NULL);
      lodge_helper_add (helper, "property", pair);
    }
}

static void
add_source (Export *self, const LodgeImageExport *what, const LodgeImage *image)
{
  if (image == NULL)
    {
      lodge_helper_add (self->helper, "disk", what->disk);
      return;
    }
  g_autofree char *dir = lodge_image_store_dir (self->store, image->fingerprint);
  g_autofree char *rootfs = lodge_image_store_get_rootfs_dir (self->store, image->fingerprint);
  g_autofree char *disk = image->medium
                              ? lodge_image_store_get_medium_path (self->store, image->fingerprint)
                              : lodge_image_store_get_disk_path (self->store, image->fingerprint);

  lodge_helper_add (self->helper, "metadata", dir);
  if (what->plan != NULL)
    lodge_helper_add (self->helper, "plan", what->plan);
  else if (what->disk != NULL)
    {
      lodge_helper_add (self->helper, "disk", what->disk);
      lodge_helper_add (self->helper, "backing", disk);
    }
  else
    lodge_helper_add (self->helper, image->kind == LODGE_KIND_VM ? "disk" : "rootfs",
                      image->kind == LODGE_KIND_VM ? disk : rootfs);
}

static gboolean
prepare (Export *self, const LodgeImageExport *what, GError **error)
{
  static const char *const names[] = { "output", "root" };
  const LodgeImage *image
      = what->fingerprint != NULL ? lodge_image_store_get (self->store, what->fingerprint) : NULL;

  if (image == NULL && (what->fingerprint != NULL || what->disk == NULL))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "There is no image %.12s",
                   what->fingerprint != NULL ? what->fingerprint : "");
      return FALSE;
    }
  if (mkdir (self->dir, 0700) < 0)
    {
      lodge_error_set_errno (error, errno, "The directory %s cannot be made", self->dir);
      return FALSE;
    }
  self->helper
      = lodge_image_store_make_helper (self->store, LODGE_IMAGE_WORKER, "export", self->dir, error);
  if (self->helper == NULL)
    return FALSE;
  for (guint i = 0; i < what->n_fds && i < G_N_ELEMENTS (names); i++)
    lodge_helper_add_fd (self->helper, names[i], what->fds[i]);
  lodge_helper_add (self->helper, "format", what->format);
  if (what->compression != NULL)
    lodge_helper_add (self->helper, "compression", what->compression);
  add_source (self, what, image);
  if (image != NULL)
    add_description (self->helper, image);
  else
    lodge_helper_add (self->helper, "architecture", lodge_image_host_architecture ());
  lodge_helper_set_progress_func (self->helper, on_progress, self);
  lodge_helper_set_line_func (self->helper, on_line, self);
  return TRUE;
}

void
lodge_image_store_export_async (LodgeImageStore *self, const LodgeImageExport *what,
                                const char *staging_dir, LodgeImageProgressFunc progress,
                                LodgeImageNoticeFunc notice, gpointer func_data,
                                GCancellable *cancellable, GAsyncReadyCallback callback,
                                gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Export *export = g_new0 (Export, 1);
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, export, (GDestroyNotify) export_free);
  export->store = g_object_ref (self);
  export->dir = g_build_filename (staging_dir, WORK_DIR, NULL);
  export->progress = progress;
  export->notice = notice;
  export->func_data = func_data;
  if (prepare (export, what, &error))
    {
      lodge_helper_run_async (export->helper, cancellable, on_written, task);
      return;
    }
  g_task_return_error (task, error);
  g_object_unref (task);
}

gboolean
lodge_image_store_export_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
