/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/** Gets one line of a command's output, without its end. */
typedef void (*LodgeCommandLineFunc) (char *line, gpointer user_data);

/**
 * lodge_command_run:
 * @directory: (nullable): where to run it
 * @func: (nullable): gets stdout and stderr, which are one stream
 *
 * Runs @argv (found in PATH) with a fixed environment and waits for it.  Without @func the last
 * line of the output becomes part of the error.
 */
bool lodge_command_run (const char *const *argv, const char *directory, LodgeCommandLineFunc func,
                        gpointer user_data, LodgeFail *fail);

/**
 * lodge_command_run_status:
 *
 * As lodge_command_run(), for programs whose exit status says more than that they failed.
 *
 * Returns: the exit status, 128 + n when signal n ended it; -1 with @fail: it was not started.
 */
int lodge_command_run_status (const char *const *argv, const char *directory,
                              LodgeCommandLineFunc func, gpointer user_data, LodgeFail *fail);

/**
 * A LodgeCommandLineFunc for `qemu-img convert -p`: "    (12.34/100%)" becomes progress, any other
 * line is kept in @last, a GString, as what to say if it fails.
 */
void lodge_command_show_qemu_img (char *line, gpointer last);

/** As lodge_command_run() with @func NULL, and the arguments as a NULL-ended list. */
bool lodge_command_call (LodgeFail *fail, const char *program, ...) G_GNUC_NULL_TERMINATED;

/** Its output is small text.  (transfer full); NULL on failure. */
char *lodge_command_capture (const char *const *argv, LodgeFail *fail);

G_END_DECLS
