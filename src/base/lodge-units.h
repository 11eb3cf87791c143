/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_parse_size:
 * @text: "200MiB", "1GB", "512", "1.5GiB" …; units are those of LXD: B, kB MB GB TB PB EB
 *   (powers of 1000) and KiB MiB GiB TiB PiB EiB (powers of 1024)
 *
 * Independent of the locale; overflow, signs, hex and trailing text are INVALID_ARGUMENT, and
 * the message shows what is allowed.
 */
gboolean lodge_parse_size (const char *text, guint64 *out_bytes, GError **error);

/** "200MiB", "1.5GiB": for people.  (transfer full) */
char *lodge_format_size (guint64 bytes);

/** Seconds from "90", "90s", "5m", "2h", "1d". */
gboolean lodge_parse_duration (const char *text, guint64 *out_seconds, GError **error);

/** "3d 4h", "12m 5s": for people.  (transfer full) */
char *lodge_format_duration (guint64 seconds);

/** A decimal unsigned number in @min … @max, nothing else. */
gboolean lodge_parse_uint (const char *text, guint64 min, guint64 max, guint64 *out_value,
                           GError **error);

G_END_DECLS
