/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-inflate.h"
#include "lodge-io.h"
#include "lodge-metadata.h"
#include "lodge-ovf.h"
#include "lodge-status.h"
#include "lodge-whiteout.h"
#include "lodge-writer.h"

#define TEMPLATES_MAX      64
#define REPORT_INTERVAL_US (150 * 1000)

/* A real root file system shrinks to a tenth at best.  What unpacks to hundreds of times its size
 * is meant to fill the disk. */
#define RATIO_MAX   200
#define RATIO_FLOOR (256ull << 20)

typedef struct
{
  const LodgeExtract *extract;
  LodgeExtractResult *result;
  LodgeFail *fail;
  struct archive *reader;
  LodgeInflate *inflate;
  LodgeWriter *writer;
  off_t input_size;
  uint64_t claimed; /* by the headers, bytes */
  gint64 last_report;
  guint templates;
  char boot_disk[LODGE_OVF_NAME_SIZE]; /* the member of an OVA that is wanted */
} Extraction;

static la_ssize_t
on_read (struct archive *archive, void *user_data, const void **out_data)
{
  Extraction *self = user_data;
  ssize_t n = lodge_inflate_next (self->inflate, out_data);

  if (n >= 0)
    return n;
  const char *text = lodge_inflate_get_error (self->inflate);
  archive_set_error (archive, EIO, "%s", text != NULL ? text : "it ends early");
  return ARCHIVE_FATAL;
}

static void
report (Extraction *self)
{
  gint64 now = g_get_monotonic_time ();
  if (now - self->last_report < REPORT_INTERVAL_US)
    return;
  self->last_report = now;
  uint64_t offset = lodge_inflate_get_offset (self->inflate);
  lodge_status_progress ((double) offset / (double) MAX (self->input_size, 1), offset,
                         (uint64_t) self->input_size, "unpack");
}

static bool
reading_failed (Extraction *self)
{
  const char *text = archive_error_string (self->reader);
  int error = lodge_inflate_get_errno (self->inflate);

  if (error != 0)
    return lodge_fail_errno (self->fail, error, "The archive cannot be read");
  return lodge_fail (self->fail, "ImageInvalid",
                     "The file is neither a sound tar archive nor a disk: %s",
                     text != NULL ? text : "it ends early");
}

