/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_export_run: the operation "export"
 *
 *   fd.output       where to write, a file or a pipe
 *   fd.root         split: where to write the root file system or the disk
 *   fd.staging      a directory for the work
 *   rootfs=<dir>    a container's tree, ids as in the guest; or
 *   plan=<file>     of a container that does not run; or
 *   disk=<file>     qcow2, with backing=<file> for each file below it
 *   metadata=<dir>  optional: has metadata.yaml and templates/ of the image
 *   format=         unified, split, tar (containers), qcow2, raw (VMs)
 *   compression=    none, gzip, xz or zstd, of tar archives
 *   architecture= description= property=<name>=<value>…
 *                   for a metadata.yaml where there is none
 *
 * The same image gives the same bytes each time.  Returns: the exit status.
 */
int lodge_export_run (const LodgeRequest *request);
