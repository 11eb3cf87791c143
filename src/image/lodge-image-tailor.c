/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A changed copy of an image, made by lodge-image-worker. */
#include "lodge-image-tailor.h"

#include "lodge-remote-private.h"

#define SOURCE_WORD "customize:"

typedef struct
{
  char *parent;
  char **aliases;
  char *description; /* nullable */
  char *hostname;    /* nullable */
  guint64 size;
  LodgeHelper *helper;
  char *fingerprint;
} Tailor;

static void
tailor_free (gpointer data)
{
  Tailor *tailor = data;

  g_free (tailor->parent);
  g_strfreev (tailor->aliases);
  g_free (tailor->description);
  g_free (tailor->hostname);
  g_clear_object (&tailor->helper);
  g_free (tailor->fingerprint);
  g_free (tailor);
}

/* ---- its end ---- */

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Tailor *tailor = work->data;
  GError *error = NULL;

  if (lodge_image_publish_finish (work->store, result, &error))
    lodge_image_work_succeed (work, tailor->fingerprint);
  else
    lodge_image_work_fail (work, error);
}

/* What was found out now wins: a script may have updated the system. */
static void
inherit (LodgeImage *image, const LodgeImage *parent)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, parent->properties);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (!g_hash_table_contains (image->properties, key))
      g_hash_table_insert (image->properties, g_strdup (key), g_strdup (value));
  lodge_image_set_string (&image->architecture, parent->architecture);
}

static LodgeImage *
describe (LodgeImageWork *work, GError **error)
{
  const Tailor *tailor = work->data;
  const LodgeImage *parent = lodge_image_store_get (work->store, tailor->parent);
  g_autofree char *source = g_strdup_printf (SOURCE_WORD "%.12s", tailor->parent);

  if (parent == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                   "the image %.12s was deleted meanwhile", tailor->parent);
      return NULL;
    }
  LodgeImage *image = lodge_image_from_results (tailor->helper, parent->kind, error);
  if (image == NULL)
    return NULL;
  inherit (image, parent);
  lodge_image_set_string (&image->source, source);
  lodge_image_set_string (&image->description,
                          tailor->description != NULL ? tailor->description : parent->description);
  if (image->kind == LODGE_KIND_VM && tailor->size == 0)
    image->virtual_size = parent->virtual_size;
  if (tailor->hostname != NULL)
    g_hash_table_replace (image->properties, g_strdup ("hostname"), g_strdup (tailor->hostname));
  g_strfreev (image->aliases);
  image->aliases = g_strdupv (tailor->aliases);
  return image;
}

static void
on_made (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Tailor *tailor = work->data;
  g_autoptr (LodgeImage) image = NULL;
  GError *error = NULL;

  if (!lodge_helper_run_finish (tailor->helper, result, &error)
      || (image = describe (work, &error)) == NULL)
    {
      lodge_image_work_fail (work, error);
      return;
    }
  tailor->fingerprint = g_strdup (image->fingerprint);
  lodge_image_publish_async (work->store, image, work->dir, on_published, work);
}

/* ---- its beginning ---- */

static void
add_text (LodgeHelper *helper, const char *key, const char *value)
{
  if (value != NULL)
    lodge_helper_add (helper, key, value);
}

static void
add_changes (LodgeHelper *helper, const LodgeImageTailor *what)
{
  for (const char *const *key = what->ssh_keys; key != NULL && *key != NULL; key++)
    lodge_helper_add (helper, "ssh-key", *key);
  add_text (helper, "password-hash", what->password_hash);
  add_text (helper, "script", what->script);
  add_text (helper, "hostname", what->hostname);
  add_text (helper, "machine-id", what->reset_machine_id ? "1" : NULL);
  add_text (helper, "serial", what->serial ? "1" : NULL);
  if (what->size > 0)
    lodge_helper_add_int (helper, "size", (gint64) what->size);
  for (guint i = 0; what->paths != NULL && what->paths[i] != NULL; i++)
    {
      g_autofree char *name = g_strdup_printf ("file-%u", i);
      lodge_helper_add (helper, "path", what->paths[i]);
      lodge_helper_add_fd (helper, name, what->fds[i]);
    }
}

static gboolean
make_helper (LodgeImageWork *work, const LodgeImageTailor *what, const LodgeImage *image,
             GError **error)
{
  LodgeImageStore *self = work->store;
  Tailor *tailor = work->data;
  gboolean is_vm = image->kind == LODGE_KIND_VM;
  g_autofree char *dir = lodge_image_store_dir (self, image->fingerprint);
  g_autofree char *source = is_vm ? lodge_image_store_get_disk_path (self, image->fingerprint)
                                  : lodge_image_store_get_rootfs_dir (self, image->fingerprint);

  tailor->helper
      = lodge_image_store_make_helper (self, LODGE_IMAGE_WORKER, "customise", work->dir, error);
  if (tailor->helper == NULL)
    return FALSE;
  lodge_helper_add (tailor->helper, is_vm ? "disk" : "rootfs", source);
  lodge_helper_add (tailor->helper, "metadata", dir);
  lodge_helper_add (tailor->helper, "arch", image->architecture);
  add_changes (tailor->helper, what);
  lodge_image_work_watch (work, tailor->helper);
  return TRUE;
}

static LodgeImageWork *
start (LodgeImageStore *self, const LodgeImageTailor *what, GError **error)
{
  static const char *const none[] = { NULL };
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *key = g_strconcat ("customise/", uuid, NULL);
  Tailor *tailor = g_new0 (Tailor, 1);

  tailor->parent = g_strdup (what->fingerprint);
  tailor->aliases = g_strdupv ((char **) (what->aliases != NULL ? what->aliases : none));
  tailor->description = g_strdup (what->description);
  tailor->hostname = g_strdup (what->hostname);
  tailor->size = what->size;
  return lodge_image_work_new (self, key, tailor, tailor_free, error);
}

void
lodge_image_store_tailor_async (LodgeImageStore *self, const LodgeImageTailor *what,
                                LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                                gpointer func_data, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  const LodgeImage *image = lodge_image_store_get (self, what->fingerprint);
  LodgeImageWork *work = NULL;
  GError *error = NULL;

  if (image == NULL)
    g_set_error (&error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no image %.12s",
                 what->fingerprint);
  else
    work = start (self, what, &error);
  if (work == NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  lodge_image_work_join (work, task, progress, notice, func_data);
  if (make_helper (work, what, image, &error))
    lodge_helper_run_async (((Tailor *) work->data)->helper, work->cancellable, on_made, work);
  else
    lodge_image_work_fail (work, error);
}

char *
lodge_image_store_tailor_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
