/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_convert_run: the operation "convert"
 *
 *   fd.input           a qcow2 disk, a regular file
 *   fd.staging         an empty directory; gets disk.qcow2, rewritten, without snapshots, 0444
 *   max-bytes=         optional: how large the result may become
 *   max-virtual-size=  optional: bytes
 *
 * Results: fingerprint (of the input), size, virtual-size.
 * Returns: the exit status.
 */
int lodge_convert_run (const LodgeRequest *request);
