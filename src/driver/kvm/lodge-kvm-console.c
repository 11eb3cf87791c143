/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-name.h"

/*
 * The serial consoles.  A pseudo terminal gives each byte to one reader only, so one thread for
 * each machine whose console is open reads it and hands copies to all clients; it ends with the
 * last of them.  A client that does not read loses output, as one of a real serial line would.
 *
 * What is printed while nobody looks is in the log that QEMU writes itself (<log file=…> of the
 * domain), also when lodged is down.
 */

#define BUFFER_SIZE 16384
#define OPEN_MODE   (O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
#define TTY_PREFIX  "/dev/pts/"

struct _LodgeKvmConsoles
{
  LodgeVirtConnection *connection;
  GMutex lock;
  GHashTable *consoles; /* uuid → Console, those whose thread runs */
};

typedef struct
{
  LodgeKvmConsoles *owner; /* a reference */
  char *uuid;
  int wake_fd;
  GArray *joining; /* of int: sockets of new clients; guarded by the owner's lock */

  /* The thread's own. */
  int tty;
  GArray *clients; /* of int */
} Console;

static void
consoles_clear (gpointer data)
{
  LodgeKvmConsoles *self = data;

  g_object_unref (self->connection);
  g_hash_table_unref (self->consoles);
  g_mutex_clear (&self->lock);
}

LodgeKvmConsoles *
lodge_kvm_consoles_new (LodgeVirtConnection *connection)
{
  LodgeKvmConsoles *self = g_atomic_rc_box_new0 (LodgeKvmConsoles);

  self->connection = g_object_ref (connection);
  self->consoles = g_hash_table_new (g_str_hash, g_str_equal);
  g_mutex_init (&self->lock);
  return self;
}

LodgeKvmConsoles *
lodge_kvm_consoles_ref (LodgeKvmConsoles *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
lodge_kvm_consoles_unref (LodgeKvmConsoles *self)
{
  g_atomic_rc_box_release_full (self, consoles_clear);
}

static void
close_all (GArray *fds)
{
  for (guint i = 0; i < fds->len; i++)
    close (g_array_index (fds, int, i));
  g_array_set_size (fds, 0);
}

static void
console_free (Console *console)
{
  close_all (console->joining);
  close_all (console->clients);
  g_array_unref (console->joining);
  g_array_unref (console->clients);
  lodge_fd_clear (&console->tty);
  lodge_fd_clear (&console->wake_fd);
  lodge_kvm_consoles_unref (console->owner);
  g_free (console->uuid);
  g_free (console);
}

static int
open_tty (Console *console, GError **error)
{
  g_autoptr (virDomain) domain
      = lodge_virt_connection_lookup (console->owner->connection, console->uuid, error);

  if (domain == NULL)
    return -1;
  g_autofree char *xml = lodge_kvm_domain_xml (domain, 0, error);
  g_autofree char *path = xml != NULL ? lodge_domain_xml_console_tty (xml, error) : NULL;
  if (xml == NULL || (path == NULL && error != NULL && *error != NULL))
    return -1;
  if (path == NULL || !g_str_has_prefix (path, TTY_PREFIX))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "the machine has no serial console, or does not run");
      return -1;
    }
  int fd = open (path, OPEN_MODE);
  if (fd < 0)
    lodge_error_set_errno (error, errno, "cannot open the console");
  return fd;
}

