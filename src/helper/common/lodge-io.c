/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int
lodge_io_write_all (int fd, const void *data, size_t size)
{
  const char *bytes = data;

  while (size > 0)
    {
      ssize_t n = write (fd, bytes, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return -errno;
      bytes += n;
      size -= (size_t) n;
    }
  return 0;
}

ssize_t
lodge_io_read_fd (int fd, char *buffer, size_t size)
{
  size_t used = 0;

  while (used + 1 < size)
    {
      ssize_t n = read (fd, buffer + used, size - 1 - used);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return -errno;
      if (n == 0)
        break;
      used += (size_t) n;
    }
  buffer[used] = '\0';
  return (ssize_t) used;
}

ssize_t
lodge_io_read_file (int dir_fd, const char *path, char *buffer, size_t size)
{
  LODGE_AUTOFD fd = openat (dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

  if (fd < 0)
    return -errno;
  return lodge_io_read_fd (fd, buffer, size);
}

int
lodge_io_write_file (int dir_fd, const char *path, const char *text)
{
  LODGE_AUTOFD fd = openat (dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

  if (fd < 0)
    return -errno;
  return lodge_io_write_all (fd, text, strlen (text));
}

int
lodge_io_open_regular (int dir_fd, const char *path, size_t max, size_t *out_size)
{
  LODGE_AUTOFD fd
      = openat (dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0)
    return -errno;
  if (!S_ISREG (st.st_mode))
    return -EINVAL;
  if ((unsigned long long) st.st_size > max)
    return -EFBIG;
  *out_size = (size_t) st.st_size;
  return lodge_io_steal (&fd);
}

int
lodge_io_replace_file (const char *path, const char *text, mode_t mode)
{
  char temporary[PATH_MAX];
  LODGE_AUTOFD fd = -1;
  /* One name for all: nobody writes a file of an instance twice at once, and what a writer that was
   * killed has left is found again, here and by release. */
  int n = snprintf (temporary, sizeof temporary, "%s~", path);
  int r;

  if (n < 0 || (size_t) n >= sizeof temporary)
    return -ENAMETOOLONG;
  unlink (temporary);
  fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0)
    return -errno;
  r = lodge_io_write_all (fd, text, strlen (text));
  if (r == 0 && fchmod (fd, mode) < 0)
    r = -errno;
  if (r == 0 && rename (temporary, path) < 0)
    r = -errno;
  if (r < 0)
    unlink (temporary);
  return r;
}

int
lodge_io_make_dirs (const char *path, mode_t mode)
{
  char buffer[PATH_MAX];
  size_t length = strlen (path);
  struct stat st;

  if (path[0] != '/')
    return -EINVAL;
  if (length >= sizeof buffer)
    return -ENAMETOOLONG;
  memcpy (buffer, path, length + 1);
  for (char *slash = strchr (buffer + 1, '/'); slash; slash = strchr (slash + 1, '/'))
    {
      *slash = '\0';
      if (mkdir (buffer, 0755) < 0 && errno != EEXIST)
        return -errno;
      *slash = '/';
    }
  if (mkdir (buffer, mode) < 0 && errno != EEXIST)
    return -errno;
  if (lstat (buffer, &st) < 0)
    return -errno;
  if (!S_ISDIR (st.st_mode))
    return -ENOTDIR;
  if ((st.st_mode & 07777) != mode && chmod (buffer, mode) < 0)
    return -errno;
  return 0;
}

bool
lodge_io_parse_number (const char *text, long long min, long long max, long long *out_value)
{
  char *end = NULL;
  long long value;

  if (!text || ((text[0] < '0' || text[0] > '9') && text[0] != '-'))
    return false;
  errno = 0;
  value = strtoll (text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
    return false;
  *out_value = value;
  return true;
}
