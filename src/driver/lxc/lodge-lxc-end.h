/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-lxc-cgroup.h"

G_BEGIN_DECLS

/**
 * lodge_lxc_end:
 * @controller_pid: libvirt's own process of the container
 * @host_device: (nullable): the host's end of its network device
 * @timeout_ms: how long to wait until both have ended
 *
 * Ends a container at once: its processes, libvirt's process that would only delay the end, and
 * the network device that libvirtd would take time to remove afterwards.  virDomainDestroy() then
 * has next to nothing left to do.  Blocking; any thread but the main one.
 *
 * Returns: (transfer full) (nullable): what keeps libvirtd from noticing before it is told.  When
 * it notices by itself it cleans up on its only thread for events, one container after the other,
 * and if the controller has not left its cgroup by then, it waits there for 200 ms at a time.  So
 * release it after virDomainDestroy().  NULL: the container could not be ended so; it is
 * libvirt's to do.
 */
GArray *lodge_lxc_end (const LodgeLxcInit *init, int controller_pid, const char *host_device,
                       int timeout_ms) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