static void
tell_clients (Console *console, const char *data, gsize size)
{
  for (guint i = 0; i < console->clients->len; i++)
    {
      int fd = g_array_index (console->clients, int, i);
      if (send (fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        shutdown (fd, SHUT_RDWR);
    }
}

/* Returns: whether somebody is left. */
static gboolean
admit_clients (Console *console, gboolean last_call)
{
  guint64 count;

  if (read (console->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
    g_debug ("cannot read an event descriptor: %s", g_strerror (errno));
  g_mutex_lock (&console->owner->lock);
  g_array_append_vals (console->clients, console->joining->data, console->joining->len);
  g_array_set_size (console->joining, 0);
  gboolean any = console->clients->len > 0;
  /* Under the lock: whoever comes after this makes a new console. */
  if (!any || last_call)
    g_hash_table_remove (console->owner->consoles, console->uuid);
  g_mutex_unlock (&console->owner->lock);
  return any;
}

/* What a client typed goes to the guest; what the line cannot take just now is dropped, as the
 * guest would drop it. */
static void
serve_client (Console *console, guint index)
{
  int fd = g_array_index (console->clients, int, index);
  char buffer[BUFFER_SIZE];
  ssize_t n = recv (fd, buffer, sizeof buffer, MSG_DONTWAIT);

  if (n > 0)
    {
      if (write (console->tty, buffer, (gsize) n) < 0)
        g_debug ("a console does not take input: %s", g_strerror (errno));
    }
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    {
      close (fd);
      g_array_remove_index (console->clients, index);
    }
}

/* Returns: FALSE when the machine is off. */
static gboolean
serve_tty (Console *console, short events)
{
  char buffer[BUFFER_SIZE];

  if (events & POLLIN)
    {
      ssize_t n = read (console->tty, buffer, sizeof buffer);
      if (n > 0)
        tell_clients (console, buffer, (gsize) n);
      return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    }
  return (events & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

static void
serve (Console *console)
{
  gboolean on = TRUE;

  while (on && admit_clients (console, FALSE))
    {
      guint n_clients = console->clients->len;
      g_autofree struct pollfd *fds = g_new0 (struct pollfd, n_clients + 2);
      fds[0] = (struct pollfd){ .fd = console->wake_fd, .events = POLLIN };
      fds[1] = (struct pollfd){ .fd = console->tty, .events = POLLIN };
      for (guint i = 0; i < n_clients; i++)
        fds[i + 2]
            = (struct pollfd){ .fd = g_array_index (console->clients, int, i), .events = POLLIN };
      if (poll (fds, n_clients + 2, -1) < 0)
        continue;
      on = serve_tty (console, fds[1].revents);
      /* From the end, because serving may remove. */
      for (guint i = n_clients; i > 0; i--)
        if (fds[i + 1].revents != 0)
          serve_client (console, i - 1);
    }
  if (!on)
    admit_clients (console, TRUE);
}

static gpointer
console_thread (gpointer data)
{
  Console *console = data;
  g_autoptr (GError) error = NULL;

  console->tty = open_tty (console, &error);
  if (console->tty >= 0)
    serve (console);
  else
    {
      g_autofree char *text = g_strdup_printf ("\r\n%s\r\n", error->message);
      admit_clients (console, TRUE);
      tell_clients (console, text, strlen (text));
    }
  console_free (console);
  return NULL;
}

/* With the lock held. */
static Console *
start_console (LodgeKvmConsoles *self, const char *uuid, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_auto (LodgeFd) wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  if (wake_fd < 0)
    {
      lodge_error_set_errno (error, errno, "cannot make an event descriptor");
      return NULL;
    }
  Console *console = g_new0 (Console, 1);
  console->owner = lodge_kvm_consoles_ref (self);
  console->uuid = g_strdup (uuid);
  console->wake_fd = lodge_fd_steal (&wake_fd);
  console->tty = -1;
  console->joining = g_array_new (FALSE, FALSE, sizeof (int));
  console->clients = g_array_new (FALSE, FALSE, sizeof (int));
  GThread *thread = g_thread_try_new ("kvm-console", console_thread, console, &local_error);
  if (thread == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED, "%s", local_error->message);
      console_free (console);
      return NULL;
    }
  g_thread_unref (thread);
  g_hash_table_insert (self->consoles, console->uuid, console);
  return console;
}

static gboolean
join (LodgeKvmConsoles *self, const char *uuid, int socket, GError **error)
{
  guint64 one = 1;

  g_mutex_lock (&self->lock);
  Console *console = g_hash_table_lookup (self->consoles, uuid);
  if (console == NULL)
    console = start_console (self, uuid, error);
  if (console != NULL)
    {
      g_array_append_val (console->joining, socket);
      if (write (console->wake_fd, &one, sizeof one) < 0)
        g_debug ("cannot wake a console: %s", g_strerror (errno));
    }
  g_mutex_unlock (&self->lock);
  return console != NULL;
}

int
lodge_kvm_consoles_open (LodgeKvmConsoles *self, const char *uuid, GError **error)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot make a socket pair");
      return -1;
    }
  if (!join (self, uuid, fds[1], error))
    {
      close (fds[0]);
      close (fds[1]);
      return -1;
    }
  return fds[0];
}

int
lodge_kvm_open_console (LodgeDriver *driver, const char *uuid, GError **error)
{
  return lodge_kvm_consoles_open (LODGE_KVM_DRIVER (driver)->consoles, uuid, error);
}

int
lodge_kvm_open_console_log (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);

  if (!lodge_uuid_is_valid (uuid))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "that is not a UUID");
      return -1;
    }
  g_autofree char *path
      = g_build_filename (self->state_dir, "instances", uuid, "console.log", NULL);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd >= 0)
    return fd;
  if (errno == ENOENT)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                 "the machine has no console log\nIt is written from its first start on, and only "
                 "for machines that Lodge made.");
  else
    lodge_error_set_errno (error, errno, "cannot open the console log");
  return -1;
}
