/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* Writes a line to the console. */
void lodge_init_say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/**
 * lodge_init_apply_setup:
 *
 * Does what /dev/lodge/setup says: the host name, and on the first boot the files of /etc that
 * depend on it.  Failures are told and do not stop the boot.
 */
void lodge_init_apply_setup (void);

/**
 * lodge_init_enter_cgroups:
 *
 * Shakes hands with the host, which puts this process into its cgroups, and then makes them the
 * only ones that the container sees.
 *
 * Returns: false when it is not safe to go on; the console has been told why.
 */
bool lodge_init_enter_cgroups (void);
