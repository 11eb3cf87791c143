/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and addresses of containers, by lodge-enter. */
#include "lodge-lxc-exec.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "lodge-fd.h"
#include "lodge-units.h"

#define ADDRESSES_TIMEOUT_SECONDS 10

/* ---- files ---- */

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

/* ---- addresses ---- */

/* One question of a worker thread to lodge-enter, which only the main thread can run. */
typedef struct
{
  LodgeLxcDriver *driver;
  const LodgeLxcInit *init;
  GPtrArray *addresses;
  GError *error;
  GMutex lock;
  GCond cond;
  gboolean done;
} AddressQuery;

/* "result address <device> <family> <address>/<prefix>"; the device's name is the guest's. */
static void
on_address_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  AddressQuery *query = user_data;
  g_auto (LodgeFd) passed = fd;
  g_auto (GStrv) words = g_strsplit (line, " ", 5);
  if (g_strv_length (words) != 5 || strcmp (words[0], "result") != 0
      || strcmp (words[1], "address") != 0)
    return;
  char *slash = strchr (words[4], '/');
  guint64 prefix;
  if (slash == NULL || !lodge_parse_uint (slash + 1, 0, 128, &prefix, NULL))
    return;
  *slash = '\0';
  if (g_hostname_is_ip_address (words[4]))
    g_ptr_array_add (query->addresses,
                     lodge_address_new (words[2], words[4], (guint) prefix, "guest"));
}

static void
on_addresses_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  AddressQuery *query = user_data;
  gboolean is_done = lodge_helper_run_finish (LODGE_HELPER (source), result, &query->error);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&query->lock);
  if (!is_done)
    g_ptr_array_set_size (query->addresses, 0);
  query->done = TRUE;
  g_cond_signal (&query->cond);
}

static gboolean
start_address_query (gpointer user_data)
{
  AddressQuery *query = user_data;
  g_autoptr (LodgeHelper) helper = lodge_lxc_enter_new (query->driver, "addresses", query->init);
  lodge_helper_set_timeout (helper, ADDRESSES_TIMEOUT_SECONDS);
  lodge_helper_set_line_func (helper, on_address_line, query);
  lodge_helper_run_async (helper, NULL, on_addresses_ended, query);
  return G_SOURCE_REMOVE;
}

GPtrArray *
lodge_lxc_get_addresses (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (self, uuid, error);
  if (init == NULL)
    return NULL;
  AddressQuery query = {
    .driver = self,
    .init = init,
    .addresses = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_address_free),
  };
  g_mutex_init (&query.lock);
  g_cond_init (&query.cond);
  g_idle_add_full (G_PRIORITY_DEFAULT, start_address_query, &query, NULL);
  g_mutex_lock (&query.lock);
  while (!query.done)
    g_cond_wait (&query.cond, &query.lock);
  g_mutex_unlock (&query.lock);
  g_mutex_clear (&query.lock);
  g_cond_clear (&query.cond);
  if (query.error == NULL)
    return query.addresses;
  g_propagate_error (error, query.error);
  g_ptr_array_unref (query.addresses);
  return NULL;
}
