/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cli.h"

G_BEGIN_DECLS

/**
 * lodge_rows_fetch:
 * @body: (transfer floating): of the call
 *
 * Calls a method of the root object that returns aa{sv}.  Returns: (transfer full): the a{sv}.
 */
GPtrArray *lodge_rows_fetch (LodgeCli *cli, const char *interface, const char *method,
                             GVariant *body, GError **error);

/**
 * lodge_rows_from_properties:
 * @properties: a{sv} with D-Bus names: "StartedAt"
 *
 * Returns: (transfer full): the same with keys in kebab-case: "started-at".
 */
GVariant *lodge_rows_from_properties (GVariant *properties);

G_END_DECLS
