/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-image-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lodge-fd.h"
#include "lodge-name.h"

#define NOTICE_WORD "notice "
#define WORK_DIR    "image"
/* What unpacking and converting may take of memory, and what they leave of the disk. */
#define UNPACK_MEMORY  (256ll << 20)
#define CONVERT_MEMORY (1ll << 30)
#define CPU_SECONDS    3600
#define DISK_RESERVE   (256ull << 20)

typedef struct
{
  LodgeImageStore *store;
  char *dir;
  char **aliases;
  char *description;
  char *source;
  char *expected; /* fingerprint, or NULL */
  gboolean cached;
  gboolean auto_update;
  LodgeHelper *helper;
  char *fingerprint;
  GError *error;
  LodgeImageProgressFunc progress;
  LodgeImageNoticeFunc notice;
  gpointer func_data;
} Import;

static void
import_free (Import *import)
{
  g_object_unref (import->store);
  g_free (import->dir);
  g_strfreev (import->aliases);
  g_free (import->description);
  g_free (import->source);
  g_free (import->expected);
  g_clear_object (&import->helper);
  g_free (import->fingerprint);
  g_clear_error (&import->error);
  g_free (import);
}

/* ---- its end ---- */

static void
on_discarded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Import *import = g_task_get_task_data (task);

  g_task_return_error (task, g_steal_pointer (&import->error));
}

/* @task, @error: (transfer full) */
static void
fail (GTask *task, GError *error)
{
  Import *import = g_task_get_task_data (task);

  import->error = error;
  lodge_image_discard_async (import->store, import->dir, on_discarded, task);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Import *import = g_task_get_task_data (task);
  GError *error = NULL;

  if (!lodge_image_publish_finish (import->store, result, &error))
    {
      fail (task, error);
      return;
    }
  g_task_return_pointer (task, g_steal_pointer (&import->fingerprint), g_free);
  g_object_unref (task);
}

static gboolean
check_image (Import *import, const LodgeImage *image, GError **error)
{
  const LodgeImage *known = lodge_image_store_get (import->store, image->fingerprint);

  if (import->expected != NULL && strcmp (import->expected, image->fingerprint) != 0)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_IMAGE_INVALID,
                 "The image has the fingerprint %.12s, not %.12s: it is damaged or another one",
                 image->fingerprint, import->expected);
  else if (known != NULL && (known->kind != image->kind || known->medium != image->medium))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                 "The image %.12s is there already, as one for another kind", image->fingerprint);
  else
    return TRUE;
  return FALSE;
}

static LodgeImage *
describe (Import *import, GError **error)
{
  const char *nick = lodge_helper_get_result (import->helper, "kind");
  gboolean medium = g_strcmp0 (nick, LODGE_IMAGE_MEDIUM_NICK) == 0;
  LodgeKind kind = medium ? LODGE_KIND_VM : LODGE_KIND_CONTAINER;

  if (nick == NULL || (!medium && !lodge_kind_from_nick (nick, &kind)))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED,
                   "The helper made an image of no kind");
      return NULL;
    }
  g_autoptr (LodgeImage) image = lodge_image_from_results (import->helper, kind, error);
  if (image == NULL)
    return NULL;
  image->medium = medium;
  if (!check_image (import, image, error))
    return NULL;
  lodge_image_set_string (&image->source, import->source);
  image->cached = import->cached;
  image->auto_update = import->auto_update;
  const LodgeImage *known = lodge_image_store_get (import->store, image->fingerprint);
  if (import->description != NULL && *import->description != '\0')
    lodge_image_set_string (&image->description, import->description);
  else if (known != NULL)
    lodge_image_set_string (&image->description, known->description);
  g_strfreev (image->aliases);
  image->aliases = g_strdupv (import->aliases);
  return g_steal_pointer (&image);
}

static void
on_unpacked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Import *import = g_task_get_task_data (task);
  g_autoptr (LodgeImage) image = NULL;
  GError *error = NULL;

  if (!lodge_helper_run_finish (import->helper, result, &error)
      || (image = describe (import, &error)) == NULL)
    {
      fail (task, error);
      return;
    }
  import->fingerprint = g_strdup (image->fingerprint);
  lodge_image_publish_async (import->store, image, import->dir, on_published, task);
}

/* ---- its course ---- */

static void
on_progress (LodgeHelper *helper, double fraction, guint64 done, guint64 total, const char *stage,
             gpointer user_data)
{
  Import *import = user_data;

  if (import->progress != NULL)
    import->progress (fraction, done, total, stage, import->func_data);
}

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  Import *import = user_data;

  if (fd >= 0)
    close (fd);
  if (import->notice != NULL && g_str_has_prefix (line, NOTICE_WORD))
    import->notice (line + strlen (NOTICE_WORD), import->func_data);
}

