/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-json.h"
#include "lodge-kvm-reply.h"
#include "lodge-virt-connection.h"

G_BEGIN_DECLS

/*
 * The QEMU guest agent of each VM.  All calls block, each with a limit, and belong on a thread
 * of their own: an agent may be connected and never answer.  Calls to one VM take turns, and all
 * agents that hang together hold two of the connection's requests and no more.
 */
#define LODGE_TYPE_KVM_AGENTS (lodge_kvm_agents_get_type ())
G_DECLARE_FINAL_TYPE (LodgeKvmAgents, lodge_kvm_agents, LODGE, KVM_AGENTS, GObject)

/* A message must stay below the socket buffer of the channel (net.core.wmem_default, 212992),
 * else it is lost; base64 makes this 64 KiB. */
#define LODGE_KVM_AGENT_BLOCK (48 * 1024)

LodgeKvmAgents *lodge_kvm_agents_new (LodgeVirtConnection *connection);

/**
 * lodge_kvm_agents_call:
 * @arguments: (nullable): the command's arguments
 * @seconds: limit, at least 1
 * @out_return: (out) (optional) (transfer full): the reply's "return"
 *
 * AGENT_UNAVAILABLE, with a hint, when no agent answers; BUSY when the turn did not come within
 * @seconds; BACKEND when it refuses, with its sentence; INVALID_STATE when the VM does not run.  A
 * call to an agent that has hung lately fails at once while another one tries.  Any thread but the
 * main one.
 */
gboolean lodge_kvm_agents_call (LodgeKvmAgents *self, const char *uuid, const char *command,
                                JsonObject *arguments, guint seconds, JsonNode **out_return,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_kvm_agents_is_suspect:
 *
 * Returns: whether a call has timed out lately: do without what is merely nice to have.
 */
gboolean lodge_kvm_agents_is_suspect (LodgeKvmAgents *self, const char *uuid);

/** Forgets what is known of a VM that has stopped.  Any thread. */
void lodge_kvm_agents_forget (LodgeKvmAgents *self, const char *uuid);

/** The VM boots once more: forgets what is known of its agent.  Any thread. */
void lodge_kvm_agents_set_rebooted (LodgeKvmAgents *self, const char *uuid);

/** What libvirt says: the agent has come, or has gone.  Any thread. */
void lodge_kvm_agents_set_present (LodgeKvmAgents *self, const char *uuid, gboolean present);

/** What is known of an agent without asking it; a value. */
typedef struct
{
  gboolean present;
  gboolean ever_present; /* since the machine has booted */
  gint64 absent_since;   /* monotonic microseconds; 0: it is there, or was never seen */
  gint64 rebooted_at;    /* monotonic microseconds; 0: not since it was started */
} LodgeKvmAgentState;

/** Never waits.  Any thread. */
LodgeKvmAgentState lodge_kvm_agents_get_state (LodgeKvmAgents *self, const char *uuid);

/**
 * lodge_kvm_agents_spawn:
 * @argv: NULL-ended; argv[0] is a path
 * @environment: (nullable): replaces the agent's own
 * @input: (nullable): the program's stdin, then its end
 * @out_pid: (out): in the guest
 *
 * guest-exec.  @capture: keep its output for lodge_kvm_agents_reap().
 */
gboolean lodge_kvm_agents_spawn (LodgeKvmAgents *self, const char *uuid, const char *const *argv,
                                 const char *const *environment, GBytes *input, gboolean capture,
                                 gint64 *out_pid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** guest-exec-status; once `exited` is set the guest forgets @pid. */
gboolean lodge_kvm_agents_reap (LodgeKvmAgents *self, const char *uuid, gint64 pid,
                                LodgeKvmExit *out_end, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_kvm_agents_run:
 *
 * Runs a short program to its end, at most @seconds, and captures its output (4 MiB at most).
 */
gboolean lodge_kvm_agents_run (LodgeKvmAgents *self, const char *uuid, const char *const *argv,
                               GBytes *input, guint seconds, LodgeKvmExit *out_end,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Files in the guest.  @mode as fopen(3). */
gboolean lodge_kvm_agents_file_open (LodgeKvmAgents *self, const char *uuid, const char *path,
                                     const char *mode, gint64 *out_handle,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean lodge_kvm_agents_file_close (LodgeKvmAgents *self, const char *uuid, gint64 handle,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/** Up to a block; @out_eof: there is no more just now.  (transfer full) */
GBytes *lodge_kvm_agents_file_read (LodgeKvmAgents *self, const char *uuid, gint64 handle,
                                    gboolean *out_eof, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/** Where the next read begins. */
gboolean lodge_kvm_agents_file_seek (LodgeKvmAgents *self, const char *uuid, gint64 handle,
                                     guint64 offset, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/** Writes all of @data (at most a block) and flushes it. */
gboolean lodge_kvm_agents_file_write (LodgeKvmAgents *self, const char *uuid, gint64 handle,
                                      const void *data, gsize size, gboolean flush,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
