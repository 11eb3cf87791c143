/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"
#include "lodge-fd.h"
#include "lodge/lodge-helper-protocol.h"

/*
 * Instance.Exec: files in, files out, a process.  Bytes never pass through here: the program
 * gets the caller's own files, or the far ends of pipes whose near ends the caller gets.
 */

#define N_STREAMS 3

static const char *const stream_names[N_STREAMS] = { "stdin", "stdout", "stderr" };

typedef struct
{
  LodgeBusCall *call; /* nullable once it is answered */
  char *uuid;
  GVariant *options;
  GVariant *argv; /* as */
  const char **words;
  GPtrArray *environment;
  gboolean tty;
  int theirs[N_STREAMS]; /* for the program; owned unless `passed` */
  int ours[N_STREAMS];   /* for the caller; -1: passed by it */
  gboolean passed[N_STREAMS];
} Exec;

static void
exec_free (Exec *exec)
{
  for (int i = 0; i < N_STREAMS; i++)
    {
      if (!exec->passed[i])
        lodge_fd_clear (&exec->theirs[i]);
      lodge_fd_clear (&exec->ours[i]);
    }
  g_clear_pointer (&exec->environment, g_ptr_array_unref);
  g_clear_pointer (&exec->options, g_variant_unref);
  g_free (exec->words);
  g_clear_pointer (&exec->argv, g_variant_unref);
  g_free (exec->uuid);
  g_free (exec);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Exec, exec_free)

/* ---- reading the call ---- */

static const LodgeBusOption exec_options[] = {
  { "cwd", "s" },   { "tty", "b" },    { "rows", "q" },   { "columns", "q" },
  { "stdin", "h" }, { "stdout", "h" }, { "stderr", "h" }, { NULL },
};

static gboolean
read_environment (Exec *exec, GVariant *environment, gsize *size, GError **error)
{
  const char *key, *value;
  GVariantIter iter;

  exec->environment = g_ptr_array_new_with_free_func (g_free);
  g_variant_iter_init (&iter, environment);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    {
      if (key[0] == '\0' || strchr (key, '=') != NULL)
        {
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                               "the name of an environment variable is empty or has a '='");
          return FALSE;
        }
      *size += strlen (key) + strlen (value) + 2;
      g_ptr_array_add (exec->environment, g_strconcat (key, "=", value, NULL));
    }
  g_ptr_array_add (exec->environment, NULL);
  return TRUE;
}

/* The helper's request is bounded, and so is what the kernel lets a program have. */
static gboolean
check_size (Exec *exec, gsize size, GError **error)
{
  for (gsize i = 0; exec->words[i] != NULL; i++)
    size += strlen (exec->words[i]) + 1;
  if (size <= LODGE_HELPER_REQUEST_MAX / 2)
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                       "the arguments and the environment are longer than 512 KiB");
  return FALSE;
}

/* A passed file must be good for its direction: the program would otherwise fail in the guest
 * in a way that nobody understands. */
static gboolean
check_stream (int fd, gboolean for_reading, const char *name, GError **error)
{
  int flags = fcntl (fd, F_GETFL);
  int wrong = for_reading ? O_WRONLY : O_RDONLY;
  struct stat st;

  if (flags >= 0 && fstat (fd, &st) == 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != wrong
      && !S_ISDIR (st.st_mode))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "'%s' is not open for %s", name,
               for_reading ? "reading" : "writing");
  return FALSE;
}

