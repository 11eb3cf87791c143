/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-files-server.h"

#include "lodge/lodge-files.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A request with its texts ended by NUL bytes. */
typedef struct
{
  LodgeFilesRequest head;
  char path[LODGE_FILES_PATH_MAX + 1];
  char extra[LODGE_FILES_PATH_MAX + 1];
  int fd; /* the client's file, or -1 */
} LodgeFilesCall;

/* Opens @path below the root, never above it.  @flags as of open(2).  A descriptor or -errno. */
int lodge_files_open (const LodgeFilesServer *server, const char *path, int flags);

/* Opens, for real, the regular file that @fd (O_PATH) is: what @fd is has been looked at, so
 * nothing can be put in its place.  A descriptor or -errno. */
int lodge_files_reopen (const LodgeFilesServer *server, int fd, int flags);

/**
 * lodge_files_open_parent:
 * @make: create missing directories, 0755, root's
 * @out_name: the last part of @path, in it; never ".", ".." or empty
 *
 * Returns: an O_PATH descriptor of the directory that holds @path, or -errno.
 */
int lodge_files_open_parent (const LodgeFilesServer *server, char *path, bool make,
                             const char **out_name);

/* A name that nobody could foresee, for a file that is to be renamed. */
void lodge_files_temporary_name (char *out_name, size_t size);

/* Copies @size bytes from the start of @source to the start of @target, holes as holes.
 * Returns 0 or -errno (-EIO: @source became shorter meanwhile). */
int lodge_files_copy (int source, int target, uint64_t size);

/* The operations that change something.  0 or -errno; @out_stat: of the result, when there is one.
 */
int lodge_files_put (const LodgeFilesServer *server, LodgeFilesCall *call, struct stat *out_stat);
int lodge_files_make_dir (const LodgeFilesServer *server, LodgeFilesCall *call,
                          struct stat *out_stat);
int lodge_files_make_link (const LodgeFilesServer *server, LodgeFilesCall *call,
                           struct stat *out_stat);
int lodge_files_remove (const LodgeFilesServer *server, LodgeFilesCall *call,
                        struct stat *out_stat);
