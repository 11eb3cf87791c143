/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-console.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lodge-fd.h"

/* Two files of this size at most: 1 MiB in all. */
#define LOG_HALF_BYTES       (512 * 1024)
#define CHUNK_BYTES          4096
#define CHUNKS_PER_TURN      16
#define CLIENT_QUEUE_MAX     (256 * 1024)
#define INPUT_QUEUE_MAX      (64 * 1024)
#define REBOOT_GRACE_SECONDS 3
/* Majors of the slave sides of pseudo terminals. */
#define PTS_MAJOR_FIRST 136
#define PTS_MAJOR_LAST  143

typedef struct
{
  LodgeLxcConsole *console; /* not a reference: the console owns its clients */
  int fd;
  guint read_source;
  guint write_source;
  GByteArray *queue; /* to the client */
} Client;

struct _LodgeLxcConsole
{
  GObject parent;

  char *log_path; /* nullable */
  int log_fd;
  gsize log_size;

  int tty_fd;
  guint read_source;
  guint write_source;
  GByteArray *input; /* to the guest */

  GPtrArray *clients;
  guint grace_source;
};

G_DEFINE_FINAL_TYPE (LodgeLxcConsole, lodge_lxc_console, G_TYPE_OBJECT)

static gboolean on_client_readable (int fd, GIOCondition condition, gpointer user_data);

/* ---- the log ---- */

static void
open_log (LodgeLxcConsole *self)
{
  if (self->log_path == NULL || self->log_fd >= 0)
    return;
  self->log_fd
      = open (self->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat info;
  if (self->log_fd >= 0 && fstat (self->log_fd, &info) == 0)
    self->log_size = (gsize) info.st_size;
}

static void
rotate_log (LodgeLxcConsole *self)
{
  g_autofree char *older = g_strconcat (self->log_path, ".1", NULL);
  lodge_fd_clear (&self->log_fd);
  /* When it cannot be renamed the log is begun anew: it must not grow. */
  if (rename (self->log_path, older) < 0)
    unlink (self->log_path);
  self->log_size = 0;
  open_log (self);
}

/* A full disk loses console output and nothing else. */
static void
write_log (LodgeLxcConsole *self, const void *data, gsize size)
{
  if (self->log_fd >= 0 && self->log_size + size > LOG_HALF_BYTES)
    rotate_log (self);
  if (self->log_fd >= 0 && write (self->log_fd, data, size) == (gssize) size)
    self->log_size += size;
}

static gboolean
append_file (int out, const char *path, GError **error)
{
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return TRUE;
  gsize size = 0;
  g_autofree char *text = lodge_fd_read_all (fd, 2 * LOG_HALF_BYTES, &size, error);
  return text != NULL && lodge_fd_write_all (out, text, size, error);
}

int
lodge_lxc_console_open_log (const char *log_path, GError **error)
{
  g_auto (LodgeFd) fd = memfd_create ("console-log", MFD_CLOEXEC);
  g_autofree char *older = g_strconcat (log_path, ".1", NULL);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "Cannot show the console's log");
      return -1;
    }
  if (!append_file (fd, older, error) || !append_file (fd, log_path, error))
    return -1;
  lseek (fd, 0, SEEK_SET);
  return lodge_fd_steal (&fd);
}

/* ---- queues ---- */

/* Writes what a non-blocking descriptor takes.  FALSE: it is broken. */
static gboolean
flush_queue (int fd, GByteArray *queue)
{
  while (queue->len > 0)
    {
      gssize n = write (fd, queue->data, MIN (queue->len, CHUNK_BYTES));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errno == EAGAIN;
      g_byte_array_remove_range (queue, 0, (guint) n);
    }
  return TRUE;
}

static void
client_free (Client *client)
{
  g_clear_handle_id (&client->read_source, g_source_remove);
  g_clear_handle_id (&client->write_source, g_source_remove);
  g_byte_array_unref (client->queue);
  close (client->fd);
  g_free (client);
}

