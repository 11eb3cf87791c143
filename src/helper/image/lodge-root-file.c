/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-root-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-io.h"

#define DEPTH_MAX 64

int
lodge_root_file_open (int root, const char *path, int flags)
{
  struct open_how how = { .flags = (__u64) (flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
                          .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

  if ((flags & O_PATH) != 0)
    how.flags = (__u64) (flags | O_CLOEXEC);
  int fd = (int) syscall (SYS_openat2, root, path, &how, sizeof how);
  return fd < 0 ? -errno : fd;
}

/* Every directory on the way is found from the root anew, so that a link among them is followed as
 * the system itself would. */
static int
open_parent (int root, char **parts, guint n_parents)
{
  g_autoptr (GString) path = g_string_new ("/");
  LODGE_AUTOFD dir = lodge_root_file_open (root, "/", O_PATH | O_DIRECTORY);

  for (guint i = 0; dir >= 0 && i < n_parents; i++)
    {
      g_string_append_printf (path, "%s%s", path->len > 1 ? "/" : "", parts[i]);
      LODGE_AUTOFD next = lodge_root_file_open (root, path->str, O_PATH | O_DIRECTORY);
      if (next == -ENOENT && mkdirat (dir, parts[i], 0755) == 0)
        next = lodge_root_file_open (root, path->str, O_PATH | O_DIRECTORY);
      lodge_io_close (&dir);
      dir = lodge_io_steal (&next);
    }
  return lodge_io_steal (&dir);
}

static int
write_new (int dir, const char *name, const char *data, size_t size,
           const LodgeRootFileOwner *owner)
{
  LODGE_AUTOFD fd = openat (dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int r = fd < 0 ? -errno : lodge_io_write_all (fd, data, size);

  if (r == 0 && (fchown (fd, owner->uid, owner->gid) < 0 || fchmod (fd, owner->mode) < 0))
    r = -errno;
  return r;
}

static int
replace (int dir, const char *name, const char *data, size_t size, const LodgeRootFileOwner *owner,
         bool keep_existing)
{
  LodgeRootFileOwner used = { .mode = 0644 };
  g_autofree char *temporary
      = g_strdup_printf (".lodge-%08x%08x", g_random_int (), g_random_int ());
  struct stat st;
  bool exists = fstatat (dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;

  if (exists && keep_existing)
    return 0;
  if (exists && S_ISDIR (st.st_mode))
    return -EISDIR;
  if (owner != NULL)
    used = *owner;
  else if (exists && S_ISREG (st.st_mode))
    used = (LodgeRootFileOwner){ st.st_mode & 07777, st.st_uid, st.st_gid };
  int r = write_new (dir, temporary, data, size, &used);
  if (r == 0 && renameat (dir, temporary, dir, name) < 0)
    r = -errno;
  if (r < 0)
    unlinkat (dir, temporary, 0);
  return r;
}

static bool
is_plain (char **parts)
{
  guint n = g_strv_length (parts);

  for (guint i = 0; i < n; i++)
    if (*parts[i] == '\0' || strcmp (parts[i], ".") == 0 || strcmp (parts[i], "..") == 0)
      return false;
  return n > 0 && n <= DEPTH_MAX;
}

bool
lodge_root_file_write (int root, const char *path, const char *data, size_t size,
                       const LodgeRootFileOwner *owner, bool keep_existing, LodgeFail *fail)
{
  g_auto (GStrv) parts = g_strsplit (*path == '/' ? path + 1 : path, "/", -1);

  if (*path != '/' || !is_plain (parts))
    return lodge_fail (fail, "ImageInvalid", "“%.200s” is no path of a file", path);

  guint last = g_strv_length (parts) - 1;
  LODGE_AUTOFD dir = open_parent (root, parts, last);
  int r = dir < 0 ? dir : replace (dir, parts[last], data, size, owner, keep_existing);
  return r == 0 || lodge_fail_errno (fail, r, "“%.200s” cannot be written", path);
}
