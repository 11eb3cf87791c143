/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-plan.h"

#include <stddef.h>

/**
 * lodge_mount_prepare:
 *
 * Makes all that libvirt needs to start the container of @plan, whatever an earlier run has left.
 */
bool lodge_mount_prepare (const LodgePlan *plan, LodgeFail *fail);

/** Undoes lodge_mount_prepare(); carries on after a failure and returns the first. */
bool lodge_mount_release (const LodgePlan *plan, LodgeFail *fail);

/**
 * lodge_mount_end_stale:
 *
 * Ends what an earlier run of the container has left: processes, cgroups, the file "init".
 */
bool lodge_mount_end_stale (const LodgePlan *plan, LodgeFail *fail);

#define LODGE_MOUNT_BACKGROUND_FDS 2

/** @fds: those that lodge_mount_background() was given, under other numbers */
typedef void (*LodgeMountTask) (const LodgePlan *plan, const int *fds);

/**
 * lodge_mount_background:
 * @fds: the descriptors that @run needs (borrowed), at most LODGE_MOUNT_BACKGROUND_FDS
 *
 * Runs @run in a process of its own that nobody waits for; it ends when @run returns.
 */
bool lodge_mount_background (const LodgePlan *plan, const int *fds, int n_fds, LodgeMountTask run,
                             LodgeFail *fail);

/** Listens on <control>/init.sock.  Returns the socket, or -1 with @fail. */
int lodge_mount_server_listen (const LodgePlan *plan, LodgeFail *fail);

/** Leaves a process behind that serves one handshake on @socket (borrowed), and then ends. */
bool lodge_mount_server_start (const LodgePlan *plan, int socket, LodgeFail *fail);

/** Ends the server of the container if there is one, and removes its socket. */
void lodge_mount_server_stop (const LodgePlan *plan);

/** Sends "<what> <uuid>\n" to lodged, which may not run. */
void lodge_mount_send_event (const LodgePlan *plan, const char *what);

/** The path of the container's own cgroup below the root of a hierarchy: "lodge/<uuid>". */
void lodge_mount_cgroup_path (const LodgePlan *plan, char *out_path, size_t size);

/** "<dir>/<name>" into @out_path; false when it does not fit. */
bool lodge_mount_path (char *out_path, size_t size, const char *dir, const char *name);
