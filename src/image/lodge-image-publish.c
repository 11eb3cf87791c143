/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a staging directory to `images/<fingerprint>`: sync, rename, sync, commit.  After a crash
 * there is a whole image with its document, or a directory without one, which the next start
 * moves to the trash.
 */
#include "lodge-image-private.h"
#include "lodge-image-seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-failpoint.h"
#include "lodge-fd.h"
#include "lodge-name.h"

#define RESULT_PROPERTY "property."
#define FILE_SIZE_LIMIT (G_GINT64_CONSTANT (1) << 44)
#define FILES_LIMIT     4096

/* QEMU's user has to reach a disk; a container's tree, which has setuid programs in it, is for
 * root alone. */
#define VM_DIR_MODE        0711
#define CONTAINER_DIR_MODE 0700

typedef struct
{
  LodgeImageStore *store;
  LodgeImage *image;
  char *source_dir;
  char *target_dir;
  gboolean known; /* there already: the new copy is not wanted */
} Publication;

static void
publication_free (Publication *self)
{
  g_object_unref (self->store);
  lodge_image_free (self->image);
  g_free (self->source_dir);
  g_free (self->target_dir);
  g_free (self);
}

static gboolean
sync_file_system (const char *path, GError **error)
{
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd >= 0 && syncfs (fd) == 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "The image cannot be written to the disk");
  return FALSE;
}

static gboolean
move_to_place (const Publication *self, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (self->target_dir);
  mode_t mode = self->image->kind == LODGE_KIND_VM ? VM_DIR_MODE : CONTAINER_DIR_MODE;

  if (self->known)
    return lodge_tree_remove (self->source_dir, error);
  /* Left by a crash: complete or not, the new copy is. */
  if (!lodge_tree_remove (self->target_dir, error) || !sync_file_system (self->source_dir, error))
    return FALSE;
  if (chmod (self->source_dir, mode) < 0 || rename (self->source_dir, self->target_dir) < 0)
    {
      lodge_error_set_errno (error, errno, "The image %.12s cannot be moved to its place",
                             self->image->fingerprint);
      return FALSE;
    }
  return lodge_dir_sync (parent, error) && lodge_failpoint ("image-publish", error);
}

static void
publish_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (move_to_place (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_moved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Publication *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error)
      || !lodge_image_store_commit (self->store, g_steal_pointer (&self->image), &error))
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

void
lodge_image_publish_async (LodgeImageStore *self, const LodgeImage *image, const char *source_dir,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  Publication *publication = g_new0 (Publication, 1);
  GTask *task = g_task_new (self, NULL, callback, user_data);
  g_autoptr (GTask) work = g_task_new (self, NULL, on_moved, task);

  publication->store = g_object_ref (self);
  publication->image = lodge_image_copy (image);
  publication->source_dir = g_strdup (source_dir);
  publication->target_dir = lodge_image_store_dir (self, image->fingerprint);
  publication->known = lodge_image_store_get (self, image->fingerprint) != NULL;
  g_task_set_task_data (task, publication, (GDestroyNotify) publication_free);
  /* Borrowed: @task lives until on_moved(). */
  g_task_set_task_data (work, publication, NULL);
  lodge_executor_run (self->executor, work, publish_in_thread);
}

gboolean
lodge_image_publish_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
discard_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  g_autofree char *parent = g_path_get_dirname (task_data);
  g_autoptr (GError) error = NULL;

  if (!lodge_tree_remove (task_data, &error) || !lodge_dir_sync (parent, &error))
    g_warning ("%s is left over: %s", (const char *) task_data, error->message);
  g_task_return_boolean (task, error == NULL);
}

void
lodge_image_discard_async (LodgeImageStore *self, const char *path, GAsyncReadyCallback callback,
                           gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);

  g_task_set_task_data (task, g_strdup (path), g_free);
  lodge_executor_run (self->executor, task, discard_in_thread);
}

/* ---- helpers ---- */

static void
take_property (LodgeImage *image, LodgeHelper *helper, const char *name)
{
  g_autofree char *key = g_strconcat (RESULT_PROPERTY, name, NULL);
  const char *value = lodge_helper_get_result (helper, key);

  if (value != NULL && g_utf8_validate (value, -1, NULL))
    g_hash_table_insert (image->properties, g_strdup (name), g_strdup (value));
}

static guint64
take_number (LodgeHelper *helper, const char *key)
{
  const char *value = lodge_helper_get_result (helper, key);

  return value != NULL ? g_ascii_strtoull (value, NULL, 10) : 0;
}

static void
take_text (char **field, LodgeHelper *helper, const char *key, const char *fallback)
{
  const char *value = lodge_helper_get_result (helper, key);
  g_autofree char *valid = value != NULL ? g_utf8_make_valid (value, -1) : NULL;

  lodge_image_set_string (field, valid != NULL ? valid : fallback);
}

LodgeImage *
lodge_image_from_results (LodgeHelper *helper, LodgeKind kind, GError **error)
{
  static const char *const properties[] = { "os",       "release",
                                            "suite",    "variant",
                                            "os-id",    "init",
                                            "firmware", "serial",
                                            "type",     "version",
                                            "hostname", "cloud-init",
                                            "agent",    "requirements.secureboot",
                                            "cpus",     "memory",
                                            "command",  LODGE_IMAGE_TEMPLATES };
  const char *fingerprint = lodge_helper_get_result (helper, "fingerprint");

  if (fingerprint == NULL || !lodge_fingerprint_is_valid (fingerprint))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED,
                   "The helper made an image without a fingerprint");
      return NULL;
    }

  LodgeImage *image = lodge_image_new (fingerprint, kind);
  take_text (&image->architecture, helper, "architecture", lodge_image_host_architecture ());
  take_text (&image->description, helper, "description", "");
  image->size = take_number (helper, "size");
  image->virtual_size = take_number (helper, "virtual-size");
  image->created_at = g_get_real_time () / G_USEC_PER_SEC;
  for (gsize i = 0; i < G_N_ELEMENTS (properties); i++)
    take_property (image, helper, properties[i]);
  return image;
}

LodgeHelper *
lodge_image_store_make_helper (LodgeImageStore *self, const char *program, const char *op,
                               const char *staging_dir, GError **error)
{
  g_autofree char *path = g_build_filename (self->helper_dir, program, NULL);
  g_auto (LodgeFd) fd = open (staging_dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "The directory %s cannot be opened", staging_dir);
      return NULL;
    }
  LodgeHelper *helper = lodge_helper_new (path, op);
  lodge_helper_add_fd (helper, "staging", fd);
  lodge_helper_add_int (helper, "limit.fsize", FILE_SIZE_LIMIT);
  lodge_helper_add_int (helper, "limit.nofile", FILES_LIMIT);
  lodge_helper_set_timeout (helper, LODGE_IMAGE_TIMEOUT_SECONDS);
  return helper;
}
