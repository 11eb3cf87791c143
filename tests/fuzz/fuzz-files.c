/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests of a client to the server of files: which refuses them all, once it has read them. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lodge-files-server.h"
#include "lodge/lodge-files.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  int pair[2];
  LodgeFail fail = { 0 };
  char answer[LODGE_FILES_PACKET_MAX];
  LodgeFilesReply head;

  if (size > LODGE_FILES_PACKET_MAX)
    return 0;
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    g_error ("there is no socket");
  LodgeFilesServer server
      = { .session = pair[0], .root = -1, .self = -1, .ids = 65536, .refusal = EROFS };
  gboolean sent = send (pair[1], data, size, MSG_NOSIGNAL) == (gssize) size && size > 0;
  shutdown (pair[1], SHUT_WR);
  g_assert_true (lodge_files_serve (&server, &fail));
  gssize n = recv (pair[1], answer, sizeof answer, MSG_DONTWAIT);
  if (sent)
    {
      g_assert_cmpint (n, >=, (gssize) sizeof head);
      memcpy (&head, answer, sizeof head);
      g_assert_cmpint (head.error, >, 0);
      g_assert_cmpint (n, ==, (gssize) sizeof head + head.text_len + head.link_len);
    }
  close (pair[0]);
  close (pair[1]);
  return 0;
}
