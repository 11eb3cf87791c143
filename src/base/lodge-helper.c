/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of lodge-helper-protocol.h.  The end of a helper is seen through a pidfd
 * rather than g_child_watch_add(): GLib 2.74 routes SIGCHLD through a worker thread, which costs
 * an exec two more context switches.
 */
#include "lodge-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lodge-fd.h"
#include "lodge-helper-report.h"
#include "lodge-name.h"
#include "lodge/lodge-helper-protocol.h"

#define TERM_GRACE_SECONDS 2
#define STDERR_TAIL_MAX    1024
/* Above every number that a helper's descriptors get, so that remapping cannot overwrite it. */
#define SEALED_FD_MIN 200

struct _LodgeHelper
{
  GObject parent;

  char *program;
  GString *request;
  GArray *fds;          /* int: owned; the child gets them from LODGE_HELPER_FIRST_FD on */
  int stdio[3];         /* owned; -1: /dev/null */
  gboolean keep_stderr; /* the last words are wanted, nobody else gets them */
  guint timeout_seconds;

  LodgeHelperProgressFunc progress_func;
  gpointer progress_data;
  LodgeHelperLineFunc line_func;
  gpointer line_data;

  GTask *task; /* while it runs */
  GPid pid;
  int pidfd;
  int status_fd;
  int stderr_fd;
  guint pidfd_source;
  guint status_source;
  guint stderr_source;
  guint timeout_source;
  guint kill_source;
  gulong cancelled_id;

  LodgeHelperReport report;
  GString *stderr_tail;
  gboolean timed_out;
};

G_DEFINE_FINAL_TYPE (LodgeHelper, lodge_helper, G_TYPE_OBJECT)

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

static void
clear_source (guint *source)
{
  g_clear_handle_id (source, g_source_remove);
}

static void
stop_watching (LodgeHelper *self)
{
  clear_source (&self->pidfd_source);
  clear_source (&self->status_source);
  clear_source (&self->stderr_source);
  clear_source (&self->timeout_source);
  clear_source (&self->kill_source);
  close_fd (&self->pidfd);
  close_fd (&self->status_fd);
  close_fd (&self->stderr_fd);
}

static void
close_request_fds (LodgeHelper *self)
{
  for (guint i = 0; i < self->fds->len; i++)
    close_fd (&g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (self->stdio); i++)
    close_fd (&self->stdio[i]);
}

static void
lodge_helper_finalize (GObject *object)
{
  LodgeHelper *self = LODGE_HELPER (object);

  close_request_fds (self);
  stop_watching (self);
  g_array_unref (self->fds);
  g_free (self->program);
  g_string_free (self->request, TRUE);
  lodge_helper_report_clear (&self->report);
  g_string_free (self->stderr_tail, TRUE);
  G_OBJECT_CLASS (lodge_helper_parent_class)->finalize (object);
}

static void
lodge_helper_class_init (LodgeHelperClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_helper_finalize;
}

static void
lodge_helper_init (LodgeHelper *self)
{
  self->request = g_string_new (NULL);
  self->fds = g_array_new (FALSE, FALSE, sizeof (int));
  self->stdio[0] = self->stdio[1] = self->stdio[2] = -1;
  self->keep_stderr = TRUE;
  self->pidfd = self->status_fd = self->stderr_fd = -1;
  lodge_helper_report_init (&self->report);
  self->stderr_tail = g_string_new (NULL);
}

LodgeHelper *
lodge_helper_new (const char *program, const char *op)
{
  LodgeHelper *self = g_object_new (LODGE_TYPE_HELPER, NULL);

  self->program = g_strdup (program);
  lodge_helper_add (self, "op", op);
  return self;
}

void
lodge_helper_add (LodgeHelper *self, const char *key, const char *value)
{
  g_string_append_printf (self->request, "%s=", key);
  g_string_append (self->request, value);
  g_string_append_c (self->request, '\0');
}

void
lodge_helper_add_int (LodgeHelper *self, const char *key, gint64 value)
{
  char text[24];

  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, value);
  lodge_helper_add (self, key, text);
}

