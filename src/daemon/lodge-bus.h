/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-audit.h"
#include "lodge-manager.h"

G_BEGIN_DECLS

/*
 * org.lodge1 on a bus: shows what the manager has, and takes calls for it.
 *
 * Objects are not exported one by one: a handful of registrations cover whole subtrees, and
 * what a caller reads is read from the manager at that moment.  So an instance costs nothing
 * here, an exec exports nothing, and nothing can be out of date.  Main thread only.
 */
#define LODGE_TYPE_BUS (lodge_bus_get_type ())
G_DECLARE_FINAL_TYPE (LodgeBus, lodge_bus, LODGE, BUS, GObject)

/**
 * lodge_bus_new:
 * @audit: takes what is refused; must live as long
 * @use_polkit: FALSE on a session bus
 *
 * Registers the objects; blocks for a round trip or two.
 */
LodgeBus *lodge_bus_new (GDBusConnection *connection, LodgeManager *manager, LodgeAudit *audit,
                         gboolean use_polkit, GError **error);

/** Takes the name.  ALREADY_EXISTS when somebody has it.  Blocks for one round trip. */
gboolean lodge_bus_own_name (LodgeBus *self, GError **error);

/** Leaves the bus's objects, drops calls that wait, and ends what callers have started. */
void lodge_bus_close (LodgeBus *self);

G_END_DECLS
