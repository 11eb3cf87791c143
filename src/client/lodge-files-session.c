/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-files-session.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lodge-name.h"
#include "lodge/lodge-error.h"

struct _LodgeFilesSession
{
  int fd;
  GQueue pending; /* of GINT_TO_POINTER (LodgeFilesOp) */
  guint8 packet[LODGE_FILES_PACKET_MAX];
};

void
lodge_files_answer_clear (LodgeFilesAnswer *answer)
{
  g_clear_pointer (&answer->text, g_free);
  g_clear_pointer (&answer->link, g_free);
}

LodgeFilesSession *
lodge_files_session_new (int fd)
{
  LodgeFilesSession *self = g_new0 (LodgeFilesSession, 1);

  self->fd = fd;
  g_queue_init (&self->pending);
  return self;
}

void
lodge_files_session_free (LodgeFilesSession *self)
{
  if (self == NULL)
    return;
  close (self->fd);
  g_queue_clear (&self->pending);
  g_free (self);
}

int
lodge_files_session_get_fd (LodgeFilesSession *self)
{
  return self->fd;
}

guint
lodge_files_session_n_pending (LodgeFilesSession *self)
{
  return g_queue_get_length (&self->pending);
}

gboolean
lodge_files_session_has_room (LodgeFilesSession *self)
{
  return lodge_files_session_n_pending (self) < LODGE_FILES_WINDOW;
}

static gboolean
send_packet (int socket, const void *data, gsize size, int fd, GError **error)
{
  struct iovec part = { .iov_base = (gpointer) data, .iov_len = size };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
  union
  {
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = { 0 };
  gssize n;

  if (fd >= 0)
    {
      header.msg_control = control.bytes;
      header.msg_controllen = sizeof control.bytes;
      struct cmsghdr *rights = CMSG_FIRSTHDR (&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof (int));
      memcpy (CMSG_DATA (rights), &fd, sizeof (int));
    }
  do
    n = sendmsg (socket, &header, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n == (gssize) size)
    return TRUE;
  lodge_error_set_errno (error, n < 0 ? errno : EMSGSIZE, "The request for a file cannot be sent");
  return FALSE;
}

gboolean
lodge_files_session_send (LodgeFilesSession *self, LodgeFilesOp op,
                          const LodgeFilesAttributes *attributes, const char *path,
                          const char *extra, int fd, GError **error)
{
  gsize path_len = strlen (path);
  gsize extra_len = extra != NULL ? strlen (extra) : 0;
  g_autoptr (GByteArray) packet = g_byte_array_new ();

  if (path_len > LODGE_FILES_PATH_MAX || extra_len > LODGE_FILES_PATH_MAX)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           "A path is longer than 4096 bytes.");
      return FALSE;
    }
  LodgeFilesRequest request = {
    .version = LODGE_FILES_VERSION,
    .op = op,
    .path_len = (guint16) path_len,
    .extra_len = (guint16) extra_len,
  };
  if (attributes != NULL)
    {
      request.flags = attributes->flags;
      request.uid = attributes->uid;
      request.gid = attributes->gid;
      request.mode = attributes->mode;
      request.mtime = attributes->mtime;
    }
  g_byte_array_append (packet, (const guint8 *) &request, sizeof request);
  g_byte_array_append (packet, (const guint8 *) path, (guint) path_len);
  if (extra_len > 0)
    g_byte_array_append (packet, (const guint8 *) extra, (guint) extra_len);
  if (!send_packet (self->fd, packet->data, packet->len, fd, error))
    return FALSE;
  g_queue_push_tail (&self->pending, GINT_TO_POINTER (op));
  return TRUE;
}

static gboolean
broken (GError **error)
{
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED,
                       "The file session was answered with something that is no answer.");
  return FALSE;
}

static gssize
receive_packet (LodgeFilesSession *self)
{
  gssize n;

  do
    n = recv (self->fd, self->packet, sizeof self->packet, MSG_TRUNC);
  while (n < 0 && errno == EINTR);
  return n;
}

static gboolean
decode (LodgeFilesSession *self, gssize n, LodgeFilesAnswer *out_answer, GError **error)
{
  LodgeFilesReply reply;

  if ((gsize) n < sizeof reply || (gsize) n > sizeof self->packet)
    return broken (error);
  memcpy (&reply, self->packet, sizeof reply);
  if (reply.version != LODGE_FILES_VERSION
      || sizeof reply + reply.text_len + reply.link_len > (gsize) n)
    return broken (error);
  const char *text = (const char *) self->packet + sizeof reply;
  *out_answer = (LodgeFilesAnswer){
    .error = reply.error,
    .end = (reply.flags & LODGE_FILES_END) != 0,
    .type = reply.type,
    .uid = reply.uid,
    .gid = reply.gid,
    .mode = reply.mode,
    .size = reply.size,
    .mtime = reply.mtime,
    .text = g_strndup (text, reply.text_len),
    .link = g_strndup (text + reply.text_len, reply.link_len),
  };
  return TRUE;
}

gboolean
lodge_files_session_receive (LodgeFilesSession *self, LodgeFilesAnswer *out_answer, GError **error)
{
  g_return_val_if_fail (!g_queue_is_empty (&self->pending), FALSE);
  gssize n = receive_packet (self);
  if (n <= 0)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED,
                           "The file session ended early.");
      return FALSE;
    }
  if (!decode (self, n, out_answer, error))
    return FALSE;
  if (GPOINTER_TO_INT (g_queue_peek_head (&self->pending)) != LODGE_FILES_LIST || out_answer->end
      || out_answer->error != 0)
    g_queue_pop_head (&self->pending);
  return TRUE;
}

void
lodge_files_session_shut (LodgeFilesSession *self)
{
  shutdown (self->fd, SHUT_WR);
}

gboolean
lodge_files_session_finish (LodgeFilesSession *self, GError **error)
{
  g_autoptr (GError) first = NULL;
  gssize n;

  while ((n = receive_packet (self)) > 0)
    {
      g_auto (LodgeFilesAnswer) answer = { 0 };
      if (first == NULL && decode (self, n, &answer, &first))
        lodge_files_answer_check (&answer, &first);
    }
  if (first == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&first));
  return FALSE;
}

gboolean
lodge_files_answer_check (const LodgeFilesAnswer *answer, GError **error)
{
  g_autoptr (GError) by_errno = NULL;

  if (answer->error == 0)
    return TRUE;
  /* The code comes from the number, the sentence from the service. */
  lodge_error_set_errno (&by_errno, answer->error, "The file cannot be used");
  g_set_error_literal (error, LODGE_ERROR, by_errno->code,
                       answer->text != NULL && answer->text[0] != '\0' ? answer->text
                                                                       : by_errno->message);
  return FALSE;
}
