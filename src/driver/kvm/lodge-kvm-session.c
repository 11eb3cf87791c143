/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lodge-fd.h"

#define PING_SECONDS     2
#define BOOT_SECONDS     90 /* how long after its start a machine may still be booting */
#define AGENT_WAIT_USEC  (30 * G_USEC_PER_SEC)
#define AGENT_BACK_USEC  (3 * G_USEC_PER_SEC) /* how long one that is restarted may be away */
#define AGENT_RETRY_USEC 50000
#define ARGUMENTS_MAX    (96 * 1024) /* bytes of argv and environment: one agent message */
#define DEFAULT_PATH     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The client's side. */
struct _LodgeKvmProcess
{
  LodgeProcess parent_instance;

  LodgeKvmSession *session;
};

#define LODGE_TYPE_KVM_PROCESS (lodge_kvm_process_get_type ())
G_DECLARE_FINAL_TYPE (LodgeKvmProcess, lodge_kvm_process, LODGE, KVM_PROCESS, LodgeProcess)
G_DEFINE_FINAL_TYPE (LodgeKvmProcess, lodge_kvm_process, LODGE_TYPE_PROCESS)

static void
wake (LodgeKvmSession *session)
{
  guint64 one = 1;

  if (write (session->wake_fd, &one, sizeof one) < 0)
    g_debug ("cannot wake a session: %s", g_strerror (errno));
}

static gboolean
lodge_kvm_process_resize (LodgeProcess *process, guint rows, guint columns, GError **error)
{
  LodgeKvmSession *session = LODGE_KVM_PROCESS (process)->session;

  if (!session->tty)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED, "the program has no terminal");
      return FALSE;
    }
  g_mutex_lock (&session->lock);
  session->rows = rows;
  session->columns = columns;
  session->resized = TRUE;
  g_mutex_unlock (&session->lock);
  wake (session);
  return TRUE;
}

static gboolean
lodge_kvm_process_signal (LodgeProcess *process, int signum, GError **error)
{
  LodgeKvmSession *session = LODGE_KVM_PROCESS (process)->session;

  g_mutex_lock (&session->lock);
  g_array_append_val (session->signals, signum);
  g_mutex_unlock (&session->lock);
  wake (session);
  return TRUE;
}

static void
lodge_kvm_process_finalize (GObject *object)
{
  LodgeKvmSession *session = LODGE_KVM_PROCESS (object)->session;

  g_mutex_lock (&session->lock);
  session->hung_up = TRUE;
  g_mutex_unlock (&session->lock);
  wake (session);
  lodge_kvm_session_unref (session);
  G_OBJECT_CLASS (lodge_kvm_process_parent_class)->finalize (object);
}

static void
lodge_kvm_process_class_init (LodgeKvmProcessClass *klass)
{
  LodgeProcessClass *process_class = LODGE_PROCESS_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = lodge_kvm_process_finalize;
  process_class->resize = lodge_kvm_process_resize;
  process_class->signal = lodge_kvm_process_signal;
}

static void
lodge_kvm_process_init (LodgeKvmProcess *self)
{
}

static void
session_clear (gpointer data)
{
  LodgeKvmSession *session = data;
  int *fds[] = { &session->stdin_fd, &session->stdout_fd, &session->stderr_fd, &session->socket,
                 &session->wake_fd };

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    lodge_fd_clear (fds[i]);
  g_clear_object (&session->connection);
  g_clear_object (&session->agents);
  g_clear_pointer (&session->consoles, lodge_kvm_consoles_unref);
  g_clear_object (&session->cancellable);
  g_clear_pointer (&session->context, g_main_context_unref);
  g_free (session->uuid);
  g_free (session->console_log);
  g_free (session->id);
  g_free (session->name);
  g_free (session->user);
  g_free (session->cwd);
  g_strfreev (session->argv);
  g_strfreev (session->environment);
  g_array_unref (session->signals);
  g_weak_ref_clear (&session->process);
  g_mutex_clear (&session->lock);
}

