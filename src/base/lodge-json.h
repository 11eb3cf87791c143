/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/**
 * lodge_json_parse:
 * @length: -1 when NUL-ended
 * @max_size: more bytes than this are refused
 *
 * json-glib, behind a scan that refuses more than 32 levels and invalid UTF-8: json-glib 1.6
 * overflows its stack on deep nesting.  Errors: INVALID_ARGUMENT, without any of the text.
 *
 * Returns: (transfer full): the root node.
 */
JsonNode *lodge_json_parse (const char *text, gssize length, gsize max_size, GError **error);

/** As above, and the root must be an object.  (transfer full) */
JsonObject *lodge_json_parse_object (const char *text, gssize length, gsize max_size,
                                     GError **error);

/** Compact text.  (transfer full) */
char *lodge_json_to_text (JsonObject *object);

/* Members by type; absent or of another type: the fallback.  Strings are borrowed. */
const char *lodge_json_get_string (JsonObject *object, const char *member, const char *fallback);
gint64 lodge_json_get_int (JsonObject *object, const char *member, gint64 fallback);
gboolean lodge_json_get_bool (JsonObject *object, const char *member, gboolean fallback);
JsonObject *lodge_json_get_object (JsonObject *object, const char *member);
JsonArray *lodge_json_get_array (JsonObject *object, const char *member);

G_END_DECLS
