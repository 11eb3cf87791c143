/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-helper.h"
#include "lodge-lxc-private.h"

G_BEGIN_DECLS

/** Exit status of a program that Lodge could not run. */
#define LODGE_EXEC_FAILED 125

/* A lodge-enter that runs, as a process of its caller's.  Main thread only. */
#define LODGE_TYPE_LXC_PROCESS (lodge_lxc_process_get_type ())
G_DECLARE_FINAL_TYPE (LodgeLxcProcess, lodge_lxc_process, LODGE, LXC_PROCESS, LodgeProcess)

/** A request to lodge-enter for the container @init (NULL: one that does not run). */
LodgeHelper *lodge_lxc_enter_new (LodgeLxcDriver *self, const char *op, const LodgeLxcInit *init);

/**
 * lodge_lxc_process_run:
 * @starting: (nullable): returns a LodgeExecResult when the program runs, or why it cannot;
 *   NULL: lodge-enter serves something itself, and gets the signals
 *
 * Returns: (transfer full)
 */
LodgeLxcProcess *lodge_lxc_process_run (LodgeHelper *helper, GTask *starting,
                                        GCancellable *cancellable);

G_END_DECLS
