/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-files-private.h"

#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A file of this size takes long enough to copy that it should have no name meanwhile: then
 * nothing is left when the helper is killed. */
#define NAMELESS_FROM (1024 * 1024)

/* A new file that is to replace another. */
typedef struct
{
  int fd;
  char name[32]; /* empty: it has none yet */
} NewFile;

static int
create (int dir, bool nameless, NewFile *file)
{
  file->name[0] = '\0';
  file->fd = -1;
  if (nameless)
    file->fd = openat (dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file->fd >= 0)
    return 0;
  lodge_files_temporary_name (file->name, sizeof file->name);
  file->fd = openat (dir, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return file->fd < 0 ? -errno : 0;
}

/* Puts the finished file at @name, in place of what is there. */
static int
publish (const LodgeFilesServer *server, int dir, NewFile *file, const char *name)
{
  char number[16];
  char temporary[sizeof file->name];

  if (!file->name[0])
    {
      snprintf (number, sizeof number, "%d", file->fd);
      if (linkat (server->self, number, dir, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
      if (errno != EEXIST)
        return -errno;
      lodge_files_temporary_name (temporary, sizeof temporary);
      if (linkat (server->self, number, dir, temporary, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
      strcpy (file->name, temporary);
    }
  if (renameat (dir, file->name, dir, name) < 0)
    return -errno;
  file->name[0] = '\0';
  return 0;
}

/* Sets owner, mode and time: the request's, else those of @old (NULL: there was none). */
static int
set_attributes (int fd, const LodgeFilesCall *call, const struct stat *old, mode_t fallback)
{
  const uint32_t flags = call->head.flags;
  uid_t uid = flags & LODGE_FILES_SET_OWNER ? call->head.uid : old ? old->st_uid : 0;
  gid_t gid = flags & LODGE_FILES_SET_OWNER ? call->head.gid : old ? old->st_gid : 0;
  mode_t mode = flags & LODGE_FILES_SET_MODE ? call->head.mode & 07777
                : old                        ? old->st_mode & 07777
                                             : fallback;
  const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = call->head.mtime } };

  /* The owner first: changing it clears the set-uid bits. */
  if (fchown (fd, uid, gid) < 0 || fchmod (fd, mode) < 0)
    return -errno;
  if ((flags & LODGE_FILES_SET_MTIME) && futimens (fd, times) < 0)
    return -errno;
  return 0;
}

/* What is passed must be a regular file that was opened for @wanted. */
static int
check_client_file (const LodgeFilesCall *call, struct stat *out_stat)
{
  if (call->fd < 0)
    return -EBADF;
  if (fstat (call->fd, out_stat) < 0)
    return -errno;
  return S_ISREG (out_stat->st_mode) ? 0 : -EINVAL;
}

int
lodge_files_put (const LodgeFilesServer *server, LodgeFilesCall *call, struct stat *out_stat)
{
  LODGE_AUTOFD dir = -1;
  struct stat source;
  struct stat old;
  const char *name = NULL;
  bool existed;
  NewFile file;
  int r = check_client_file (call, &source);

  if (r < 0)
    return r;
  dir = lodge_files_open_parent (server, call->path, call->head.flags & LODGE_FILES_MAKE_PARENTS,
                                 &name);
  if (dir < 0)
    return dir;
  existed = fstatat (dir, name, &old, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0;
  if (existed && S_ISDIR (old.st_mode))
    return -EISDIR;
  r = create (dir, source.st_size >= NAMELESS_FROM, &file);
  if (r < 0)
    return r;
  r = lodge_files_copy (call->fd, file.fd, (uint64_t) source.st_size);
  if (r == 0)
    r = set_attributes (file.fd, call, existed && S_ISREG (old.st_mode) ? &old : NULL, 0644);
  if (r == 0 && fstat (file.fd, out_stat) < 0)
    r = -errno;
  if (r == 0)
    r = publish (server, dir, &file, name);
  if (file.name[0])
    unlinkat (dir, file.name, 0);
  close (file.fd);
  return r;
}

int
lodge_files_make_dir (const LodgeFilesServer *server, LodgeFilesCall *call, struct stat *out_stat)
{
  LODGE_AUTOFD parent = -1;
  LODGE_AUTOFD dir = -1;
  const char *name = NULL;
  bool made;
  int r = 0;

  parent = lodge_files_open_parent (server, call->path, call->head.flags & LODGE_FILES_MAKE_PARENTS,
                                    &name);
  if (parent < 0)
    return parent;
  made = mkdirat (parent, name, 0700) == 0;
  if (!made && errno != EEXIST)
    return -errno;
  if (made)
    {
      dir = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      r = dir < 0 ? -errno : set_attributes (dir, call, NULL, 0755);
      if (r < 0)
        unlinkat (parent, name, AT_REMOVEDIR);
    }
  else
    /* A link to a directory is one for those who want to put files into it. */
    dir = lodge_files_open (server, call->path, O_PATH | O_DIRECTORY);
  if (dir < 0)
    return dir == -ENOTDIR ? -EEXIST : dir == -1 ? r : dir;
  if (r == 0 && fstat (dir, out_stat) < 0)
    r = -errno;
  return r;
}

/* Makes a link beside the one at @name and renames it into its place. */
static int
replace_link (int dir, const char *name, const char *target)
{
  char temporary[32];
  struct stat st;

  if (fstatat (dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
    return -errno;
  if (!S_ISLNK (st.st_mode))
    return -EEXIST;
  lodge_files_temporary_name (temporary, sizeof temporary);
  if (symlinkat (target, dir, temporary) < 0)
    return -errno;
  if (renameat (dir, temporary, dir, name) < 0)
    {
      int saved = errno;

      unlinkat (dir, temporary, 0);
      return -saved;
    }
  return 0;
}

int
lodge_files_make_link (const LodgeFilesServer *server, LodgeFilesCall *call, struct stat *out_stat)
{
  LODGE_AUTOFD dir = -1;
  const char *name = NULL;
  int r = 0;

  if (!call->extra[0])
    return -EINVAL;
  dir = lodge_files_open_parent (server, call->path, call->head.flags & LODGE_FILES_MAKE_PARENTS,
                                 &name);
  if (dir < 0)
    return dir;
  if (symlinkat (call->extra, dir, name) < 0)
    r = errno == EEXIST ? replace_link (dir, name, call->extra) : -errno;
  if (r == 0 && (call->head.flags & LODGE_FILES_SET_OWNER)
      && fchownat (dir, name, call->head.uid, call->head.gid, AT_SYMLINK_NOFOLLOW) < 0)
    r = -errno;
  if (r == 0 && fstatat (dir, name, out_stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
    r = -errno;
  return r;
}

int
lodge_files_remove (const LodgeFilesServer *server, LodgeFilesCall *call, struct stat *out_stat)
{
  LODGE_AUTOFD dir = -1;
  const char *name = NULL;

  dir = lodge_files_open_parent (server, call->path, false, &name);
  if (dir < 0)
    return dir;
  if (fstatat (dir, name, out_stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
    return -errno;
  if (unlinkat (dir, name, S_ISDIR (out_stat->st_mode) ? AT_REMOVEDIR : 0) < 0)
    return -errno;
  return 0;
}
