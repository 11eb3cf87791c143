/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-connection.h"
#include "lodge/lodge-error.h"
#include "lodge/lodge-types.h"

G_BEGIN_DECLS

/*
 * A client of org.lodge1: which bus, which errors, which signals to believe.  One thread.
 * Interfaces are given by the last part of their name: "Manager", "Instance".
 */
typedef struct _LodgeClient LodgeClient;

/**
 * lodge_client_open:
 *
 * Opens the bus: $LODGE_BUS_ADDRESS, else /run/lodge/bus when it is a socket of root's (hosts
 * without systemd), else $DBUS_SYSTEM_BUS_ADDRESS or the system bus.
 * Errors: DAEMON_UNREACHABLE with a hint, NOT_AUTHORIZED.
 */
LodgeClient *lodge_client_open (GError **error) G_GNUC_WARN_UNUSED_RESULT;
void lodge_client_close (LodgeClient *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeClient, lodge_client_close)

/** (transfer full): the address that lodge_client_open() would use. */
char *lodge_client_choose_address (void);

LodgeConnection *lodge_client_get_connection (LodgeClient *self);

/**
 * lodge_client_send:
 * @body: (transfer floating) (nullable): a tuple
 * @fds: borrowed
 *
 * Returns: the serial for lodge_client_finish(), or 0 with @error set.
 */
guint32 lodge_client_send (LodgeClient *self, const char *path, const char *interface,
                           const char *method, GVariant *body, const int *fds, guint n_fds,
                           GError **error);

/**
 * lodge_client_check:
 * @reply: (transfer full): of any call
 * @reply_type: the signature that the method must return, for example "(o)"
 *
 * Returns: (transfer full): @reply, or NULL with its error in LODGE_ERROR.
 */
LodgeMessage *lodge_client_check (LodgeMessage *reply, const char *reply_type,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Waits for the reply to @serial and checks it. (transfer full) */
LodgeMessage *lodge_client_finish (LodgeClient *self, guint32 serial, const char *reply_type,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Both at once, for calls without descriptors.  Returns: (transfer full): the body. */
GVariant *lodge_client_call (LodgeClient *self, const char *path, const char *interface,
                             const char *method, GVariant *body, const char *reply_type,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_client_path_of_name:
 *
 * Returns: (transfer full) (nullable): a path for methods of the instance with that name; the
 * service is not asked, so that the method says when there is none.  NULL for what is no name of
 * Lodge's: a UUID, or the name of a foreign domain.
 */
char *lodge_client_path_of_name (const char *name);

/** Returns: (transfer full): the object path of the instance with that name or UUID. */
char *lodge_client_get_instance (LodgeClient *self, const char *name,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Returns: (transfer full): all properties, a{sv}. */
GVariant *lodge_client_get_properties (LodgeClient *self, const char *path, const char *interface,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_client_subscribe:
 * @path: (nullable): of one object
 * @interface: a whole name here, for example "org.freedesktop.DBus.Properties"
 *
 * Asks the bus for signals of the service.  From then on lodge_client_take_signal() has those
 * whose sender owns org.lodge1, and no others: any peer can send a signal to any other
 * (CVE-2024-34397).
 */
gboolean lodge_client_subscribe (LodgeClient *self, const char *path, const char *interface,
                                 const char *member, GError **error);

/** Returns: (transfer full) (nullable): the next signal of the service that has come. */
LodgeMessage *lodge_client_take_signal (LodgeClient *self);

/** FALSE after the service has left the bus; becomes TRUE when it is back.  After a subscription.
 */
gboolean lodge_client_is_service_up (LodgeClient *self);

G_END_DECLS
