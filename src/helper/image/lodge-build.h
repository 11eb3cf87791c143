/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_build_run: the operation "build"
 *
 *   distribution= suite= kind=container|vm
 *   variant=        optional: cloud, with cloud-init, or minimal
 *   arch=           dpkg's name
 *   fd.staging      an empty directory; gets rootfs/ or disk.qcow2
 *   mirror=         optional: URI of the main archive
 *   disk-size=      optional: bytes, of a VM's disk
 *
 * Results: fingerprint, size, virtual-size, description, and property.<name> each.
 * Returns: the exit status.
 */
int lodge_build_run (const LodgeRequest *request);