void
lodge_helper_add_fd (LodgeHelper *self, const char *name, int fd)
{
  g_autofree char *key = g_strconcat ("fd.", name, NULL);
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 3);

  lodge_helper_add_int (self, key, LODGE_HELPER_FIRST_FD + (int) self->fds->len);
  g_array_append_val (self->fds, copy);
}

void
lodge_helper_set_stdio (LodgeHelper *self, int stdin_fd, int stdout_fd, int stderr_fd)
{
  int fds[] = { stdin_fd, stdout_fd, stderr_fd };

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      close_fd (&self->stdio[i]);
      self->stdio[i] = fds[i] >= 0 ? fcntl (fds[i], F_DUPFD_CLOEXEC, 3) : -1;
    }
  self->keep_stderr = FALSE;
}

void
lodge_helper_set_timeout (LodgeHelper *self, guint seconds)
{
  self->timeout_seconds = seconds;
}

void
lodge_helper_set_progress_func (LodgeHelper *self, LodgeHelperProgressFunc func, gpointer user_data)
{
  self->progress_func = func;
  self->progress_data = user_data;
}

void
lodge_helper_set_line_func (LodgeHelper *self, LodgeHelperLineFunc func, gpointer user_data)
{
  self->line_func = func;
  self->line_data = user_data;
}

/* ---- lines that the helper writes ---- */

static void
on_report_line (const char *line, int fd, gpointer user_data)
{
  LodgeHelper *self = user_data;
  LodgeHelperProgress progress;

  if (lodge_helper_report_read_progress (line, &progress))
    {
      if (self->progress_func != NULL)
        self->progress_func (self, progress.fraction, progress.done, progress.total, progress.stage,
                             self->progress_data);
    }
  else if (self->line_func != NULL)
    {
      self->line_func (self, line, fd, self->line_data);
      return;
    }
  if (fd >= 0)
    close (fd);
}

static int
take_fd (struct msghdr *message)
{
  int fd = -1;

  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL; c = CMSG_NXTHDR (message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      memcpy (&fd, CMSG_DATA (c), sizeof fd);
  return fd;
}

/* Returns: whether there may be more. */
static gboolean
read_status (LodgeHelper *self)
{
  char buffer[LODGE_HELPER_LINE_MAX];
  char control[CMSG_SPACE (sizeof (int))] = { 0 };
  struct iovec iov = { buffer, sizeof buffer };
  struct msghdr message = {
    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
  };
  gssize n = recvmsg (self->status_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  if (n < 0)
    return errno == EINTR;
  if (n == 0)
    return FALSE;

  lodge_helper_report_feed (&self->report, buffer, (gsize) n, take_fd (&message), on_report_line,
                            self);
  return TRUE;
}

static gboolean
on_status (int fd, GIOCondition condition, gpointer user_data)
{
  g_autoptr (LodgeHelper) self = g_object_ref (user_data);

  if (read_status (self) || self->status_source == 0)
    return self->status_source != 0;
  if (errno == EAGAIN)
    return G_SOURCE_CONTINUE;
  self->status_source = 0;
  return G_SOURCE_REMOVE;
}

static gboolean
read_stderr (LodgeHelper *self)
{
  char buffer[1024];
  gssize n = read (self->stderr_fd, buffer, sizeof buffer);

  if (n <= 0)
    return FALSE;
  g_string_append_len (self->stderr_tail, buffer, n);
  if (self->stderr_tail->len > STDERR_TAIL_MAX)
    g_string_erase (self->stderr_tail, 0, (gssize) (self->stderr_tail->len - STDERR_TAIL_MAX));
  return TRUE;
}

static gboolean
on_stderr (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeHelper *self = user_data;

  if (read_stderr (self) || errno == EAGAIN)
    return G_SOURCE_CONTINUE;
  self->stderr_source = 0;
  return G_SOURCE_REMOVE;
}

/* ---- the end ---- */

static void
set_unexplained_error (LodgeHelper *self, const siginfo_t *info, GError **error)
{
  g_autofree char *program = g_path_get_basename (self->program);
  g_autofree char *how = info->si_code == CLD_EXITED
                             ? g_strdup_printf ("ended with status %d", info->si_status)
                             : g_strdup_printf ("was ended by signal %d", info->si_status);
  g_autofree char *tail = lodge_text_escape (g_strstrip (self->stderr_tail->str));

  g_set_error (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED, "%s %s%s%s", program, how,
               tail[0] != '\0' ? ": " : "", tail);
}

static void
finish (LodgeHelper *self, const siginfo_t *info)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  GError *error = NULL;

  if (self->cancelled_id != 0)
    g_cancellable_disconnect (cancellable, self->cancelled_id);
  self->cancelled_id = 0;
  self->pid = 0;
  stop_watching (self);

  /* Foreign bytes may have said so; how the process itself ended they cannot choose. */
  if (self->report.done && info->si_code == CLD_EXITED && info->si_status == 0)
    g_task_return_boolean (task, TRUE);
  else if (g_cancellable_is_cancelled (cancellable))
    g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_CANCELLED, "cancelled");
  else if (self->timed_out)
    g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_TIMED_OUT,
                             "it took longer than %u seconds", self->timeout_seconds);
  else if (self->report.error != NULL)
    g_task_return_error (task, g_steal_pointer (&self->report.error));
  else
    {
      set_unexplained_error (self, info, &error);
      g_task_return_error (task, error);
    }
}