/* ---- its beginning ---- */

/* What a device or a directory would give is nobody's image. */
static gboolean
check_file (int fd, GError **error)
{
  struct stat st;
  int flags = fcntl (fd, F_GETFL);

  /* A FIFO that is open for writing as well never ends. */
  if (fstat (fd, &st) == 0 && flags >= 0 && (flags & O_PATH) == 0
      && ((S_ISREG (st.st_mode) && (flags & O_ACCMODE) != O_WRONLY)
          || (S_ISFIFO (st.st_mode) && (flags & O_ACCMODE) == O_RDONLY)))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "The image is neither a regular file nor a pipe that can be read");
  return FALSE;
}

/* What an image may take: lodged's own records must still have room when it is there. */
static gboolean
find_space (const char *path, guint64 *out_bytes, GError **error)
{
  struct statvfs vfs;
  guint64 available;

  if (statvfs (path, &vfs) < 0)
    {
      lodge_error_set_errno (error, errno, "The free space at %s cannot be read", path);
      return FALSE;
    }
  available = (guint64) vfs.f_bavail * vfs.f_frsize;
  if (available <= DISK_RESERVE)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE,
                   "There is no room for an image: %" G_GUINT64_FORMAT " MiB are free, and %llu"
                   " MiB are kept for the instances\ndelete images or instances that nobody needs",
                   available >> 20, DISK_RESERVE >> 20);
      return FALSE;
    }
  *out_bytes = available - DISK_RESERVE;
  return TRUE;
}

static LodgeHelper *
make_helper (Import *import, const LodgeImageImport *what, GError **error)
{
  static const char *const names[] = { "input", "root" };
  LodgeHelper *helper;
  guint64 space;

  if (!find_space (import->dir, &space, error))
    return NULL;
  helper = lodge_image_store_make_helper (import->store, LODGE_IMAGE_WORKER, "import", import->dir,
                                          error);
  if (helper == NULL)
    return NULL;
  for (guint i = 0; i < what->n_fds; i++)
    lodge_helper_add_fd (helper, names[i], what->fds[i]);
  lodge_helper_add_int (helper, "max-bytes", (gint64) space);
  lodge_helper_add_int (helper, "memory.unpack", UNPACK_MEMORY);
  lodge_helper_add_int (helper, "memory.convert", CONVERT_MEMORY);
  lodge_helper_add_int (helper, "limit.cpu", CPU_SECONDS);
  lodge_helper_add_int (helper, "inspect", 1);
  if (what->quietly)
    lodge_helper_add_int (helper, "nice", LODGE_IMAGE_QUIET_NICE);
  lodge_helper_set_progress_func (helper, on_progress, import);
  lodge_helper_set_line_func (helper, on_line, import);
  return helper;
}

static gboolean
prepare (Import *import, const LodgeImageImport *what, GError **error)
{
  for (char **alias = import->aliases; *alias != NULL; alias++)
    if (!lodge_alias_validate (*alias, error))
      return FALSE;
  g_return_val_if_fail (what->n_fds == 1 || what->n_fds == 2, FALSE);
  for (guint i = 0; i < what->n_fds; i++)
    if (!check_file (what->fds[i], error))
      return FALSE;
  if (mkdir (import->dir, 0700) < 0)
    {
      lodge_error_set_errno (error, errno, "The directory %s cannot be made", import->dir);
      return FALSE;
    }
  import->helper = make_helper (import, what, error);
  return import->helper != NULL;
}

void
lodge_image_store_import_async (LodgeImageStore *self, const LodgeImageImport *what,
                                const char *staging_dir, LodgeImageProgressFunc progress,
                                LodgeImageNoticeFunc notice, gpointer func_data,
                                GCancellable *cancellable, GAsyncReadyCallback callback,
                                gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Import *import = g_new0 (Import, 1);
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, import, (GDestroyNotify) import_free);
  import->store = g_object_ref (self);
  import->dir = g_build_filename (staging_dir, WORK_DIR, NULL);
  import->aliases
      = what->aliases != NULL ? g_strdupv ((char **) what->aliases) : g_new0 (char *, 1);
  import->description = g_strdup (what->description);
  import->source = g_strdup (what->source != NULL ? what->source : "import");
  import->expected = g_strdup (what->fingerprint);
  import->cached = what->cached;
  import->auto_update = what->cached && what->auto_update;
  import->progress = progress;
  import->notice = notice;
  import->func_data = func_data;
  if (prepare (import, what, &error))
    {
      lodge_helper_run_async (import->helper, cancellable, on_unpacked, task);
      return;
    }
  g_task_return_error (task, error);
  g_object_unref (task);
}

char *
lodge_image_store_import_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
