/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "lodge-facts.h"
#include "lodge-request.h"

/**
 * lodge_inspect_disk:
 * @staging_fd: the directory that has the disk
 * @facts: (inout): in memory that is shared with child processes; what is known already stays
 *
 * Looks into a qcow2 disk with libguestfs, in a sandbox, by one launch of its appliance.  That it
 * cannot look is a notice, not an error: the disk may well boot.
 */
void lodge_inspect_disk (const LodgeRequest *request, int staging_fd, const char *name,
                         LodgeFacts *facts);
