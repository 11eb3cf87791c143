/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox of the image helpers, with something hostile in it.  Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lodge-sandbox.h"

typedef struct
{
  int fd;      /* of the host */
  int life[2]; /* a pipe: its end says that nobody in the sandbox lives */
} Prisoner;

static LodgeSandbox
make_sandbox (int staging_fd)
{
  return (LodgeSandbox){ .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                         .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                         .staging_fd = staging_fd };
}

/* 0: all is well; else what is wrong. */
static int
look_around (gpointer data)
{
  const Prisoner *self = data;

  if (prctl (PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return 10;
  if (fcntl (self->fd, F_GETFD) >= 0)
    return 11;
  for (int fd = 3; fd < 256; fd++)
    {
      int parent = openat (fd, "..", O_PATH | O_DIRECTORY);
      if (parent >= 0)
        return 12;
    }
  /* PID 1 is what ends all others with the worker. */
  if (ptrace (PTRACE_SEIZE, 1, NULL, NULL) == 0)
    return 13;
  kill (1, SIGKILL);
  if (kill (1, 0) < 0)
    return 14;
  return 0;
}

static void
test_no_way_out (void)
{
  g_autofree char *dir = g_dir_make_tmp ("lodge-sandbox-XXXXXX", NULL);
  Prisoner prisoner = { .fd = open (dir, O_PATH | O_DIRECTORY) };
  LodgeSandbox sandbox = make_sandbox (prisoner.fd);
  LodgeFail fail = { 0 };
  int status = -1;

  g_assert_cmpint (prisoner.fd, >=, 0);
  if (!lodge_sandbox_run (&sandbox, look_around, &prisoner, &status, &fail))
    g_error ("%s", fail.text);
  g_assert_cmpint (status, ==, 0);
  close (prisoner.fd);
  rmdir (dir);
}

/* Tries to be there when the worker is not any more. */
static int
cling (gpointer data)
{
  const Prisoner *self = data;
  sigset_t all;

  prctl (PR_SET_PDEATHSIG, 0);
  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, NULL);
  setsid ();
  if (fork () >= 0 && write (self->life[1], "x", 1) == 1)
    for (;;)
      pause ();
  return 1;
}

static void
test_no_survivor (void)
{
  LodgeSandbox sandbox = make_sandbox (-1);
  Prisoner prisoner;
  LodgeFail fail = { 0 };
  char word[2];
  int status;

  g_assert_cmpint (pipe (prisoner.life), ==, 0);
  pid_t worker = fork ();
  if (worker == 0)
    _exit (lodge_sandbox_run (&sandbox, cling, &prisoner, &status, &fail) ? 0 : 1);
  close (prisoner.life[1]);
  for (int i = 0; i < 2; i++)
    g_assert_cmpint (read (prisoner.life[0], word, 1), ==, 1);
  kill (worker, SIGKILL);
  waitpid (worker, &status, 0);
  struct pollfd end = { .fd = prisoner.life[0], .events = POLLIN };
  g_assert_cmpint (poll (&end, 1, 10000), ==, 1);
  g_assert_cmpint (read (prisoner.life[0], word, 1), ==, 0);
  close (prisoner.life[0]);
}

static int
leave_orphan (gpointer data)
{
  if (fork () == 0)
    {
      setsid ();
      for (;;)
        pause ();
    }
  raise (GPOINTER_TO_INT (data));
  return 7;
}

static void
test_status (void)
{
  LodgeSandbox sandbox = make_sandbox (-1);
  LodgeFail fail = { 0 };
  int status = -1;

  g_assert_true (
      lodge_sandbox_run (&sandbox, leave_orphan, GINT_TO_POINTER (SIGKILL), &status, &fail));
  g_assert_cmpint (status, ==, 128 + SIGKILL);
  g_assert_true (
      lodge_sandbox_run (&sandbox, leave_orphan, GINT_TO_POINTER (SIGCHLD), &status, &fail));
  g_assert_cmpint (status, ==, 7);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (geteuid () != 0)
    {
      g_print ("1..0 # SKIP needs root\n");
      return 0;
    }
  g_test_add_func ("/sandbox/no-way-out", test_no_way_out);
  g_test_add_func ("/sandbox/no-survivor", test_no_survivor);
  g_test_add_func ("/sandbox/status", test_status);
  return g_test_run ();
}
