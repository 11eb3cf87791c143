/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <libvirt/libvirt.h>

#include "lodge-virt-autoptr.h"
#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/** What libvirt reported of a domain. */
typedef enum
{
  LODGE_VIRT_EVENT_DEFINED, /* detail: virDomainEventDefinedDetailType, and so on */
  LODGE_VIRT_EVENT_UNDEFINED,
  LODGE_VIRT_EVENT_STARTED,
  LODGE_VIRT_EVENT_SUSPENDED,
  LODGE_VIRT_EVENT_RESUMED,
  LODGE_VIRT_EVENT_STOPPED,
  LODGE_VIRT_EVENT_SHUTDOWN,
  LODGE_VIRT_EVENT_PMSUSPENDED,
  LODGE_VIRT_EVENT_CRASHED,
  LODGE_VIRT_EVENT_REBOOTED, /* detail: 0 */
  LODGE_VIRT_EVENT_METADATA, /* detail: virDomainMetadataType */
  LODGE_VIRT_EVENT_AGENT,    /* detail: virConnectDomainEventAgentLifecycleState */
} LodgeVirtEvent;

/**
 * LodgeVirtConnection:
 *
 * A connection to one libvirt URI that comes back by itself: it is opened on a thread of its
 * own, watched by keepalive, and opened again, at most a second after libvirt is back.
 *
 * Signals, in the main context of the thread that created it:
 *   `connected` ()
 *   `disconnected` (const char *reason)
 *   `domain-event` (const char *uuid, int LodgeVirtEvent, int detail)
 *   `network-event` (const char *uuid, int virNetworkEventLifecycleType), if asked for
 *
 * Events are hints ("read this domain again"): after `connected` everything may be different.
 * Two equal events that follow each other in one turn of the main loop come as one.
 */
#define LODGE_TYPE_VIRT_CONNECTION (lodge_virt_connection_get_type ())
G_DECLARE_FINAL_TYPE (LodgeVirtConnection, lodge_virt_connection, LODGE, VIRT_CONNECTION, GObject)

/**
 * lodge_virt_connection_new:
 * @uri: for example "qemu:///system"; "test:///default" has a life of its own in this process
 *
 * Sets libvirt's event loop up on the default main context when lodge_virt_loop_init() was not
 * called before.  Does not connect yet.  Main thread.
 */
LodgeVirtConnection *lodge_virt_connection_new (const char *uri);

/** Has it emit `network-event`.  Before it is started.  Main thread. */
void lodge_virt_connection_watch_networks (LodgeVirtConnection *self);

/** Begins to connect, and goes on until the object is stopped.  Main thread. */
void lodge_virt_connection_start (LodgeVirtConnection *self);

/**
 * lodge_virt_connection_stop:
 *
 * Gives the connection up for good; no signals after this.  Handles that others have acquired
 * stay valid until they release them.  Main thread; also done by dispose.
 */
void lodge_virt_connection_stop (LodgeVirtConnection *self);

/** The URI.  Borrowed.  Any thread. */
const char *lodge_virt_connection_get_uri (LodgeVirtConnection *self);

/** Any thread. */
gboolean lodge_virt_connection_is_connected (LodgeVirtConnection *self);

/** Version of the libvirt library at the other end ("9.0.0"), or NULL.  (transfer full) Any thread.
 */
char *lodge_virt_connection_get_version (LodgeVirtConnection *self);

/** Why it is not connected, or NULL.  (transfer full) Any thread. */
char *lodge_virt_connection_get_problem (LodgeVirtConnection *self);

/**
 * lodge_virt_connection_acquire:
 *
 * A handle for blocking libvirt calls.  Waits up to three seconds when an attempt to connect is
 * under way; else, without a connection, sets BACKEND_UNAVAILABLE with a hint.  Any thread but
 * the main one, because it may wait.
 *
 * Returns: (transfer full): release it by g_autoptr(virConnect) or virConnectClose().
 */
virConnectPtr lodge_virt_connection_acquire (LodgeVirtConnection *self,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_virt_connection_lookup:
 *
 * The domain with @uuid; NOT_FOUND when there is none.  Blocking; not on the main thread.
 *
 * Returns: (transfer full)
 */
virDomainPtr lodge_virt_connection_lookup (LodgeVirtConnection *self, const char *uuid,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
