/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether libvirt still has its connection to a container's process: this process plays it. */
#include "lodge-lxc-controller.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-lxc-cgroup.h"

#define NAME "web"

typedef struct
{
  char *dir;
  struct sockaddr_un address;
  int listener, client, accepted;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->dir = g_dir_make_tmp ("lodge-XXXXXX", NULL);
  self->address.sun_family = AF_UNIX;
  g_snprintf (self->address.sun_path, sizeof self->address.sun_path, "%s/" NAME ".sock", self->dir);
  self->client = self->accepted = -1;
  self->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (self->listener, (struct sockaddr *) &self->address, sizeof self->address),
                   ==, 0);
  g_assert_cmpint (listen (self->listener, 4), ==, 0);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  lodge_fd_clear (&self->listener);
  lodge_fd_clear (&self->client);
  lodge_fd_clear (&self->accepted);
  g_unlink (self->address.sun_path);
  g_rmdir (self->dir);
  g_free (self->dir);
}

static void
connect_client (Fixture *self)
{
  self->client = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (connect (self->client, (struct sockaddr *) &self->address, sizeof self->address),
                   ==, 0);
}

static void
accept_client (Fixture *self)
{
  self->accepted = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC);
  g_assert_cmpint (self->accepted, >=, 0);
}

static void
test_connected (Fixture *self, gconstpointer data)
{
  g_assert_false (lodge_lxc_controller_is_heard (getpid (), NAME));
  connect_client (self);
  /* Not accepted yet, so nothing has been sent on it. */
  g_assert_true (lodge_lxc_controller_is_heard (getpid (), NAME));
  accept_client (self);
  g_assert_true (lodge_lxc_controller_is_heard (getpid (), NAME));
  g_assert_cmpint (write (self->accepted, "message", 7), ==, 7);
  g_assert_true (lodge_lxc_controller_is_heard (getpid (), NAME));
}

static void
test_given_up (Fixture *self, gconstpointer data)
{
  connect_client (self);
  accept_client (self);
  lodge_fd_clear (&self->client);
  g_assert_false (lodge_lxc_controller_is_heard (getpid (), NAME));
  lodge_fd_clear (&self->accepted);
  g_assert_false (lodge_lxc_controller_is_heard (getpid (), NAME));
}

static void
test_cannot_tell (Fixture *self, gconstpointer data)
{
  g_assert_true (lodge_lxc_controller_is_heard (getpid (), "other"));
  g_assert_true (lodge_lxc_controller_is_heard (G_MAXINT, NAME));
}

static void
test_a_copy_hides_the_end (Fixture *self, gconstpointer data)
{
  connect_client (self);
  accept_client (self);
  g_auto (LodgeFd) pidfd = (int) syscall (SYS_pidfd_open, getpid (), 0);
  g_autoptr (GArray) copies = lodge_lxc_controller_copy_sockets (getpid (), pidfd);
  g_assert_cmpuint (copies->len, >=, 3);
  lodge_fd_clear (&self->accepted);
  struct pollfd end = { .fd = self->client, .events = POLLIN };
  g_assert_cmpint (poll (&end, 1, 0), ==, 0);
  g_clear_pointer (&copies, g_array_unref);
  g_assert_cmpint (poll (&end, 1, 1000), ==, 1);
  g_assert_true (end.revents & POLLHUP);
}

/* One that has not told Lodge of itself can be ended all the same. */
static void
test_first_process (Fixture *self, gconstpointer data)
{
  g_autoptr (LodgeLxcInit) none = lodge_lxc_init_find (getpid ());
  g_assert_null (none);
  pid_t child = fork ();
  if (child == 0)
    for (;;)
      pause ();
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_find (getpid ());
  g_assert_nonnull (init);
  g_assert_cmpint (init->pid, ==, child);
  g_assert_true (lodge_lxc_init_signal (init, SIGKILL));
  g_assert_cmpint (waitpid (child, NULL, 0), ==, child);
  g_assert_false (lodge_lxc_init_signal (init, 0));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  const struct
  {
    const char *path;
    void (*func) (Fixture *self, gconstpointer data);
  } rows[] = {
    { "/lxc-controller/connected", test_connected },
    { "/lxc-controller/given-up", test_given_up },
    { "/lxc-controller/cannot-tell", test_cannot_tell },
    { "/lxc-controller/a-copy-hides-the-end", test_a_copy_hides_the_end },
    { "/lxc-controller/first-process", test_first_process },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    g_test_add (rows[i].path, Fixture, NULL, set_up, rows[i].func, tear_down);
  return g_test_run ();
}
