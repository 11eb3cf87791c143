/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a tar archive, as they are before anything of them is written. */
#include "fuzz.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lodge-inflate.h"
#include "lodge-member.h"
#include "lodge-whiteout.h"

#define MEMBERS_MAX  200
#define UNPACKED_MAX (1 << 20)

static void
check_path (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);

  g_assert_cmpuint (strlen (path), <, LODGE_MEMBER_PATH_MAX);
  g_assert_false (g_str_has_prefix (path, "/"));
  for (guint i = 0; parts[i] != NULL; i++)
    g_assert_true (*parts[i] != '\0' && strcmp (parts[i], "..") != 0);
}

static void
take (struct archive_entry *entry, LodgeLayout *layout, bool metadata_only)
{
  const LodgeMemberLimits limits
      = { .ids = 65536, .max_bytes = 1 << 30, .metadata_only = metadata_only };
  LodgeMember member;
  LodgeFail fail = { 0 };

  if (!lodge_member_examine (entry, layout, &limits, &member, &fail))
    {
      g_assert_nonnull (fail.nick);
      return;
    }
  if (member.use == LODGE_MEMBER_TEMPLATE)
    g_assert_true (lodge_member_is_template_name (member.path));
  if (member.use != LODGE_MEMBER_EXTRACT)
    return;
  check_path (member.path);
  check_path (member.link);
  (void) lodge_whiteout_is_one (member.path);
  lodge_member_sanitize (entry, &member);
  g_assert_cmpint (archive_entry_uid (entry), <, 65536);
  g_assert_cmpint (archive_entry_gid (entry), <, 65536);
  g_assert_cmpint (archive_entry_acl_count (entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS), ==, 0);
}

typedef struct
{
  LodgeInflate *inflate; /* NULL: it is not packed */
  const guint8 *data;
  gsize size;
  gsize total;
} Source;

static la_ssize_t
on_read (struct archive *archive, void *user_data, const void **out_data)
{
  Source *source = user_data;
  gsize size = source->size;

  if (source->inflate == NULL)
    {
      *out_data = source->data;
      source->size = 0;
      return (la_ssize_t) size;
    }
  la_ssize_t n = lodge_inflate_next (source->inflate, out_data);
  source->total += (gsize) MAX (n, 0);
  /* How much may come out is what lodge-extract.c watches. */
  return source->total > UNPACKED_MAX ? ARCHIVE_FATAL : n;
}

static void
read_archive (Source *source, bool metadata_only)
{
  struct archive *reader = archive_read_new ();
  LodgeLayout layout = LODGE_LAYOUT_UNKNOWN;
  struct archive_entry *entry;

  archive_read_support_format_tar (reader);
  if (archive_read_open2 (reader, source, NULL, on_read, NULL, NULL) == ARCHIVE_OK)
    for (int i = 0; i < MEMBERS_MAX; i++)
      {
        int status = archive_read_next_header (reader, &entry);
        if (status < ARCHIVE_WARN || status == ARCHIVE_EOF)
          break;
        take (entry, &layout, metadata_only);
      }
  archive_read_free (reader);
}

/** Whether it begins like gzip, xz, bzip2, zstd or lz4: only then a thread is made for it. */
static bool
is_packed (const guint8 *data, gsize size)
{
  return size > 0
         && memchr ("\x1f\xfd"
                    "B\x28\x04",
                    data[0], 5)
                != NULL;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  Source source = { .data = data, .size = size };

  if (!is_packed (data, size))
    {
      read_archive (&source, size % 2 == 1);
      return 0;
    }
  int fd = memfd_create ("archive", MFD_CLOEXEC);
  if (fd < 0 || write (fd, data, size) != (gssize) size)
    g_error ("there is no memory file");
  source.inflate = lodge_inflate_start (fd);
  read_archive (&source, false);
  lodge_inflate_free (source.inflate);
  close (fd);
  return 0;
}
