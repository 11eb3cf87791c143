/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_turn_run:
 *
 * The operation "turn": makes of a container, or of its image, what a VM runs on, and the other
 * way round.
 *
 *   to        "vm" or "container"
 *   arch      dpkg's name of the architecture
 *   rootfs    path of an image's tree, or
 *   plan      path of a container's plan, or
 *   disk      path of a VM's disk, with "backing" for each file that it is built on
 *   size      VM: bytes of the disk; absent: 10 GiB, or what the tree needs
 *   hostname  VM: of an instance
 *   staging   a directory: rootfs/ or disk.qcow2 will be in it
 *
 * What others made is only opened in sandboxes, and programs of the guest run in one without
 * network.
 */
int lodge_turn_run (const LodgeRequest *request);
