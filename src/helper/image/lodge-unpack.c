/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lodge-unpack: makes a container's root file system of an archive.
 *
 *   op=unpack
 *   fd.input     the archive, a regular file
 *   fd.staging   an empty directory; gets rootfs/
 *   max-bytes=   what it may unpack to
 *
 * Results: fingerprint, size, architecture, description, property.<name>.
 *
 * It runs in namespaces in which there is nothing but the staging directory, as an uid that is
 * nobody on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glib.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-extract.h"
#include "lodge-request.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge/lodge-helper-protocol.h"

#define ROOTFS      "/rootfs" /* in the staging directory, which becomes the root */
#define DEFAULT_MAX (64ll << 30)
#define MAX_MEMBERS (4u << 20)

/* Where the host mounts something in each container. */
static const char *const MOUNT_POINTS[] = { "dev", "proc", "sys", "run", "tmp", "etc" };

static const char *const INIT_PROGRAMS[]
    = { "sbin/init", "usr/sbin/init", "init", "lib/systemd/systemd", "usr/lib/systemd/systemd" };

typedef struct
{
  int input_fd;
  uint64_t max_bytes;
} Unpack;

static bool
exists (const char *path)
{
  struct stat st;
  return lstat (path, &st) == 0;
}

/** In the root file system. */
static bool
check_system (LodgeFacts *facts, LodgeFail *fail)
{
  if (!exists ("usr") && !exists ("bin"))
    return lodge_fail (fail, "ImageInvalid", "The archive does not hold a root file system");
  for (gsize i = 0; i < G_N_ELEMENTS (INIT_PROGRAMS); i++)
    facts->has_init = facts->has_init || exists (INIT_PROGRAMS[i]);
  if (!facts->has_init)
    lodge_status_notice ("The image has no init program: its instances will not start.");
  for (gsize i = 0; i < G_N_ELEMENTS (MOUNT_POINTS); i++)
    if (mkdir (MOUNT_POINTS[i], 0755) < 0 && errno != EEXIST)
      return lodge_fail_errno (fail, errno, "/%s of the image cannot be made", MOUNT_POINTS[i]);
  return true;
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

static void
report (const LodgeExtractResult *result)
{
  if (result->devices > 0)
    lodge_status_notice ("%" G_GUINT64_FORMAT " device nodes and sockets of the image were left"
                         " out.",
                         result->devices);
  if (result->incomplete > 0)
    lodge_status_notice ("%" G_GUINT64_FORMAT " files of the image lack some of their attributes.",
                         result->incomplete);
  lodge_status_result ("fingerprint", "%s", result->fingerprint);
  lodge_status_result ("size", "%" G_GUINT64_FORMAT, count_bytes ());
  lodge_facts_report (&result->facts);
}

static int
unpack_in_sandbox (gpointer data)
{
  const Unpack *unpack = data;
  LodgeFail fail = { 0 };
  LodgeExtractResult result = { 0 };
  const LodgeExtract extract
      = { .fd = unpack->input_fd,
          .limits = { .ids = LODGE_SANDBOX_IDMAP_COUNT, .max_bytes = unpack->max_bytes },
          .max_total = unpack->max_bytes,
          .max_members = MAX_MEMBERS,
          .target = ROOTFS };

  if (chroot (LODGE_SANDBOX_STAGING) < 0 || chdir ("/") < 0 || mkdir (ROOTFS, 0755) < 0)
    {
      lodge_fail_errno (&fail, errno, "The staging directory cannot be used");
      return lodge_status_fail (&fail);
    }
  if (!lodge_extract_run (&extract, &result, &fail) || !check_system (&result.facts, &fail))
    return lodge_status_fail (&fail);
  report (&result);
  return 0;
}

static int
unpack_image (const LodgeRequest *request)
{
  LodgeFail fail = { 0 };
  LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                           .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                           .staging_fd = lodge_request_get_fd (request, "staging") };
  Unpack unpack = { .input_fd = lodge_request_get_fd (request, "input") };
  long long max_bytes = DEFAULT_MAX;
  int status = 1;

  if (lodge_request_get (request, "max-bytes") != NULL)
    lodge_request_get_number (request, "max-bytes", 1, INT64_MAX, &max_bytes, NULL);
  unpack.max_bytes = (uint64_t) max_bytes;
  if (sandbox.staging_fd < 0 || unpack.input_fd < 0)
    lodge_fail (&fail, "InvalidArgument", "There is nothing to unpack, or nowhere to do it");
  else if (lodge_sandbox_run (&sandbox, unpack_in_sandbox, &unpack, &status, &fail) && status > 1)
    lodge_fail (&fail, "HelperFailed", "Unpacking was ended by signal %d", status - 128);
  if (fail.nick != NULL)
    return lodge_status_fail (&fail);
  if (status == 0)
    lodge_status_done ();
  return status;
}

int
main (void)
{
  LodgeRequest request;
  LodgeFail fail = { 0 };

  /* Names in archives are UTF-8 and stay what they are. */
  setlocale (LC_CTYPE, "C.UTF-8");
  if (!lodge_request_read (&request, LODGE_HELPER_REQUEST_FD, &fail)
      || !lodge_request_apply_limits (&request, &fail))
    return lodge_status_fail (&fail);
  const char *op = lodge_request_get (&request, "op");
  if (op == NULL || strcmp (op, "unpack") != 0)
    {
      lodge_fail (&fail, "InvalidArgument", "lodge-unpack has no such operation");
      return lodge_status_fail (&fail);
    }
  return unpack_image (&request);
}
