/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <termios.h>

G_BEGIN_DECLS

/* The terminal of the user, in raw mode for as long as the value lives. */
typedef struct
{
  int fd; /* -1: not in raw mode */
  struct termios saved;
} LodgeRawMode;

#define LODGE_RAW_MODE_INIT                                                                        \
  {                                                                                                \
    .fd = -1                                                                                       \
  }

/** Puts @fd into raw mode when it is a terminal; otherwise it does nothing. */
gboolean lodge_raw_mode_enter (LodgeRawMode *raw, int fd, GError **error);
void lodge_raw_mode_leave (LodgeRawMode *raw);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeRawMode, lodge_raw_mode_leave)

/** Rows and columns of the terminal @fd, or 24 and 80. */
void lodge_terminal_size (int fd, guint16 *out_rows, guint16 *out_columns);

/** Sets the size of a pseudo-terminal; FALSE when @fd is none. */
gboolean lodge_terminal_set_size (int fd, guint16 rows, guint16 columns);

G_END_DECLS
