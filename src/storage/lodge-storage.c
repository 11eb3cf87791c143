/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-name.h"
#include "lodge/lodge-error.h"

#define POOL_DIR "pools/default"

typedef struct
{
  const char *path;
  int mode;
} Directory;

/* qemu runs unprivileged and must get to its disk and the backing file, but may list nothing on
 * the way: 0711.  Everything else is root's alone. */
static const Directory directories[] = {
  { "images", 0711 },
  { "instances", 0711 },
  { "pools", 0711 },
  { POOL_DIR, 0711 },
  { POOL_DIR "/containers", 0700 },
  { POOL_DIR "/disks", 0711 },
  { "staging", 0711 },
  { "trash", 0700 },
};

/* A state directory that was made 0700 by hand keeps qemu and dnsmasq from their files. */
static gboolean
open_way (const char *state_dir, GError **error)
{
  struct stat st;

  if (stat (state_dir, &st) < 0 || ((st.st_mode & 0777) == 0700 && chmod (state_dir, 0711) < 0))
    {
      lodge_error_set_errno (error, errno, "cannot set the mode of %s", state_dir);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_storage_prepare (const char *state_dir, GError **error)
{
  if (!open_way (state_dir, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (directories); i++)
    {
      g_autofree char *path = g_build_filename (state_dir, directories[i].path, NULL);

      if (!lodge_dir_make (path, directories[i].mode, error))
        return FALSE;
    }
  return TRUE;
}

char *
lodge_storage_instance_dir (const char *state_dir, const char *uuid)
{
  return g_build_filename (state_dir, "instances", uuid, NULL);
}

char *
lodge_storage_container_dir (const char *state_dir, const char *uuid)
{
  return g_build_filename (state_dir, POOL_DIR, "containers", uuid, NULL);
}

char *
lodge_storage_disks_dir (const char *state_dir)
{
  return g_build_filename (state_dir, POOL_DIR, "disks", NULL);
}

char *
lodge_storage_disk_path (const char *state_dir, const char *uuid)
{
  g_autofree char *name = g_strconcat (uuid, ".qcow2", NULL);

  return g_build_filename (state_dir, POOL_DIR, "disks", name, NULL);
}

char *
lodge_storage_staging_dir (const char *state_dir, gint64 job)
{
  g_autofree char *name = g_strdup_printf ("%" G_GINT64_FORMAT, job);

  return g_build_filename (state_dir, "staging", name, NULL);
}

/* A record in the database says that this was done: it has to be so after a power cut, too. */
static gboolean
sync_directory (const char *state_dir, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (state_dir, name, NULL);

  return lodge_dir_sync (path, error);
}

static gboolean
make_overlay (const char *state_dir, const char *uuid, GError **error)
{
  g_autofree char *base = lodge_storage_container_dir (state_dir, uuid);
  g_autofree char *upper = g_build_filename (base, "upper", NULL);
  g_autofree char *work = g_build_filename (base, "work", NULL);

  /* The upper directory is the container's root directory: its mode is what a guest's users see. */
  return lodge_dir_make (base, 0700, error) && lodge_dir_make (upper, 0755, error)
         && lodge_dir_make (work, 0700, error);
}

/* qemu-img costs 14 ms here, against seconds until a VM runs; formats are always said, so that
 * nothing that a guest writes is ever taken for a header (CVE-2010-3851). */
static gboolean
make_disk (const char *disk, const char *backing_disk, guint64 size, GError **error)
{
  g_autofree char *temporary = g_strconcat (disk, ".new", NULL);
  g_autofree char *size_text = g_strdup_printf ("%" G_GUINT64_FORMAT, size);
  const char *built[] = { "qemu-img", "create", "-q",         "-f",      "qcow2", "-F",
                          "qcow2",    "-b",     backing_disk, temporary, NULL,    NULL };
  const char *empty[] = { "qemu-img", "create", "-q", "-f", "qcow2", temporary, size_text, NULL };
  const char **argv = backing_disk != NULL ? built : empty;
  g_autofree char *words = NULL;
  g_autoptr (GError) local_error = NULL;
  int status;

  if (size != 0)
    built[G_N_ELEMENTS (built) - 2] = size_text;
  unlink (temporary);
  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                     NULL, NULL, NULL, &words, &status, &local_error))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED, "cannot make a disk: %s",
                   local_error->message);
      return FALSE;
    }
  if (!g_spawn_check_wait_status (status, NULL))
    {
      g_autofree char *shown = lodge_text_escape (g_strstrip (words));
      LodgeErrorCode code
          = strstr (words, g_strerror (ENOSPC)) != NULL ? LODGE_ERROR_NO_SPACE : LODGE_ERROR_FAILED;

      unlink (temporary);
      g_set_error (error, LODGE_ERROR, (int) code, "cannot make a disk: %s", shown);
      return FALSE;
    }
  if (chmod (temporary, 0600) < 0 || rename (temporary, disk) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot make the disk %s", disk);
      unlink (temporary);
      return FALSE;
    }
  return TRUE;
}

/* One that is there is of a creation that was cut short.  A link or a device is nobody's disk: it
 * is neither followed nor replaced. */
