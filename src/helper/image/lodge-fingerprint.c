/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fingerprint.h"

#include <archive.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-tarball.h"

#define BLOCK_SIZE (256 * 1024)

typedef struct
{
  uint64_t expected;
  LodgeFingerprintProgress progress;
  gpointer user_data;
} Watch;

static la_ssize_t
on_write (struct archive *archive, void *user_data, const void *data, size_t size)
{
  g_checksum_update (user_data, data, (gssize) size);
  return (la_ssize_t) size;
}

static void
show_bytes (uint64_t bytes, void *user_data)
{
  const Watch *watch = user_data;
  watch->progress (MIN ((double) bytes / (double) watch->expected, 1.0), watch->user_data);
}

bool
lodge_fingerprint_tree (const char *rootfs, const char *metadata, uint64_t expected_bytes,
                        LodgeFingerprintProgress progress, gpointer user_data,
                        char out_fingerprint[LODGE_FINGERPRINT_SIZE], uint64_t *out_bytes,
                        LodgeFail *fail)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  struct archive *archive = archive_write_new ();
  Watch watch = { .expected = expected_bytes, .progress = progress, .user_data = user_data };
  const LodgeTarball tarball
      = { .rootfs = rootfs,
          .prefix = "rootfs",
          .progress = progress != NULL && expected_bytes > 0 ? show_bytes : NULL,
          .user_data = &watch };

  archive_write_set_format_pax_restricted (archive);
  bool ok = archive_write_open (archive, checksum, NULL, on_write, NULL) == ARCHIVE_OK
            && lodge_tarball_add_text (archive, "metadata.yaml", metadata, strlen (metadata), fail)
            && lodge_tarball_add_tree (archive, &tarball, out_bytes, fail)
            && (archive_write_close (archive) == ARCHIVE_OK
                || lodge_fail (fail, "HelperFailed", "The image cannot be fingerprinted: %s",
                               archive_error_string (archive)));
  archive_write_free (archive);
  if (ok)
    g_strlcpy (out_fingerprint, g_checksum_get_string (checksum), LODGE_FINGERPRINT_SIZE);
  return ok;
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
