/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Small file functions of the helpers, which link neither GLib nor Lodge's base.  They return 0
 * or a count on success and a negative errno value on failure, and are safe in a process that
 * was made by clone(2).
 */

static inline void
lodge_io_close (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/** Declares an int that is closed at the end of its scope: `LODGE_AUTOFD fd = -1;` */
#define LODGE_AUTOFD __attribute__ ((cleanup (lodge_io_close))) int

/** Takes the descriptor out of @fd, so that its scope does not close it. */
static inline int
lodge_io_steal (int *fd)
{
  int value = *fd;
  *fd = -1;
  return value;
}

/** Writes all @size bytes of @data, blocking.  Returns 0 or a negative errno value. */
int lodge_io_write_all (int fd, const void *data, size_t size);

/** Reads up to @size - 1 bytes until the end of the file and adds a NUL byte.
 * Returns the number of bytes, or a negative errno value. */
ssize_t lodge_io_read_fd (int fd, char *buffer, size_t size);

/** As lodge_io_read_fd(), of the file @path below @dir_fd (AT_FDCWD: as open(2) does). */
ssize_t lodge_io_read_file (int dir_fd, const char *path, char *buffer, size_t size);

/** Writes @text into an existing file such as a control file of a cgroup, in one write(2). */
int lodge_io_write_file (int dir_fd, const char *path, const char *text);

/**
 * lodge_io_open_regular:
 * @max: a larger file is refused with -EFBIG
 * @out_size: its size in bytes; untouched on failure
 *
 * Opens a file that somebody else controls for reading: never blocks, never follows a link at the
 * end, regular files only (else -EINVAL).  Returns a descriptor or a negative errno value.
 */
int lodge_io_open_regular (int dir_fd, const char *path, size_t max, size_t *out_size);

/** Replaces @path by @text atomically (temporary file beside it, rename). */
int lodge_io_replace_file (const char *path, const char *text, mode_t mode);

/** mkdir -p of an absolute path.  Missing parents get 0755, the last directory exactly @mode. */
int lodge_io_make_dirs (const char *path, mode_t mode);

/** Reads a decimal number of [@min, @max] that fills all of @text.  Returns false if it is none. */
bool lodge_io_parse_number (const char *text, long long min, long long max, long long *out_value);
