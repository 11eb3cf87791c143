/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-plan.h"

typedef enum
{
  /* As the container sees it: ids on disk are shifted by the plan's map. */
  LODGE_ROOTFS_MAPPED,
  /* As it is on disk, for offline work: no devices, no set-uid, no programs. */
  LODGE_ROOTFS_PLAIN,
} LodgeRootfsMode;

/**
 * lodge_rootfs_make:
 *
 * Makes a mount of the container's root that is attached nowhere.  All that it is built from
 * lives in a mount namespace of a child process, so nothing is left behind when the caller is
 * killed meanwhile.
 *
 * Returns: a close-on-exec descriptor of the mount, or -1 with @fail.
 */
int lodge_rootfs_make (const LodgePlan *plan, LodgeRootfsMode mode, LodgeFail *fail);

/** Attaches @mount_fd to the directory @path of this mount namespace. */
bool lodge_rootfs_attach (int mount_fd, const char *path, LodgeFail *fail);

/** Detaches everything that is mounted on @path; nothing is a success.
 * Returns 0 or a negative errno value. */
int lodge_rootfs_detach (const char *path);

/**
 * lodge_rootfs_unrestrict:
 * @dir: a directory, in a mount namespace and by a caller that may mount
 *
 * Makes @dir a mount of its own without nosuid, nodev, noexec and ro, if it is below one of them:
 * systemd mounts /run so, and what is bound into a container from there inherits it for good.
 * Nothing happens when none of them is set.
 */
bool lodge_rootfs_unrestrict (const char *dir, LodgeFail *fail);
