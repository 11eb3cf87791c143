/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images of image servers and of plain addresses: one or two downloads, then an import like that
 * of a file.  What has come of a download is `<state>/downloads/<hash>`, the hash being that of
 * the contents when it is known, else that of the address; it outlives failures, cancels and
 * kills, and the next try goes on from it.  Who works on one holds a lock of its file.
 */
#include "lodge-remote-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-name.h"

#define FOLDER           "downloads"
#define VALIDATOR_SUFFIX ".validator"
#define DISK_RESERVE     (256ull << 20)
#define CONNECT_MS       10000
#define FILES_MAX        2

typedef struct
{
  char *path;   /* below the remote's address; NULL: the address itself */
  char *sha256; /* NULL: not known */
  guint64 size; /* 0: not known */
  const char *stage;
  char *local;
  int fd;
  guint64 limit; /* what there is room for */
} Part;

typedef struct
{
  LodgeRemote *remote;
  char *alias;
  char *source;
  char *fingerprint; /* that is expected, or NULL */
  char *description;
  char *result;
  gboolean quietly;
  gboolean auto_update; /* its server can say when there is a newer one */
  Part parts[FILES_MAX];
  guint n_parts;
  guint next;
  LodgeHelper *helper;
  GError *error; /* while what is left is removed */
} Download;

static void
download_free (gpointer data)
{
  Download *download = data;

  for (guint i = 0; i < download->n_parts; i++)
    {
      g_free (download->parts[i].path);
      g_free (download->parts[i].sha256);
      g_free (download->parts[i].local);
      if (download->parts[i].fd >= 0)
        close (download->parts[i].fd);
    }
  lodge_remote_free (download->remote);
  g_free (download->alias);
  g_free (download->source);
  g_free (download->fingerprint);
  g_free (download->description);
  g_free (download->result);
  g_clear_object (&download->helper);
  g_free (download);
}

/* ---- the files ---- */

static char *
local_path (LodgeImageStore *self, const LodgeRemote *remote, const Part *part)
{
  g_autofree char *address = g_strconcat (remote->url, "/", part->path, NULL);
  g_autofree char *hash = part->sha256 != NULL
                              ? g_strdup (part->sha256)
                              : g_compute_checksum_for_string (G_CHECKSUM_SHA256, address, -1);

  return g_build_filename (self->state_dir, FOLDER, hash, NULL);
}

static gboolean
open_part (LodgeImageStore *self, Download *download, Part *part, GError **error)
{
  g_autofree char *folder = g_build_filename (self->state_dir, FOLDER, NULL);

  if (!lodge_dir_make (folder, 0700, error))
    return FALSE;
  part->local = local_path (self, download->remote, part);
  part->fd = open (part->local, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (part->fd >= 0)
    {
      /* Shared: what two of them write to one file is the same. */
      (void) flock (part->fd, LOCK_SH | LOCK_NB);
      return TRUE;
    }
  lodge_error_set_errno (error, errno, "%s cannot be made", part->local);
  return FALSE;
}

static void
remove_part (const Part *part)
{
  g_autofree char *validator
      = part->local != NULL ? g_strconcat (part->local, VALIDATOR_SUFFIX, NULL) : NULL;

  if (validator == NULL)
    return;
  unlink (part->local);
  unlink (validator);
}

/* Of what brought nothing there is nothing to keep. */
static void
drop_empty (const Part *part)
{
  struct stat st;

  if (part->fd >= 0 && fstat (part->fd, &st) == 0 && st.st_size == 0)
    remove_part (part);
}

/* ---- partial downloads ---- */

static void
partial_free (gpointer data)
{
  LodgeImagePartial *partial = data;

  g_free (partial->name);
  g_free (partial);
}

static int
compare_partials (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(LodgeImagePartial *const *) a)->name, (*(LodgeImagePartial *const *) b)->name);
}

/* Whether a download works on it. */
static gboolean
is_worked_on (const char *path)
{
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  return fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) < 0;
}

