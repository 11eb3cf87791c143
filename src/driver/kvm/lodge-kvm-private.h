/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-domain-xml.h"
#include "lodge-executor.h"
#include "lodge-kvm-accel.h"
#include "lodge-kvm-agent.h"
#include "lodge-kvm-driver.h"
#include "lodge-virt-connection.h"
#include "lodge-virt-error.h"

G_BEGIN_DECLS

#define LODGE_KVM_NONCE_LENGTH 8

typedef struct _LodgeKvmConsoles LodgeKvmConsoles;

struct _LodgeKvmDriver
{
  GObject parent_instance;

  char *state_dir;
  char *run_dir;
  char *libexec_dir;
  /* Two, because libvirtd admits five requests a client: programs and files in guests, which
   * wait for agents, must not hold up starting and stopping. */
  LodgeVirtConnection *connection;
  LodgeVirtConnection *agent_connection;
  LodgeKvmAgents *agents;
  LodgeKvmAccel *accel;
  LodgeKvmConsoles *consoles;
  LodgeExecutor *offline_pool; /* looks disks up */
  /* Eight hex digits that no other lodged has: tells what belongs to this one. */
  char nonce[LODGE_KVM_NONCE_LENGTH + 1];

  LodgeDomainEventFunc event_func;
  gpointer event_data;
};

/* The slots of LodgeDriverInterface, by capability; see lodge-driver.h.  kvm-lifecycle */
GPtrArray *lodge_kvm_list (LodgeDriver *driver, GCancellable *cancellable, GError **error);
LodgeDomainInfo *lodge_kvm_lookup (LodgeDriver *driver, const char *uuid, GError **error);
LodgeDomainInfo *lodge_kvm_lookup_name (LodgeDriver *driver, const char *name, GError **error);
gboolean lodge_kvm_define (LodgeDriver *driver, const LodgeDomainSpec *spec,
                           GPtrArray *out_notices, GCancellable *cancellable, GError **error);
gboolean lodge_kvm_undefine (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_kvm_power_on (LodgeDriver *driver, const char *uuid, GCancellable *cancellable,
                             GError **error);
gboolean lodge_kvm_shutdown (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_kvm_kill (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_kvm_pause (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_kvm_resume (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_kvm_rename (LodgeDriver *driver, const char *uuid, const char *new_name,
                           GError **error);
gboolean lodge_kvm_eject (LodgeDriver *driver, const char *uuid, gboolean force, GError **error);
char *lodge_kvm_get_xml (LodgeDriver *driver, const char *uuid, GError **error);

/* kvm-cpu */
/**
 * lodge_kvm_check_cpu:
 * @domain_type: "kvm" or "qemu"
 *
 * Whether vm.cpu of @spec can be had: INVALID_CONFIG with the nearest name for a model that libvirt
 * does not know, NOT_SUPPORTED for the host's processor without KVM.  Blocking.
 */
gboolean lodge_kvm_check_cpu (virConnectPtr connection, const LodgeDomainSpec *spec,
                              const char *domain_type, GError **error);

/* kvm-stats */
LodgeUsage *lodge_kvm_get_usage (LodgeDriver *driver, const char *uuid, GError **error);

/** Seconds since QEMU was started; -1: not known.  Any thread. */
gint64 lodge_kvm_uptime (const char *name, const char *uuid);

/* kvm-exec */
void lodge_kvm_exec (LodgeDriver *driver, const char *uuid, const LodgeExecRequest *request,
                     GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
LodgeExecResult *lodge_kvm_exec_finish (LodgeDriver *driver, GAsyncResult *result,
                                        GError **error);

/* kvm-console */
/* Shared by the driver and the sessions; any thread. */
LodgeKvmConsoles *lodge_kvm_consoles_new (LodgeVirtConnection *connection);
LodgeKvmConsoles *lodge_kvm_consoles_ref (LodgeKvmConsoles *self);
void lodge_kvm_consoles_unref (LodgeKvmConsoles *self);
/** One end of a socket pair on the serial console of @uuid; never blocks.  -1 on failure. */
int lodge_kvm_consoles_open (LodgeKvmConsoles *self, const char *uuid, GError **error);
int lodge_kvm_open_console (LodgeDriver *driver, const char *uuid, GError **error);
int lodge_kvm_open_console_log (LodgeDriver *driver, const char *uuid, GError **error);

/* kvm-files */
void lodge_kvm_open_files (LodgeDriver *driver, const char *uuid, gboolean running,
                           GCancellable *cancellable, GAsyncReadyCallback callback,
                           gpointer user_data);
int lodge_kvm_open_files_finish (LodgeDriver *driver, GAsyncResult *result,
                                 LodgeProcess **out_server, GError **error);

/* kvm-offline */
/** Serves the files of a domain that does not run; ends @task (taken) as open_files does. */
void lodge_kvm_open_files_offline (LodgeKvmDriver *self, const char *uuid, GTask *task);

/**
 * lodge_kvm_find_qemu:
 * @out_pid: (out): the process of the running domain
 *
 * Opens QEMU's process through the pid file that libvirt keeps, after checking that the process
 * is the one of @uuid.  Any thread.
 *
 * Returns: a pidfd, close-on-exec, or -1 without an error: it was not found.
 */
int lodge_kvm_find_qemu (const char *name, const char *uuid, pid_t *out_pid);

/** The live XML of @domain; (transfer full).  Blocking. */
char *lodge_kvm_domain_xml (virDomainPtr domain, guint flags, GError **error);

G_END_DECLS
