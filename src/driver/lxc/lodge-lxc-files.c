/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of containers, by lodge-enter. */
#include "lodge-lxc-exec.h"

#include <errno.h>
#include <sys/socket.h>

#include "lodge-fd.h"

typedef struct
{
  int client_fd;
  LodgeProcess *server;
} FileSession;

static void
file_session_free (FileSession *session)
{
  lodge_fd_clear (&session->client_fd);
  g_clear_object (&session->server);
  g_free (session);
}

static LodgeHelper *
make_files_helper (LodgeLxcDriver *self, const char *uuid, gboolean running, GError **error)
{
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  if (!running)
    {
      LodgeHelper *helper = lodge_lxc_enter_new (self, "files-offline", NULL);
      lodge_helper_add (helper, "plan", paths->plan);
      return helper;
    }
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (self, uuid, error);
  return init != NULL ? lodge_lxc_enter_new (self, "files", init) : NULL;
}

void
lodge_lxc_open_files (LodgeDriver *driver, const char *uuid, gboolean running,
                      GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  GError *error = NULL;
  int pair[2];
  g_autoptr (LodgeHelper) helper = make_files_helper (self, uuid, running, &error);
  if (helper == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    {
      lodge_error_set_errno (&error, errno, "Cannot open a file session");
      g_task_return_error (task, error);
      return;
    }
  g_auto (LodgeFd) server_fd = pair[1];
  lodge_helper_add_fd (helper, "session", server_fd);
  FileSession *session = g_new0 (FileSession, 1);
  session->client_fd = pair[0];
  session->server = LODGE_PROCESS (lodge_lxc_process_run (helper, NULL, cancellable));
  lodge_process_hold_fd (session->server, lodge_fd_steal (&server_fd));
  g_task_return_pointer (task, session, (GDestroyNotify) file_session_free);
}

int
lodge_lxc_open_files_finish (LodgeDriver *driver, GAsyncResult *result, LodgeProcess **out_server,
                             GError **error)
{
  FileSession *session = g_task_propagate_pointer (G_TASK (result), error);
  if (session == NULL)
    return -1;
  int fd = lodge_fd_steal (&session->client_fd);
  *out_server = g_steal_pointer (&session->server);
  file_session_free (session);
  return fd;
}