LodgeKvmSession *
lodge_kvm_session_ref (LodgeKvmSession *session)
{
  return g_atomic_rc_box_acquire (session);
}

void
lodge_kvm_session_unref (LodgeKvmSession *session)
{
  g_atomic_rc_box_release_full (session, session_clear);
}

/* The name goes into a regular expression and a shell script in the guest. */
static gboolean
check_user (const char *user, GError **error)
{
  static const char allowed[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-";

  if (strspn (user, allowed) == strlen (user) && user[0] != '-' && strlen (user) <= 32)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "that is not the name of a user");
  return FALSE;
}

static gboolean
check_size (const LodgeExecRequest *request, GError **error)
{
  const char *const *const lists[] = { request->argv, request->environment };
  gsize size = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    for (gsize j = 0; lists[i] != NULL && lists[i][j] != NULL; j++)
      {
        if (!g_utf8_validate (lists[i][j], -1, NULL))
          {
            g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                         "arguments for a program in a virtual machine must be UTF-8");
            return FALSE;
          }
        size += strlen (lists[i][j]) + 1;
      }
  if (size <= ARGUMENTS_MAX)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
               "the guest agent takes at most %d bytes of arguments and environment",
               ARGUMENTS_MAX);
  return FALSE;
}

static int
dup_fd (int fd)
{
  return fd >= 0 ? fcntl (fd, F_DUPFD_CLOEXEC, 3) : -1;
}

static void
copy_request (LodgeKvmSession *session, const LodgeExecRequest *request)
{
  const char *user = request->user;

  session->user = g_strdup (user != NULL && *user != '\0' ? user : "root");
  session->argv = request->argv != NULL ? g_strdupv ((char **) request->argv) : g_new0 (char *, 1);
  session->environment = request->environment != NULL ? g_strdupv ((char **) request->environment)
                                                      : g_new0 (char *, 1);
  session->cwd = g_strdup (request->cwd);
  session->tty = request->tty;
  session->rows = request->rows != 0 ? request->rows : 24;
  session->columns = request->columns != 0 ? request->columns : 80;
  session->stdin_fd = dup_fd (request->stdin_fd);
  session->stdout_fd = dup_fd (request->stdout_fd);
  session->stderr_fd = dup_fd (request->stderr_fd);
}

LodgeKvmSession *
lodge_kvm_session_new (LodgeKvmDriver *driver, const char *uuid, const LodgeExecRequest *request,
                       LodgeKvmSessionFunc func, GError **error)
{
  if (request != NULL
      && ((request->user != NULL && !check_user (request->user, error))
          || !check_size (request, error)))
    return NULL;

  g_auto (LodgeFd) wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0)
    {
      lodge_error_set_errno (error, errno, "cannot make an event descriptor");
      return NULL;
    }
  LodgeKvmSession *session = g_atomic_rc_box_new0 (LodgeKvmSession);
  session->connection = g_object_ref (driver->agent_connection);
  session->agents = g_object_ref (driver->agents);
  session->consoles = lodge_kvm_consoles_ref (driver->consoles);
  session->context = g_main_context_ref_thread_default ();
  session->uuid = g_strdup (uuid);
  session->console_log
      = g_build_filename (driver->state_dir, "instances", uuid, "console.log", NULL);
  session->id = g_strdup_printf ("%s%08x", driver->nonce, g_random_int ());
  session->func = func;
  session->stdin_fd = session->stdout_fd = session->stderr_fd = session->socket = -1;
  session->wake_fd = lodge_fd_steal (&wake_fd);
  session->signals = g_array_new (FALSE, FALSE, sizeof (int));
  g_mutex_init (&session->lock);
  g_weak_ref_init (&session->process, NULL);
  if (request != NULL)
    copy_request (session, request);
  return session;
}

