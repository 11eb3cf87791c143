/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** Sets the log up: journald's fields where there is a journal, else one line each on stderr. */
void lodge_log_init (const char *program, gboolean debug);

/** sd_notify(3) without libsystemd: does nothing when NOTIFY_SOCKET is not set. */
void lodge_notify_service (const char *state);

G_END_DECLS
