/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fingerprint.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lodge-io.h"

#define BLOCK_SIZE (256 * 1024)

typedef struct
{
  struct archive *archive;
  GChecksum *checksum;
  GHashTable *links; /* inode → name of its first path, of files with several */
  gsize root_length;
  uint64_t bytes;
  uint64_t expected;
  LodgeFingerprintProgress progress;
  gpointer user_data;
  char *block;
  LodgeFail *fail;
} Walk;

static la_ssize_t
on_write (struct archive *archive, void *user_data, const void *data, size_t size)
{
  g_checksum_update (user_data, data, (gssize) size);
  return (la_ssize_t) size;
}

static bool
archive_failed (Walk *walk, const char *path)
{
  return lodge_fail (walk->fail, "HelperFailed", "%s cannot be fingerprinted: %s", path,
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

static bool
write_entry (Walk *walk, const char *path, const struct stat *st)
{
  g_autofree char *name = g_strconcat ("rootfs", path + walk->root_length, NULL);
  const char *first = remember_link (walk, st, name);
  struct archive_entry *entry = archive_entry_new ();

  archive_entry_copy_stat (entry, st);
  archive_entry_set_pathname (entry, name);
  archive_entry_set_atime (entry, 0, 0);
  archive_entry_set_ctime (entry, 0, 0);
  archive_entry_set_mtime (entry, 0, 0);
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
      if (entry->fts_info == FTS_DP)
        continue;
      if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS)
        ok = lodge_fail_errno (walk->fail, entry->fts_errno, "%s cannot be read", entry->fts_path);
      else
        ok = write_entry (walk, entry->fts_path, entry->fts_statp);
      if (ok)
        walk->bytes += (uint64_t) entry->fts_statp->st_blocks * 512;
      if (walk->expected > 0 && ++count % 256 == 0)
        walk->progress (MIN ((double) walk->bytes / (double) walk->expected, 1.0), walk->user_data);
    }
  fts_close (fts);
  return ok;
}

static bool
write_metadata (Walk *walk, const char *metadata)
{
  struct archive_entry *entry = archive_entry_new ();
  archive_entry_set_pathname (entry, "metadata.yaml");
  archive_entry_set_filetype (entry, AE_IFREG);
  archive_entry_set_perm (entry, 0644);
  archive_entry_set_size (entry, (la_int64_t) strlen (metadata));
  archive_entry_set_mtime (entry, 0, 0);
  int status = archive_write_header (walk->archive, entry);
  archive_entry_free (entry);
  return (status == ARCHIVE_OK
          && archive_write_data (walk->archive, metadata, strlen (metadata)) >= 0)
         || archive_failed (walk, "metadata.yaml");
}

bool
lodge_fingerprint_tree (const char *rootfs, const char *metadata, uint64_t expected_bytes,
                        LodgeFingerprintProgress progress, gpointer user_data,
                        char out_fingerprint[LODGE_FINGERPRINT_SIZE], uint64_t *out_bytes,
                        LodgeFail *fail)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GHashTable) links
      = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autofree char *block = g_malloc (BLOCK_SIZE);
  Walk walk = { .archive = archive_write_new (),
                .checksum = checksum,
                .links = links,
                .root_length = strlen (rootfs),
                .expected = progress != NULL ? expected_bytes : 0,
                .progress = progress,
                .user_data = user_data,
                .block = block,
                .fail = fail };

  archive_write_set_format_pax_restricted (walk.archive);
  bool ok = archive_write_open (walk.archive, checksum, NULL, on_write, NULL) == ARCHIVE_OK
            && write_metadata (&walk, metadata) && walk_tree (&walk, rootfs)
            && (archive_write_close (walk.archive) == ARCHIVE_OK || archive_failed (&walk, rootfs));
  archive_write_free (walk.archive);
  if (!ok)
    return false;
  g_strlcpy (out_fingerprint, g_checksum_get_string (checksum), LODGE_FINGERPRINT_SIZE);
  *out_bytes = walk.bytes;
  return true;
}

bool
lodge_fingerprint_file (int fd, LodgeFingerprintProgress progress, gpointer user_data,
                        char out_fingerprint[LODGE_FINGERPRINT_SIZE], uint64_t *out_bytes,
                        LodgeFail *fail)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *block = g_malloc (BLOCK_SIZE);
  struct stat st;
  if (fstat (fd, &st) < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be read");
  off_t offset = 0;
  ssize_t n;
  while ((n = pread (fd, block, BLOCK_SIZE, offset)) > 0)
    {
      g_checksum_update (checksum, (const guchar *) block, n);
      offset += n;
      if (progress != NULL && (offset / BLOCK_SIZE) % 64 == 0)
        progress (MIN ((double) offset / (double) MAX (st.st_size, 1), 1.0), user_data);
    }
  if (n < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be read");
  g_strlcpy (out_fingerprint, g_checksum_get_string (checksum), LODGE_FINGERPRINT_SIZE);
  *out_bytes = (uint64_t) st.st_blocks * 512;
  return true;
}
