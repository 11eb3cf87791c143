/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_virt_sync_definitions:
 * @type: of the domains: "lxc" or "qemu"
 *
 * libvirt syncs the file of a definition, not the directory that it is renamed into or removed
 * from.  This does; what was defined or undefined before it is so after a power cut as well.
 * Where libvirt keeps its files elsewhere it does nothing.  Blocking; not on the main thread.
 */
gboolean lodge_virt_sync_definitions (const char *type, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
