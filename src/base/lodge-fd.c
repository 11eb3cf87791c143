/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lodge/lodge-error.h"

gboolean
lodge_fd_write_all (int fd, const void *data, gsize size, GError **error)
{
  const char *p = data;

  while (size > 0)
    {
      gssize n = write (fd, p, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          lodge_error_set_errno (error, errno, "cannot write");
          return FALSE;
        }
      p += n;
      size -= (gsize) n;
    }
  return TRUE;
}

char *
lodge_fd_read_all (int fd, gsize max, gsize *out_size, GError **error)
{
  g_autoptr (GByteArray) all = g_byte_array_new ();
  guint8 buffer[16384];

  for (;;)
    {
      gssize n = read (fd, buffer, sizeof buffer);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          lodge_error_set_errno (error, errno, "cannot read");
          return NULL;
        }
      if (n == 0)
        break;
      if (all->len + (gsize) n > max)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                       "more than %" G_GSIZE_FORMAT " bytes", max);
          return NULL;
        }
      g_byte_array_append (all, buffer, (guint) n);
    }
  if (out_size != NULL)
    *out_size = all->len;
  g_byte_array_append (all, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&all), FALSE);
}

gboolean
lodge_dir_sync (const char *path, GError **error)
{
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0 || fsync (fd) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot sync %s", path);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_file_replace (const char *path, const char *contents, gssize length, int mode, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  g_autofree char *base = g_path_get_basename (path);
  /* Programs that watch the directory pass over names that begin with a dot. */
  g_autofree char *temporary = g_strdup_printf ("%s/.%s.new", directory, base);
  gsize size = length < 0 ? strlen (contents) : (gsize) length;

  /* A leftover of a crash is ours and half-written. */
  unlink (temporary);
  g_auto (LodgeFd) fd
      = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t) mode);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "cannot create %s", temporary);
      return FALSE;
    }
  if (!lodge_fd_write_all (fd, contents, size, error))
    {
      g_prefix_error (error, "%s: ", temporary);
      unlink (temporary);
      return FALSE;
    }
  if (fchmod (fd, (mode_t) mode) < 0 || fsync (fd) < 0 || rename (temporary, path) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot write %s", path);
      unlink (temporary);
      return FALSE;
    }
  return lodge_dir_sync (directory, error);
}

gboolean
lodge_dir_make (const char *path, int mode, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (path);
  struct stat st;

  if (lstat (path, &st) == 0)
    {
      if (S_ISDIR (st.st_mode))
        return TRUE;
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                   "%s is in the way: it is not a directory", path);
      return FALSE;
    }
  if (strcmp (parent, path) != 0 && lstat (parent, &st) < 0
      && !lodge_dir_make (parent, mode, error))
    return FALSE;
  if (mkdir (path, (mode_t) mode) < 0 && errno != EEXIST)
    {
      lodge_error_set_errno (error, errno, "cannot create %s", path);
      return FALSE;
    }
  if (chmod (path, (mode_t) mode) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot set the mode of %s", path);
      return FALSE;
    }
  return TRUE;
}

typedef struct
{
  int top;     /* the tree's own directory */
  guint moved; /* numbers the directories that were moved up to it */
} Removal;

/* Deeper than this a directory is moved up to the top and removed from there: a guest can nest
 * directories far beyond what descriptors and stack allow. */
#define DEPTH_MAX 64

static int
open_subdirectory (int parent, const char *name)
{
  struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                          .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };

  return (int) syscall (SYS_openat2, parent, name, &how, sizeof how);
}

static gboolean empty_directory (Removal *removal, int fd, guint depth, GError **error);

static gboolean
remove_entry (Removal *removal, int parent, const struct dirent *entry, guint depth, GError **error)
{
  if (entry->d_type != DT_DIR && (unlinkat (parent, entry->d_name, 0) == 0 || errno == ENOENT))
    return TRUE;
  if (entry->d_type != DT_DIR && errno != EISDIR)
    {
      lodge_error_set_errno (error, errno, "cannot remove a file");
      return FALSE;
    }
  if (depth >= DEPTH_MAX)
    {
      g_autofree char *name = g_strdup_printf (".lodge-deep-%u", removal->moved++);

      if (renameat (parent, entry->d_name, removal->top, name) == 0)
        return TRUE;
    }

  int child = open_subdirectory (parent, entry->d_name);
  if (child < 0)
    {
      lodge_error_set_errno (error, errno, "cannot remove a directory");
      return FALSE;
    }
  if (!empty_directory (removal, child, depth + 1, error))
    return FALSE;
  if (unlinkat (parent, entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
    {
      lodge_error_set_errno (error, errno, "cannot remove a directory");
      return FALSE;
    }
  return TRUE;
}

/* Empties the directory @fd (taken). */
static gboolean
empty_directory (Removal *removal, int fd, guint depth, GError **error)
{
  DIR *dir = fdopendir (fd);
  struct dirent *entry;
  gboolean ok = TRUE;

  if (dir == NULL)
    {
      lodge_error_set_errno (error, errno, "cannot read a directory");
      close (fd);
      return FALSE;
    }
  while (ok && (entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      ok = remove_entry (removal, dirfd (dir), entry, depth, error);
  closedir (dir);
  return ok;
}

/* Until nothing has been moved up any more. */
static gboolean
empty_tree (int top, GError **error)
{
  Removal removal = { .top = top };
  guint moved_before;

  do
    {
      int fd = open_subdirectory (top, ".");

      moved_before = removal.moved;
      if (fd < 0)
        {
          lodge_error_set_errno (error, errno, "cannot read a directory");
          return FALSE;
        }
      if (!empty_directory (&removal, fd, 0, error))
        return FALSE;
    }
  while (removal.moved != moved_before);
  return TRUE;
}

gboolean
lodge_tree_remove (const char *path, GError **error)
{
  struct stat st;

  if (lstat (path, &st) < 0)
    {
      if (errno == ENOENT)
        return TRUE;
      lodge_error_set_errno (error, errno, "cannot remove %s", path);
      return FALSE;
    }
  if (S_ISDIR (st.st_mode))
    {
      g_auto (LodgeFd) top = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

      if (top < 0)
        {
          lodge_error_set_errno (error, errno, "cannot remove %s", path);
          return FALSE;
        }
      if (!empty_tree (top, error))
        {
          g_prefix_error (error, "%s: ", path);
          return FALSE;
        }
    }
  if (S_ISDIR (st.st_mode) ? rmdir (path) < 0 : unlink (path) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot remove %s", path);
      return FALSE;
    }
  return TRUE;
}
