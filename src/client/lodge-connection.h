/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-message.h"

G_BEGIN_DECLS

/*
 * A connection to a message bus for a program with one thread and no main loop: what is not waited
 * for is kept until it is asked for.  All functions must be called on one thread.
 */
typedef struct _LodgeConnection LodgeConnection;

/**
 * lodge_connection_open:
 * @address: "unix:path=…", "unix:abstract=…", or several of them with ';', of which the first one
 *   that answers is used
 *
 * Connects and authenticates as the effective user.  Errors: DAEMON_UNREACHABLE, NOT_AUTHORIZED.
 */
LodgeConnection *lodge_connection_open (const char *address,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
void lodge_connection_close (LodgeConnection *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeConnection, lodge_connection_close)

/** For poll(); readable means that lodge_connection_dispatch() has something to do. */
int lodge_connection_get_fd (LodgeConnection *self);

/**
 * lodge_connection_send:
 * @body: (transfer floating) (nullable): a tuple
 * @fds: borrowed; at most LODGE_MESSAGE_MAX_FDS
 *
 * Returns: the serial for lodge_connection_take_reply(), or 0 with @error set.
 */
guint32 lodge_connection_send (LodgeConnection *self, const char *destination, const char *path,
                               const char *interface, const char *member, GVariant *body,
                               const int *fds, guint n_fds, GError **error);

/** As above with LODGE_MESSAGE_NO_REPLY: nobody will wait for it. */
gboolean lodge_connection_send_oneway (LodgeConnection *self, const char *destination,
                                       const char *path, const char *interface, const char *member,
                                       GVariant *body, GError **error);

/**
 * lodge_connection_dispatch:
 * @timeout_ms: 0: only what is there already; negative: until something comes
 *
 * Reads messages into the queues.  Returns FALSE with @error (DAEMON_UNREACHABLE) when the
 * connection is gone.
 */
gboolean lodge_connection_dispatch (LodgeConnection *self, int timeout_ms, GError **error);

/** Returns: (transfer full) (nullable): the reply to @serial if it has come. */
LodgeMessage *lodge_connection_take_reply (LodgeConnection *self, guint32 serial);

/** Returns: (transfer full) (nullable): the oldest signal that has come. */
LodgeMessage *lodge_connection_take_signal (LodgeConnection *self);

/** Waits for the reply to @serial, which may be an error message. (transfer full) */
LodgeMessage *lodge_connection_wait_reply (LodgeConnection *self, guint32 serial,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
