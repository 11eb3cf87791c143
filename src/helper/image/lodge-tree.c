/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-io.h"
#include "lodge-status.h"

#define NAMES_MAX 65536

/* Where the host mounts something in each container. */
static const char *const MOUNT_POINTS[] = { "dev", "proc", "sys", "run", "tmp", "etc" };

static bool
exists (const char *path)
{
  struct stat st;
  return lstat (path, &st) == 0;
}

static uint64_t
count_bytes (void)
{
  char *const roots[] = { (char *) ".", NULL };
  uint64_t bytes = 0;
  FTS *fts = fts_open (roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
  for (FTSENT *entry = fts != NULL ? fts_read (fts) : NULL; entry != NULL; entry = fts_read (fts))
    if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS)
      bytes += (uint64_t) entry->fts_statp->st_blocks * 512;
  if (fts != NULL)
    fts_close (fts);
  return bytes;
}

bool
lodge_tree_finish (LodgeFacts *facts, uint64_t *out_bytes, LodgeFail *fail)
{
  if (!exists ("usr") && !exists ("bin"))
    return lodge_fail (fail, "ImageInvalid", "The image does not hold a root file system");
  lodge_facts_take_tree (facts);
  if (!facts->has_init && *facts->command == '\0')
    lodge_status_notice (exists ("bin/sh")
                             ? "The image has no init program: its instances run a shell instead."
                             : "The image has no init program: its instances will not start.");
  for (gsize i = 0; i < G_N_ELEMENTS (MOUNT_POINTS); i++)
    if (mkdir (MOUNT_POINTS[i], 0755) < 0 && errno != EEXIST)
      return lodge_fail_errno (fail, errno, "/%s of the image cannot be made", MOUNT_POINTS[i]);
  *out_bytes = count_bytes ();
  return true;
}

bool
lodge_tree_copy (const char *source, const char *target, LodgeFail *fail)
{
  g_autofree char *contents = g_build_filename (source, ".", NULL);

  return (mkdir (target, 0755) == 0 || lodge_fail_errno (fail, errno, "There is no place"))
         && lodge_command_call (fail, "cp", "--archive", "--one-file-system", contents, target,
                                NULL);
}

static bool
clean_xattrs (const char *path)
{
  char names[NAMES_MAX];
  ssize_t length = llistxattr (path, names, sizeof names);
  bool ok = length >= 0 || errno == ENOTSUP;

  for (ssize_t i = 0; i < length; i += (ssize_t) strlen (names + i) + 1)
    if (strncmp (names + i, "user.", 5) != 0 && strcmp (names + i, "security.capability") != 0)
      ok = lremovexattr (path, names + i) == 0 && ok;
  return ok;
}

static bool
sanitise_entry (const FTSENT *entry, uint32_t ids, uint64_t *devices, LodgeFail *fail)
{
  const struct stat *st = entry->fts_statp;
  const char *path = entry->fts_path;

  if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS)
    return lodge_fail_errno (fail, entry->fts_errno, "%.200s cannot be looked at", path);
  if (st->st_uid >= ids || st->st_gid >= ids)
    return lodge_fail (fail, "ImageInvalid", "%.200s belongs to a user or group above %u", path,
                       ids - 1);
  if (S_ISCHR (st->st_mode) || S_ISBLK (st->st_mode) || S_ISSOCK (st->st_mode))
    {
      (*devices)++;
      return unlink (path) == 0
             || lodge_fail_errno (fail, errno, "%.200s cannot be left out", path);
    }
  return clean_xattrs (path)
         || lodge_fail_errno (fail, errno, "%.200s cannot lose its attributes", path);
}

bool
lodge_tree_sanitise (uint32_t ids, uint64_t *out_devices, LodgeFail *fail)
{
  char *const roots[] = { (char *) ".", NULL };
  FTS *fts = fts_open (roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
  uint64_t devices = 0;
  bool ok = fts != NULL || lodge_fail_errno (fail, errno, "The image cannot be looked at");

  for (FTSENT *entry = ok ? fts_read (fts) : NULL; ok && entry != NULL; entry = fts_read (fts))
    if (entry->fts_info != FTS_DP)
      ok = sanitise_entry (entry, ids, &devices, fail);
  if (fts != NULL)
    fts_close (fts);
  if (ok)
    *out_devices = devices;
  return ok;
}
