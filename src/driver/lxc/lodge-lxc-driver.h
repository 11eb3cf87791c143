/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * The driver of containers, on libvirt's lxc driver and Lodge's own helpers; see
 * lodge-helper-protocol.h for what they say to each other.
 */
#define LODGE_TYPE_LXC_DRIVER (lodge_lxc_driver_get_type ())
G_DECLARE_FINAL_TYPE (LodgeLxcDriver, lodge_lxc_driver, LODGE, LXC_DRIVER, GObject)

/**
 * lodge_lxc_driver_new:
 * @uri: for example "lxc:///system"
 * @state_dir: <state>; instances are below it
 * @run_dir: <run>; the events socket is bound there at once
 * @libexec_dir: where lodge-enter and guest/lodge-init are
 *
 * Does not connect yet.  Main thread.  Errors: those of the file system.
 *
 * Returns: (transfer full): the driver, or NULL.
 */
LodgeDriver *lodge_lxc_driver_new (const char *uri, const char *state_dir, const char *run_dir,
                                   const char *libexec_dir,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
