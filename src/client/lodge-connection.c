/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lodge-connection-auth.h"
#include "lodge-fd.h"
#include "lodge/lodge-error.h"

#define READ_SIZE 65536

#define BUS_NAME      "org.freedesktop.DBus"
#define BUS_PATH      "/org/freedesktop/DBus"
#define BUS_INTERFACE "org.freedesktop.DBus"

struct _LodgeConnection
{
  int fd;
  guint32 last_serial;
  guint32 hello_serial;
  gboolean said_hello;
  GByteArray *input;
  GArray *input_fds;   /* of int; those of messages that are not complete */
  GHashTable *replies; /* serial → LodgeMessage */
  GQueue signals;
};

static void
close_fds (GArray *fds, guint from)
{
  for (guint i = from; i < fds->len; i++)
    close (g_array_index (fds, int, i));
  g_array_set_size (fds, from);
}

void
lodge_connection_close (LodgeConnection *self)
{
  if (self == NULL)
    return;
  if (self->fd >= 0)
    close (self->fd);
  close_fds (self->input_fds, 0);
  g_array_unref (self->input_fds);
  g_byte_array_unref (self->input);
  g_hash_table_unref (self->replies);
  g_queue_clear_full (&self->signals, (GDestroyNotify) lodge_message_free);
  g_free (self);
}

int
lodge_connection_get_fd (LodgeConnection *self)
{
  return self->fd;
}

static gboolean
gone (GError **error)
{
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_DAEMON_UNREACHABLE,
                       "The connection to the message bus has ended.");
  return FALSE;
}

/* Descriptors travel with the first byte of their message. */
static gssize
send_some (int fd, const guint8 *data, gsize size, const int *fds, guint n_fds)
{
  struct iovec part = { .iov_base = (gpointer) data, .iov_len = size };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
  union
  {
    char bytes[CMSG_SPACE (sizeof (int) * LODGE_MESSAGE_MAX_FDS)];
    struct cmsghdr align;
  } control = { 0 };

  if (n_fds > 0)
    {
      header.msg_control = control.bytes;
      header.msg_controllen = CMSG_SPACE (sizeof (int) * n_fds);
      struct cmsghdr *rights = CMSG_FIRSTHDR (&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof (int) * n_fds);
      memcpy (CMSG_DATA (rights), fds, sizeof (int) * n_fds);
    }
  return sendmsg (fd, &header, MSG_NOSIGNAL);
}

static gboolean
send_all (LodgeConnection *self, const GByteArray *bytes, const int *fds, guint n_fds,
          GError **error)
{
  gsize done = 0;

  while (done < bytes->len)
    {
      gssize n
          = send_some (self->fd, bytes->data + done, bytes->len - done, fds, done == 0 ? n_fds : 0);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
        return gone (error);
      if (n < 0)
        {
          lodge_error_set_errno (error, errno, "The message cannot be sent");
          return FALSE;
        }
      done += (gsize) n;
    }
  return TRUE;
}

static guint32
send_message (LodgeConnection *self, LodgeMessage *message, GError **error)
{
  message->serial = ++self->last_serial;
  g_autoptr (GByteArray) bytes = lodge_message_encode (message);
  return send_all (self, bytes, message->fds, message->n_fds, error) ? message->serial : 0;
}

/* The strings are borrowed; the message never leaves the stack. */
static guint32
send_call (LodgeConnection *self, guint flags, const char *destination, const char *path,
           const char *interface, const char *member, GVariant *body, const int *fds, guint n_fds,
           GError **error)
{
  g_autoptr (GVariant) sunk
      = g_variant_ref_sink (body != NULL ? body : g_variant_new_tuple (NULL, 0));
  LodgeMessage message = {
    .type = LODGE_MESSAGE_CALL,
    .flags = flags | LODGE_MESSAGE_INTERACTIVE,
    .destination = (char *) destination,
    .path = (char *) path,
    .interface = (char *) interface,
    .member = (char *) member,
    .body = sunk,
    .n_fds = n_fds,
  };

  g_return_val_if_fail (n_fds <= LODGE_MESSAGE_MAX_FDS, 0);
  if (n_fds > 0)
    memcpy (message.fds, fds, sizeof (int) * n_fds);
  return send_message (self, &message, error);
}

guint32
lodge_connection_send (LodgeConnection *self, const char *destination, const char *path,
                       const char *interface, const char *member, GVariant *body, const int *fds,
                       guint n_fds, GError **error)
{
  return send_call (self, 0, destination, path, interface, member, body, fds, n_fds, error);
}

gboolean
lodge_connection_send_oneway (LodgeConnection *self, const char *destination, const char *path,
                              const char *interface, const char *member, GVariant *body,
                              GError **error)
{
  return send_call (self, LODGE_MESSAGE_NO_REPLY, destination, path, interface, member, body, NULL,
                    0, error)
         != 0;
}

