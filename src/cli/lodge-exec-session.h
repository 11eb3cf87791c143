/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cli.h"

G_BEGIN_DECLS

/* A program that runs in an instance, and the streams between it and this terminal. */
typedef struct
{
  char *process; /* object path */
  int pty;       /* of the service; -1 when there is none */
  int pipes[3];  /* stdin, stdout, stderr that the service made; -1 where ours was passed */
} LodgeExecSession;

#define LODGE_EXEC_SESSION_INIT                                                                    \
  {                                                                                                \
    .pty = -1, .pipes = { -1, -1, -1 }                                                             \
  }

void lodge_exec_session_clear (LodgeExecSession *session);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeExecSession, lodge_exec_session_clear)

/**
 * lodge_exec_session_run:
 *
 * Copies the streams until the program has ended, and sets cli->exit_status to its exit status.
 * Signals that reach this process go to the program; with a terminal they end this process after
 * the terminal is as it was.
 */
gboolean lodge_exec_session_run (LodgeCli *cli, LodgeExecSession *session, GError **error);

G_END_DECLS
