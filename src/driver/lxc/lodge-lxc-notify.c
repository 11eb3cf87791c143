/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What containers and their helpers report: "init" and "release" on <run>/events, and each
 * guest's readiness on its own socket.  Both are datagrams whose sender the kernel names.
 */
#include "lodge-lxc-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lodge-domain-xml.h"
#include "lodge-fd.h"
#include "lodge-name.h"
#include "lodge-virt-error.h"

#define DATAGRAM_MAX 4096
/* Of one socket in one turn of the main loop: a guest may send as fast as it likes. */
#define DATAGRAMS_PER_TURN 8

/* ---- datagrams ---- */

static int
bind_datagram (const char *path, mode_t mode, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "The path %s is too long for a socket", path);
      return -1;
    }
  g_auto (LodgeFd) fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  unlink (path);
  /* Credentials first, so that no datagram comes without them. */
  if (fd < 0 || setsockopt (fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0
      || fchmod (fd, mode) < 0 || bind (fd, (const struct sockaddr *) &address, sizeof address) < 0
      || chmod (path, mode) < 0)
    {
      lodge_error_set_errno (error, errno, "Cannot listen on %s", path);
      return -1;
    }
  return lodge_fd_steal (&fd);
}

/* Returns the length of the text in @text, or -1 when there is none (more). */
static gssize
receive (int fd, char *text, uid_t *out_uid)
{
  char control[CMSG_SPACE (sizeof (struct ucred)) + CMSG_SPACE (16 * sizeof (int))];
  struct iovec iov = { text, DATAGRAM_MAX };
  struct msghdr message = {
    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
  };
  gssize n = recvmsg (fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0)
    return -1;
  text[n] = '\0';
  *out_uid = (uid_t) -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR (&message); c != NULL; c = CMSG_NXTHDR (&message, c))
    {
      if (c->cmsg_level != SOL_SOCKET)
        continue;
      if (c->cmsg_type == SCM_CREDENTIALS)
        {
          struct ucred sender;
          memcpy (&sender, CMSG_DATA (c), sizeof sender);
          *out_uid = sender.uid;
        }
      /* systemd's children may pass descriptors to store; nobody here wants them. */
      for (gsize i = 0;
           c->cmsg_type == SCM_RIGHTS && CMSG_LEN ((i + 1) * sizeof (int)) <= c->cmsg_len; i++)
        close (((int *) (void *) CMSG_DATA (c))[i]);
    }
  return n;
}

/* ---- guests ---- */

LodgeLxcGuest *
lodge_lxc_guest_get (LodgeLxcDriver *self, const char *uuid)
{
  LodgeLxcGuest *guest = g_hash_table_lookup (self->guests, uuid);
  if (guest != NULL)
    return guest;

  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autofree char *log = g_build_filename (paths->instance, "console.log", NULL);
  gboolean is_managed = g_file_test (paths->plan, G_FILE_TEST_EXISTS);
  guest = g_new0 (LodgeLxcGuest, 1);
  guest->driver = self;
  guest->uuid = g_strdup (uuid);
  guest->console = lodge_lxc_console_new (is_managed ? log : NULL);
  guest->notify_fd = -1;
  guest->deaf_fd = -1;
  g_hash_table_insert (self->guests, guest->uuid, guest);
  return guest;
}

static void
close_notify (LodgeLxcGuest *guest)
{
  g_clear_handle_id (&guest->notify_source, g_source_remove);
  lodge_fd_clear (&guest->notify_fd);
}

void
lodge_lxc_guest_free (LodgeLxcGuest *guest)
{
  g_clear_handle_id (&guest->boot_source, g_source_remove);
  close_notify (guest);
  lodge_lxc_guest_unwatch_deaf (guest);
  g_clear_object (&guest->console);
  g_free (guest->uuid);
  g_free (guest);
}

static gboolean
says_ready (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  return g_strv_contains ((const char *const *) lines, "READY=1");
}

static gboolean
on_notify (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeLxcGuest *guest = user_data;
  char text[DATAGRAM_MAX + 1];
  uid_t uid;
  for (guint i = 0; i < DATAGRAMS_PER_TURN && receive (fd, text, &uid) >= 0; i++)
    {
      if (uid < guest->idmap_base || uid - guest->idmap_base >= guest->idmap_count
          || !says_ready (text))
        continue;
      lodge_lxc_guest_set_booted (guest);
    }
  return G_SOURCE_CONTINUE;
}