static gboolean
on_exited (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeHelper *self = user_data;
  siginfo_t info = { 0 };

  if (waitid (P_PIDFD, (id_t) self->pidfd, &info, WEXITED | WNOHANG) < 0 && errno == EINTR)
    return G_SOURCE_CONTINUE;
  while (read_status (self))
    ;
  while (self->stderr_fd >= 0 && read_stderr (self))
    ;
  self->pidfd_source = 0;
  finish (self, &info);
  return G_SOURCE_REMOVE;
}

static gboolean
on_grace_over (gpointer user_data)
{
  LodgeHelper *self = user_data;

  self->kill_source = 0;
  lodge_helper_kill (self, SIGKILL);
  return G_SOURCE_REMOVE;
}

static void
terminate (LodgeHelper *self)
{
  lodge_helper_kill (self, SIGTERM);
  if (self->kill_source == 0)
    self->kill_source = g_timeout_add_seconds (TERM_GRACE_SECONDS, on_grace_over, self);
}

static gboolean
on_timeout (gpointer user_data)
{
  LodgeHelper *self = user_data;

  self->timeout_source = 0;
  self->timed_out = TRUE;
  terminate (self);
  return G_SOURCE_REMOVE;
}

static void
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  terminate (user_data);
}

/* ---- the start ---- */

static int
make_request (LodgeHelper *self, GError **error)
{
  g_auto (LodgeFd) fd = memfd_create ("lodge-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (self->request->len > LODGE_HELPER_REQUEST_MAX)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                   "the request is longer than %d bytes", LODGE_HELPER_REQUEST_MAX);
      return -1;
    }
  if (fd < 0 || write (fd, self->request->str, self->request->len) != (gssize) self->request->len
      || lseek (fd, 0, SEEK_SET) < 0
      || fcntl (fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot pass a request to %s", self->program);
      return -1;
    }
  return lodge_fd_steal (&fd);
}

static gboolean
spawn (LodgeHelper *self, int status_fd, int request_fd, GError **error)
{
  const char *argv[] = { self->program, NULL };
  g_autoptr (GArray) sources = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GArray) targets = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GError) local_error = NULL;
  g_auto (LodgeFd) null_fd = -1;
  GSpawnFlags flags
      = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_CLOEXEC_PIPES;
  int stdio[3];

  g_array_append_val (sources, status_fd);
  g_array_append_val (sources, request_fd);
  g_array_append_vals (sources, self->fds->data, self->fds->len);
  for (int i = 0; i < (int) sources->len; i++)
    {
      int target = LODGE_HELPER_STATUS_FD + i;
      g_array_append_val (targets, target);
    }

  null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  for (gsize i = 0; i < G_N_ELEMENTS (stdio); i++)
    stdio[i] = self->stdio[i] >= 0 ? self->stdio[i] : null_fd;
  if (!g_spawn_async_with_pipes_and_fds (
          NULL, argv, NULL, flags, NULL, NULL, stdio[0], stdio[1],
          self->keep_stderr ? -1 : stdio[2], (const int *) (void *) sources->data,
          (const int *) (void *) targets->data, sources->len, &self->pid, NULL, NULL,
          self->keep_stderr ? &self->stderr_fd : NULL, &local_error))
    {
      self->pid = 0;
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED, "cannot run %s: %s",
                   self->program, local_error->message);
      return FALSE;
    }
  return TRUE;
}

