/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * Runs one helper program by the protocol of lodge-helper-protocol.h.  Main thread only, never
 * blocks.  The helper dies with its LodgeHelper: disposing one that runs sends SIGKILL.
 */
#define LODGE_TYPE_HELPER (lodge_helper_get_type ())
G_DECLARE_FINAL_TYPE (LodgeHelper, lodge_helper, LODGE, HELPER, GObject)

/**
 * lodge_helper_new:
 * @program: path of the executable, or "/proc/self/fd/N" of a sealed copy
 * @op: the request's "op"
 */
LodgeHelper *lodge_helper_new (const char *program, const char *op);

/** Adds a record to the request.  Before the start only. */
void lodge_helper_add (LodgeHelper *self, const char *key, const char *value);
void lodge_helper_add_int (LodgeHelper *self, const char *key, gint64 value);

/** Passes @fd (dup'ed) as the next number and adds "fd.<name>". */
void lodge_helper_add_fd (LodgeHelper *self, const char *name, int fd);

/** Uses @fds (dup'ed; -1: /dev/null) as the helper's stdin, stdout and stderr. */
void lodge_helper_set_stdio (LodgeHelper *self, int stdin_fd, int stdout_fd, int stderr_fd);

/** Kills it after @seconds; the error is then TIMED_OUT.  0: no limit (exec, shells). */
void lodge_helper_set_timeout (LodgeHelper *self, guint seconds);

typedef void (*LodgeHelperProgressFunc) (LodgeHelper *self, double fraction, guint64 done,
                                         guint64 total, const char *stage, gpointer user_data);
/** @line: any other line, without its end; @fd: -1 or a descriptor that came with it (taken). */
typedef void (*LodgeHelperLineFunc) (LodgeHelper *self, const char *line, int fd,
                                     gpointer user_data);

void lodge_helper_set_progress_func (LodgeHelper *self, LodgeHelperProgressFunc func,
                                     gpointer user_data);
void lodge_helper_set_line_func (LodgeHelper *self, LodgeHelperLineFunc func, gpointer user_data);

/**
 * lodge_helper_run_async:
 *
 * Starts it.  The task ends when the process has ended: with success when it wrote "done", else
 * with the error that it wrote, TIMED_OUT, CANCELLED, or HELPER_FAILED with the last words of
 * its stderr.  Cancelling sends SIGTERM, SIGKILL two seconds later, and waits for the end.
 */
void lodge_helper_run_async (LodgeHelper *self, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data);
gboolean lodge_helper_run_finish (LodgeHelper *self, GAsyncResult *result,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** The last value of a "result <key> …" line, or NULL.  Borrowed. */
const char *lodge_helper_get_result (LodgeHelper *self, const char *key);

/** Writes a line (with its end) to the helper. */
gboolean lodge_helper_send (LodgeHelper *self, const char *line, GError **error);

/** Process id, or 0 when it does not run. */
GPid lodge_helper_get_pid (LodgeHelper *self);

/** Sends @signum to the helper itself. */
void lodge_helper_kill (LodgeHelper *self, int signum);

/**
 * lodge_helper_seal_program:
 * @path: an executable
 *
 * Copies it into a sealed memfd (F_SEAL_WRITE and the rest), so that nothing that the helper
 * meets in a container can change the file that the host runs (CVE-2019-5736).
 *
 * Returns: the descriptor, close-on-exec; run it as /proc/self/fd/N.  -1 on failure.
 */
int lodge_helper_seal_program (const char *path, GError **error);

G_END_DECLS
