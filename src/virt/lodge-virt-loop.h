/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_virt_loop_init:
 * @context: (nullable): where libvirt's descriptors and timers are watched; %NULL: the default one
 *
 * Gives libvirt its event loop, once per process and before the first connection is opened;
 * later calls do nothing.  Somebody must run @context for as long as connections are open:
 * events, keepalive and non-blocking streams come from there.  Any thread.
 */
void lodge_virt_loop_init (GMainContext *context);

G_END_DECLS