GPtrArray *
lodge_image_partials_list (const char *state_dir)
{
  g_autofree char *folder = g_build_filename (state_dir, FOLDER, NULL);
  GPtrArray *partials = g_ptr_array_new_with_free_func (partial_free);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      struct stat st;

      if (!lodge_fingerprint_is_valid (name) || lstat (path, &st) < 0 || is_worked_on (path))
        continue;
      LodgeImagePartial *partial = g_new0 (LodgeImagePartial, 1);
      partial->name = g_strdup (name);
      partial->size = (guint64) st.st_size;
      g_ptr_array_add (partials, partial);
    }
  g_ptr_array_sort (partials, compare_partials);
  return partials;
}

void
lodge_image_partial_remove (const char *state_dir, const char *name)
{
  g_autofree char *path = g_build_filename (state_dir, FOLDER, name, NULL);
  Part part = { .local = path };

  if (lodge_fingerprint_is_valid (name) && !is_worked_on (path))
    remove_part (&part);
}

static guint64
find_space (const char *path)
{
  struct statvfs vfs;
  guint64 available;

  if (statvfs (path, &vfs) < 0)
    return 1;
  available = (guint64) vfs.f_bavail * vfs.f_frsize;
  return available > DISK_RESERVE ? available - DISK_RESERVE : 1;
}

/* ---- import ---- */

static void
finish (LodgeImageWork *work, GError *error)
{
  Download *download = work->data;

  if (error != NULL)
    lodge_image_work_fail (work, error);
  else
    lodge_image_work_succeed (work, download->result);
}

/* Whatever came of it, the files have had their use: they are what the server meant. */
static void
on_imported (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Download *download = work->data;
  GError *error = NULL;

  download->result = lodge_image_store_import_finish (work->store, result, &error);
  if (download->result != NULL || !g_error_matches (error, LODGE_ERROR, LODGE_ERROR_CANCELLED))
    for (guint i = 0; i < download->n_parts; i++)
      remove_part (&download->parts[i]);
  finish (work, error);
}

static void
import (LodgeImageWork *work)
{
  Download *download = work->data;
  const char *aliases[] = { download->alias, NULL };
  int fds[FILES_MAX];

  for (guint i = 0; i < download->n_parts; i++)
    fds[i] = download->parts[i].fd;
  const LodgeImageImport what = { .fds = fds,
                                  .n_fds = download->n_parts,
                                  .aliases = aliases,
                                  .description = download->description,
                                  .source = download->source,
                                  .fingerprint = download->fingerprint,
                                  .cached = TRUE,
                                  .auto_update = download->auto_update,
                                  .quietly = download->quietly };
  lodge_image_store_import_async (work->store, &what, work->dir, lodge_image_work_progress,
                                  lodge_image_work_notice, work, work->cancellable, on_imported,
                                  work);
}

/* ---- downloads ---- */

static void get_next (LodgeImageWork *work);

/* What is larger than the limit that the disk has set lacks space.  @error: replaced. */
static void
explain_limit (const Part *part, GError **error)
{
  if (!g_error_matches (*error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED)
      || (part->size > 0 && part->size <= part->limit))
    return;
  g_clear_error (error);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE,
               "There is no room for the image: its download may have %" G_GUINT64_FORMAT
               " MiB, and %llu MiB are kept for the instances\n`lodge image prune` removes images "
               "that nobody needs; what has come is kept.",
               part->limit >> 20, DISK_RESERVE >> 20);
}

static void
on_got (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Download *download = work->data;
  GError *error = NULL;

  if (!lodge_helper_run_finish (download->helper, result, &error))
    {
      explain_limit (&download->parts[download->next], &error);
      lodge_fetch_explain (download->helper, download->remote, &error);
      drop_empty (&download->parts[download->next]);
      finish (work, error);
      return;
    }
  download->next++;
  get_next (work);
}

