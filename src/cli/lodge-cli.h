/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-client.h"

G_BEGIN_DECLS

/* What one run of the program knows.  Lives in main(); commands get it and change exit_status. */
typedef struct _LodgeCli LodgeCli;

typedef enum
{
  LODGE_COLOR_PLAIN,
  LODGE_COLOR_BOLD,
  LODGE_COLOR_DIM,
  LODGE_COLOR_GOOD,
  LODGE_COLOR_BUSY,
  LODGE_COLOR_BAD,
} LodgeColor;

struct _LodgeCli
{
  LodgeClient *client; /* opened by lodge_cli_get_client() */
  gboolean stdout_tty;
  gboolean stderr_tty;
  gboolean color_stdout;
  gboolean color_stderr;
  gboolean quiet;
  int signal_fd; /* of lodge_cli_watch_signals(), else -1 */
  int exit_status;
};

/** Looks at the files and the environment; nothing is opened. */
void lodge_cli_init (LodgeCli *cli);
void lodge_cli_clear (LodgeCli *cli);

/** --color=@when, or FALSE with INVALID_ARGUMENT. */
gboolean lodge_cli_set_color (LodgeCli *cli, const char *when, GError **error);

/** Returns: (transfer none): the client, opened at the first call; NULL with @error set. */
LodgeClient *lodge_cli_get_client (LodgeCli *cli, GError **error);

/** The escape sequence that begins @color on stdout or stderr, "" without colours. */
const char *lodge_cli_color (gboolean enabled, LodgeColor color);
const char *lodge_cli_color_end (gboolean enabled);

/** "note: …" on stderr, escaped; nothing with --quiet. */
void lodge_cli_note (LodgeCli *cli, const char *text);

/** "error: …" and, when the message has a second line, "hint: …" on stderr, escaped. */
void lodge_cli_print_error (LodgeCli *cli, const char *prefix, const GError *error);

/**
 * lodge_cli_watch_signals:
 *
 * From now on the signals that end or resize a program come through cli->signal_fd
 * (see signalfd(2)), so that no exit path leaves a terminal in raw mode.
 */
gboolean lodge_cli_watch_signals (LodgeCli *cli, GError **error);

/** Ends that: signals do again what they did before. */
void lodge_cli_unwatch_signals (LodgeCli *cli);

/** Returns: the next signal that has come, or 0. */
int lodge_cli_take_signal (LodgeCli *cli);

/**
 * lodge_cli_finish:
 *
 * lodge_client_finish() for when signals are watched: one that would end the program ends the
 * waiting, with CANCELLED and the exit status that belongs to the signal. (transfer full)
 */
LodgeMessage *lodge_cli_finish (LodgeCli *cli, guint32 serial, const char *reply_type,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** TRUE when the user said yes.  Without a terminal on stdin it is FALSE at once. */
gboolean lodge_cli_ask (LodgeCli *cli, const char *question);

/** FALSE when not all of stdout could be written (a full disk, say). */
gboolean lodge_cli_flush (GError **error);

G_END_DECLS