static gpointer
session_thread (gpointer data)
{
  LodgeKvmSession *session = data;
  sigset_t pipe_signal;

  /* A client that does not read any more is an error of write(2), not the end of the daemon. */
  sigemptyset (&pipe_signal);
  sigaddset (&pipe_signal, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &pipe_signal, NULL);
  session->func (session);
  lodge_kvm_session_unref (session);
  return NULL;
}

void
lodge_kvm_session_start (LodgeKvmSession *session, GTask *task)
{
  g_autoptr (GError) error = NULL;
  GCancellable *cancellable = g_task_get_cancellable (task);

  session->task = task;
  session->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  GThread *thread = g_thread_try_new ("kvm-session", session_thread, session, &error);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return;
    }
  g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED, "%s", error->message);
  g_object_unref (task);
  lodge_kvm_session_unref (session);
}

/* A message from the session's thread to the main one. */
typedef struct
{
  LodgeKvmSession *session;
  GError *error;
  int fd;
  int exit_status;
  int term_signal;
} Report;

static void
report_free (gpointer data)
{
  Report *report = data;

  lodge_kvm_session_unref (report->session);
  g_clear_error (&report->error);
  lodge_fd_clear (&report->fd);
  g_free (report);
}

static void
send_report (LodgeKvmSession *session, Report report, GSourceFunc func)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  report.session = lodge_kvm_session_ref (session);
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, func, g_memdup2 (&report, sizeof report), report_free);
  g_source_attach (source, session->context);
}

static gboolean
on_started (gpointer data)
{
  Report *report = data;
  LodgeKvmSession *session = report->session;
  g_autoptr (GTask) task = g_steal_pointer (&session->task);
  LodgeExecResult *result = g_new0 (LodgeExecResult, 1);

  LodgeKvmProcess *process = g_object_new (LODGE_TYPE_KVM_PROCESS, NULL);
  process->session = lodge_kvm_session_ref (session);
  g_weak_ref_set (&session->process, process);
  result->process = LODGE_PROCESS (process);
  result->pty_fd = lodge_fd_steal (&report->fd);
  g_task_return_pointer (task, result, (GDestroyNotify) lodge_exec_result_free);
  return G_SOURCE_REMOVE;
}

static gboolean
on_failed (gpointer data)
{
  Report *report = data;
  g_autoptr (GTask) task = g_steal_pointer (&report->session->task);

  g_task_return_error (task, g_steal_pointer (&report->error));
  return G_SOURCE_REMOVE;
}

static gboolean
on_exited (gpointer data)
{
  Report *report = data;
  g_autoptr (LodgeProcess) process = g_weak_ref_get (&report->session->process);

  if (process != NULL)
    lodge_process_set_exited (process, report->exit_status, report->term_signal);
  return G_SOURCE_REMOVE;
}

void
lodge_kvm_session_started (LodgeKvmSession *session, int fd)
{
  send_report (session, (Report){ .fd = fd }, on_started);
}

void
lodge_kvm_session_failed (LodgeKvmSession *session, GError *error)
{
  send_report (session, (Report){ .fd = -1, .error = error }, on_failed);
}

void
lodge_kvm_session_exited (LodgeKvmSession *session, int exit_status, int term_signal)
{
  /* A client that waits for the end of its pipe must not wait for its own LodgeProcess. */
  lodge_fd_clear (&session->stdin_fd);
  lodge_fd_clear (&session->stdout_fd);
  lodge_fd_clear (&session->stderr_fd);
  send_report (session,
               (Report){ .fd = -1, .exit_status = exit_status, .term_signal = term_signal },
               on_exited);
}

void
lodge_kvm_wishes_clear (LodgeKvmWishes *wishes)
{
  g_clear_pointer (&wishes->signals, g_array_unref);
}

