/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * The controller: libvirt's own process of each container (libvirt_lxc), whose process id is the
 * domain's id.  libvirtd hears of the container's end by a connection to it.  None of this needs
 * libvirt.  Any thread.
 */

/**
 * lodge_lxc_controller_copy_sockets:
 * @pid: the controller
 * @pidfd: the same process
 *
 * While there is a copy, nobody at the other end of a socket notices that the controller has ended.
 *
 * Returns: (transfer full): file descriptors, which g_array_unref() closes.
 */
GArray *lodge_lxc_controller_copy_sockets (int pid, int pidfd);

/**
 * lodge_lxc_controller_is_heard:
 * @pid: the controller of the container @name
 *
 * libvirt 9 gives its connection up for good when the first message on it comes before it has
 * prepared itself for messages, which happens in one start of some hundred, most on a busy
 * machine.  It does not notice then when the container ends or wants to reboot: it calls it
 * running for ever.  Only true after libvirt has called the start done.
 *
 * Returns: FALSE when that has happened; TRUE also when it cannot be found out.
 */
gboolean lodge_lxc_controller_is_heard (int pid, const char *name);

G_END_DECLS
