/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/*
 * What a root file system needs to be that of the other kind.  Both functions run in the sandbox
 * and change the root directory to the tree in a child, so that nothing in it leads out.  What a
 * system is for (users, keys, machine id, services) stays as it is.
 */

/** Where the kernel of a VM is, in the guest. */
typedef struct
{
  const char *kernel;
  const char *initrd; /* NULL: none */
  const char *title;  /* of the boot menu */
} LodgeTurnBoot;

/**
 * lodge_turn_tree_to_vm:
 * @hostname: (nullable): what the machine is called, if it does not say so itself
 *
 * Writes fstab and the boot loader's configuration, starts the agent, networkd where nothing else
 * looks after the network, and a login on the serial port.
 */
bool lodge_turn_tree_to_vm (const char *root, const LodgeTurnBoot *boot, const char *hostname,
                            LodgeFail *fail);

/**
 * lodge_turn_tree_to_container:
 *
 * Empties fstab, turns off what looks after hardware, and lets the network's configuration speak
 * of eth0.
 */
bool lodge_turn_tree_to_container (const char *root, LodgeFail *fail);

G_END_DECLS