static gboolean
start (LodgeHelper *self, GError **error)
{
  int pair[2];
  g_auto (LodgeFd) request_fd = make_request (self, error);

  if (request_fd < 0)
    return FALSE;
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot run %s", self->program);
      return FALSE;
    }
  g_auto (LodgeFd) child_end = pair[1];
  self->status_fd = pair[0];
  if (!spawn (self, child_end, request_fd, error))
    {
      stop_watching (self);
      return FALSE;
    }
  close_request_fds (self);
  if (self->stderr_fd >= 0)
    g_unix_set_fd_nonblocking (self->stderr_fd, TRUE, NULL);
  self->pidfd = (int) syscall (SYS_pidfd_open, self->pid, 0);
  if (self->pidfd < 0)
    {
      lodge_error_set_errno (error, errno, "cannot watch %s", self->program);
      kill (self->pid, SIGKILL);
      waitpid (self->pid, NULL, 0);
      self->pid = 0;
      stop_watching (self);
      return FALSE;
    }
  return TRUE;
}

void
lodge_helper_run_async (LodgeHelper *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                        gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;

  g_return_if_fail (self->task == NULL && self->pid == 0);
  /* The end of a cancelled helper is the end of its process, not of our patience. */
  g_task_set_return_on_cancel (task, FALSE);
  g_task_set_check_cancellable (task, FALSE);
  if (g_cancellable_is_cancelled (cancellable))
    {
      g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_CANCELLED, "cancelled");
      return;
    }
  if (!start (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  self->task = g_steal_pointer (&task);
  self->status_source
      = g_unix_fd_add (self->status_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_status, self);
  self->pidfd_source = g_unix_fd_add (self->pidfd, G_IO_IN, on_exited, self);
  if (self->stderr_fd >= 0)
    self->stderr_source
        = g_unix_fd_add (self->stderr_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_stderr, self);
  if (self->timeout_seconds > 0)
    self->timeout_source = g_timeout_add_seconds (self->timeout_seconds, on_timeout, self);
  if (cancellable != NULL)
    self->cancelled_id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), self, NULL);
}

gboolean
lodge_helper_run_finish (LodgeHelper *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

const char *
lodge_helper_get_result (LodgeHelper *self, const char *key)
{
  return g_hash_table_lookup (self->report.results, key);
}

gboolean
lodge_helper_send (LodgeHelper *self, const char *line, GError **error)
{
  gsize size = strlen (line);

  if (self->status_fd >= 0
      && send (self->status_fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (gssize) size)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "the program has ended");
  return FALSE;
}

GPid
lodge_helper_get_pid (LodgeHelper *self)
{
  return self->pid;
}

void
lodge_helper_kill (LodgeHelper *self, int signum)
{
  if (self->pidfd >= 0)
    syscall (SYS_pidfd_send_signal, self->pidfd, signum, NULL, 0);
}

int
lodge_helper_seal_program (const char *path, GError **error)
{
  g_auto (LodgeFd) source = open (path, O_RDONLY | O_CLOEXEC);
  g_auto (LodgeFd) copy = memfd_create ("lodge-program", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_autofree char *contents = NULL;
  gsize size;

  if (source < 0 || copy < 0)
    {
      lodge_error_set_errno (error, errno, "cannot read %s", path);
      return -1;
    }
  contents = lodge_fd_read_all (source, 64 * 1024 * 1024, &size, error);
  if (contents == NULL || !lodge_fd_write_all (copy, contents, size, error))
    return -1;

  int high = fcntl (copy, F_DUPFD_CLOEXEC, SEALED_FD_MIN);
  if (high < 0 || fchmod (high, 0500) < 0
      || fcntl (high, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot seal a copy of %s", path);
      if (high >= 0)
        close (high);
      return -1;
    }
  return high;
}
