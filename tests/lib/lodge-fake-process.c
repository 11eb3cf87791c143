/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fake-process.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lodge-fd.h"
#include "lodge-files-server.h"

struct _LodgeFakeProcess
{
  LodgeProcess parent;

  GPid pid; /* 0: none, or it has ended */
  int pty_fd;
};

G_DEFINE_FINAL_TYPE (LodgeFakeProcess, lodge_fake_process, LODGE_TYPE_PROCESS)

static gboolean
lodge_fake_process_resize (LodgeProcess *process, guint rows, guint columns, GError **error)
{
  LodgeFakeProcess *self = LODGE_FAKE_PROCESS (process);
  struct winsize size = { .ws_row = (guint16) rows, .ws_col = (guint16) columns };

  if (self->pty_fd >= 0 && ioctl (self->pty_fd, TIOCSWINSZ, &size) == 0)
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "it has no terminal");
  return FALSE;
}

static gboolean
lodge_fake_process_signal (LodgeProcess *process, int signum, GError **error)
{
  LodgeFakeProcess *self = LODGE_FAKE_PROCESS (process);

  /* The program leads a group of its own. */
  if (self->pid != 0 && kill (-self->pid, signum) == 0)
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "the program has ended");
  return FALSE;
}

static void
lodge_fake_process_finalize (GObject *object)
{
  lodge_fd_clear (&LODGE_FAKE_PROCESS (object)->pty_fd);
  G_OBJECT_CLASS (lodge_fake_process_parent_class)->finalize (object);
}

static void
lodge_fake_process_class_init (LodgeFakeProcessClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_fake_process_finalize;
  LODGE_PROCESS_CLASS (klass)->resize = lodge_fake_process_resize;
  LODGE_PROCESS_CLASS (klass)->signal = lodge_fake_process_signal;
}

static void
lodge_fake_process_init (LodgeFakeProcess *self)
{
  self->pty_fd = -1;
}

/* ---- exec ---- */

static void
on_ended (GPid pid, int status, gpointer user_data)
{
  GWeakRef *weak = user_data;
  g_autoptr (LodgeFakeProcess) self = g_weak_ref_get (weak);

  g_spawn_close_pid (pid);
  if (self == NULL)
    return;
  self->pid = 0;
  lodge_process_set_exited (LODGE_PROCESS (self), WIFEXITED (status) ? WEXITSTATUS (status) : 0,
                            WIFSIGNALED (status) ? WTERMSIG (status) : 0);
}

static void
weak_ref_free (GWeakRef *weak)
{
  g_weak_ref_clear (weak);
  g_free (weak);
}

/* Between fork and exec. */
static void
lead_group (gpointer user_data)
{
  setpgid (0, 0);
}

static void
lead_session (gpointer user_data)
{
  setsid ();
  ioctl (0, TIOCSCTTY, 0);
}

static gboolean
set_not_started (gpointer user_data)
{
  lodge_process_set_exited (user_data, 127, 0);
  return G_SOURCE_REMOVE;
}

static char **
make_environment (const LodgeExecRequest *request)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strv_builder_add (builder, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
  for (gsize i = 0; request->environment != NULL && request->environment[i] != NULL; i++)
    g_strv_builder_add (builder, request->environment[i]);
  return g_strv_builder_end (builder);
}

static gboolean
open_pty (const LodgeExecRequest *request, int *out_master, int *out_slave, GError **error)
{
  struct winsize size = { .ws_row = (guint16) request->rows, .ws_col = (guint16) request->columns };

  if (openpty (out_master, out_slave, NULL, NULL, &size) == 0)
    {
      fcntl (*out_master, F_SETFD, FD_CLOEXEC);
      fcntl (*out_slave, F_SETFD, FD_CLOEXEC);
      return TRUE;
    }
  lodge_error_set_errno (error, errno, "no terminal");
  return FALSE;
}