static void
bind_notify (LodgeLxcGuest *guest, const LodgeLxcPaths *paths)
{
  close_notify (guest);
  if (!lodge_lxc_plan_read_idmap (paths->plan, &guest->idmap_base, &guest->idmap_count))
    return;
  g_autofree char *path = g_build_filename (paths->control, "notify", NULL);
  g_autoptr (GError) error = NULL;
  guest->notify_fd = bind_datagram (path, 0666, &error);
  if (guest->notify_fd < 0)
    {
      g_debug ("%s", error->message);
      return;
    }
  guest->notify_source
      = g_unix_fd_add_full (G_PRIORITY_LOW, guest->notify_fd, G_IO_IN, on_notify, guest, NULL);
}

/* ---- the console, whose terminal only libvirt knows ---- */

/* Looks up one container, or all that run when there is no UUID. */
typedef struct
{
  char *uuid; /* nullable */
} AdoptRequest;

static void
adopt_request_free (AdoptRequest *request)
{
  g_free (request->uuid);
  g_free (request);
}

static void
add_tty (GHashTable *ttys, virDomainPtr domain)
{
  char uuid[VIR_UUID_STRING_BUFLEN];
  if (virDomainGetUUIDString (domain, uuid) < 0)
    return;
  char *xml = virDomainGetXMLDesc (domain, 0);
  char *tty = xml != NULL ? lodge_domain_xml_console_tty (xml, NULL) : NULL;
  free (xml);
  if (tty != NULL)
    g_hash_table_insert (ttys, g_strdup (uuid), tty);
}

static gboolean
add_all_ttys (LodgeLxcDriver *self, GHashTable *ttys, GError **error)
{
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);
  if (connection == NULL)
    return FALSE;
  virDomainPtr *domains = NULL;
  int n = virConnectListAllDomains (connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
  if (n < 0)
    {
      lodge_virt_set_error (error, "Cannot list the containers");
      return FALSE;
    }
  for (int i = 0; i < n; i++)
    {
      char uuid[VIR_UUID_STRING_BUFLEN] = "";
      virDomainGetUUIDString (domains[i], uuid);
      g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
      /* A foreign container's console is read only for somebody who asks. */
      if (g_file_test (paths->plan, G_FILE_TEST_EXISTS))
        {
          add_tty (ttys, domains[i]);
          lodge_lxc_driver_check_deaf (self, domains[i]);
        }
      virDomainFree (domains[i]);
    }
  free (domains);
  return TRUE;
}

static void
find_ttys (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  LodgeLxcDriver *self = source;
  AdoptRequest *request = task_data;
  GError *error = NULL;
  g_autoptr (GHashTable) ttys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  gboolean found = TRUE;
  if (request->uuid == NULL)
    found = add_all_ttys (self, ttys, &error);
  else
    {
      g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, request->uuid);
      g_autoptr (GError) local_error = NULL;
      g_autoptr (virDomain) domain
          = lodge_virt_connection_lookup (self->connection, request->uuid, &error);
      found = domain != NULL;
      if (found)
        add_tty (ttys, domain);
      if (g_file_test (paths->plan, G_FILE_TEST_EXISTS))
        {
          if (found)
            lodge_lxc_driver_check_deaf (self, domain);
          if (!lodge_lxc_plan_set_booted (paths, &local_error))
            g_debug ("%s", local_error->message);
        }
    }
  if (found)
    g_task_return_pointer (task, g_steal_pointer (&ttys), (GDestroyNotify) g_hash_table_unref);
  else
    g_task_return_error (task, error);
}

static void
on_ttys_found (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (source);
  AdoptRequest *request = g_task_get_task_data (G_TASK (result));
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) ttys = g_task_propagate_pointer (G_TASK (result), &error);
  if (ttys == NULL)
    {
      g_debug ("no consoles: %s", error->message);
      return;
    }
  /* It does not run, or has no terminal: nobody shall wait for one. */
  if (request->uuid != NULL && !g_hash_table_contains (ttys, request->uuid))
    lodge_lxc_console_detach (lodge_lxc_guest_get (self, request->uuid)->console);
  GHashTableIter iter;
  gpointer uuid, tty;
  g_hash_table_iter_init (&iter, ttys);
  while (g_hash_table_iter_next (&iter, &uuid, &tty))
    {
      LodgeLxcGuest *guest = lodge_lxc_guest_get (self, uuid);
      g_autoptr (GError) local_error = NULL;
      if ((request->uuid != NULL || !lodge_lxc_console_is_attached (guest->console))
          && !lodge_lxc_console_attach (guest->console, tty, &local_error))
        g_debug ("%s", local_error->message);
    }
}

