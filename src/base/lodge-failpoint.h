/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * Points at which a test build (-Dfailpoints=true) can be made to fail.
 * LODGE_FAILPOINT="name:action[:nth]", several with ','.  Actions: "kill" (SIGKILL itself),
 * "error=<errno>" (the caller sees it), "sleep=<ms>".  nth: only the nth time, from 1.
 * With LODGE_FAILPOINT_LOG=<file> the name of each point that is passed is appended to it, so
 * that a sweep can tell which points exist and that it hit all of them.
 *
 * In other builds lodge_failpoint() is nothing.
 */
#ifdef LODGE_FAILPOINTS
/** Returns: FALSE, with @error set, when the point is to fail.  Any thread. */
gboolean lodge_failpoint (const char *name, GError **error);
#else
#define lodge_failpoint(name, error) (TRUE)
#endif

G_END_DECLS
