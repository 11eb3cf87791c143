/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

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
