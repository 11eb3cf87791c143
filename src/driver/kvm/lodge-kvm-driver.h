/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * Virtual machines through libvirt's qemu driver.  See lodge-driver.h for the contract.
 */
#define LODGE_TYPE_KVM_DRIVER (lodge_kvm_driver_get_type ())
G_DECLARE_FINAL_TYPE (LodgeKvmDriver, lodge_kvm_driver, LODGE, KVM_DRIVER, GObject)

/**
 * lodge_kvm_driver_new:
 * @uri: for example "qemu:///system"
 * @state_dir: for console logs, as in a spec's instance_dir
 * @run_dir: an existing directory; keeps the answer of the KVM probe
 * @libexec_dir: where lodge-image-worker is, which serves the files of a stopped VM
 *
 * Does not connect yet; lodge_driver_start() does, and begins to probe KVM.  Main thread.
 *
 * Returns: (transfer full): the driver, or %NULL when @uri is not of qemu.
 */
LodgeDriver *lodge_kvm_driver_new (const char *uri, const char *state_dir, const char *run_dir,
                                   const char *libexec_dir, GError **error);

G_END_DECLS
