/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-plan-root.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sched.h>
#include <sys/mount.h>

#include "lodge-io.h"
#include "lodge-rootfs.h"

/** Opens the staging directory once more: mounts of another namespace cannot be copied. */
static bool
reopen (int *staging, LodgeFail *fail)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", *staging);
  g_autofree char *path = g_file_read_link (link, NULL);
  int fd = path != NULL ? open (path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

  if (fd < 0)
    return lodge_fail_errno (fail, errno, "The staging directory cannot be opened");
  *staging = fd;
  return true;
}

bool
lodge_plan_root_mount (LodgePlan *plan, const char *path, int *staging, LodgeFail *fail)
{
  if (!lodge_plan_read (plan, path, fail))
    return false;
  LODGE_AUTOFD root = lodge_rootfs_make (plan, LODGE_ROOTFS_MAPPED, fail);
  if (root < 0)
    return false;
  if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return lodge_fail_errno (fail, errno, "The container's root cannot be mounted");
  return reopen (staging, fail)
         && lodge_rootfs_attach (root, plan->source != NULL ? plan->source : plan->upper, fail);
}
