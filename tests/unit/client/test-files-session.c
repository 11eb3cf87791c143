/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-files-session.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lodge/lodge-error.h"

/* The end of a session, with the server's end of the socket played here. */

typedef struct
{
  LodgeFilesSession *session;
  int server;
} Pair;

static Pair
make_pair (void)
{
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
  return (Pair){ lodge_files_session_new (fds[0]), fds[1] };
}

static void
say_error (int server, const char *text)
{
  struct
  {
    LodgeFilesReply head;
    char text[128];
  } packet = {
    .head = { .version = LODGE_FILES_VERSION, .error = EIO, .text_len = (uint16_t) strlen (text) }
  };

  g_strlcpy (packet.text, text, sizeof packet.text);
  g_assert_cmpint (send (server, &packet, sizeof packet.head + strlen (text), 0), >, 0);
}

typedef struct
{
  int server;
  gboolean done;
} Slow;

static gpointer
end_slowly (gpointer data)
{
  Slow *slow = data;
  char byte;

  /* The client has shut its end, not closed it. */
  g_assert_cmpint (recv (slow->server, &byte, 1, 0), ==, 0);
  g_usleep (50000);
  g_atomic_int_set (&slow->done, TRUE);
  close (slow->server);
  return NULL;
}

static void
test_waits (void)
{
  Pair pair = make_pair ();
  Slow slow = { .server = pair.server };
  g_autoptr (GError) error = NULL;
  GThread *thread = g_thread_new ("server", end_slowly, &slow);

  lodge_files_session_shut (pair.session);
  g_assert_true (lodge_files_session_finish (pair.session, &error));
  g_assert_no_error (error);
  g_assert_true (g_atomic_int_get (&slow.done));
  g_thread_join (thread);
  lodge_files_session_free (pair.session);
}

static void
test_last_words (void)
{
  Pair pair = make_pair ();
  g_autoptr (GError) error = NULL;

  lodge_files_session_shut (pair.session);
  say_error (pair.server, "What was written is lost");
  close (pair.server);
  g_assert_false (lodge_files_session_finish (pair.session, &error));
  g_assert_nonnull (strstr (error->message, "is lost"));
  lodge_files_session_free (pair.session);
}

static void
test_nonsense (void)
{
  Pair pair = make_pair ();
  g_autoptr (GError) error = NULL;

  lodge_files_session_shut (pair.session);
  g_assert_cmpint (send (pair.server, "x", 1, 0), ==, 1);
  close (pair.server);
  g_assert_false (lodge_files_session_finish (pair.session, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED);
  lodge_files_session_free (pair.session);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/files-session/finish/waits", test_waits);
  g_test_add_func ("/files-session/finish/last-words", test_last_words);
  g_test_add_func ("/files-session/finish/nonsense", test_nonsense);
  return g_test_run ();
}
