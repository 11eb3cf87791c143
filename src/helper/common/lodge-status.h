/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"

#include <stdint.h>

/*
 * Status lines of lodge-helper-protocol.h, written to LODGE_HELPER_STATUS_FD.  Each is one send:
 * lines of several processes do not mix.  Control characters become '?', a line that is too
 * long is cut.  A peer that has gone is no error here: the helper notices by reading.
 */

/** @fraction: 0 to 1, or -1 when it is not known; counts in bytes. */
void lodge_status_progress (double fraction, uint64_t done, uint64_t total, const char *stage);

/** A sentence for the user. */
void lodge_status_notice (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/** @key: without spaces. */
void lodge_status_result (const char *key, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/** Of the program that was started, in the host's namespace. */
void lodge_status_pid (int pid);

/** Sends @fd with the line.  Borrowed. */
void lodge_status_fd (const char *name, int fd);

/** @status: exit status, 0 when it was killed; @signum: 0 when it was not. */
void lodge_status_exit (int status, int signum);

void lodge_status_error (const char *nick, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/** Writes @fail as an error line.  Returns 1: the exit status of the helper. */
int lodge_status_fail (const LodgeFail *fail);

void lodge_status_done (void);
