/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * Whether KVM can be used here.  libvirt and QEMU say yes wherever /dev/kvm opens, also on hosts
 * whose KVM is emulated so slowly that no system ever boots; so a payload is run and timed.
 */
typedef enum
{
  LODGE_KVM_PROBE_RUNNING,
  LODGE_KVM_PROBE_USABLE,
  LODGE_KVM_PROBE_UNUSABLE,
} LodgeKvmProbeState;

#define LODGE_TYPE_KVM_ACCEL (lodge_kvm_accel_get_type ())
G_DECLARE_FINAL_TYPE (LodgeKvmAccel, lodge_kvm_accel, LODGE, KVM_ACCEL, GObject)

/**
 * lodge_kvm_accel_new:
 * @cache_path: file that keeps the answer until the host boots again
 * @emulator: (nullable): path of qemu-system-x86_64; %NULL: from PATH
 */
LodgeKvmAccel *lodge_kvm_accel_new (const char *cache_path, const char *emulator);

/** Begins the probe, unless the answer is known.  Main thread; never blocks. */
void lodge_kvm_accel_start (LodgeKvmAccel *self);

/** What is known now.  @out_reason: why KVM cannot be used, else NULL.  Any thread. */
LodgeKvmProbeState lodge_kvm_accel_peek (LodgeKvmAccel *self, char **out_reason);

/**
 * lodge_kvm_accel_decide:
 * @wish: the value of vm.accel: "auto", "kvm" or "tcg"
 * @architecture: of the guest
 * @out_type: (out): "kvm" or "qemu", static; libvirt's domain type
 * @out_notice: (out) (transfer full) (nullable): a sentence for the user
 *
 * Waits for a probe that is running, up to its limit.  "kvm" is taken at its word.  NOT_SUPPORTED
 * when "kvm" is wished for and /dev/kvm cannot be opened.  Not on the main thread.
 */
gboolean lodge_kvm_accel_decide (LodgeKvmAccel *self, const char *wish, const char *architecture,
                                 const char **out_type, char **out_notice, GError **error);

G_END_DECLS
