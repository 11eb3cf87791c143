/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <guestfs.h>

#include "lodge-access.h"
#include "lodge-request.h"

/** Sets the password and the keys and runs the script on a disk whose root is mounted. */
bool lodge_guest_access_apply (guestfs_h *handle, const LodgeAccess *access, LodgeFail *fail);

/**
 * lodge_guest_access_run:
 *
 * op=access-guestfs: lets the owner into a VM that has no cloud-init and does not run.
 *
 *   disk=<path> backing=<path>… cache=<dir>   as for files-guestfs
 *   ssh-key=… password-hash= script=          as for seed; the script runs in the appliance
 *
 * Returns: the exit status.
 */
int lodge_guest_access_run (const LodgeRequest *request);
