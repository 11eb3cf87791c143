/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What makes an instance itself is put into it by lodge-image-worker: lodged reads no template. */
#include "lodge-image-seed.h"

#include "lodge-image-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-fd.h"

#define NOTICE_WORD     "notice "
#define TIMEOUT_SECONDS 1800 /* for somebody's script */
#define OUTPUT_LIMIT    (16ll << 20)

typedef struct
{
  LodgeHelper *helper;
  char *output; /* NULL: a container */
  char *temporary;
  LodgeImageNoticeFunc notice;
  gpointer func_data;
} Seed;

static void
seed_free (Seed *self)
{
  g_clear_object (&self->helper);
  g_free (self->output);
  g_free (self->temporary);
  g_free (self);
}

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  Seed *self = user_data;

  if (fd >= 0)
    close (fd);
  if (self->notice != NULL && g_str_has_prefix (line, NOTICE_WORD))
    self->notice (line + strlen (NOTICE_WORD), self->func_data);
}

/* No fsync: the disk is made anew when it is not whole. */
static gboolean
put_in_place (const Seed *self, GError **error)
{
  if (self->output == NULL || rename (self->temporary, self->output) == 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "The disk %s cannot be made", self->output);
  return FALSE;
}

static void
on_seeded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Seed *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (lodge_helper_run_finish (self->helper, result, &error) && put_in_place (self, &error))
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  if (self->temporary != NULL)
    unlink (self->temporary);
  g_task_return_error (task, error);
}

static gboolean
add_output (Seed *self, const char *output, GError **error)
{
  self->output = g_strdup (output);
  self->temporary = g_strconcat (output, ".new", NULL);
  unlink (self->temporary);
  g_auto (LodgeFd) fd
      = open (self->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "The disk %s cannot be made", output);
      return FALSE;
    }
  lodge_helper_add_fd (self->helper, "output", fd);
  lodge_helper_add_int (self->helper, "limit.fsize", OUTPUT_LIMIT);
  return TRUE;
}

static void
add_config (LodgeHelper *helper, GHashTable *config)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, config);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      g_autofree char *pair = g_strconcat (key, "=", value, NULL);
      lodge_helper_add (helper, "config", pair);
    }
}

static void
add_access (LodgeHelper *helper, const LodgeImageSeed *what)
{
  for (const char *const *key = what->ssh_keys; key != NULL && *key != NULL; key++)
    lodge_helper_add (helper, "ssh-key", *key);
  if (what->password_hash != NULL)
    lodge_helper_add (helper, "password-hash", what->password_hash);
  if (what->script != NULL)
    lodge_helper_add (helper, "script", what->script);
}

/* Without cloud-init its disk is opened. */
static void
add_disk (LodgeImageStore *store, LodgeHelper *helper, const LodgeImageSeed *what)
{
  g_autofree char *backing = lodge_image_store_get_disk_path (store, what->fingerprint);

  lodge_helper_add (helper, "disk", what->disk);
  lodge_helper_add (helper, "backing", backing);
}

static gboolean
prepare (LodgeImageStore *store, Seed *self, const LodgeImageSeed *what, GError **error)
{
  g_autofree char *program = g_build_filename (store->helper_dir, LODGE_IMAGE_WORKER, NULL);
  const LodgeImage *image
      = what->fingerprint != NULL ? lodge_image_store_get (store, what->fingerprint) : NULL;

  self->helper = lodge_helper_new (program, what->disk != NULL ? "access-guestfs" : "seed");
  lodge_helper_set_timeout (self->helper, TIMEOUT_SECONDS);
  lodge_helper_set_line_func (self->helper, on_line, self);
  lodge_helper_add (self->helper, "name", what->name);
  lodge_helper_add (self->helper, "uuid", what->uuid);
  lodge_helper_add (self->helper, "architecture", what->architecture);
  lodge_helper_add (self->helper, "triggers", what->triggers);
  if (what->cloud_init)
    lodge_helper_add (self->helper, "cloud-init", "1");
  if (image != NULL && g_hash_table_contains (image->properties, LODGE_IMAGE_TEMPLATES))
    {
      g_autofree char *dir = lodge_image_store_dir (store, image->fingerprint);
      lodge_helper_add (self->helper, "metadata", dir);
    }
  add_config (self->helper, what->config);
  add_access (self->helper, what);
  if (what->disk != NULL)
    add_disk (store, self->helper, what);
  else if (what->plan != NULL)
    lodge_helper_add (self->helper, "plan", what->plan);
  else
    return add_output (self, what->output, error);
  return TRUE;
}

void
lodge_image_store_seed_async (LodgeImageStore *self, const LodgeImageSeed *what,
                              LodgeImageNoticeFunc notice, gpointer func_data,
                              GCancellable *cancellable, GAsyncReadyCallback callback,
                              gpointer user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);
  Seed *seed = g_new0 (Seed, 1);
  GError *error = NULL;

  seed->notice = notice;
  seed->func_data = func_data;
  g_task_set_task_data (task, seed, (GDestroyNotify) seed_free);
  if (prepare (self, seed, what, &error))
    {
      lodge_helper_run_async (seed->helper, cancellable, on_seeded, task);
      return;
    }
  g_task_return_error (task, error);
  g_object_unref (task);
}

gboolean
lodge_image_store_seed_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