static void
start_finding_ttys (LodgeLxcDriver *self, const char *uuid)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, on_ttys_found, NULL);
  AdoptRequest *request = g_new0 (AdoptRequest, 1);
  request->uuid = g_strdup (uuid);
  g_task_set_task_data (task, request, (GDestroyNotify) adopt_request_free);
  lodge_executor_run (self->executor, task, find_ttys);
}

void
lodge_lxc_guest_find_console (LodgeLxcDriver *self, const char *uuid)
{
  start_finding_ttys (self, uuid);
}

/* Binds the socket for the run of the container that @init is of; @missed: what it reported may
 * have come before. */
static void
take_up (LodgeLxcGuest *guest, const LodgeLxcInit *init, gboolean missed)
{
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (guest->driver, guest->uuid);
  guest->init_pid = init->pid;
  lodge_lxc_guest_unwatch_deaf (guest);
  bind_notify (guest, paths);
  if (lodge_lxc_guest_has_booted (guest))
    lodge_lxc_driver_emit (guest->driver, LODGE_DOMAIN_EVENT_BOOTED, guest->uuid);
  else
    lodge_lxc_guest_watch_boot (guest, missed);
}

gboolean
lodge_lxc_guest_check (LodgeLxcDriver *self, const char *uuid, gboolean missed)
{
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, -1);
  if (init == NULL)
    return FALSE;
  LodgeLxcGuest *guest = lodge_lxc_guest_get (self, uuid);
  if (guest->init_pid == init->pid)
    return FALSE;
  take_up (guest, init, missed);
  return TRUE;
}

static void
check_all (LodgeLxcDriver *self, gboolean find_consoles)
{
  g_autofree char *dir_path = g_build_filename (self->run_dir, "instances", NULL);
  g_autoptr (GDir) dir = g_dir_open (dir_path, 0, NULL);
  const char *uuid;
  while (dir != NULL && (uuid = g_dir_read_name (dir)) != NULL)
    if (lodge_uuid_is_valid (uuid) && lodge_lxc_guest_check (self, uuid, TRUE) && find_consoles)
      start_finding_ttys (self, uuid);
}

void
lodge_lxc_guests_check (LodgeLxcDriver *self)
{
  check_all (self, TRUE);
}

/* Readiness does not need libvirt; the consoles are found by one list of all. */
void
lodge_lxc_guests_adopt (LodgeLxcDriver *self)
{
  check_all (self, FALSE);
  start_finding_ttys (self, NULL);
}

/* ---- the events of the helpers ---- */

static void
on_init (LodgeLxcDriver *self, const char *uuid)
{
  lodge_lxc_driver_mark (self, uuid, FALSE);
  lodge_lxc_guest_get (self, uuid)->init_pid = 0;
  lodge_lxc_guest_check (self, uuid, FALSE);
  start_finding_ttys (self, uuid);
  lodge_lxc_driver_emit (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
}

static void
on_release (LodgeLxcDriver *self, const char *uuid)
{
  LodgeLxcGuest *guest = g_hash_table_lookup (self->guests, uuid);
  if (guest != NULL)
    {
      g_clear_handle_id (&guest->boot_source, g_source_remove);
      close_notify (guest);
      guest->init_pid = 0;
      lodge_lxc_console_detach (guest->console);
    }
  lodge_lxc_driver_emit (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
}

static void
take_event (LodgeLxcDriver *self, char *text)
{
  static const struct
  {
    const char *word;
    void (*func) (LodgeLxcDriver *self, const char *uuid);
  } words[] = {
    { "init", on_init },
    { "release", on_release },
  };
  g_auto (GStrv) fields = g_strsplit (g_strchomp (text), " ", 2);
  if (g_strv_length (fields) != 2 || !lodge_uuid_is_valid (fields[1]))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (fields[0], words[i].word) == 0)
      words[i].func (self, fields[1]);
}

static gboolean
on_event (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeLxcDriver *self = user_data;
  char text[DATAGRAM_MAX + 1];
  uid_t uid;
  for (guint i = 0; i < DATAGRAMS_PER_TURN && receive (fd, text, &uid) >= 0; i++)
    if (uid == 0)
      take_event (self, text);
  return G_SOURCE_CONTINUE;
}

gboolean
lodge_lxc_events_bind (LodgeLxcDriver *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->run_dir, "events", NULL);
  self->events_fd = bind_datagram (path, 0600, error);
  if (self->events_fd < 0)
    return FALSE;
  self->events_source = g_unix_fd_add (self->events_fd, G_IO_IN, on_event, self);
  return TRUE;
}

void
lodge_lxc_events_close (LodgeLxcDriver *self)
{
  g_clear_handle_id (&self->events_source, g_source_remove);
  lodge_fd_clear (&self->events_fd);
}
