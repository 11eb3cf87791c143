/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-io.h"
#include "lodge-status.h"

#define BLOCK_SIZE         (256 * 1024)
#define METADATA_MAX       (1024 * 1024)
#define OS_RELEASE_MAX     4096
#define REPORT_INTERVAL_US (150 * 1000)

/* A real root file system shrinks to a tenth at best.  What unpacks to hundreds of times its size
 * is meant to fill the disk. */
#define RATIO_MAX   200
#define RATIO_FLOOR (256ull << 20)

#define DISK_FLAGS                                                                                 \
  (ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR     \
   | ARCHIVE_EXTRACT_SPARSE | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT    \
   | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

typedef struct
{
  const LodgeExtract *extract;
  LodgeExtractResult *result;
  LodgeFail *fail;
  struct archive *reader;
  struct archive *disk;
  GChecksum *checksum;
  char *block;
  off_t offset; /* of the input */
  off_t input_size;
  int read_error;
  uint64_t claimed; /* by the headers, bytes */
  gint64 last_report;
  LodgeLayout layout;
} Extraction;

static la_ssize_t
on_read (struct archive *archive, void *user_data, const void **out_data)
{
  Extraction *self = user_data;
  ssize_t n = pread (self->extract->fd, self->block, BLOCK_SIZE, self->offset);

  if (n < 0)
    {
      self->read_error = errno;
      archive_set_error (archive, errno, "The file cannot be read");
      return ARCHIVE_FATAL;
    }
  self->offset += n;
  g_checksum_update (self->checksum, (const guchar *) self->block, n);
  *out_data = self->block;
  return n;
}

static void
report (Extraction *self)
{
  gint64 now = g_get_monotonic_time ();
  if (now - self->last_report < REPORT_INTERVAL_US)
    return;
  self->last_report = now;
  lodge_status_progress ((double) self->offset / (double) MAX (self->input_size, 1),
                         (uint64_t) self->offset, (uint64_t) self->input_size, "unpack");
}

static bool
reading_failed (Extraction *self)
{
  const char *text = archive_error_string (self->reader);
  if (self->read_error != 0)
    return lodge_fail_errno (self->fail, self->read_error, "The archive cannot be read");
  return lodge_fail (self->fail, "ImageInvalid",
                     "The file is not a sound tar archive or qcow2 disk: %s",
                     text != NULL ? text : "it ends early");
}

static bool
writing_failed (Extraction *self, const char *path)
{
  int error = archive_errno (self->disk);
  const char *text = archive_error_string (self->disk);
  if (error == ENOSPC || error == EDQUOT)
    return lodge_fail (self->fail, "NoSpace", "There is no space left to unpack the image");
  return lodge_fail (self->fail, "ImageInvalid", "%.200s cannot be unpacked: %.200s", path,
                     text != NULL ? text : "refused");
}

/** Looks at how much has come out of how little. */
static bool
check_volume (Extraction *self)
{
  uint64_t unpacked = (uint64_t) archive_filter_bytes (self->reader, 0);
  uint64_t packed = (uint64_t) MAX (self->offset, 1);

  if (unpacked > self->extract->max_total || self->claimed > self->extract->max_total)
    return lodge_fail (self->fail, "NoSpace",
                       "The archive unpacks to more than the %" G_GUINT64_FORMAT
                       " MiB that there is room for",
                       self->extract->max_total >> 20);
  if (unpacked > RATIO_FLOOR && unpacked / packed > RATIO_MAX)
    return lodge_fail (self->fail, "ImageInvalid",
                       "The archive unpacks to more than %d times its size", RATIO_MAX);
  return true;
}

static bool
is_os_release (const char *path)
{
  return strcmp (path, "usr/lib/os-release") == 0 || strcmp (path, "etc/os-release") == 0;
}

static bool
write_data (Extraction *self, const char *path)
{
  char os_release[OS_RELEASE_MAX];
  size_t os_release_size = 0;
  bool wanted = is_os_release (path);
  const void *data;
  size_t size;
  la_int64_t offset;
  int status;

  while ((status = archive_read_data_block (self->reader, &data, &size, &offset)) == ARCHIVE_OK)
    {
      if (!check_volume (self))
        return false;
      if (offset == 0)
        lodge_facts_take_program (&self->result->facts, data, size);
      if (wanted && offset == (la_int64_t) os_release_size)
        {
          size_t part = MIN (size, sizeof os_release - os_release_size);
          memcpy (os_release + os_release_size, data, part);
          os_release_size += part;
        }
      if (archive_write_data_block (self->disk, data, size, offset) < ARCHIVE_WARN)
        return writing_failed (self, path);
      report (self);
    }
  if (status != ARCHIVE_EOF)
    return reading_failed (self);
  if (wanted)
    lodge_facts_take_os_release (&self->result->facts, os_release, os_release_size);
  return true;
}

static bool
take_metadata (Extraction *self, struct archive_entry *entry)
{
  size_t size = (size_t) archive_entry_size (entry);
  g_autofree char *text = g_malloc (METADATA_MAX);
  la_ssize_t n = archive_read_data (self->reader, text, MIN (size, METADATA_MAX));
  if (n < 0)
    return reading_failed (self);
  lodge_facts_take_metadata (&self->result->facts, text, (size_t) n);
  return true;
}

/*
 * A member that comes twice replaces what came first, also a link, never what the link names.
 * ARCHIVE_EXTRACT_UNLINK would do it, but takes links away in the middle of a path as well: then a
 * hostile archive would be unpacked in another shape instead of being refused.
 */
static bool
make_room (Extraction *self, const char *path)
{
  struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  g_autofree char *parent = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  LODGE_AUTOFD fd = (int) syscall (SYS_openat2, AT_FDCWD, parent, &how, sizeof how);

  if (fd < 0 && errno != ENOENT)
    return lodge_fail (self->fail, "ImageInvalid",
                       "%.200s would be unpacked through something that is not a directory", path);
  if (fd >= 0)
    unlinkat (fd, name, 0);
  return true;
}

static bool
extract_member (Extraction *self, struct archive_entry *entry, const LodgeMember *member)
{
  bool has_data = archive_entry_filetype (entry) == AE_IFREG && *member->link == '\0';

  if (has_data && archive_entry_size_is_set (entry))
    self->claimed += (uint64_t) archive_entry_size (entry);
  if (!check_volume (self))
    return false;
  if (*member->path != '\0' && archive_entry_filetype (entry) != AE_IFDIR
      && !make_room (self, member->path))
    return false;
  lodge_member_sanitize (entry, member);
  int status = archive_write_header (self->disk, entry);
  if (status < ARCHIVE_WARN)
    return writing_failed (self, member->path);
  if (has_data && !write_data (self, member->path))
    return false;
  int end = archive_write_finish_entry (self->disk);
  if (end < ARCHIVE_WARN)
    return writing_failed (self, member->path);
  if (status == ARCHIVE_WARN || end == ARCHIVE_WARN)
    self->result->incomplete++;
  return true;
}

static bool
take_member (Extraction *self, struct archive_entry *entry)
{
  LodgeMember member;

  if (++self->result->members > self->extract->max_members)
    return lodge_fail (self->fail, "ImageInvalid",
                       "The archive has more than %" G_GUINT64_FORMAT " members",
                       self->extract->max_members);
  if (!lodge_member_examine (entry, &self->layout, &self->extract->limits, &member, self->fail))
    return false;
  report (self);
  switch (member.use)
    {
    case LODGE_MEMBER_METADATA:
      return take_metadata (self, entry);
    case LODGE_MEMBER_DEVICE:
      self->result->devices++;
      return true;
    case LODGE_MEMBER_EXTRACT:
      return extract_member (self, entry, &member);
    case LODGE_MEMBER_SKIP:
    default:
      return check_volume (self);
    }
}

static bool
take_members (Extraction *self)
{
  struct archive_entry *entry;
  int status;

  while ((status = archive_read_next_header (self->reader, &entry)) >= ARCHIVE_WARN
         && status != ARCHIVE_EOF)
    if (!take_member (self, entry))
      return false;
  if (status != ARCHIVE_EOF)
    return reading_failed (self);
  if (self->result->members == 0)
    return lodge_fail (self->fail, "ImageInvalid", "The file is neither a tar archive nor a disk");
  /* Directories get their times and modes now. */
  return archive_write_close (self->disk) >= ARCHIVE_WARN || writing_failed (self, "The root");
}

/** The fingerprint is of the whole file, also of what comes after the archive's end. */
static bool
read_rest (Extraction *self)
{
  const void *data;
  la_ssize_t n;
  while ((n = on_read (self->reader, self, &data)) > 0)
    report (self);
  return n == 0 || reading_failed (self);
}

typedef int (*SupportFunc) (struct archive *archive);

static bool
open_reader (Extraction *self)
{
  /* None of these may fall back to a program: WARN says that one would. */
  static const SupportFunc SUPPORT[] = {
    archive_read_support_format_tar,   archive_read_support_filter_gzip,
    archive_read_support_filter_bzip2, archive_read_support_filter_xz,
    archive_read_support_filter_zstd,  archive_read_support_filter_lz4,
  };

  for (gsize i = 0; i < G_N_ELEMENTS (SUPPORT); i++)
    if (SUPPORT[i](self->reader) != ARCHIVE_OK)
      return lodge_fail (self->fail, "HelperFailed", "libarchive lacks a format of tar archives");
  return archive_read_open2 (self->reader, self, NULL, on_read, NULL, NULL) == ARCHIVE_OK
         || reading_failed (self);
}

bool
lodge_extract_run (const LodgeExtract *extract, LodgeExtractResult *out_result, LodgeFail *fail)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *block = g_malloc (BLOCK_SIZE);
  struct stat st;
  if (fstat (extract->fd, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (fail, "InvalidArgument", "The image is not a regular file");
  if (chdir (extract->target) < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be unpacked");
  Extraction self = { .extract = extract,
                      .result = out_result,
                      .fail = fail,
                      .reader = archive_read_new (),
                      .disk = archive_write_disk_new (),
                      .checksum = checksum,
                      .block = block,
                      .input_size = st.st_size };

  archive_write_disk_set_options (self.disk, DISK_FLAGS);
  bool ok = open_reader (&self) && take_members (&self) && read_rest (&self);
  archive_read_free (self.reader);
  archive_write_free (self.disk);
  if (ok)
    g_strlcpy (out_result->fingerprint, g_checksum_get_string (checksum),
               sizeof out_result->fingerprint);
  return ok;
}
