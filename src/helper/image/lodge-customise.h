/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/** The trees of files that images get; the names are those below src/helper/image/rootfs. */
typedef enum
{
  LODGE_OVERLAY_COMMON = 1 << 0,
  LODGE_OVERLAY_CONTAINER = 1 << 1,
  LODGE_OVERLAY_VM = 1 << 2,
  LODGE_OVERLAY_VM_EARLY = 1 << 3, /* before packages are configured */
} LodgeOverlay;

/** Writes the files of @overlay below the directory @root, which nobody else writes to. */
bool lodge_customise_write (LodgeOverlay overlay, const char *root, LodgeFail *fail);

/**
 * lodge_customise_run:
 * @apt_options: NULL-ended lines of apt.conf(5) that the image is to keep
 *
 * Makes an image of the freshly installed system in @root: configuration, units, no identity of
 * its own, no traces of the build.  Works in a child that changes its root to @root.
 */
bool lodge_customise_run (bool is_vm, const char *root, char **apt_options, LodgeFail *fail);

G_END_DECLS
