/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_name_validate:
 *
 * The one validator of instance names: `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`, which is a DNS label
 * too.  Sets INVALID_NAME with what is wrong; @name is shown escaped and shortened.
 */
gboolean lodge_name_validate (const char *name, GError **error);

/** An image alias: `[a-z0-9]` first, then `[a-zA-Z0-9._/:+-]`, 128 at most, no "..", no "//". */
gboolean lodge_alias_validate (const char *alias, GError **error);

/** `^[0-9a-f]{64}$` and nothing else. */
gboolean lodge_fingerprint_is_valid (const char *fingerprint);

/** A UUID in lower case with dashes. */
gboolean lodge_uuid_is_valid (const char *uuid);

/** Makes a name nobody would mind, for example "calm-otter".  (transfer full) */
char *lodge_name_generate (void);

/**
 * lodge_text_escape:
 *
 * Returns: (transfer full): @text with control characters, invalid UTF-8 and bidirectional marks
 * as \xNN or \uNNNN, so that it can go to a terminal or a log.
 */
char *lodge_text_escape (const char *text);

/**
 * lodge_nearest:
 * @candidates: NULL-ended
 *
 * Returns: (nullable): the candidate that @word was probably meant to be, or NULL.  Borrowed.
 */
const char *lodge_nearest (const char *word, const char *const *candidates);

G_END_DECLS
