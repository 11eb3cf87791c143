/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_tailor_run: the operation "customise"
 *
 *   rootfs=<dir> or disk=<path>   of an image; it is not touched
 *   fd.staging         an empty directory; gets rootfs/ or disk.qcow2
 *   metadata=<dir>     optional: the image's directory, whose metadata.yaml and templates/ are
 *                      copied
 *   arch=              dpkg's name of the architecture
 *   size=              bytes; the disk and its root are enlarged to it
 *   hostname=  machine-id=1 (the next boot makes a new one)  serial=1 (a login on ttyS0)
 *   ssh-key=…  password-hash=  script=   as for seed; the script runs without network
 *   path=…             where the contents of fd.file-0, fd.file-1 … go
 *   cache=<dir>        optional: where libguestfs keeps its appliance
 *
 * Results as those of an import.  Returns: the exit status.
 */
int lodge_tailor_run (const LodgeRequest *request);