LodgeConnection *
lodge_connection_open (const char *address, GError **error)
{
  int fd = lodge_connection_auth_connect (address, error);

  if (fd < 0)
    return NULL;
  g_autoptr (LodgeConnection) self = g_new0 (LodgeConnection, 1);
  self->fd = fd;
  self->input = g_byte_array_sized_new (READ_SIZE);
  self->input_fds = g_array_new (FALSE, FALSE, sizeof (int));
  self->replies = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL,
                                         (GDestroyNotify) lodge_message_free);
  /* Nobody waits for the answer: the bus handles what follows in order. */
  self->hello_serial = lodge_connection_send (self, BUS_NAME, BUS_PATH, BUS_INTERFACE, "Hello",
                                              NULL, NULL, 0, error);
  return self->hello_serial != 0 ? g_steal_pointer (&self) : NULL;
}

static void
keep_fds (LodgeConnection *self, struct msghdr *header)
{
  for (struct cmsghdr *c = CMSG_FIRSTHDR (header); c != NULL; c = CMSG_NXTHDR (header, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      g_array_append_vals (self->input_fds, CMSG_DATA (c),
                           (guint) ((c->cmsg_len - CMSG_LEN (0)) / sizeof (int)));
}

/* Returns: bytes read, 0 at the end, -1 with errno. */
static gssize
read_some (LodgeConnection *self)
{
  guint before = self->input->len;
  union
  {
    char bytes[CMSG_SPACE (sizeof (int) * 253)];
    struct cmsghdr align;
  } control;

  g_byte_array_set_size (self->input, before + READ_SIZE);
  struct iovec part = { .iov_base = self->input->data + before, .iov_len = READ_SIZE };
  struct msghdr header = { .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes };
  gssize n = recvmsg (self->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  int saved_errno = errno;
  if (n > 0)
    keep_fds (self, &header);
  g_byte_array_set_size (self->input, before + (guint) MAX (n, 0));
  errno = saved_errno;
  return n;
}

static gboolean
attach_fds (LodgeConnection *self, LodgeMessage *message, GError **error)
{
  guint n = message->n_declared_fds;

  if (n > self->input_fds->len || n > LODGE_MESSAGE_MAX_FDS)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_FAILED,
                           "The bus did not pass the files that it announced.");
      return FALSE;
    }
  if (n == 0)
    return TRUE;
  memcpy (message->fds, self->input_fds->data, n * sizeof (int));
  message->n_fds = n;
  g_array_remove_range (self->input_fds, 0, n);
  return TRUE;
}

static void
queue_message (LodgeConnection *self, LodgeMessage *message)
{
  if (message->type == LODGE_MESSAGE_SIGNAL)
    g_queue_push_tail (&self->signals, message);
  else if (message->type == LODGE_MESSAGE_CALL)
    lodge_message_free (message); /* nobody has anything to ask of a client */
  else if (message->reply_serial == self->hello_serial)
    lodge_message_free (message);
  else
    g_hash_table_replace (self->replies, GUINT_TO_POINTER (message->reply_serial), message);
}

/* Takes all complete messages out of the input. */
static gboolean
parse_input (LodgeConnection *self, GError **error)
{
  gsize offset = 0;

  while (self->input->len - offset >= LODGE_MESSAGE_PREFIX_SIZE)
    {
      const guint8 *start = self->input->data + offset;
      gsize size = lodge_message_size (start, error);

      if (size == 0)
        return FALSE;
      if (size > self->input->len - offset)
        break;
      g_autoptr (LodgeMessage) message = lodge_message_decode (start, size, error);
      if (message == NULL || !attach_fds (self, message, error))
        return FALSE;
      queue_message (self, g_steal_pointer (&message));
      offset += size;
    }
  if (offset > 0)
    g_byte_array_remove_range (self->input, 0, (guint) offset);
  return TRUE;
}

gboolean
lodge_connection_dispatch (LodgeConnection *self, int timeout_ms, GError **error)
{
  struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN };

  if (timeout_ms != 0 && poll (&poll_fd, 1, timeout_ms) == 0)
    return TRUE;
  for (;;)
    {
      gssize n = read_some (self);

      if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return TRUE;
      if (n <= 0)
        return gone (error);
      if (!parse_input (self, error))
        return FALSE;
      if (n < READ_SIZE)
        return TRUE;
    }
}

LodgeMessage *
lodge_connection_take_reply (LodgeConnection *self, guint32 serial)
{
  LodgeMessage *message = NULL;

  g_hash_table_steal_extended (self->replies, GUINT_TO_POINTER (serial), NULL,
                               (gpointer *) &message);
  return message;
}

LodgeMessage *
lodge_connection_take_signal (LodgeConnection *self)
{
  return g_queue_pop_head (&self->signals);
}

LodgeMessage *
lodge_connection_wait_reply (LodgeConnection *self, guint32 serial, GError **error)
{
  for (;;)
    {
      LodgeMessage *message = lodge_connection_take_reply (self, serial);

      if (message != NULL)
        return message;
      if (!lodge_connection_dispatch (self, -1, error))
        return NULL;
    }
}
