/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <guestfs.h>
#include <stdbool.h>

#include "lodge-fail.h"

/**
 * lodge_guest_disk_make_appliance:
 * @dir: an absent directory, or one that an earlier call made
 *
 * Makes the small system that libguestfs runs in QEMU, of the host's own kernel and programs, or
 * brings it up to date.  As host's root, outside of the sandbox, where files do not belong to
 * their owners.  Takes ten seconds the first time.  NotSupported: the host has no kernel image.
 */
bool lodge_guest_disk_make_appliance (const char *dir, LodgeFail *fail);

/**
 * lodge_guest_disk_open:
 * @disk: path of a qcow2 file that nobody else has open
 * @read_only: what is written is thrown away
 * @appliance_dir: made by lodge_guest_disk_make_appliance()
 * @cache_dir: for what libguestfs remembers of QEMU
 *
 * Launches libguestfs on @disk and mounts the file systems of the operating system in it.  Takes six seconds and more.  Runs in the sandbox.
 *
 * Returns: (transfer full): a handle for lodge_guest_disk_close(), or NULL.
 */
guestfs_h *lodge_guest_disk_open (const char *disk, bool read_only, const char *appliance_dir,
                                  const char *cache_dir, LodgeFail *fail);

/**
 * lodge_guest_disk_launch:
 * @read_only: what is written is thrown away
 *
 * As lodge_guest_disk_open(), with nothing mounted.  To be closed with guestfs_close().
 */
guestfs_h *lodge_guest_disk_launch (const char *disk, bool read_only, const char *appliance_dir,
                                    const char *cache_dir, LodgeFail *fail);

/**
 * lodge_guest_disk_mount:
 *
 * Mounts the file systems of the operating system on a disk that was launched.
 */
bool lodge_guest_disk_mount (guestfs_h *handle, bool read_only, LodgeFail *fail);

/**
 * lodge_guest_disk_grow:
 * @handle: launched, with nothing mounted
 *
 * Lets the root's partition, which must be the last one, and its file system (ext, XFS or Btrfs)
 * take all of the disk.  NotSupported: it is another one, or in volumes of LVM.
 */
bool lodge_guest_disk_grow (guestfs_h *handle, LodgeFail *fail);

/** (transfer full): the device with the root file system; NULL: none can be recognised. */
char *lodge_guest_disk_find_root (guestfs_h *handle);

/** Writes everything to the disk.  Also ends a handle that does not work any more. */
bool lodge_guest_disk_close (guestfs_h *handle, LodgeFail *fail);
