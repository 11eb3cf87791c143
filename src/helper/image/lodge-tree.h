/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lodge-facts.h"
#include "lodge-fail.h"

/* What is done with each root file system once it is unpacked; in the sandbox, in which the tree's
 * directory is the working directory. */

/**
 * lodge_tree_finish:
 * @out_bytes: on disk
 *
 * Checks that it is a root file system, makes the directories at which the host mounts something,
 * and looks at what is installed.  Errors: ImageInvalid.
 */
bool lodge_tree_finish (LodgeFacts *facts, uint64_t *out_bytes, LodgeFail *fail);

/**
 * lodge_tree_copy:
 * @target: is made
 *
 * Copies all that is in @source: owners, modes, times, links, holes, ACLs, capabilities and other
 * attributes.  Needs the host's tools.
 */
bool lodge_tree_copy (const char *source, const char *target, LodgeFail *fail);

/**
 * lodge_tree_sanitise:
 * @ids: uids and gids from here on are refused
 *
 * For trees that another program has unpacked: removes devices and sockets, and extended
 * attributes other than user.* and security.capability.
 */
bool lodge_tree_sanitise (uint32_t ids, uint64_t *out_devices, LodgeFail *fail);
