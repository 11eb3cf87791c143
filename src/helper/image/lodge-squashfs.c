/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * unsquashfs unpacks with all processors, which libraries for squashfs do not.  It runs in the
 * sandbox, where it can write to nothing but the staging directory; how much it writes there is
 * watched, and what it wrote is looked at afterwards.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-import-private.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge-tree.h"

#define TARGET      LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_ROOTFS
#define QUEUE_MIB   "32" /* of the two queues, 256 by default */
#define CHECK_EVERY 64   /* files */

typedef struct
{
  uint64_t inodes; /* that the superblock claims */
  uint64_t count;
  uint64_t claimed; /* bytes of all files */
  uint64_t free_before;
  uint64_t max_bytes;
  bool too_much;
  bool bad_ids;
  bool bad_xattrs; /* that nobody but the host's root may set */
  bool damaged;
  char last[300]; /* complaint */
} Watch;

static uint64_t
free_bytes (void)
{
  struct statvfs vfs;
  return statvfs (LODGE_SANDBOX_STAGING, &vfs) == 0 ? (uint64_t) vfs.f_bavail * vfs.f_frsize : 0;
}

/** Devices cannot be made, and are not wanted; any other complaint spoils the image. */
static void
take_complaint (Watch *watch, const char *line)
{
  bool is_device = strstr (line, "failed to create block device") != NULL
                   || strstr (line, "failed to create character device") != NULL
                   || strstr (line, "failed to create socket") != NULL;
  bool is_complaint = strcasestr (line, "failed") != NULL || strstr (line, "because") != NULL;

  if (!is_complaint || is_device)
    return;
  watch->damaged = true;
  watch->bad_ids = watch->bad_ids || strstr (line, "failed to change uid") != NULL;
  watch->bad_xattrs = watch->bad_xattrs || strstr (line, "write_xattr") != NULL;
  g_strlcpy (watch->last, line, sizeof watch->last);
}

/** Gets a line for each file, and complaints. */
static void
take_line (char *line, gpointer user_data)
{
  Watch *watch = user_data;

  if (!g_str_has_prefix (line, TARGET))
    {
      take_complaint (watch, line);
      return;
    }
  if (++watch->count % CHECK_EVERY != 0)
    return;
  lodge_status_progress (MIN ((double) watch->count / (double) MAX (watch->inodes, 1), 1.0), 0, 0,
                         "unpack");
  uint64_t now = free_bytes ();
  /* Others write to the disk as well, so this is about the order of magnitude. */
  if (watch->free_before > now && watch->free_before - now > watch->max_bytes)
    {
      watch->too_much = true;
      /* There is only unsquashfs besides, and PID 1 of the sandbox, which none of it can end. */
      kill (-1, SIGKILL);
    }
}

static bool
read_superblock (const LodgeImportStep *step, Watch *watch, LodgeFail *fail)
{
  uint32_t fields[2];

  if (pread (step->input, fields, sizeof fields, 0) != sizeof fields)
    return lodge_fail (fail, "ImageInvalid", "The squashfs ends before its header does");
  watch->inodes = le32toh (fields[1]);
  return watch->inodes <= LODGE_IMPORT_MEMBERS_MAX
         || lodge_fail (fail, "ImageInvalid", "The squashfs has more than %u files",
                        LODGE_IMPORT_MEMBERS_MAX);
}

static bool
judge (const Watch *watch, int status, LodgeFail *fail)
{
  if (watch->too_much)
    return lodge_fail (fail, "ImageInvalid",
                       "The squashfs unpacks to more than the limit of %" G_GUINT64_FORMAT " MiB",
                       watch->max_bytes >> 20);
  if (watch->bad_ids)
    return lodge_fail (fail, "ImageInvalid",
                       "A file of the squashfs belongs to a user or group"
                       " above %u",
                       LODGE_SANDBOX_IDMAP_COUNT - 1);
  if (strstr (watch->last, "No space left") != NULL || strstr (watch->last, "too large") != NULL)
    return lodge_fail (fail, "NoSpace", "There is no space left to unpack the image");
  /* 2: something was left out. */
  return status == 0 || (status == 2 && !watch->damaged)
         || lodge_fail (fail, "ImageInvalid", "The squashfs cannot be unpacked: %.250s",
                        *watch->last != '\0' ? watch->last : "unsquashfs failed");
}