static gboolean
ensure_disk (const char *disk, const char *backing_disk, guint64 size, GError **error)
{
  struct stat st;

  if (lstat (disk, &st) < 0)
    {
      if (errno == ENOENT)
        return make_disk (disk, backing_disk, size, error);
      lodge_error_set_errno (error, errno, "cannot look at %s", disk);
      return FALSE;
    }
  if (S_ISREG (st.st_mode))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_CONFLICT,
               "%s is no regular file, so it is not used\nlook at what put it there, and remove it",
               disk);
  return FALSE;
}

gboolean
lodge_storage_create (const char *state_dir, const char *uuid, LodgeKind kind,
                      const char *backing_disk, guint64 size, GError **error)
{
  g_autofree char *instance_dir = lodge_storage_instance_dir (state_dir, uuid);

  /* qemu writes the console log of a VM into it through libvirt; nobody else looks in. */
  if (!lodge_dir_make (instance_dir, 0711, error))
    return FALSE;
  if (kind == LODGE_KIND_CONTAINER)
    return make_overlay (state_dir, uuid, error) && sync_directory (state_dir, "instances", error)
           && sync_directory (state_dir, POOL_DIR "/containers", error);

  g_autofree char *disk = lodge_storage_disk_path (state_dir, uuid);
  return ensure_disk (disk, backing_disk, size, error)
         && sync_directory (state_dir, "instances", error)
         && sync_directory (state_dir, POOL_DIR "/disks", error);
}

static gboolean
move_to (const char *source, const char *trash, const char *name, GError **error)
{
  g_autofree char *target = g_build_filename (trash, name, NULL);

  if (rename (source, target) == 0 || errno == ENOENT)
    return TRUE;
  lodge_error_set_errno (error, errno, "cannot move %s to the trash", source);
  return FALSE;
}

/* A guest makes as many files, as deep, as it likes. */
#define MEASURE_USEC  200000
#define MEASURE_DEPTH 64

typedef struct
{
  gint64 until; /* monotonic */
  guint64 bytes;
} Measure;

static gboolean measure_directory (Measure *self, int parent, const char *name, guint depth);

static gboolean
measure_entry (Measure *self, int parent, const char *name, guint depth)
{
  struct stat st;

  /* What goes meanwhile takes no space. */
  if (fstatat (parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return TRUE;
  if (S_ISDIR (st.st_mode))
    return measure_directory (self, parent, name, depth + 1);
  self->bytes += (guint64) st.st_blocks * 512 / MAX (st.st_nlink, 1);
  return g_get_monotonic_time () < self->until;
}

static gboolean
measure_directory (Measure *self, int parent, const char *name, guint depth)
{
  int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  struct stat st;
  gboolean good = depth < MEASURE_DEPTH;

  if (dir == NULL)
    {
      if (fd >= 0)
        close (fd);
      return depth > 0;
    }
  if (fstat (fd, &st) == 0)
    self->bytes += (guint64) st.st_blocks * 512;
  while (good && (entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      good = measure_entry (self, fd, entry->d_name, depth);
  closedir (dir);
  return good;
}

gboolean
lodge_storage_measure_container (const char *state_dir, const char *uuid, guint64 *out_bytes)
{
  g_autofree char *base = lodge_storage_container_dir (state_dir, uuid);
  g_autofree char *upper = g_build_filename (base, "upper", NULL);
  Measure measure = { .until = g_get_monotonic_time () + MEASURE_USEC };

  if (!measure_directory (&measure, AT_FDCWD, upper, 0))
    return FALSE;
  *out_bytes = measure.bytes;
  return TRUE;
}

gboolean
lodge_storage_discard (const char *state_dir, const char *uuid, const char *tag, GError **error)
{
  g_autofree char *trash = g_build_filename (state_dir, "trash", tag, NULL);
  g_autofree char *instance_dir = lodge_storage_instance_dir (state_dir, uuid);
  g_autofree char *container_dir = lodge_storage_container_dir (state_dir, uuid);
  g_autofree char *disk = lodge_storage_disk_path (state_dir, uuid);

  return lodge_dir_make (trash, 0700, error) && move_to (instance_dir, trash, "instance", error)
         && move_to (container_dir, trash, "root", error)
         && move_to (disk, trash, "disk.qcow2", error) && lodge_dir_sync (trash, error)
         && sync_directory (state_dir, "trash", error)
         && sync_directory (state_dir, "instances", error)
         && sync_directory (state_dir, POOL_DIR "/containers", error)
         && sync_directory (state_dir, POOL_DIR "/disks", error);
}

gboolean
lodge_storage_empty_trash (const char *state_dir, const char *tag, GError **error)
{
  g_autofree char *trash = g_build_filename (state_dir, "trash", tag, NULL);
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (tag != NULL)
    return lodge_tree_remove (trash, error);

  dir = g_dir_open (trash, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (trash, name, NULL);

      if (!lodge_tree_remove (path, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
lodge_storage_make_staging (const char *state_dir, gint64 job, GError **error)
{
  g_autofree char *path = lodge_storage_staging_dir (state_dir, job);

  return lodge_dir_make (path, 0711, error);
}

gboolean
lodge_storage_remove_staging (const char *state_dir, gint64 job, GError **error)
{
  g_autofree char *path = lodge_storage_staging_dir (state_dir, job);

  return lodge_tree_remove (path, error) && sync_directory (state_dir, "staging", error);
}
