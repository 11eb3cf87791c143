/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_connection_auth_connect:
 * @address: as for lodge_connection_open()
 *
 * Connects and goes through SASL EXTERNAL with passing of descriptors.  Gives up after 10 seconds.
 *
 * Returns: the socket, blocking and close-on-exec; -1 with @error set (DAEMON_UNREACHABLE,
 * NOT_AUTHORIZED).
 */
int lodge_connection_auth_connect (const char *address, GError **error);

G_END_DECLS
