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

/** Runs in a child whose root directory is the tree. */
typedef bool (*LodgeCustomiseFunc) (gpointer data, LodgeFail *fail);

/** Runs @func in @root; nothing that is in the tree can lead it out of there. */
bool lodge_customise_in_root (const char *root, LodgeCustomiseFunc func, gpointer data,
                              LodgeFail *fail);

/* The following work on the root directory of the calling process. */

/** Writes one file of an overlay; what is there is replaced. */
bool lodge_customise_write_one (LodgeOverlay overlay, const char *path, LodgeFail *fail);

/** Writes @text; mode 0644, in lodge's own folder of programs 0755. */
bool lodge_customise_write_text (const char *path, const char *text, LodgeFail *fail);

/** Makes the symbolic link @path; what is there is replaced. */
bool lodge_customise_link (const char *target, const char *path, LodgeFail *fail);

/** Takes back what @overlay brought and nobody has changed: files, links, masked units. */
void lodge_customise_undo (LodgeOverlay overlay);

G_END_DECLS
