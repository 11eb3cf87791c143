/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <poll.h>

G_BEGIN_DECLS

/*
 * Copies bytes from one descriptor to another inside of a poll() loop.  The ends that came from the
 * service must be non-blocking; those of the user are used only when poll() says so, because they
 * are shared with other programs.
 */

#define LODGE_PUMP_SIZE 32768

typedef struct
{
  int from;            /* -1 when it has ended */
  int to;              /* -1 when it is closed */
  int escape;          /* byte that ends it, or -1 */
  gboolean own_to;     /* close `to` when all is written */
  gboolean hangup_key; /* write ^D once at the end: `to` is a terminal and cannot be half closed */
  gboolean escaped;    /* the escape byte came */
  guint8 *buffer;
  gsize start, end;
} LodgePump;

void lodge_pump_init (LodgePump *pump, int from, int to);
void lodge_pump_clear (LodgePump *pump);

/** Sets up two entries: for reading and for writing; unused ones have the descriptor -1. */
void lodge_pump_prepare (const LodgePump *pump, struct pollfd fds[2]);

/** Moves what poll() said can be moved. */
void lodge_pump_move (LodgePump *pump, const struct pollfd fds[2]);

/** TRUE when nothing more will come and all is written. */
gboolean lodge_pump_is_done (const LodgePump *pump);

G_END_DECLS