static void
drop_client (Client *client)
{
  g_ptr_array_remove_fast (client->console->clients, client);
}

static gboolean
on_client_writable (int fd, GIOCondition condition, gpointer user_data)
{
  Client *client = user_data;
  gboolean works = flush_queue (fd, client->queue);
  if (works && client->queue->len > 0)
    return G_SOURCE_CONTINUE;
  client->write_source = 0;
  if (!works)
    drop_client (client);
  return G_SOURCE_REMOVE;
}

/* A client that does not read loses output; it never slows the guest or the others down. */
static gboolean
give_client (Client *client, const guint8 *data, gsize size)
{
  if (client->queue->len + size <= CLIENT_QUEUE_MAX)
    g_byte_array_append (client->queue, data, (guint) size);
  if (client->write_source != 0)
    return TRUE;
  if (!flush_queue (client->fd, client->queue))
    return FALSE;
  if (client->queue->len > 0)
    client->write_source = g_unix_fd_add (client->fd, G_IO_OUT, on_client_writable, client);
  return TRUE;
}

static void
give_clients (LodgeLxcConsole *self, const guint8 *data, gsize size)
{
  for (guint i = self->clients->len; i-- > 0;)
    if (!give_client (g_ptr_array_index (self->clients, i), data, size))
      g_ptr_array_remove_index_fast (self->clients, i);
}

/* ---- the terminal ---- */

static gboolean
on_grace_over (gpointer user_data)
{
  LodgeLxcConsole *self = user_data;
  self->grace_source = 0;
  g_ptr_array_set_size (self->clients, 0);
  return G_SOURCE_REMOVE;
}

static void
close_tty (LodgeLxcConsole *self)
{
  g_clear_handle_id (&self->read_source, g_source_remove);
  g_clear_handle_id (&self->write_source, g_source_remove);
  lodge_fd_clear (&self->tty_fd);
  g_byte_array_set_size (self->input, 0);
}

void
lodge_lxc_console_detach (LodgeLxcConsole *self)
{
  close_tty (self);
  if (self->grace_source == 0 && self->clients->len > 0)
    self->grace_source = g_timeout_add_seconds (REBOOT_GRACE_SECONDS, on_grace_over, self);
}

static gboolean
on_tty_readable (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeLxcConsole *self = user_data;
  guint8 chunk[CHUNK_BYTES];
  for (guint i = 0; i < CHUNKS_PER_TURN; i++)
    {
      gssize n = read (fd, chunk, sizeof chunk);
      if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
      if (n <= 0)
        {
          self->read_source = 0;
          lodge_lxc_console_detach (self);
          return G_SOURCE_REMOVE;
        }
      write_log (self, chunk, (gsize) n);
      give_clients (self, chunk, (gsize) n);
    }
  return G_SOURCE_CONTINUE;
}

static void
resume_clients (LodgeLxcConsole *self)
{
  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = g_ptr_array_index (self->clients, i);
      if (client->read_source == 0)
        client->read_source
            = g_unix_fd_add (client->fd, G_IO_IN | G_IO_HUP, on_client_readable, client);
    }
}

static gboolean
on_tty_writable (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeLxcConsole *self = user_data;
  if (!flush_queue (fd, self->input))
    g_byte_array_set_size (self->input, 0);
  if (self->input->len > 0)
    return G_SOURCE_CONTINUE;
  self->write_source = 0;
  resume_clients (self);
  return G_SOURCE_REMOVE;
}

/* A path from libvirt; anything but a pseudo terminal is refused before it is opened for good. */
static int
open_tty (const char *tty, GError **error)
{
  g_auto (LodgeFd) fd = open (tty, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  struct stat info;
  if (fd < 0 || fstat (fd, &info) < 0)
    {
      lodge_error_set_errno (error, errno, "Cannot open the console %s", tty);
      return -1;
    }
  if (!S_ISCHR (info.st_mode) || major (info.st_rdev) < PTS_MAJOR_FIRST
      || major (info.st_rdev) > PTS_MAJOR_LAST)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "The console %s is not a pseudo terminal", tty);
      return -1;
    }
  return lodge_fd_steal (&fd);
}

