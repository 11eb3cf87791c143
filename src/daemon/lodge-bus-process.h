/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-bus.h"
#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * The programs that callers have started.  A program belongs to the connection that started it:
 * when that leaves the bus, the program gets SIGHUP and is forgotten.  What has ended and was
 * waited for is forgotten after ten seconds.  Main thread only.
 */
typedef struct _LodgeBusProcesses LodgeBusProcesses;

LodgeBusProcesses *lodge_bus_processes_new (LodgeBus *bus);
void lodge_bus_processes_free (LodgeBusProcesses *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeBusProcesses, lodge_bus_processes_free)

/** Counts one more for @uid; LIMIT_EXCEEDED when it has too many. */
gboolean lodge_bus_processes_reserve (LodgeBusProcesses *self, guint32 uid, GError **error);
/** Takes a reservation back of which nothing came. */
void lodge_bus_processes_release (LodgeBusProcesses *self, guint32 uid);

/** Who started what. */
typedef struct
{
  const char *sender;
  guint32 uid;
  const char *instance_uuid;
  GVariant *argv; /* as */
} LodgeBusProcessOrigin;

/**
 * lodge_bus_processes_add:
 * @process: (transfer full): a reservation of its uid turns into it
 *
 * Returns: its number.
 */
guint64 lodge_bus_processes_add (LodgeBusProcesses *self, const LodgeBusProcessOrigin *origin,
                                 LodgeProcess *process);

/** The caller has been told the number.  What ended before that is told of now. */
void lodge_bus_processes_announced (LodgeBusProcesses *self, guint64 id);

/** Ends what @sender has started, or everything (%NULL). */
void lodge_bus_processes_drop_caller (LodgeBusProcesses *self, const char *sender);

G_END_DECLS
