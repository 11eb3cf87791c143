/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <unistd.h>

G_BEGIN_DECLS

/** An int that is closed at the end of its scope; -1 is none. */
typedef int LodgeFd;

static inline void
lodge_fd_clear (LodgeFd *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeFd, lodge_fd_clear)

/** Takes the descriptor out of @fd, so that the scope does not close it. */
static inline int
lodge_fd_steal (LodgeFd *fd)
{
  int value = *fd;
  *fd = -1;
  return value;
}

/** Writes all of @data.  Blocking.  Any thread. */
gboolean lodge_fd_write_all (int fd, const void *data, gsize size, GError **error);

/**
 * lodge_fd_read_all:
 * @max: more bytes than this are an error (LIMIT_EXCEEDED)
 *
 * Returns: (transfer full): the contents, with a NUL byte after them.
 */
char *lodge_fd_read_all (int fd, gsize max, gsize *out_size, GError **error);

/**
 * lodge_file_replace:
 *
 * Writes @contents to a temporary file beside @path, syncs it, renames it into place and syncs
 * the directory: after a crash there is the old file or the new one.
 */
gboolean lodge_file_replace (const char *path, const char *contents, gssize length, int mode,
                             GError **error);

/** mkdir -p for our own directories: existing is a success, a symbolic link is not. */
gboolean lodge_dir_make (const char *path, int mode, GError **error);

/** Syncs a directory (after a rename in it). */
gboolean lodge_dir_sync (const char *path, GError **error);

/**
 * lodge_tree_remove:
 *
 * Removes a tree by descriptors: never follows a symbolic link, never crosses a mount.  An absent
 * path is a success.  Blocking; not on the main thread.
 */
gboolean lodge_tree_remove (const char *path, GError **error);

G_END_DECLS