gboolean
lodge_lxc_console_attach (LodgeLxcConsole *self, const char *tty, GError **error)
{
  int fd = open_tty (tty, error);
  if (fd < 0)
    return FALSE;
  close_tty (self);
  g_clear_handle_id (&self->grace_source, g_source_remove);
  self->tty_fd = fd;
  open_log (self);
  /* Below everything else: a guest that floods its console must not hold up the daemon. */
  self->read_source = g_unix_fd_add_full (G_PRIORITY_LOW, fd, G_IO_IN | G_IO_HUP | G_IO_ERR,
                                          on_tty_readable, self, NULL);
  resume_clients (self);
  return TRUE;
}

gboolean
lodge_lxc_console_is_attached (LodgeLxcConsole *self)
{
  return self->tty_fd >= 0;
}

/* ---- clients ---- */

static void
send_input (LodgeLxcConsole *self, const guint8 *data, gsize size)
{
  g_byte_array_append (self->input, data, (guint) size);
  if (self->write_source == 0 && !flush_queue (self->tty_fd, self->input))
    g_byte_array_set_size (self->input, 0);
  if (self->input->len > 0 && self->write_source == 0)
    self->write_source = g_unix_fd_add (self->tty_fd, G_IO_OUT, on_tty_writable, self);
}

static gboolean
on_client_readable (int fd, GIOCondition condition, gpointer user_data)
{
  Client *client = user_data;
  LodgeLxcConsole *self = client->console;
  guint8 chunk[CHUNK_BYTES];
  gssize n = read (fd, chunk, sizeof chunk);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n <= 0)
    {
      client->read_source = 0;
      drop_client (client);
      return G_SOURCE_REMOVE;
    }
  if (self->tty_fd >= 0)
    send_input (self, chunk, (gsize) n);
  if (self->input->len <= INPUT_QUEUE_MAX)
    return G_SOURCE_CONTINUE;
  /* The guest does not read: neither do we, until it does. */
  client->read_source = 0;
  return G_SOURCE_REMOVE;
}

int
lodge_lxc_console_add_client (LodgeLxcConsole *self, GError **error)
{
  int pair[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    {
      lodge_error_set_errno (error, errno, "Cannot open a console");
      return -1;
    }
  g_unix_set_fd_nonblocking (pair[0], TRUE, NULL);
  Client *client = g_new0 (Client, 1);
  client->console = self;
  client->fd = pair[0];
  client->queue = g_byte_array_new ();
  client->read_source = g_unix_fd_add (pair[0], G_IO_IN | G_IO_HUP, on_client_readable, client);
  g_ptr_array_add (self->clients, client);
  return pair[1];
}

static void
lodge_lxc_console_finalize (GObject *object)
{
  LodgeLxcConsole *self = LODGE_LXC_CONSOLE (object);
  g_clear_handle_id (&self->grace_source, g_source_remove);
  close_tty (self);
  g_ptr_array_unref (self->clients);
  g_byte_array_unref (self->input);
  lodge_fd_clear (&self->log_fd);
  g_free (self->log_path);
  G_OBJECT_CLASS (lodge_lxc_console_parent_class)->finalize (object);
}

static void
lodge_lxc_console_class_init (LodgeLxcConsoleClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_lxc_console_finalize;
}

static void
lodge_lxc_console_init (LodgeLxcConsole *self)
{
  self->log_fd = -1;
  self->tty_fd = -1;
  self->input = g_byte_array_new ();
  self->clients = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
}

LodgeLxcConsole *
lodge_lxc_console_new (const char *log_path)
{
  LodgeLxcConsole *self = g_object_new (LODGE_TYPE_LXC_CONSOLE, NULL);
  self->log_path = g_strdup (log_path);
  return self;
}
