/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lodge-io.h"

/* Contents are looked at in pieces of this size; one of zeros, of a block or more, is left out. */
#define PIECE_SIZE (64 * 1024)
#define HOLE_MIN   4096
/* Of the directories' names that are kept for the end: an image has some thousand directories. */
#define NAMES_MAX (64u << 20)

/* A directory whose times are set when nothing is put into it any more. */
typedef struct
{
  struct timespec times[2];
  char path[];
} Directory;

struct LodgeWriter
{
  int root_fd;
  uint64_t incomplete;

  /* The directory in which members are made; most come in a row. */
  int parent_fd;
  char parent[LODGE_MEMBER_PATH_MAX];
  bool parent_is_plain; /* what is made in it belongs to root:root */

  /* The member, from begin to end. */
  struct archive_entry *entry;
  const char *path;
  int fd; /* of a file or a directory, else -1 */
  int64_t end;
  bool has_attributes; /* of its own: it is not a hard link */

  GPtrArray *directories; /* Directory */
  size_t names_size;
};

LodgeWriter *
lodge_writer_new (int root_fd)
{
  LodgeWriter *self = g_new0 (LodgeWriter, 1);

  self->root_fd = root_fd;
  self->parent_fd = -1;
  self->fd = -1;
  self->directories = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
lodge_writer_free (LodgeWriter *self)
{
  if (self == NULL)
    return;
  lodge_io_close (&self->parent_fd);
  lodge_io_close (&self->fd);
  g_ptr_array_unref (self->directories);
  g_free (self);
}

void
lodge_writer_forget (LodgeWriter *self)
{
  lodge_io_close (&self->parent_fd);
}

uint64_t
lodge_writer_get_incomplete (const LodgeWriter *self)
{
  return self->incomplete;
}

static bool
refuse (const char *path, int error, LodgeFail *fail)
{
  if (error == ENOSPC || error == EDQUOT)
    return lodge_fail (fail, "NoSpace", "There is no space left to unpack the image");
  return lodge_fail (fail, "ImageInvalid", "%.200s cannot be unpacked: %.200s", path,
                     g_strerror (error));
}

/* ---- places ---- */

static int
open_beneath (int root_fd, const char *path)
{
  struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  return (int) syscall (SYS_openat2, root_fd, *path != '\0' ? path : ".", &how, sizeof how);
}

/** As open_beneath(), and makes what is not there. */
static int
make_beneath (int root_fd, const char *path)
{
  int fd = open_beneath (root_fd, "");

  for (const char *rest = path; fd >= 0 && *rest != '\0';)
    {
      size_t length = strcspn (rest, "/");
      char name[NAME_MAX + 1];
      g_strlcpy (name, rest, MIN (length + 1, sizeof name));
      int next = mkdirat (fd, name, 0755) == 0 || errno == EEXIST
                     ? openat (fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : -1;
      int error = errno;
      close (fd);
      errno = error;
      fd = next;
      rest += length + (rest[length] == '/');
    }
  return fd;
}

static const char *
last_part (const char *path)
{
  const char *slash = strrchr (path, '/');
  return slash != NULL ? slash + 1 : path;
}

/** Opens the directory in which @path is, unless it is the one that is open; false with errno. */
static bool
find_parent (LodgeWriter *self, const char *path)
{
  const char *name = last_part (path);
  size_t length = name > path ? (size_t) (name - path) - 1 : 0;
  struct stat st;

  if (self->parent_fd >= 0 && strlen (self->parent) == length
      && memcmp (self->parent, path, length) == 0)
    return true;
  lodge_io_close (&self->parent_fd);
  memcpy (self->parent, path, length);
  self->parent[length] = '\0';
  self->parent_fd = open_beneath (self->root_fd, self->parent);
  if (self->parent_fd < 0)
    return false;
  self->parent_is_plain
      = fstat (self->parent_fd, &st) == 0 && st.st_gid == 0 && (st.st_mode & S_ISGID) == 0;
  return true;
}

/** As find_parent(), and makes what is not there. */
static bool
enter_parent (LodgeWriter *self, const char *path, LodgeFail *fail)
{
  bool found = find_parent (self, path);

  if (!found && errno == ENOENT)
    {
      LODGE_AUTOFD fd = make_beneath (self->root_fd, self->parent);
      found = fd >= 0 && find_parent (self, path);
    }
  if (!found && (errno == ELOOP || errno == ENOTDIR || errno == EXDEV))
    return lodge_fail (fail, "ImageInvalid",
                       "%.200s would be unpacked through something that is not a directory", path);
  return found || refuse (path, errno, fail);
}

/** Removes what has the name of a member that comes again; a directory only when it is empty. */
static bool
make_room (LodgeWriter *self, const char *name, LodgeFail *fail)
{
  if (unlinkat (self->parent_fd, name, 0) == 0
      || (errno == EISDIR && unlinkat (self->parent_fd, name, AT_REMOVEDIR) == 0))
    return true;
  return refuse (self->path, errno, fail);
}

/* ---- members ---- */

/* Each makes a member in the open directory and returns 0, or -1 with errno: EEXIST when there is
 * something of that name. */

static int
make_file (LodgeWriter *self, const char *name)
{
  self->fd
      = openat (self->parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return self->fd < 0 ? -1 : 0;
}

static int
make_directory (LodgeWriter *self, const char *name)
{
  if (mkdirat (self->parent_fd, name, 0700) < 0 && errno != EEXIST)
    return -1;
  self->fd = openat (self->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (self->fd < 0 && (errno == ELOOP || errno == ENOTDIR))
    errno = EEXIST;
  return self->fd < 0 ? -1 : 0;
}

static int
make_link (LodgeWriter *self, const char *name)
{
  return symlinkat (archive_entry_symlink (self->entry), self->parent_fd, name);
}

static int
make_fifo (LodgeWriter *self, const char *name)
{
  return mkfifoat (self->parent_fd, name, 0600);
}

static const struct
{
  mode_t type;
  int (*make) (LodgeWriter *self, const char *name);
} KINDS[] = {
  { AE_IFREG, make_file },
  { AE_IFDIR, make_directory },
  { AE_IFLNK, make_link },
  { AE_IFIFO, make_fifo },
};

static bool
make_member (LodgeWriter *self, const char *name, LodgeFail *fail)
{
  mode_t type = archive_entry_filetype (self->entry);

  for (gsize i = 0; i < G_N_ELEMENTS (KINDS); i++)
    if (KINDS[i].type == type)
      {
        if (KINDS[i].make (self, name) == 0)
          return true;
        if (errno != EEXIST)
          return refuse (self->path, errno, fail);
        return make_room (self, name, fail)
               && (KINDS[i].make (self, name) == 0 || refuse (self->path, errno, fail));
      }
  return lodge_fail (fail, "ImageInvalid", "%.200s is of an unknown type", self->path);
}

static bool
make_hard_link (LodgeWriter *self, const char *name, const char *target, LodgeFail *fail)
{
  g_autofree char *parent = g_strndup (target, (gsize) (last_part (target) - target));
  LODGE_AUTOFD fd = open_beneath (self->root_fd, parent);

  if (fd < 0 && errno != ENOENT)
    return lodge_fail (fail, "ImageInvalid",
                       "%.200s is a hard link through something that is not "
                       "a directory",
                       self->path);
  if (fd >= 0 && linkat (fd, last_part (target), self->parent_fd, name, 0) == 0)
    return true;
  if (fd < 0 || errno != EEXIST)
    return refuse (self->path, errno, fail);
  return make_room (self, name, fail)
         && (linkat (fd, last_part (target), self->parent_fd, name, 0) == 0
             || refuse (self->path, errno, fail));
}

bool
lodge_writer_begin (LodgeWriter *self, struct archive_entry *entry, const LodgeMember *member,
                    LodgeFail *fail)
{
  self->entry = entry;
  self->path = member->path;
  self->end = 0;
  self->has_attributes = *member->link == '\0';
  lodge_io_close (&self->fd);
  if (*member->path == '\0')
    {
      self->fd = fcntl (self->root_fd, F_DUPFD_CLOEXEC, 3);
      return self->fd >= 0 || refuse (".", errno, fail);
    }
  if (!enter_parent (self, member->path, fail))
    return false;
  const char *name = last_part (member->path);
  return self->has_attributes ? make_member (self, name, fail)
                              : make_hard_link (self, name, member->link, fail);
}

/* ---- contents ---- */

static bool
is_zero (const char *data, size_t size)
{
  return *data == '\0' && memcmp (data, data + 1, size - 1) == 0;
}

static bool
write_at (LodgeWriter *self, const char *data, size_t size, int64_t offset, LodgeFail *fail)
{
  while (size > 0)
    {
      ssize_t n = pwrite (self->fd, data, size, offset);
      if (n < 0)
        return refuse (self->path, errno, fail);
      data += n;
      size -= (size_t) n;
      offset += n;
    }
  return true;
}

bool
lodge_writer_add (LodgeWriter *self, const void *data, size_t size, int64_t offset, LodgeFail *fail)
{
  const char *bytes = data;
  size_t begin = 0, at = 0;

  while (at < size)
    {
      size_t n = MIN (size - at, PIECE_SIZE - (size_t) (offset + (int64_t) at) % PIECE_SIZE);
      bool hole = n >= HOLE_MIN && is_zero (bytes + at, n);
      if (hole && !write_at (self, bytes + begin, at - begin, offset + (int64_t) begin, fail))
        return false;
      at += n;
      begin = hole ? at : begin;
    }
  if (!write_at (self, bytes + begin, size - begin, offset + (int64_t) begin, fail))
    return false;
  self->end = MAX (self->end, offset + (int64_t) size);
  return true;
}

/** A hole at the end has not been written. */
static bool
set_size (LodgeWriter *self, LodgeFail *fail)
{
  int64_t size = archive_entry_size_is_set (self->entry) ? archive_entry_size (self->entry) : 0;
  struct stat st;

  size = MAX (size, self->end);
  if (size == 0 || (fstat (self->fd, &st) == 0 && st.st_size == size))
    return true;
  return ftruncate (self->fd, size) == 0 || refuse (self->path, errno, fail);
}

/* ---- attributes ---- */

static void
take_times (struct archive_entry *entry, struct timespec times[2])
{
  times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
  times[1] = times[0];
  if (archive_entry_atime_is_set (entry))
    times[0] = (struct timespec){ .tv_sec = archive_entry_atime (entry),
                                  .tv_nsec = archive_entry_atime_nsec (entry) };
  if (archive_entry_mtime_is_set (entry))
    times[1] = (struct timespec){ .tv_sec = archive_entry_mtime (entry),
                                  .tv_nsec = archive_entry_mtime_nsec (entry) };
}

/** New files are root's; who else's it is decides what set-user-id means, so it must be right. */
static bool
set_owner (LodgeWriter *self, const char *name, LodgeFail *fail)
{
  uid_t uid = (uid_t) archive_entry_uid (self->entry);
  gid_t gid = (gid_t) archive_entry_gid (self->entry);
  bool is_new = *self->path != '\0' && archive_entry_filetype (self->entry) != AE_IFDIR;

  if (is_new && self->parent_is_plain && uid == 0 && gid == 0)
    return true;
  int status = self->fd >= 0 ? fchown (self->fd, uid, gid)
                             : fchownat (self->parent_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW);
  return status == 0 || refuse (self->path, errno, fail);
}

static bool
set_mode (LodgeWriter *self, const char *name, LodgeFail *fail)
{
  mode_t mode = archive_entry_perm (self->entry) & 07777;

  if (archive_entry_filetype (self->entry) == AE_IFLNK)
    return true;
  int status = self->fd >= 0 ? fchmod (self->fd, mode) : fchmodat (self->parent_fd, name, mode, 0);
  return status == 0 || refuse (self->path, errno, fail);
}

static bool
set_xattrs (LodgeWriter *self)
{
  const char *name;
  const void *value;
  size_t size;
  bool ok = true;

  if (self->fd < 0 || archive_entry_xattr_reset (self->entry) == 0)
    return true;
  while (archive_entry_xattr_next (self->entry, &name, &value, &size) == ARCHIVE_OK)
    ok = fsetxattr (self->fd, name, value, size, 0) == 0 && ok;
  return ok;
}

static bool
remember_directory (LodgeWriter *self, LodgeFail *fail)
{
  size_t length = strlen (self->path) + 1;
  Directory *directory = g_malloc (sizeof *directory + length);

  take_times (self->entry, directory->times);
  memcpy (directory->path, self->path, length);
  g_ptr_array_add (self->directories, directory);
  self->names_size += sizeof *directory + length;
  return self->names_size <= NAMES_MAX
         || lodge_fail (fail, "ImageInvalid", "The archive has too many directories");
}

bool
lodge_writer_end (LodgeWriter *self, LodgeFail *fail)
{
  mode_t type = archive_entry_filetype (self->entry);
  const char *name = last_part (self->path);
  struct timespec times[2];

  if (!self->has_attributes)
    return true;
  if (type == AE_IFREG && !set_size (self, fail))
    return false;
  /* In this order: a new owner takes away set-user-id bits and capabilities. */
  if (!set_owner (self, name, fail) || !set_mode (self, name, fail))
    return false;
  bool complete = set_xattrs (self);
  if (type == AE_IFDIR)
    {
      self->incomplete += !complete;
      lodge_io_close (&self->fd);
      return remember_directory (self, fail);
    }
  take_times (self->entry, times);
  int status = self->fd >= 0 ? futimens (self->fd, times)
                             : utimensat (self->parent_fd, name, times, AT_SYMLINK_NOFOLLOW);
  self->incomplete += status < 0 || !complete;
  int fd = lodge_io_steal (&self->fd);
  return fd < 0 || close (fd) == 0 || refuse (self->path, errno, fail);
}

void
lodge_writer_finish (LodgeWriter *self)
{
  for (guint i = 0; i < self->directories->len; i++)
    {
      const Directory *directory = g_ptr_array_index (self->directories, i);
      const char *name = last_part (directory->path);

      /* It may be gone by now, when it is a layer's; then there is nothing to set. */
      if (*directory->path == '\0')
        self->incomplete += futimens (self->root_fd, directory->times) < 0;
      else if (find_parent (self, directory->path))
        self->incomplete
            += utimensat (self->parent_fd, name, directory->times, AT_SYMLINK_NOFOLLOW) < 0
               && errno != ENOENT;
    }
}
