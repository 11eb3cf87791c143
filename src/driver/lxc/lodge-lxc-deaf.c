/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Containers to whose end libvirt is deaf; see lodge_lxc_controller_is_heard().  Lodge's own starts
 * do not leave any behind, but "virsh start" may.  When such a container ends, libvirt is told.
 */
#include "lodge-lxc-private.h"

#include <glib-unix.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-lxc-controller.h"
#include "lodge-virt-error.h"

/* Who ends a container by libvirt has told it by then. */
#define BURY_DELAY_MS 1000

/* One run of a container. */
typedef struct
{
  LodgeLxcDriver *driver;
  char *uuid;
  int controller;
} Run;

static Run *
run_new (LodgeLxcDriver *driver, const char *uuid, int controller)
{
  Run *run = g_new0 (Run, 1);
  run->driver = g_object_ref (driver);
  run->uuid = g_strdup (uuid);
  run->controller = controller;
  return run;
}

static void
run_free (gpointer data)
{
  Run *run = data;
  g_object_unref (run->driver);
  g_free (run->uuid);
  g_free (run);
}

static void
bury (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  const Run *run = task_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (virDomain) domain
      = lodge_virt_connection_lookup (run->driver->connection, run->uuid, &error);
  if (domain != NULL && (int) virDomainGetID (domain) == run->controller
      && virDomainDestroy (domain) < 0)
    lodge_virt_set_error (&error, "Cannot stop container “%s”", virDomainGetName (domain));
  if (error != NULL)
    g_debug ("%s", error->message);
  g_task_return_boolean (task, TRUE);
}

static gboolean
on_delay_over (gpointer user_data)
{
  LodgeLxcGuest *guest = user_data;
  guest->deaf_source = 0;
  g_autoptr (GTask) task = g_task_new (guest->driver, NULL, NULL, NULL);
  g_task_set_task_data (task, run_new (guest->driver, guest->uuid, guest->deaf_controller),
                        run_free);
  lodge_executor_run (guest->driver->executor, task, bury);
  return G_SOURCE_REMOVE;
}

static gboolean
on_controller_ended (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeLxcGuest *guest = user_data;
  lodge_fd_clear (&guest->deaf_fd);
  guest->deaf_source = g_timeout_add (BURY_DELAY_MS, on_delay_over, guest);
  return G_SOURCE_REMOVE;
}

void
lodge_lxc_guest_unwatch_deaf (LodgeLxcGuest *guest)
{
  g_clear_handle_id (&guest->deaf_source, g_source_remove);
  lodge_fd_clear (&guest->deaf_fd);
}

static gboolean
watch (gpointer user_data)
{
  const Run *run = user_data;
  LodgeLxcGuest *guest = g_hash_table_lookup (run->driver->guests, run->uuid);
  int fd = guest != NULL ? (int) syscall (SYS_pidfd_open, run->controller, 0) : -1;
  if (fd < 0)
    return G_SOURCE_REMOVE;
  g_debug ("libvirt will not notice the end of %s", run->uuid);
  lodge_lxc_guest_unwatch_deaf (guest);
  guest->deaf_controller = run->controller;
  guest->deaf_fd = fd;
  guest->deaf_source = g_unix_fd_add (fd, G_IO_IN, on_controller_ended, guest);
  return G_SOURCE_REMOVE;
}

void
lodge_lxc_driver_check_deaf (LodgeLxcDriver *self, virDomainPtr domain)
{
  char uuid[VIR_UUID_STRING_BUFLEN];
  int controller = (int) virDomainGetID (domain);
  if (controller <= 0 || virDomainGetUUIDString (domain, uuid) < 0
      || lodge_lxc_controller_is_heard (controller, virDomainGetName (domain)))
    return;
  g_idle_add_full (G_PRIORITY_DEFAULT, watch, run_new (self, uuid, controller), run_free);
}
