/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-kvm-private.h"

G_BEGIN_DECLS

/*
 * Something that goes on in a guest for as long as a client wants it: a program, a shell, a file
 * session.  Each has a thread of its own, because talking to an agent blocks; the client's side
 * is a LodgeProcess, which lives on the main thread.  They share this.
 */
typedef struct _LodgeKvmSession LodgeKvmSession;

/** The work; reports `started` or `failed` once, and `exited` at the end when it had started. */
typedef void (*LodgeKvmSessionFunc) (LodgeKvmSession *session);

struct _LodgeKvmSession
{
  /* Set before the thread starts, constant after that. */
  LodgeVirtConnection *connection; /* for agents and devices */
  LodgeKvmAgents *agents;
  LodgeKvmConsoles *consoles;
  GCancellable *cancellable; /* nullable: of the request, counts until `started` */
  char *uuid;
  char *console_log; /* path; there need not be such a file */
  char *id;          /* 16 hex digits: the driver's nonce and a random number; names what is made */
  char *name;        /* of the domain; set by lodge_kvm_session_wait_for_agent() */
  LodgeKvmSessionFunc func;
  GMainContext *context;

  /* The request. */
  char *user;
  char **argv;        /* NULL-ended, maybe empty */
  char **environment; /* NULL-ended */
  char *cwd;          /* nullable */
  gboolean tty;
  int stdin_fd, stdout_fd, stderr_fd; /* owned; -1: none */
  int socket;                         /* owned; of a file session */

  int wake_fd; /* an eventfd: something below has changed */

  GMutex lock; /* guards what follows */
  guint rows, columns;
  gboolean resized;
  gboolean hung_up; /* the client is gone: end it */
  GArray *signals;  /* of int, to be sent to the program */

  /* Main thread only. */
  GTask *task;
  GWeakRef process;
};

/**
 * lodge_kvm_session_new:
 * @request: (nullable): copied; descriptors are dup'ed
 *
 * Main thread.  Sets @error when @request cannot be served.
 */
LodgeKvmSession *lodge_kvm_session_new (LodgeKvmDriver *driver, const char *uuid,
                                        const LodgeExecRequest *request,
                                        LodgeKvmSessionFunc func, GError **error);
LodgeKvmSession *lodge_kvm_session_ref (LodgeKvmSession *session);
void lodge_kvm_session_unref (LodgeKvmSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeKvmSession, lodge_kvm_session_unref)

/**
 * lodge_kvm_session_start:
 * @session: (transfer full)
 * @task: (transfer full): gets a LodgeExecResult or an error
 */
void lodge_kvm_session_start (LodgeKvmSession *session, GTask *task);

/* For the thread. */

/** @fd: (transfer full): what the client gets; -1: nothing. */
void lodge_kvm_session_started (LodgeKvmSession *session, int fd);
/** @error: (transfer full) */
void lodge_kvm_session_failed (LodgeKvmSession *session, GError *error);
/** Also closes the client's descriptors. */
void lodge_kvm_session_exited (LodgeKvmSession *session, int exit_status, int term_signal);

/** What the client asked for since the last call. */
typedef struct
{
  gboolean hung_up;
  gboolean resized;
  guint rows, columns;
  GArray *signals; /* of int */
} LodgeKvmWishes;

void lodge_kvm_wishes_clear (LodgeKvmWishes *wishes);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeKvmWishes, lodge_kvm_wishes_clear)
/** Also resets the wake_fd. */
void lodge_kvm_session_get_wishes (LodgeKvmSession *session, LodgeKvmWishes *out_wishes);

/**
 * lodge_kvm_session_wait_for_agent:
 * @briefly: no longer than a few seconds, also while the machine is booting
 *
 * Makes sure that the agent answers.  One that answered before gets a few seconds to come back;
 * while the machine is booting it gets half a minute.
 */
gboolean lodge_kvm_session_wait_for_agent (LodgeKvmSession *session, gboolean briefly,
                                           GError **error);

/** Whether the machine may still be booting.  After lodge_kvm_session_wait_for_agent(). */
gboolean lodge_kvm_session_is_booting (LodgeKvmSession *session);

/*
 * A session's files in the guest are <prefix>.0 and so on: in /run, which is root's alone, so that
 * nobody can put anything in their place.
 */
#define LODGE_KVM_GUEST_PREFIX "/run/lodge-"

/** Sends @signum to the program whose pid is in the guest's file <prefix>.p. */
void lodge_kvm_session_kill (LodgeKvmSession *session, const char *prefix, int signum);

/** Runs a shell script in the guest and does not wait for its end. */
void lodge_kvm_session_fire (LodgeKvmSession *session, const char *script, const char *argument);

/** The environment for guest-exec: the request's, with PATH and TERM. (transfer full) */
char **lodge_kvm_session_environment (LodgeKvmSession *session);

/*
 * A piece of shell script that becomes $1 (a user) in the directory $2 ("": home) and executes
 * the rest of the arguments; without any, a login shell.  Uses what every Linux has.
 */
#define LODGE_KVM_ENTER                                                                           \
  "u=$1 d=$2; shift 2\n"                                                                          \
  "n=\n"                                                                                          \
  "while IFS=: read -r n x i g c h s; do\n"                                                       \
  "  [ \"$u\" = \"$n\" ] || [ \"$u\" = \"$i\" ] && break; n=\n"                                   \
  "done </etc/passwd\n"                                                                           \
  "[ -n \"$n\" ] || IFS=: read -r n x i g c h s <<LODGE\n"                                        \
  "$(getent passwd \"$u\" 2>/dev/null)\n"                                                         \
  "LODGE\n"                                                                                       \
  "[ -n \"$n\" ] || { echo \"lodge: there is no user '$u' in this machine\" >&2; exit 125; }\n"   \
  ": \"${HOME:=$h}\" \"${USER:=$n}\" \"${LOGNAME:=$n}\"\n"                                        \
  "SHELL=${s:-/bin/sh}; export HOME USER LOGNAME SHELL\n"                                         \
  "if [ -n \"$d\" ]; then cd \"$d\" || exit 125; else cd \"$h\" 2>/dev/null || cd /; fi\n"        \
  "[ $# -gt 0 ] || set -- \"$SHELL\" -l\n"                                                        \
  "[ \"$i\" = 0 ] && exec \"$@\"\n"                                                               \
  "command -v setpriv >/dev/null && exec setpriv --reuid=\"$i\" --regid=\"$g\" --init-groups "    \
  "-- \"$@\"\n"                                                                                   \
  "exec runuser -u \"$n\" -- \"$@\"\n"

G_END_DECLS
