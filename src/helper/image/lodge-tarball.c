/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lodge-io.h"

#define BLOCK_SIZE (256 * 1024)

typedef struct
{
  struct archive *archive;
  const LodgeTarball *tarball;
  GHashTable *links; /* inode → name of its first path, of files with several */
  gsize root_length;
  uint64_t bytes;
  char *block;
  LodgeFail *fail;
} Walk;

static bool
archive_failed (Walk *walk, const char *path)
{
  return lodge_fail (walk->fail, "HelperFailed", "%s cannot be packed: %s", path,
                     archive_error_string (walk->archive));
}

static void
add_xattrs (struct archive_entry *entry, const char *path)
{
  char names[4096];
  ssize_t length = llistxattr (path, names, sizeof names);
  for (ssize_t i = 0; i < length; i += (ssize_t) strlen (names + i) + 1)
    {
      char value[4096];
      ssize_t size = lgetxattr (path, names + i, value, sizeof value);
      if (size >= 0)
        archive_entry_xattr_add_entry (entry, names + i, value, (size_t) size);
    }
}

static bool
write_contents (Walk *walk, const char *path)
{
  LODGE_AUTOFD fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return lodge_fail_errno (walk->fail, errno, "%s cannot be read", path);
  ssize_t n;
  while ((n = read (fd, walk->block, BLOCK_SIZE)) > 0)
    if (archive_write_data (walk->archive, walk->block, (size_t) n) < 0)
      return archive_failed (walk, path);
  return n == 0 || lodge_fail_errno (walk->fail, errno, "%s cannot be read", path);
}

static const char *
remember_link (Walk *walk, const struct stat *st, const char *name)
{
  if (S_ISDIR (st->st_mode) || st->st_nlink < 2)
    return NULL;
  gint64 inode = (gint64) st->st_ino;
  const char *first = g_hash_table_lookup (walk->links, &inode);
  if (first == NULL)
    g_hash_table_insert (walk->links, g_memdup2 (&inode, sizeof inode), g_strdup (name));
  return first;
}

/** Below the prefix; without one, as tar(1) names what is in its directory. */
static char *
name_entry (const Walk *walk, const char *path)
{
  const char *inner = path + walk->root_length;
  if (*walk->tarball->prefix != '\0')
    return g_strconcat (walk->tarball->prefix, inner, NULL);
  return g_strconcat (".", inner, NULL);
}

static void
set_times (const Walk *walk, struct archive_entry *entry, const struct stat *st)
{
  if (walk->tarball->keep_times)
    {
      archive_entry_unset_atime (entry);
      archive_entry_unset_ctime (entry);
      archive_entry_unset_birthtime (entry);
      archive_entry_set_mtime (entry, st->st_mtime, 0);
      return;
    }
  archive_entry_set_atime (entry, 0, 0);
  archive_entry_set_ctime (entry, 0, 0);
  archive_entry_set_mtime (entry, 0, 0);
}

static bool
write_entry (Walk *walk, const char *path, const struct stat *st)
{
  g_autofree char *name = name_entry (walk, path);
  const char *first = remember_link (walk, st, name);
  struct archive_entry *entry = archive_entry_new ();

  archive_entry_copy_stat (entry, st);
  archive_entry_set_pathname (entry, name);
  set_times (walk, entry, st);
  archive_entry_set_nlink (entry, 1);
  archive_entry_set_ino (entry, 0);
  archive_entry_set_dev (entry, 0);
  if (S_ISLNK (st->st_mode))
    {
      char target[PATH_MAX];
      ssize_t length = readlink (path, target, sizeof target - 1);
      target[MAX (length, 0)] = '\0';
      archive_entry_set_symlink (entry, target);
    }
  else
    add_xattrs (entry, path);
  if (first != NULL)
    archive_entry_set_hardlink (entry, first);
  bool has_data = S_ISREG (st->st_mode) && first == NULL;
  if (!has_data)
    archive_entry_set_size (entry, 0);
  int status = archive_write_header (walk->archive, entry);
  archive_entry_free (entry);
  if (status < ARCHIVE_WARN)
    return archive_failed (walk, path);
  return !has_data || write_contents (walk, path);
}