static LodgeHelper *
make_helper (LodgeImageStore *self, Download *download, Part *part, GError **error)
{
  g_autofree char *validator = NULL;
  g_auto (LodgeFd) validator_fd = -1;
  struct stat st;

  if (!open_part (self, download, part, error))
    return NULL;
  LodgeHelper *helper = lodge_fetch_get (self, download->remote, part->path, part->fd, error);
  if (helper == NULL)
    return NULL;
  if (part->sha256 != NULL)
    lodge_helper_add (helper, "sha256", part->sha256);
  else
    {
      validator = g_strconcat (part->local, VALIDATOR_SUFFIX, NULL);
      validator_fd = open (validator, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
      if (validator_fd >= 0)
        lodge_helper_add_fd (helper, "validator", validator_fd);
    }
  if (part->size > 0)
    lodge_helper_add_int (helper, "size", (gint64) part->size);
  /* What has come already has its place. */
  part->limit
      = find_space (self->state_dir) + (fstat (part->fd, &st) == 0 ? (guint64) st.st_size : 0);
  lodge_helper_add_int (helper, "max-bytes", (gint64) part->limit);
  lodge_helper_add_int (helper, "connect-ms", CONNECT_MS);
  lodge_helper_add (helper, "stage", part->stage);
  if (download->quietly)
    lodge_helper_add_int (helper, "nice", LODGE_IMAGE_QUIET_NICE);
  return helper;
}

static void
get_next (LodgeImageWork *work)
{
  Download *download = work->data;
  GError *error = NULL;

  if (download->next == download->n_parts)
    {
      import (work);
      return;
    }
  g_clear_object (&download->helper);
  download->helper = make_helper (work->store, download, &download->parts[download->next], &error);
  if (download->helper == NULL)
    {
      finish (work, error);
      return;
    }
  lodge_image_work_watch (work, download->helper);
  lodge_helper_run_async (download->helper, work->cancellable, on_got, work);
}

/* ---- the beginning ---- */

static void
add_part (Download *download, const char *path, const char *sha256, guint64 size, const char *stage)
{
  download->parts[download->n_parts++] = (Part){
    .path = g_strdup (path), .sha256 = g_strdup (sha256), .size = size, .stage = stage, .fd = -1
  };
}

static Download *
download_new (const LodgeRemote *remote, const LodgeCatalogEntry *entry, const LodgeImageFile *file,
              const char *alias, const char *source)
{
  Download *download = g_new0 (Download, 1);

  download->remote = lodge_remote_copy (remote);
  download->alias = g_strdup (alias);
  download->source = g_strdup (source);
  if (entry == NULL)
    {
      download->description = g_strdup (file->description);
      add_part (download, NULL, file->sha256, 0, "downloading");
      return download;
    }
  download->fingerprint = g_strdup (entry->fingerprint);
  download->auto_update = TRUE;
  download->description = lodge_catalog_describe (entry);
  if (entry->meta_path != NULL)
    add_part (download, entry->meta_path, entry->meta_sha256, entry->meta_size,
              "downloading the metadata");
  add_part (download, entry->root_path, entry->root_sha256, entry->root_size, "downloading");
  return download;
}

void
lodge_image_download_join (LodgeImageStore *self, const LodgeRemote *remote,
                           const LodgeCatalogEntry *entry, const LodgeImageFile *file,
                           const char *alias, const char *source, gboolean quietly,
                           LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                           gpointer func_data, GTask *task)
{
  /* Who says what it must be does not share with those who take what comes. */
  g_autofree char *key = g_strconcat ("download/", entry != NULL ? entry->fingerprint : source,
                                      file->sha256 != NULL ? "#" : NULL, file->sha256, NULL);
  LodgeImageWork *work = lodge_image_work_find (self, key);
  GError *error = NULL;

  if (work != NULL)
    {
      lodge_image_work_join (work, task, progress, notice, func_data);
      return;
    }
  Download *download = download_new (remote, entry, file, alias, source);
  download->quietly = quietly;
  work = lodge_image_work_new (self, key, download, download_free, &error);
  if (work == NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  lodge_image_work_join (work, task, progress, notice, func_data);
  get_next (work);
}
