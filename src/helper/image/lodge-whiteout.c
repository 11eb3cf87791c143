/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-whiteout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-io.h"

#define PREFIX    ".wh."
#define OPAQUE    ".wh..wh..opq"
#define DEPTH_MAX 2048

static const char *
last_part (const char *path)
{
  const char *slash = strrchr (path, '/');
  return slash != NULL ? slash + 1 : path;
}

bool
lodge_whiteout_is_one (const char *path)
{
  return strncmp (last_part (path), PREFIX, strlen (PREFIX)) == 0;
}

static int
open_inside (const char *path)
{
  struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  return (int) syscall (SYS_openat2, AT_FDCWD, *path != '\0' ? path : ".", &how, sizeof how);
}

static bool remove_entry (int dir_fd, const char *name, int depth, LodgeFail *fail);

/** Removes all that is in the directory @fd, which it takes. */
static bool
empty (int fd, int depth, LodgeFail *fail)
{
  DIR *dir = fdopendir (fd);
  bool ok = true;

  if (dir == NULL)
    {
      close (fd);
      return lodge_fail_errno (fail, errno, "A layer cannot be applied");
    }
  for (struct dirent *entry = readdir (dir); ok && entry != NULL; entry = readdir (dir))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      ok = remove_entry (dirfd (dir), entry->d_name, depth + 1, fail);
  closedir (dir);
  return ok;
}

static bool
remove_entry (int dir_fd, const char *name, int depth, LodgeFail *fail)
{
  if (unlinkat (dir_fd, name, 0) == 0 || errno == ENOENT)
    return true;
  if (errno != EISDIR || depth > DEPTH_MAX)
    return lodge_fail_errno (fail, errno, "A layer cannot be applied");
  int fd = openat (dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return lodge_fail_errno (fail, errno, "A layer cannot be applied");
  return empty (fd, depth, fail)
         && (unlinkat (dir_fd, name, AT_REMOVEDIR) == 0
             || lodge_fail_errno (fail, errno, "A layer cannot be applied"));
}

bool
lodge_whiteout_clear (const char *path, bool dirs_only, LodgeFail *fail)
{
  g_autofree char *parent = g_path_get_dirname (path);
  LODGE_AUTOFD fd = open_inside (parent);
  struct stat st;

  if (fd < 0)
    return errno == ENOENT
           || lodge_fail (fail, "ImageInvalid", "%.200s of a layer is below a link", path);
  if (dirs_only
      && (fstatat (fd, last_part (path), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR (st.st_mode)))
    return true;
  return remove_entry (fd, last_part (path), 0, fail);
}

bool
lodge_whiteout_apply (const char *path, LodgeFail *fail)
{
  const char *name = last_part (path);
  g_autofree char *parent = g_strndup (path, (gsize) (name - path));

  if (strcmp (name, OPAQUE) == 0)
    {
      int fd = open_inside (parent);
      return fd < 0 || empty (fd, 0, fail);
    }
  const char *target = name + strlen (PREFIX);
  if (*target == '\0' || strcmp (target, ".") == 0 || strcmp (target, "..") == 0)
    return lodge_fail (fail, "ImageInvalid", "A layer of the image takes away “%s”", target);
  g_autofree char *victim = g_strconcat (parent, target, NULL);
  return lodge_whiteout_clear (victim, false, fail);
}
