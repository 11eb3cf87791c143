/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs in a container, by lodge-enter.  The way from the call to execve(2) has no libvirt in
 * it: it works while libvirtd is down, and takes a millisecond or two.
 */
#include "lodge-lxc-exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-fd.h"

#define EXEC_CGROUP "lodge-exec"

struct _LodgeLxcProcess
{
  LodgeProcess parent;

  LodgeHelper *helper;
  GTask *starting;    /* until the program runs or cannot */
  int pty_fd;         /* until it is handed out */
  gboolean is_server; /* signals are for lodge-enter itself: there is no program */
};

G_DEFINE_FINAL_TYPE (LodgeLxcProcess, lodge_lxc_process, LODGE_TYPE_PROCESS)

static gboolean
process_signal (LodgeProcess *process, int signum, GError **error)
{
  LodgeLxcProcess *self = LODGE_LXC_PROCESS (process);
  if (self->is_server)
    {
      lodge_helper_kill (self->helper, signum);
      return TRUE;
    }
  g_autofree char *line = g_strdup_printf ("signal %d\n", signum);
  return lodge_helper_send (self->helper, line, error);
}

static gboolean
process_resize (LodgeProcess *process, guint rows, guint columns, GError **error)
{
  LodgeLxcProcess *self = LODGE_LXC_PROCESS (process);
  g_autofree char *line = g_strdup_printf ("resize %u %u\n", rows, columns);
  return lodge_helper_send (self->helper, line, error);
}

static void
process_finalize (GObject *object)
{
  LodgeLxcProcess *self = LODGE_LXC_PROCESS (object);
  lodge_fd_clear (&self->pty_fd);
  g_clear_object (&self->helper);
  G_OBJECT_CLASS (lodge_lxc_process_parent_class)->finalize (object);
}

static void
lodge_lxc_process_class_init (LodgeLxcProcessClass *klass)
{
  LodgeProcessClass *process_class = LODGE_PROCESS_CLASS (klass);
  G_OBJECT_CLASS (klass)->finalize = process_finalize;
  process_class->signal = process_signal;
  process_class->resize = process_resize;
}

static void
lodge_lxc_process_init (LodgeLxcProcess *self)
{
  self->pty_fd = -1;
}

/* ---- what lodge-enter says ---- */

static void
return_started (LodgeLxcProcess *self)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->starting);
  if (task == NULL)
    return;
  LodgeExecResult *result = g_new0 (LodgeExecResult, 1);
  result->process = LODGE_PROCESS (g_object_ref (self));
  result->pty_fd = lodge_fd_steal (&self->pty_fd);
  g_task_return_pointer (task, result, (GDestroyNotify) lodge_exec_result_free);
}

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  LodgeLxcProcess *self = g_weak_ref_get (user_data);
  g_auto (LodgeFd) passed = fd;
  int status, signum;
  if (self == NULL)
    return;
  if (strcmp (line, "fd pty") == 0)
    {
      lodge_fd_clear (&self->pty_fd);
      self->pty_fd = lodge_fd_steal (&passed);
    }
  else if (g_str_has_prefix (line, "pid "))
    return_started (self);
  else if (sscanf (line, "exit %d %d", &status, &signum) == 2)
    {
      return_started (self);
      lodge_process_set_exited (LODGE_PROCESS (self), status, signum);
    }
  g_object_unref (self);
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GWeakRef *weak = user_data;
  g_autoptr (LodgeLxcProcess) self = g_weak_ref_get (weak);
  GError *error = NULL;
  gboolean is_done = lodge_helper_run_finish (LODGE_HELPER (source), result, &error);
  /* The weak reference was the callbacks' own; nobody calls any more. */
  g_weak_ref_clear (weak);
  g_free (weak);
  if (self == NULL)
    {
      g_clear_error (&error);
      return;
    }
  g_autoptr (GTask) task = g_steal_pointer (&self->starting);
  if (task != NULL && error != NULL)
    g_task_return_error (task, g_steal_pointer (&error));
  else if (task != NULL)
    g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED,
                             "The program was not started");
  /* Does nothing when "exit" has come, as it does but when lodge-enter itself fails. */
  lodge_process_set_exited (LODGE_PROCESS (self), is_done ? 0 : LODGE_EXEC_FAILED, 0);
  g_clear_error (&error);
}

LodgeLxcProcess *
lodge_lxc_process_run (LodgeHelper *helper, GTask *starting, GCancellable *cancellable)
{
  LodgeLxcProcess *self = g_object_new (LODGE_TYPE_LXC_PROCESS, NULL);
  self->helper = g_object_ref (helper);
  self->is_server = starting == NULL;
  if (starting != NULL)
    self->starting = g_object_ref (starting);
  GWeakRef *weak = g_new0 (GWeakRef, 1);
  g_weak_ref_init (weak, self);
  lodge_helper_set_line_func (helper, on_line, weak);
  lodge_helper_run_async (helper, cancellable, on_ended, weak);
  return self;
}

