/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-error.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * The console of one container.  lodged is its only reader and reads always, because a guest
 * that writes to a console without a reader stops.  What comes is kept in a bounded log and given
 * to every client; clients come and go, also while the container reboots.  Main thread only.
 */
#define LODGE_TYPE_LXC_CONSOLE (lodge_lxc_console_get_type ())
G_DECLARE_FINAL_TYPE (LodgeLxcConsole, lodge_lxc_console, LODGE, LXC_CONSOLE, GObject)

/** @log_path: (nullable): the newest half of the log; the older is <log_path>.1 */
LodgeLxcConsole *lodge_lxc_console_new (const char *log_path);

/**
 * lodge_lxc_console_attach:
 * @tty: from the running domain's XML
 *
 * Reads from @tty from now on, instead of the one before.
 */
gboolean lodge_lxc_console_attach (LodgeLxcConsole *self, const char *tty, GError **error);

/** Lets go of the terminal; clients stay for a moment, a reboot may bring the next one. */
void lodge_lxc_console_detach (LodgeLxcConsole *self);

/** Whether a terminal is attached. */
gboolean lodge_lxc_console_is_attached (LodgeLxcConsole *self);

/** One end of a new client's socket pair, close-on-exec; -1 on failure. */
int lodge_lxc_console_add_client (LodgeLxcConsole *self, GError **error);

/**
 * lodge_lxc_console_open_log:
 * @log_path: as for lodge_lxc_console_new(); no console is needed
 *
 * Returns: all that is kept, as a file to read from its beginning, close-on-exec; -1 on failure.
 */
int lodge_lxc_console_open_log (const char *log_path, GError **error);

G_END_DECLS
