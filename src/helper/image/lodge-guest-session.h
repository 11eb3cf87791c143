/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_guest_session_run: the operation "files-guestfs"
 *
 *   disk=<path>      a qcow2 file of a VM that does not run
 *   backing=<path>   each file below it in its chain, as the file above names it
 *   fd.session       speaks lodge-files.h; requests wait until the disk is open
 *   cache=<dir>      optional: where libguestfs keeps its appliance
 *
 * Writes "notice" at once, as opening takes seconds, and "progress 1 0 0 ready" then.  "done" means
 * that the session was closed and everything is on the disk.
 * Returns: the exit status.
 */
int lodge_guest_session_run (const LodgeRequest *request);

/* Where libguestfs finds its things in the sandbox. */
#define LODGE_GUEST_CACHE     "/cache"
#define LODGE_GUEST_APPLIANCE "/appliance"

/** The environment for libguestfs; in the sandbox. */
void lodge_guest_session_set_environment (void);

/**
 * lodge_guest_session_prepare_cache:
 * @request: its "cache" may name another directory
 * @out_cache: (transfer full): on the host, for LODGE_GUEST_CACHE
 * @out_appliance: (transfer full): the same for LODGE_GUEST_APPLIANCE
 *
 * Makes what libguestfs needs; see lodge_guest_disk_make_appliance().
 */
bool lodge_guest_session_prepare_cache (const LodgeRequest *request, char **out_cache,
                                        char **out_appliance, LodgeFail *fail);
