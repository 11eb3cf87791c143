/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "lodge-fail.h"

/**
 * lodge_turn_disk_read:
 * @disk: a qcow2 file that nobody else writes to
 *
 * Writes what is on the file systems of the operating system on @disk, put together as its fstab
 * says, as one tar archive; without kernels, and without what only lives while it runs.  Runs
 * libguestfs, in the sandbox.
 */
bool lodge_turn_disk_read (const char *disk, const char *output, LodgeFail *fail);
