/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fake-world.h"

G_BEGIN_DECLS

/*
 * A LodgeDriver without a backend, for tests of all that is above the drivers.  Two of them, one of
 * each kind, share a world.  Programs run on the host itself, files are in a scratch directory.
 */
#define LODGE_TYPE_FAKE_DRIVER (lodge_fake_driver_get_type ())
G_DECLARE_DERIVABLE_TYPE (LodgeFakeDriver, lodge_fake_driver, LODGE, FAKE_DRIVER, GObject)

struct _LodgeFakeDriverClass
{
  GObjectClass parent_class;
};

/** @scratch_dir: where file sessions have their roots, <scratch>/<uuid> */
LodgeFakeDriver *lodge_fake_driver_new (LodgeFakeWorld *world, LodgeKind kind,
                                        const char *scratch_dir);

/** How long a guest takes to finish booting; default 5 ms. */
void lodge_fake_driver_set_boot_delay (LodgeFakeDriver *self, guint ms);

/** Tells core of an event, as libvirt would.  @uuid: NULL for connects.  Any thread. */
void lodge_fake_driver_emit (LodgeFakeDriver *self, LodgeDomainEvent event, const char *uuid);

/** The connection goes or comes back, with the event. */
void lodge_fake_driver_set_connected (LodgeFakeDriver *self, gboolean connected);

/**
 * lodge_fake_control_run:
 * @drivers: element-type LodgeFakeDriver
 * @line: a command, in words as a shell would split them
 *
 *   delay OP MS            fail OP NICK MESSAGE [COUNT]      clear      count OP
 *   define NAME KIND       undefine NAME    start NAME       kill NAME  crash NAME
 *   pause NAME             rename OLD NEW   memory NAME BYTES           boot NAME
 *   stubborn NAME on|off   connect KIND     disconnect KIND  list       heap (bytes in use)
 *   silent COMMAND...      without the event that libvirt would send
 *
 * Returns: (transfer full): lines of an answer, the last being "ok"; NULL on failure.
 */
char *lodge_fake_control_run (LodgeFakeWorld *world, GPtrArray *drivers, const char *line,
                              GError **error);

/** Serves the same on a socket at @path, a line each.  (transfer full): keep it. */
GObject *lodge_fake_control_listen (LodgeFakeWorld *world, GPtrArray *drivers, const char *path,
                                    GError **error);

G_END_DECLS