LodgeExecResult *
lodge_fake_process_spawn (const LodgeExecRequest *request, GError **error)
{
  static const char *const shell[] = { "/bin/sh", NULL };
  const char *const *argv
      = request->argv != NULL && request->argv[0] != NULL ? request->argv : shell;
  g_auto (GStrv) environment = make_environment (request);
  g_autoptr (LodgeFakeProcess) process = g_object_new (LODGE_TYPE_FAKE_PROCESS, NULL);
  g_autoptr (LodgeExecResult) result = g_new0 (LodgeExecResult, 1);
  g_autoptr (GError) spawn_error = NULL;
  int stdio[] = { request->stdin_fd, request->stdout_fd, request->stderr_fd };
  g_auto (LodgeFd) slave = -1;

  result->pty_fd = -1;
  if (request->tty)
    {
      if (!open_pty (request, &result->pty_fd, &slave, error))
        return NULL;
      process->pty_fd = fcntl (result->pty_fd, F_DUPFD_CLOEXEC, 3);
      stdio[0] = stdio[1] = stdio[2] = slave;
    }
  if (g_spawn_async_with_pipes_and_fds (request->cwd, argv, (const char *const *) environment,
                                        G_SPAWN_SEARCH_PATH_FROM_ENVP | G_SPAWN_DO_NOT_REAP_CHILD,
                                        request->tty ? lead_session : lead_group, NULL, stdio[0],
                                        stdio[1], stdio[2], NULL, NULL, 0, &process->pid, NULL,
                                        NULL, NULL, &spawn_error))
    {
      GWeakRef *weak = g_new0 (GWeakRef, 1);

      g_weak_ref_init (weak, process);
      g_child_watch_add_full (G_PRIORITY_DEFAULT, process->pid, on_ended, weak,
                              (GDestroyNotify) weak_ref_free);
    }
  else
    g_idle_add_full (G_PRIORITY_DEFAULT, set_not_started, g_object_ref (process), g_object_unref);
  result->process = LODGE_PROCESS (g_steal_pointer (&process));
  return g_steal_pointer (&result);
}

/* ---- files ---- */

typedef struct
{
  LodgeFakeProcess *process; /* a reference */
  int session;
  int root;
} FilesThread;

static gboolean
files_ended (gpointer user_data)
{
  lodge_process_set_exited (user_data, 0, 0);
  return G_SOURCE_REMOVE;
}

static gpointer
serve_files (gpointer user_data)
{
  FilesThread *thread = user_data;
  LodgeFilesServer server = { .session = thread->session, .root = thread->root, .ids = UINT32_MAX };
  LodgeFail fail = { 0 };

  server.self = open ("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  lodge_files_serve (&server, &fail);
  close (server.self);
  close (thread->session);
  close (thread->root);
  g_idle_add_full (G_PRIORITY_DEFAULT, files_ended, thread->process, g_object_unref);
  g_free (thread);
  return NULL;
}

int
lodge_fake_files_open (const char *root, LodgeProcess **out_server, GError **error)
{
  FilesThread *thread;
  g_auto (LodgeFd) root_fd = -1;
  int ends[2];

  if (g_mkdir_with_parents (root, 0755) != 0
      || (root_fd = open (root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0
      || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    {
      lodge_error_set_errno (error, errno, "no files session on %s", root);
      return -1;
    }
  thread = g_new0 (FilesThread, 1);
  thread->process = g_object_new (LODGE_TYPE_FAKE_PROCESS, NULL);
  thread->session = ends[0];
  thread->root = lodge_fd_steal (&root_fd);
  *out_server = g_object_ref (LODGE_PROCESS (thread->process));
  g_thread_unref (g_thread_new ("fake-files", serve_files, thread));
  return ends[1];
}

/* ---- console ---- */

static gboolean
echo (int fd, GIOCondition condition, gpointer user_data)
{
  char buffer[4096];
  gssize size = read (fd, buffer, sizeof buffer);

  if (size > 0 && lodge_fd_write_all (fd, buffer, (gsize) size, NULL))
    return G_SOURCE_CONTINUE;
  close (fd);
  return G_SOURCE_REMOVE;
}

int
lodge_fake_console_open (GError **error)
{
  int ends[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    {
      lodge_error_set_errno (error, errno, "no console");
      return -1;
    }
  g_unix_fd_add (ends[0], G_IO_IN | G_IO_HUP, echo, NULL);
  return ends[1];
}

int
lodge_fake_log_open (const char *text, GError **error)
{
  g_auto (LodgeFd) fd = memfd_create ("console-log", MFD_CLOEXEC);

  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "no console log");
      return -1;
    }
  if (!lodge_fd_write_all (fd, text, strlen (text), error))
    return -1;
  lseek (fd, 0, SEEK_SET);
  return lodge_fd_steal (&fd);
}