LodgeHelper *
lodge_lxc_enter_new (LodgeLxcDriver *self, const char *op, const LodgeLxcInit *init)
{
  LodgeHelper *helper = lodge_helper_new (self->enter_program, op);
  if (init == NULL)
    return helper;
  g_autofree char *start = g_strdup_printf ("%" G_GUINT64_FORMAT, init->start_time);
  lodge_helper_add_int (helper, "init-pid", init->pid);
  lodge_helper_add (helper, "init-start", start);
  lodge_helper_add (helper, "cgroup", init->cgroup != NULL ? init->cgroup : "");
  lodge_helper_add (helper, "cgroup-mount", init->cgroup_mount != NULL ? init->cgroup_mount : "");
  return helper;
}

/* ---- exec ---- */

static void
add_strings (LodgeHelper *helper, const char *key, const char *const *strings)
{
  for (; strings != NULL && *strings != NULL; strings++)
    lodge_helper_add (helper, key, *strings);
}

/* Below the container's cgroup: in cgroup2 only leaves hold processes.  Passed as a descriptor,
 * because on hybrid hosts lodge-enter would have to make a mount to get there. */
static void
add_cgroup (LodgeHelper *helper, const LodgeLxcInit *init)
{
  g_auto (LodgeFd) cgroup = lodge_lxc_cgroup_open (init, NULL);
  if (cgroup < 0 || (mkdirat (cgroup, EXEC_CGROUP, 0755) < 0 && errno != EEXIST))
    return;
  g_auto (LodgeFd) leaf
      = openat (cgroup, EXEC_CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (leaf >= 0)
    lodge_helper_add_fd (helper, "cgroup", leaf);
}

static LodgeHelper *
make_request (LodgeLxcDriver *self, const LodgeLxcInit *init, const LodgeExecRequest *request)
{
  LodgeHelper *helper = lodge_lxc_enter_new (self, "exec", init);
  add_cgroup (helper, init);
  add_strings (helper, "arg", request->argv);
  add_strings (helper, "env", request->environment);
  if (request->user != NULL && *request->user != '\0')
    lodge_helper_add (helper, "user", request->user);
  if (request->cwd != NULL && *request->cwd != '\0')
    lodge_helper_add (helper, "cwd", request->cwd);
  lodge_helper_add (helper, "tty", request->tty ? "1" : "0");
  if (request->tty)
    {
      lodge_helper_add_int (helper, "rows", request->rows);
      lodge_helper_add_int (helper, "columns", request->columns);
    }
  else
    lodge_helper_set_stdio (helper, request->stdin_fd, request->stdout_fd, request->stderr_fd);
  return helper;
}

/* A program in a frozen container would hang before its first instruction. */
static LodgeLxcInit *
get_runnable_init (LodgeLxcDriver *self, const char *uuid, GError **error)
{
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (self, uuid, error);
  if (init == NULL || !lodge_lxc_init_is_frozen (init))
    return g_steal_pointer (&init);
  g_autofree char *name = lodge_lxc_driver_dup_name (self, uuid);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "Container “%s” is paused", name);
  return NULL;
}

void
lodge_lxc_exec (LodgeDriver *driver, const char *uuid, const LodgeExecRequest *request,
                GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  g_task_set_source_tag (task, lodge_lxc_exec);
  GError *error = NULL;
  g_autoptr (LodgeLxcInit) init = get_runnable_init (self, uuid, &error);
  if (init == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  g_autoptr (LodgeHelper) helper = make_request (self, init, request);
  LodgeLxcProcess *process = lodge_lxc_process_run (helper, task, cancellable);
  /* Until it starts, the task keeps it; then who called. */
  g_task_set_task_data (task, process, g_object_unref);
}

LodgeExecResult *
lodge_lxc_exec_finish (LodgeDriver *driver, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* ---- console ---- */

int
lodge_lxc_open_console (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (self, uuid, &local_error);
  if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return -1;
    }
  LodgeLxcGuest *guest = lodge_lxc_guest_get (self, uuid);
  int fd = lodge_lxc_console_add_client (guest->console, error);
  /* Somebody else's container, or one whose terminal is not known yet. */
  if (fd >= 0 && !lodge_lxc_console_is_attached (guest->console))
    lodge_lxc_guest_find_console (self, uuid);
  return fd;
}

int
lodge_lxc_open_console_log (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autofree char *path = g_build_filename (paths->instance, "console.log", NULL);
  return lodge_lxc_console_open_log (path, error);
}