/** A line as `ls -ln` would write it: what the file claims to be.  chown(2) takes the id 2^32-1 for
 * “leave it”, so that ids have to be looked at before they are used. */
static void
take_claim (char *line, gpointer user_data)
{
  Watch *watch = user_data;
  char *end = strchr (line, ' ');
  unsigned long long uid, gid, size;

  if (end == NULL || strchr ("-dlcbps", *line) == NULL
      || sscanf (end, " %llu/%llu %llu", &uid, &gid, &size) != 3)
    return;
  watch->bad_ids
      = watch->bad_ids || uid >= LODGE_SANDBOX_IDMAP_COUNT || gid >= LODGE_SANDBOX_IDMAP_COUNT;
  if (*line != '-')
    return;
  watch->claimed += MIN (size, UINT64_MAX / 2);
  watch->too_much = watch->too_much || watch->claimed > watch->max_bytes;
}

/** Its own word for what is in it, before any of that is written. */
static bool
check_claims (const char *input, Watch *watch, LodgeFail *fail)
{
  const char *const argv[] = { "unsquashfs", "-no-progress", "-llnumeric", input, NULL };
  int status = lodge_command_run_status (argv, NULL, take_claim, watch, fail);

  if (status < 0)
    return false;
  if (watch->too_much || watch->bad_ids)
    return judge (watch, status, fail);
  return status == 0 || lodge_fail (fail, "ImageInvalid", "The squashfs is damaged");
}

static int
run (const char *input, const char *xattrs, Watch *watch, LodgeFail *fail)
{
  const char *const argv[]
      = { "unsquashfs", "-no-progress", "-info", "-force", xattrs, "-da", QUEUE_MIB,
          "-fr",        QUEUE_MIB,      "-d",    TARGET,   input,  NULL };

  return lodge_command_run_status (argv, NULL, take_line, watch, fail);
}

static bool
unpack (const LodgeImportStep *step, LodgeFail *fail)
{
  Watch watch = { .max_bytes = step->max_bytes, .free_before = free_bytes () };
  const char *input = lodge_import_find_input (step, fail);
  struct rlimit limit;

  if (input == NULL || !read_superblock (step, &watch, fail) || !check_claims (input, &watch, fail))
    return false;
  signal (SIGXFSZ, SIG_IGN);
  if (getrlimit (RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur > step->max_bytes)
    {
      limit.rlim_cur = limit.rlim_max = step->max_bytes;
      setrlimit (RLIMIT_FSIZE, &limit);
    }
  int status = run (input, "-xattrs", &watch, fail);
  if (status > 0 && watch.bad_xattrs && !watch.too_much && !watch.bad_ids)
    {
      lodge_status_notice ("Attributes of the image's files were left out.");
      watch.damaged = watch.bad_xattrs = false;
      watch.count = 0;
      status = run (input, "-user-xattrs", &watch, fail);
    }
  lodge_import_drop_copy ();
  return status >= 0 && judge (&watch, status, fail);
}

int
lodge_import_squashfs (gpointer data)
{
  const LodgeImportStep *step = data;
  LodgeFacts facts = step->found->facts;
  uint64_t devices = 0;
  LodgeFail fail = { 0 };

  lodge_import_limit_memory (step);
  if (!unpack (step, &fail))
    return lodge_status_fail (&fail);
  if (chroot (LODGE_SANDBOX_STAGING) < 0 || chdir ("/" LODGE_IMPORT_ROOTFS) < 0)
    {
      lodge_fail_errno (&fail, errno, "The squashfs has no root directory");
      return lodge_status_fail (&fail);
    }
  if (!lodge_tree_sanitise (LODGE_SANDBOX_IDMAP_COUNT, &devices, &fail)
      || !lodge_tree_finish (&facts, &step->found->size, &fail))
    return lodge_status_fail (&fail);
  step->found->facts = facts;
  step->found->has_root = true;
  return 0;
}
