/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The user and group ids of the host that Lodge gives out: above those of systemd's containers
 * (0x00080000 … 0x6fffffff), below 2^31, which some programs cannot handle; 4096 ranges.
 *
 * Each container has a range of its own, which its record names.  The last range is that of the
 * image helpers' sandbox: what they unpack, build and open is nobody's yet, so no container may
 * ever share ids with it.
 */
#define LODGE_IDMAP_COUNT 65536u /* in each range */
#define LODGE_IDMAP_FIRST 0x70000000u
#define LODGE_IDMAP_LAST  0x7ffeffffu /* of containers */

#define LODGE_SANDBOX_IDMAP_BASE  0x7fff0000u
#define LODGE_SANDBOX_IDMAP_COUNT LODGE_IDMAP_COUNT