void
lodge_kvm_session_get_wishes (LodgeKvmSession *session, LodgeKvmWishes *out_wishes)
{
  guint64 count;

  if (read (session->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
    g_debug ("cannot read an event descriptor: %s", g_strerror (errno));
  g_mutex_lock (&session->lock);
  *out_wishes = (LodgeKvmWishes){ .hung_up = session->hung_up,
                                  .resized = session->resized,
                                  .rows = session->rows,
                                  .columns = session->columns,
                                  .signals = session->signals };
  session->signals = g_array_new (FALSE, FALSE, sizeof (int));
  session->resized = FALSE;
  g_mutex_unlock (&session->lock);
}

gboolean
lodge_kvm_session_is_booting (LodgeKvmSession *session)
{
  LodgeKvmAgentState state = lodge_kvm_agents_get_state (session->agents, session->uuid);
  gint64 uptime = lodge_kvm_uptime (session->name, session->uuid);
  gint64 since_reboot = g_get_monotonic_time () - state.rebooted_at;

  return !state.ever_present
         && ((uptime >= 0 && uptime < BOOT_SECONDS)
             || (state.rebooted_at != 0 && since_reboot < BOOT_SECONDS * G_USEC_PER_SEC));
}

/* For how long an agent that does not answer is worth waiting for, in microseconds. */
static gint64
get_patience (LodgeKvmSession *session, const GError *why, gint64 while_booting)
{
  if (g_error_matches (why, LODGE_ERROR, LODGE_ERROR_BUSY))
    return AGENT_WAIT_USEC;
  if (!g_error_matches (why, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE))
    return 0;
  if (lodge_kvm_session_is_booting (session))
    return while_booting;
  return lodge_kvm_agents_get_state (session->agents, session->uuid).ever_present
             ? MIN (AGENT_BACK_USEC, while_booting)
             : 0;
}

gboolean
lodge_kvm_session_wait_for_agent (LodgeKvmSession *session, gboolean briefly, GError **error)
{
  gint64 while_booting = briefly ? AGENT_BACK_USEC : AGENT_WAIT_USEC;
  gint64 began = g_get_monotonic_time ();
  g_autoptr (virDomain) domain
      = lodge_virt_connection_lookup (session->connection, session->uuid, error);

  if (domain == NULL)
    return FALSE;
  g_free (session->name);
  session->name = g_strdup (virDomainGetName (domain));
  while (TRUE)
    {
      g_autoptr (GError) local_error = NULL;
      if (lodge_kvm_agents_call (session->agents, session->uuid, "guest-ping", NULL, PING_SECONDS,
                                 NULL, &local_error))
        return TRUE;
      if (g_cancellable_is_cancelled (session->cancellable))
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, "cancelled");
          return FALSE;
        }
      if (g_get_monotonic_time () - began >= get_patience (session, local_error, while_booting))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      g_usleep (AGENT_RETRY_USEC);
    }
}

void
lodge_kvm_session_fire (LodgeKvmSession *session, const char *script, const char *argument)
{
  const char *argv[] = { "/bin/sh", "-c", script, "lodge", argument, NULL };
  g_autoptr (GError) error = NULL;
  g_auto (LodgeKvmExit) end = { 0 };

  if (!lodge_kvm_agents_run (session->agents, session->uuid, argv, NULL, 5, &end, &error))
    g_debug ("a command in machine %s failed: %s", session->uuid, error->message);
}

void
lodge_kvm_session_kill (LodgeKvmSession *session, const char *prefix, int signum)
{
  g_autofree char *script = g_strdup_printf ("kill -%d \"$(cat \"$1.p\")\"", signum);

  lodge_kvm_session_fire (session, script, prefix);
}

static void
add_default (GStrvBuilder *builder, char *const *given, const char *variable)
{
  gsize length = strcspn (variable, "=") + 1;

  for (gsize i = 0; given[i] != NULL; i++)
    if (strncmp (given[i], variable, length) == 0)
      return;
  g_strv_builder_add (builder, variable);
}

char **
lodge_kvm_session_environment (LodgeKvmSession *session)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  add_default (builder, session->environment, DEFAULT_PATH);
  if (session->tty)
    add_default (builder, session->environment, "TERM=xterm-256color");
  g_strv_builder_addv (builder, (const char **) session->environment);
  return g_strv_builder_end (builder);
}
