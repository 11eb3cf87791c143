/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-files-private.h"

#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel gives up when directories are renamed while it walks through "..". */
#define RACE_TRIES 64

int
lodge_files_open (const LodgeFilesServer *server, const char *path, int flags)
{
  const struct open_how how = {
    /* With O_PATH openat2(2) refuses flags that would mean nothing. */
    .flags = (uint64_t) (flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };

  for (int i = 0;; i++)
    {
      int fd = (int) syscall (SYS_openat2, server->root, path, &how, sizeof how);

      if (fd >= 0)
        return fd;
      if (errno != EINTR && (errno != EAGAIN || i == RACE_TRIES))
        return -errno;
    }
}

int
lodge_files_reopen (const LodgeFilesServer *server, int fd, int flags)
{
  char name[16];
  int opened;

  snprintf (name, sizeof name, "%d", fd);
  opened = openat (server->self, name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  return opened < 0 ? -errno : opened;
}

/* Opens the directory @path, one part after the other, and makes those that are missing. */
static int
make_parents (const LodgeFilesServer *server, char *path)
{
  char *part = path;

  for (;;)
    {
      LODGE_AUTOFD above = -1;
      LODGE_AUTOFD dir = -1;
      char *end;
      char saved;

      part += strspn (part, "/");
      end = part + strcspn (part, "/");
      saved = *end;
      *end = '\0';
      dir = lodge_files_open (server, path, O_PATH | O_DIRECTORY);
      if (dir == -ENOENT)
        {
          char up = *part;

          *part = '\0';
          above = lodge_files_open (server, path, O_PATH | O_DIRECTORY);
          *part = up;
          if (above < 0)
            return above;
          if (mkdirat (above, part, 0755) < 0 && errno != EEXIST)
            return -errno;
          dir = lodge_files_open (server, path, O_PATH | O_DIRECTORY);
        }
      *end = saved;
      if (dir < 0 || *end == '\0')
        return lodge_io_steal (&dir);
      part = end;
    }
}

int
lodge_files_open_parent (const LodgeFilesServer *server, char *path, bool make,
                         const char **out_name)
{
  size_t length = strlen (path);
  char *slash;
  int dir;

  while (length > 1 && path[length - 1] == '/')
    path[--length] = '\0';
  slash = strrchr (path, '/');
  if (slash[1] == '\0' || strcmp (slash + 1, ".") == 0 || strcmp (slash + 1, "..") == 0)
    return -EINVAL;
  if (strlen (slash + 1) > NAME_MAX)
    return -ENAMETOOLONG;
  *slash = '\0';
  dir = lodge_files_open (server, *path ? path : "/", O_PATH | O_DIRECTORY);
  if (dir == -ENOENT && make)
    dir = make_parents (server, path);
  *slash = '/';
  if (dir >= 0)
    *out_name = slash + 1;
  return dir;
}

void
lodge_files_temporary_name (char *out_name, size_t size)
{
  uint64_t number = 0;

  while (getrandom (&number, sizeof number, 0) < 0 && errno == EINTR)
    continue;
  snprintf (out_name, size, ".lodge-%016llx", (unsigned long long) number);
}
