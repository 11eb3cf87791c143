/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cli.h"

G_BEGIN_DECLS

/* One line on stderr that is drawn over; nothing where stderr is no terminal. */
typedef struct
{
  LodgeCli *cli;
  gboolean enabled;
  gboolean shown;
} LodgeProgress;

void lodge_progress_init (LodgeProgress *self, LodgeCli *cli);

/** Draws @text (escaped, cut to the width of the terminal). */
void lodge_progress_draw (LodgeProgress *self, const char *text);

/** Removes the line, so that something else can be printed. */
void lodge_progress_clear (LodgeProgress *self);

/** "45 %, 12MiB of 200MiB, 30MiB/s, 7s left"; what is not known is left out.  (transfer full) */
char *lodge_progress_amount (double fraction, guint64 done, guint64 total, guint64 rate);

G_END_DECLS