/** Looks at how much has come out of how little. */
static bool
check_volume (Extraction *self)
{
  uint64_t unpacked = (uint64_t) archive_filter_bytes (self->reader, 0);
  uint64_t packed = MAX (lodge_inflate_get_offset (self->inflate), 1);

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
write_data (Extraction *self)
{
  const void *data;
  size_t size;
  la_int64_t offset;
  int status;

  while ((status = archive_read_data_block (self->reader, &data, &size, &offset)) == ARCHIVE_OK)
    {
      if (!check_volume (self))
        return false;
      if (!lodge_writer_add (self->writer, data, size, offset, self->fail))
        return false;
      report (self);
    }
  return status == ARCHIVE_EOF || reading_failed (self);
}

/* ---- what is beside the root file system ---- */

static bool
write_side_file (Extraction *self, int dir_fd, const char *name, const char *text, size_t size)
{
  unlinkat (dir_fd, name, 0);
  LODGE_AUTOFD fd
      = openat (dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  int error = fd < 0 ? -errno : lodge_io_write_all (fd, text, size);
  return error == 0 || lodge_fail_errno (self->fail, error, "%s cannot be unpacked", name);
}

/** (transfer full): the contents of a small member, NUL-ended. */
static char *
read_member (Extraction *self, struct archive_entry *entry, size_t *out_size)
{
  size_t size = (size_t) archive_entry_size (entry);
  g_autofree char *text = g_malloc (size + 1);
  la_ssize_t n = archive_read_data (self->reader, text, size);

  if (n < 0)
    {
      reading_failed (self);
      return NULL;
    }
  text[n] = '\0';
  *out_size = (size_t) n;
  return g_steal_pointer (&text);
}

static bool
take_metadata (Extraction *self, struct archive_entry *entry)
{
  size_t size;
  g_autofree char *text = read_member (self, entry, &size);

  if (text == NULL)
    return false;
  if (self->result->layout == LODGE_LAYOUT_OVA)
    return lodge_ovf_parse (text, size, &self->result->facts, self->boot_disk, self->fail);
  return lodge_facts_take_metadata (&self->result->facts, text, size, self->fail)
         && write_side_file (self, self->extract->side_fd, LODGE_EXTRACT_METADATA, text, size);
}

static bool
take_template (Extraction *self, struct archive_entry *entry, const char *name)
{
  size_t size;
  g_autofree char *text = read_member (self, entry, &size);

  if (text == NULL)
    return false;
  if (++self->templates > TEMPLATES_MAX)
    return lodge_fail (self->fail, "ImageInvalid", "The archive has more than %d templates",
                       TEMPLATES_MAX);
  if (mkdirat (self->extract->side_fd, LODGE_EXTRACT_TEMPLATES, 0755) < 0 && errno != EEXIST)
    return lodge_fail_errno (self->fail, errno, "The templates cannot be unpacked");
  LODGE_AUTOFD dir = openat (self->extract->side_fd, LODGE_EXTRACT_TEMPLATES,
                             O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return dir >= 0 ? write_side_file (self, dir, name, text, size)
                  : lodge_fail_errno (self->fail, errno, "The templates cannot be unpacked");
}

static bool
write_disk (Extraction *self, int fd)
{
  const void *data;
  size_t size;
  la_int64_t offset;
  int status;
  off_t end = 0;

  while ((status = archive_read_data_block (self->reader, &data, &size, &offset)) == ARCHIVE_OK)
    {
      if (!check_volume (self))
        return false;
      for (size_t at = 0; at < size;)
        {
          ssize_t n = pwrite (fd, (const char *) data + at, size - at, offset + (off_t) at);
          if (n < 0)
            return lodge_fail_errno (self->fail, errno, "The disk cannot be unpacked");
          at += (size_t) n;
        }
      end = MAX (end, offset + (off_t) size);
      report (self);
    }
  if (status != ARCHIVE_EOF)
    return reading_failed (self);
  return ftruncate (fd, end) == 0
         || lodge_fail_errno (self->fail, errno, "The disk cannot be unpacked");
}

static bool
take_disk (Extraction *self, struct archive_entry *entry, const char *name)
{
  if (self->result->layout == LODGE_LAYOUT_OVA && strcmp (name, self->boot_disk) != 0)
    {
      size_t length = strlen (name);
      bool is_note = g_str_has_suffix (name, ".mf") || g_str_has_suffix (name, ".cert");
      self->result->other_disks += length > 0 && !is_note;
      return check_volume (self);
    }
  if (archive_entry_size_is_set (entry))
    self->claimed += (uint64_t) archive_entry_size (entry);
  if (self->result->has_disk || !check_volume (self))
    return self->fail->nick != NULL
               ? false
               : lodge_fail (self->fail, "ImageInvalid", "The archive has its disk twice");
  LODGE_AUTOFD fd = openat (self->extract->side_fd, LODGE_EXTRACT_DISK,
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return lodge_fail_errno (self->fail, errno, "The disk cannot be unpacked");
  self->result->has_disk = true;
  return write_disk (self, fd);
}

/* ---- the root file system ---- */

static bool
extract_member (Extraction *self, struct archive_entry *entry, const LodgeMember *member)
{
  bool has_data = archive_entry_filetype (entry) == AE_IFREG && *member->link == '\0';

  if (has_data && archive_entry_size_is_set (entry))
    self->claimed += (uint64_t) archive_entry_size (entry);
  if (!check_volume (self))
    return false;
  lodge_member_sanitize (entry, member);
  return lodge_writer_begin (self->writer, entry, member, self->fail)
         && (!has_data || write_data (self)) && lodge_writer_end (self->writer, self->fail);
}

/** Whiteouts are of a layer that is laid over others; so is a file where a directory was. */
static bool
take_layer_member (Extraction *self, struct archive_entry *entry, const LodgeMember *member)
{
  bool is_dir = archive_entry_filetype (entry) == AE_IFDIR;

  lodge_writer_forget (self->writer);
  if (lodge_whiteout_is_one (member->path))
    return lodge_whiteout_apply (member->path, self->fail);
  return (is_dir || *member->path == '\0' || lodge_whiteout_clear (member->path, true, self->fail))
         && extract_member (self, entry, member);
}

static bool
take_member (Extraction *self, struct archive_entry *entry)
{
  LodgeMember member;

  if (++self->result->members > self->extract->max_members)
    return lodge_fail (self->fail, "ImageInvalid",
                       "The archive has more than %" G_GUINT64_FORMAT " members",
                       self->extract->max_members);
  if (!lodge_member_examine (entry, &self->result->layout, &self->extract->limits, &member,
                             self->fail))
    return false;
  report (self);
  switch (member.use)
    {
    case LODGE_MEMBER_METADATA:
      return take_metadata (self, entry);
    case LODGE_MEMBER_TEMPLATE:
      return take_template (self, entry, member.path);
    case LODGE_MEMBER_DISK:
      return take_disk (self, entry, member.path);
    case LODGE_MEMBER_DEVICE:
      self->result->devices++;
      return true;
    case LODGE_MEMBER_EXTRACT:
      self->result->has_root = true;
      return self->extract->is_layer ? take_layer_member (self, entry, &member)
                                     : extract_member (self, entry, &member);
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
  if (self->result->members == 0 && !self->extract->is_layer)
    return lodge_fail (self->fail, "ImageInvalid", "The file is neither a tar archive nor a disk");
  lodge_writer_finish (self->writer);
  self->result->incomplete = lodge_writer_get_incomplete (self->writer);
  return true;
}

static bool
read_archive (Extraction *self)
{
  if (archive_read_support_format_tar (self->reader) != ARCHIVE_OK)
    return lodge_fail (self->fail, "HelperFailed", "libarchive lacks the format of tar archives");
  if (archive_read_open2 (self->reader, self, NULL, on_read, NULL, NULL) != ARCHIVE_OK)
    return reading_failed (self);
  return take_members (self);
}

bool
lodge_extract_run (const LodgeExtract *extract, LodgeExtractResult *out_result, LodgeFail *fail)
{
  struct stat st;
  if (fstat (extract->fd, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (fail, "InvalidArgument", "The image is not a regular file");
  /* What takes directories of a layer away works below the working directory. */
  LODGE_AUTOFD target = open (extract->target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0 || fchdir (target) < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be unpacked");
  g_autoptr (LodgeInflate) inflate = lodge_inflate_start (extract->fd);
  g_autoptr (LodgeWriter) writer = lodge_writer_new (target);
  Extraction self = { .extract = extract,
                      .result = out_result,
                      .fail = fail,
                      .reader = archive_read_new (),
                      .inflate = inflate,
                      .writer = writer,
                      .input_size = st.st_size };

  if (extract->is_layer)
    out_result->layout = LODGE_LAYOUT_PLAIN;
  bool ok = read_archive (&self);
  archive_read_free (self.reader);
  return ok;
}