static gboolean
take_passed_streams (Exec *exec, GError **error)
{
  GUnixFDList *fds = lodge_bus_call_get_fds (exec->call);

  for (int i = 0; i < N_STREAMS; i++)
    {
      if (!lodge_bus_options_get_fd (exec->options, stream_names[i], fds, &exec->theirs[i], error))
        return FALSE;
      exec->passed[i] = exec->theirs[i] >= 0;
      if (!exec->passed[i])
        continue;
      if (exec->tty)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       "option '%s' does not go with 'tty': the terminal is made in the guest",
                       stream_names[i]);
          return FALSE;
        }
      if (!check_stream (exec->theirs[i], i == 0, stream_names[i], error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
make_pipes (Exec *exec, GError **error)
{
  int ends[2];

  for (int i = 0; i < N_STREAMS && !exec->tty; i++)
    {
      if (exec->passed[i])
        continue;
      if (pipe2 (ends, O_CLOEXEC) != 0)
        {
          lodge_error_set_errno (error, errno, "no pipe for %s", stream_names[i]);
          return FALSE;
        }
      exec->theirs[i] = ends[i == 0 ? 0 : 1];
      exec->ours[i] = ends[i == 0 ? 1 : 0];
    }
  return TRUE;
}

static Exec *
exec_new (LodgeBusCall *call, const char **out_user, GError **error)
{
  g_autoptr (Exec) exec = g_new0 (Exec, 1);
  g_autoptr (GVariant) environment = NULL;
  gsize size = 0;

  exec->call = call;
  for (int i = 0; i < N_STREAMS; i++)
    exec->theirs[i] = exec->ours[i] = -1;
  exec->uuid = g_strdup (lodge_instance_get_uuid (call->object));
  g_variant_get (call->parameters, "(&s@as@a{ss}@a{sv})", out_user, &exec->argv, &environment,
                 &exec->options);
  exec->words = g_variant_get_strv (exec->argv, NULL);
  if (!lodge_bus_options_check (exec->options, exec_options, "option", error))
    return NULL;
  exec->tty = lodge_bus_options_get_bool (exec->options, "tty");
  if (!read_environment (exec, environment, &size, error) || !check_size (exec, size, error)
      || !take_passed_streams (exec, error) || !make_pipes (exec, error))
    return NULL;
  return g_steal_pointer (&exec);
}

/* ---- answering it ---- */

/* Moves what the caller gets into @fds and names it.  Returns the number of files. */
static gsize
collect_streams (Exec *exec, int *pty_fd, GVariantBuilder *names, int *fds)
{
  gsize n_fds = 0;

  g_variant_builder_init (names, G_VARIANT_TYPE ("a{sh}"));
  if (*pty_fd >= 0)
    {
      g_variant_builder_add (names, "{sh}", "pty", (gint32) n_fds);
      fds[n_fds++] = lodge_fd_steal (pty_fd);
    }
  for (int i = 0; i < N_STREAMS; i++)
    if (exec->ours[i] >= 0)
      {
        g_variant_builder_add (names, "{sh}", stream_names[i], (gint32) n_fds);
        fds[n_fds++] = lodge_fd_steal (&exec->ours[i]);
      }
  return n_fds;
}

static void
on_started (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Exec) exec = user_data;
  LodgeBusCall *call = exec->call;
  LodgeBusProcesses *processes = call->bus->processes;
  GError *error = NULL;
  g_autoptr (LodgeExecResult) started
      = lodge_manager_exec_finish (LODGE_MANAGER (source), result, &error);

  if (started == NULL)
    {
      lodge_bus_processes_release (processes, call->uid);
      lodge_bus_call_fail (call, error);
      return;
    }
  if (!lodge_bus_peers_is_present (call->bus->peers, lodge_bus_call_get_sender (call)))
    {
      /* The program gets SIGHUP when `started` goes. */
      lodge_bus_processes_release (processes, call->uid);
      lodge_bus_call_drop (call);
      return;
    }

  LodgeBusProcessOrigin origin
      = { lodge_bus_call_get_sender (call), call->uid, exec->uuid, exec->argv };
  guint64 id = lodge_bus_processes_add (processes, &origin, g_steal_pointer (&started->process));
  g_autofree char *path = lodge_bus_path_of_process (id);
  GVariantBuilder names;
  int fds[N_STREAMS + 1];
  gsize n_fds = collect_streams (exec, &started->pty_fd, &names, fds);

  /* The call may be all that keeps the bus. */
  g_autoptr (LodgeBus) bus = g_object_ref (call->bus);
  lodge_bus_call_return_fds (call, g_variant_new ("(a{sh}o)", &names, path), fds, n_fds);
  lodge_bus_processes_announced (bus->processes, id);
}

void
lodge_bus_instance_exec (LodgeBusCall *call)
{
  g_autoptr (GError) error = NULL;
  const char *user;
  Exec *exec = NULL;

  if (lodge_bus_processes_reserve (call->bus->processes, call->uid, &error))
    {
      exec = exec_new (call, &user, &error);
      if (exec == NULL)
        lodge_bus_processes_release (call->bus->processes, call->uid);
    }
  if (exec == NULL)
    {
      lodge_bus_call_fail (call, g_steal_pointer (&error));
      return;
    }

  LodgeExecRequest request = {
    .user = user,
    .argv = exec->words,
    .environment = (const char *const *) exec->environment->pdata,
    .cwd = lodge_bus_options_get_string (exec->options, "cwd"),
    .tty = exec->tty,
    .rows = lodge_bus_options_get_uint16 (exec->options, "rows", 0),
    .columns = lodge_bus_options_get_uint16 (exec->options, "columns", 0),
    .stdin_fd = exec->theirs[0],
    .stdout_fd = exec->theirs[1],
    .stderr_fd = exec->theirs[2],
  };
  lodge_manager_exec (call->bus->manager, call->object, &request, NULL, on_started, exec);
}
