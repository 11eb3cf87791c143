/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * Who is at the other end: the uid behind each unique name that has called, asked of the bus once
 * and kept until the name leaves.  A unique name is never used twice, so a kept answer cannot go to
 * somebody else.  Main thread only.
 *
 * Signal `left` (const char *sender): the caller has left the bus.
 */
#define LODGE_TYPE_BUS_PEERS (lodge_bus_peers_get_type ())
G_DECLARE_FINAL_TYPE (LodgeBusPeers, lodge_bus_peers, LODGE, BUS_PEERS, GObject)

/** Blocks for one round trip: it asks the bus to tell of names that leave. */
LodgeBusPeers *lodge_bus_peers_new (GDBusConnection *connection, GError **error);

/** From memory.  FALSE: not known yet. */
gboolean lodge_bus_peers_peek_uid (LodgeBusPeers *self, const char *sender, guint32 *out_uid);

/** NOT_AUTHORIZED when the bus cannot tell, because the caller has left. */
void lodge_bus_peers_get_uid_async (LodgeBusPeers *self, const char *sender,
                                    GAsyncReadyCallback callback, gpointer user_data);
gboolean lodge_bus_peers_get_uid_finish (LodgeBusPeers *self, GAsyncResult *result,
                                         guint32 *out_uid, GError **error);

/** Counts the calls of a connection that wait for an answer.  FALSE: it has too many already. */
gboolean lodge_bus_peers_begin_call (LodgeBusPeers *self, const char *sender);
void lodge_bus_peers_end_call (LodgeBusPeers *self, const char *sender);

/** Whether @sender has called and is still on the bus. */
gboolean lodge_bus_peers_is_present (LodgeBusPeers *self, const char *sender);

/** Number of callers that are remembered. */
guint lodge_bus_peers_count (LodgeBusPeers *self);

G_END_DECLS
