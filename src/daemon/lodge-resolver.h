/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * Lets the host itself find instances by name (`ping web.lodge`): tells systemd-resolved, where it
 * runs, that the network's own name server knows its domain, and nothing else.  resolved keeps that
 * for as long as the bridge and itself live, so it is told again when either comes anew.  It is not
 * started for this, and without it nothing is changed: /etc/resolv.conf is the administrator's.
 * Main thread only.
 */
#define LODGE_TYPE_RESOLVER (lodge_resolver_get_type ())
G_DECLARE_FINAL_TYPE (LodgeResolver, lodge_resolver, LODGE, RESOLVER, GObject)

/** @network: has the signal `active` of LodgeNetwork */
LodgeResolver *lodge_resolver_new (GDBusConnection *connection, GObject *network);

G_END_DECLS
