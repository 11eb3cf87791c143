/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps of an import that libarchive does: in a root in which there is nothing but the staging
 * directory. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-import-private.h"
#include "lodge-io.h"
#include "lodge-iso.h"
#include "lodge-oci.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge-tree.h"

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
  if (result->other_disks > 0)
    lodge_status_notice ("The machine has more than one disk; only the first was imported.");
}

/** Directories that the archive turned out not to need are in the way of what comes next. */
static bool
drop_unused (int staging_fd, const LodgeExtractResult *result, LodgeFail *fail)
{
  if (result->layout == LODGE_LAYOUT_OCI)
    return renameat (staging_fd, LODGE_IMPORT_ROOTFS, staging_fd, LODGE_IMPORT_OCI) == 0
           || lodge_fail_errno (fail, errno, "The image cannot be unpacked");
  if (result->has_root && result->has_disk)
    return lodge_fail (fail, "ImageInvalid", "The archive has a root file system and a disk");
  if (!result->has_root)
    unlinkat (staging_fd, LODGE_IMPORT_ROOTFS, AT_REMOVEDIR);
  return true;
}

static bool
unpack (const LodgeImportStep *step, int staging_fd, LodgeFail *fail)
{
  LodgeExtractResult result = { .facts = step->found->facts };
  const LodgeExtract extract = { .fd = step->input,
                                 .limits = { .ids = LODGE_SANDBOX_IDMAP_COUNT,
                                             .max_bytes = step->max_bytes,
                                             .metadata_only = step->metadata_only,
                                             .keep_acls = step->keep_acls },
                                 .max_total = step->max_bytes,
                                 .max_members = LODGE_IMPORT_MEMBERS_MAX,
                                 .target = "/" LODGE_IMPORT_ROOTFS,
                                 .side_fd = staging_fd };

  if (mkdir ("/" LODGE_IMPORT_ROOTFS, 0755) < 0 && errno != EEXIST)
    return lodge_fail_errno (fail, errno, "The staging directory cannot be used");
  if (!lodge_extract_run (&extract, &result, fail) || !drop_unused (staging_fd, &result, fail))
    return false;
  bool is_tree = result.has_root && result.layout != LODGE_LAYOUT_OCI;
  if (is_tree && !lodge_tree_finish (&result.facts, &step->found->size, fail))
    return false;
  if (!result.has_root && !result.has_disk && !step->metadata_only)
    return lodge_fail (
        fail, "ImageInvalid",
        result.layout == LODGE_LAYOUT_UNIFIED
            ? "The archive has metadata only\nIt is the first of a split image's two "
              "files: give both."
            : "The archive has neither a root file system nor a disk");
  report (&result);
  step->found->facts = result.facts;
  step->found->layout = result.layout;
  step->found->has_root = result.has_root;
  step->found->has_disk = result.has_disk;
  return true;
}

static int
in_staging (const LodgeImportStep *step,
            bool (*func) (const LodgeImportStep *step, int staging_fd, LodgeFail *fail))
{
  LodgeFail fail = { 0 };

  lodge_import_limit_memory (step);
  /* Names in archives are UTF-8 and stay what they are. */
  setlocale (LC_CTYPE, "C.UTF-8");
  if (chroot (LODGE_SANDBOX_STAGING) < 0 || chdir ("/") < 0)
    {
      lodge_fail_errno (&fail, errno, "The staging directory cannot be used");
      return lodge_status_fail (&fail);
    }
  LODGE_AUTOFD staging_fd = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return func (step, staging_fd, &fail) ? 0 : lodge_status_fail (&fail);
}

int
lodge_import_unpack (gpointer step)
{
  return in_staging (step, unpack);
}

static bool
apply_layers (const LodgeImportStep *step, int staging_fd, LodgeFail *fail)
{
  const LodgeOci oci = { .dir = "/" LODGE_IMPORT_OCI,
                         .target = "/" LODGE_IMPORT_ROOTFS,
                         .ids = LODGE_SANDBOX_IDMAP_COUNT,
                         .max_bytes = step->max_bytes,
                         .max_members = LODGE_IMPORT_MEMBERS_MAX };
  LodgeFacts facts = step->found->facts;

  if (!lodge_oci_unpack (&oci, &facts, fail) || chdir ("/" LODGE_IMPORT_ROOTFS) < 0
      || !lodge_tree_finish (&facts, &step->found->size, fail))
    return fail->nick == NULL ? lodge_fail_errno (fail, errno, "The layers cannot be applied")
                              : false;
  step->found->facts = facts;
  return true;
}

int
lodge_import_oci (gpointer step)
{
  return in_staging (step, apply_layers);
}

static bool
take_medium (const LodgeImportStep *step, int staging_fd, LodgeFail *fail)
{
  LodgeFacts facts = step->found->facts;
  struct stat st;

  if (!lodge_iso_read (step->input, &facts, fail))
    return false;
  if (fstat (step->input, &st) < 0 || (uint64_t) st.st_size > step->max_bytes)
    return lodge_fail (fail, "NoSpace", "There is no space left for the install medium");
  lodge_status_progress (-1, 0, 0, "copy");
  if (faccessat (staging_fd, LODGE_IMPORT_MEDIUM, F_OK, 0) < 0
      && !lodge_import_copy_input (step, "/" LODGE_IMPORT_MEDIUM, fail))
    return false;
  if (fchmodat (staging_fd, LODGE_IMPORT_MEDIUM, 0444, 0) < 0
      || fstatat (staging_fd, LODGE_IMPORT_MEDIUM, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return lodge_fail_errno (fail, errno, "The install medium cannot be stored");
  if (facts.firmware[0] == '\0')
    lodge_status_notice ("The ISO has nothing to boot: a VM will not start from it.");
  step->found->facts = facts;
  step->found->size = (uint64_t) st.st_blocks * 512;
  step->found->virtual_size = (uint64_t) st.st_size;
  step->found->has_medium = true;
  return true;
}

int
lodge_import_iso (gpointer step)
{
  return in_staging (step, take_medium);
}
