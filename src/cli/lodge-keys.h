/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/** Returns: (transfer full): the configuration keys as the service knows them, each an a{sv}. */
GPtrArray *lodge_keys_fetch (LodgeCli *cli, GError **error);

/** `lodge help keys`. */
gboolean lodge_keys_print (LodgeCli *cli, const LodgeArgs *args, GError **error);

/**
 * lodge_data_from_json:
 *
 * A JSON text as a GVariant: objects a{sv}, arrays av, numbers d, null an empty string.  Small and
 * strict; at most 16 levels.  Returns: (transfer full), NULL when it is no JSON.
 */
GVariant *lodge_data_from_json (const char *text);

G_END_DECLS