static int
by_name (const FTSENT **a, const FTSENT **b)
{
  return strcmp ((*a)->fts_name, (*b)->fts_name);
}

static bool
is_left_out (const Walk *walk, const FTSENT *entry)
{
  const char *name = walk->tarball->leave_out;
  return name != NULL && entry->fts_level == 1 && entry->fts_info == FTS_D
         && strcmp (entry->fts_name, name) == 0;
}

static bool
walk_tree (Walk *walk, const char *rootfs)
{
  char *const roots[] = { (char *) rootfs, NULL };
  FTS *fts = fts_open (roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, by_name);
  if (fts == NULL)
    return lodge_fail_errno (walk->fail, errno, "%s cannot be read", rootfs);
  bool ok = true;
  guint count = 0;
  for (FTSENT *entry = fts_read (fts); ok && entry != NULL; entry = fts_read (fts))
    {
      if (entry->fts_info == FTS_DP || is_left_out (walk, entry))
        continue;
      if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS)
        ok = lodge_fail_errno (walk->fail, entry->fts_errno, "%s cannot be read", entry->fts_path);
      else
        ok = write_entry (walk, entry->fts_path, entry->fts_statp);
      if (ok)
        walk->bytes += (uint64_t) entry->fts_statp->st_blocks * 512;
      if (walk->tarball->progress != NULL && ++count % 256 == 0)
        walk->tarball->progress (walk->bytes, walk->tarball->user_data);
    }
  fts_close (fts);
  return ok;
}

bool
lodge_tarball_add_tree (struct archive *archive, const LodgeTarball *tarball, uint64_t *out_bytes,
                        LodgeFail *fail)
{
  g_autoptr (GHashTable) links
      = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autofree char *block = g_malloc (BLOCK_SIZE);
  Walk walk = { .archive = archive,
                .tarball = tarball,
                .links = links,
                .root_length = strlen (tarball->rootfs),
                .block = block,
                .fail = fail };

  if (!walk_tree (&walk, tarball->rootfs))
    return false;
  *out_bytes = walk.bytes;
  return true;
}

static struct archive_entry *
make_entry (const char *name, int64_t size)
{
  struct archive_entry *entry = archive_entry_new ();

  archive_entry_set_pathname (entry, name);
  archive_entry_set_filetype (entry, AE_IFREG);
  archive_entry_set_perm (entry, 0644);
  archive_entry_set_size (entry, size);
  archive_entry_set_mtime (entry, 0, 0);
  return entry;
}

bool
lodge_tarball_add_text (struct archive *archive, const char *name, const char *text, size_t size,
                        LodgeFail *fail)
{
  struct archive_entry *entry = make_entry (name, (int64_t) size);
  int status = archive_write_header (archive, entry);

  archive_entry_free (entry);
  return (status == ARCHIVE_OK && archive_write_data (archive, text, size) >= 0)
         || lodge_fail (fail, "HelperFailed", "%s cannot be packed: %s", name,
                        archive_error_string (archive));
}

bool
lodge_tarball_add_file (struct archive *archive, const char *name, int fd, LodgeFail *fail)
{
  g_autofree char *block = g_malloc (BLOCK_SIZE);
  Walk walk = { .archive = archive, .block = block, .fail = fail };
  struct stat st;

  if (fstat (fd, &st) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be read", name);
  struct archive_entry *entry = make_entry (name, st.st_size);
  int status = archive_write_header (archive, entry);
  archive_entry_free (entry);
  if (status < ARCHIVE_WARN)
    return archive_failed (&walk, name);
  off_t offset = 0;
  ssize_t n;
  while ((n = pread (fd, block, BLOCK_SIZE, offset)) > 0)
    {
      if (archive_write_data (archive, block, (size_t) n) < 0)
        return archive_failed (&walk, name);
      offset += n;
    }
  return n == 0 || lodge_fail_errno (fail, errno, "%s cannot be read", name);
}
