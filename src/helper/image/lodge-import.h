/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_import_run: the operation "import"
 *
 *   fd.input           the file, or a pipe of it
 *   fd.root            split images: the root file system or the disk; `input` has the metadata
 * then fd.staging         an empty directory; gets rootfs/, disk.qcow2 or disk.iso, and metadata.yaml
 *                      and templates/ when the image has them
 *   max-bytes=         what it may unpack to
 *   max-virtual-size=  of a disk, bytes
 *   memory.unpack= memory.convert=  address space of those steps, bytes
 *   inspect=1          look into disks with libguestfs
 *   cache=<dir>        optional: where libguestfs keeps its appliance
 *
 * What the file is, its bytes tell: see lodge-sniff.h.  Results: kind (container, vm or
 * iso),
 * fingerprint (SHA-256 of the files, one after the other), size, virtual-size, architecture,
 * description, property.<name>.
 * Returns: the exit status.
 */
int lodge_import_run (const LodgeRequest *request);
