/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets on which helpers and guests report, with a driver whose libvirt is the test one. */
#include "lodge-lxc-driver.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-lxc-cgroup.h"
#include "lodge-lxc-plan.h"

#define UUID "7d3c1c2e-94a5-4a63-9f0c-5f6f1c8f3a11"
#define BASE 1065536

typedef struct
{
  char *dir;
  char *state;
  char *run;
  LodgeLxcPaths *paths;
  LodgeDriver *driver;
  guint n_changed, n_booted;
} Fixture;

static void
on_event (LodgeDriver *driver, LodgeDomainEvent event, const char *uuid, gpointer user_data)
{
  Fixture *self = user_data;
  if (g_strcmp0 (uuid, UUID) != 0)
    return;
  self->n_changed += event == LODGE_DOMAIN_EVENT_CHANGED;
  self->n_booted += event == LODGE_DOMAIN_EVENT_BOOTED;
}

static void
spin (guint milliseconds)
{
  gint64 end = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
  while (g_get_monotonic_time () < end)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (500);
}

static void
write_plan (Fixture *self)
{
  g_autoptr (LodgeDomainSpec) spec = lodge_domain_spec_new ();
  spec->uuid = g_strdup (UUID);
  spec->name = g_strdup ("web");
  spec->lower_dir = g_strdup ("/a");
  spec->upper_dir = g_strdup ("/b/upper");
  spec->work_dir = g_strdup ("/b/work");
  spec->idmap_base = BASE;
  spec->idmap_count = 65536;
  g_autoptr (GError) error = NULL;
  g_assert_true (lodge_lxc_plan_write (spec, self->paths, &error));
  g_assert_no_error (error);
}

/* The facts of a "container" whose init is this very process. */
static void
write_init (Fixture *self)
{
  g_autofree char *path = g_build_filename (self->paths->runtime, "init", NULL);
  g_autofree char *text
      = g_strdup_printf ("pid=%d\nstart-time=%" G_GUINT64_FORMAT "\ncgroup=lodge/" UUID
                         "\ncgroup-mount=\ncgroup-owned=1\n",
                         (int) getpid (), lodge_lxc_process_start_time (getpid ()));
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
start_driver (Fixture *self)
{
  g_autofree char *libexec = g_build_filename (self->dir, "libexec", NULL);
  g_autoptr (GError) error = NULL;
  self->driver = lodge_lxc_driver_new ("test:///default", self->state, self->run, libexec, &error);
  g_assert_no_error (error);
  lodge_driver_set_event_func (self->driver, on_event, self);
}

static void
set_up (Fixture *self, gconstpointer data)
{
  self->dir = g_dir_make_tmp ("lodge-notify-XXXXXX", NULL);
  chmod (self->dir, 0755);
  self->state = g_build_filename (self->dir, "state", NULL);
  self->run = g_build_filename (self->dir, "run", NULL);
  g_autofree char *enter = g_build_filename (self->dir, "libexec", "lodge-enter", NULL);
  g_autofree char *libexec = g_path_get_dirname (enter);
  g_assert_true (lodge_dir_make (libexec, 0755, NULL));
  g_assert_true (g_file_set_contents (enter, "#!/bin/false\n", -1, NULL));
  g_assert_true (lodge_dir_make (self->run, 0755, NULL));
  self->paths = lodge_lxc_paths_new (self->state, self->run, UUID);
  write_plan (self);
  start_driver (self);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_clear_object (&self->driver);
  /* libvirt lets go of what belongs to the connection from its event loop. */
  spin (50);
  g_assert_true (lodge_tree_remove (self->dir, NULL));
  g_free (self->dir);
  g_free (self->state);
  g_free (self->run);
  lodge_lxc_paths_free (self->paths);
}

/* Sends as @uid, from a process of its own. */
static void
send_as (const char *path, const char *text, uid_t uid)
{
  pid_t pid = fork ();
  if (pid == 0)
    {
      struct sockaddr_un address = { .sun_family = AF_UNIX };
      g_strlcpy (address.sun_path, path, sizeof address.sun_path);
      int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (uid != 0 && (setgid (uid) < 0 || setuid (uid) < 0))
        _exit (2);
      _exit (sendto (fd, text, strlen (text), 0, (struct sockaddr *) &address, sizeof address) < 0);
    }
  waitpid (pid, NULL, 0);
  spin (30);
}

static gboolean
need_root (void)
{
  if (geteuid () == 0)
    return TRUE;
  g_test_skip ("needs root, for other user ids");
  return FALSE;
}

static void
test_events (Fixture *self, gconstpointer data)
{
  if (!need_root ())
    return;
  static const char *const ignored[]
      = { "", "\n", "init", "init x\n", "init " UUID "x\n", "other " UUID "\n", "init  " UUID };
  for (guint i = 0; i < G_N_ELEMENTS (ignored); i++)
    send_as (self->paths->events, ignored[i], 0);
  g_assert_cmpuint (self->n_changed, ==, 0);
  send_as (self->paths->events, "init " UUID "\n", 0);
  g_assert_cmpuint (self->n_changed, ==, 1);
  send_as (self->paths->events, "release " UUID "\n", 0);
  g_assert_cmpuint (self->n_changed, ==, 2);
  /* Mode and sender both keep others out. */
  chmod (self->paths->events, 0666);
  send_as (self->paths->events, "init " UUID "\n", 1000);
  send_as (self->paths->events, "init " UUID "\n", BASE);
  g_assert_cmpuint (self->n_changed, ==, 2);
}

static void
test_ready (Fixture *self, gconstpointer data)
{
  if (!need_root ())
    return;
  g_autofree char *notify = g_build_filename (self->paths->control, "notify", NULL);
  write_init (self);
  send_as (self->paths->events, "init " UUID "\n", 0);
  send_as (notify, "STATUS=booting\nREADY=10\n", BASE);
  send_as (notify, "READY=1\n", BASE - 1);
  send_as (notify, "READY=1\n", BASE + 65536);
  send_as (notify, "READY=1\n", 1000);
  g_assert_cmpuint (self->n_booted, ==, 0);
  send_as (notify, "STATUS=up\nREADY=1\n", BASE);
  g_assert_cmpuint (self->n_booted, ==, 1);
}

/* lodged restarts while the container runs: the socket is bound again, readiness is known. */
static void
test_restart (Fixture *self, gconstpointer data)
{
  if (!need_root ())
    return;
  g_autofree char *notify = g_build_filename (self->paths->control, "notify", NULL);
  write_init (self);
  send_as (self->paths->events, "init " UUID "\n", 0);
  send_as (notify, "READY=1\n", BASE + 5);
  g_assert_cmpuint (self->n_booted, ==, 1);
  g_clear_object (&self->driver);
  self->n_booted = 0;
  start_driver (self);
  lodge_driver_start (self->driver);
  spin (300);
  g_assert_cmpuint (self->n_booted, ==, 1);
  send_as (notify, "READY=1\n", BASE);
  g_assert_cmpuint (self->n_booted, ==, 2);
}

static void
test_init_facts (Fixture *self, gconstpointer data)
{
  g_assert_null (lodge_lxc_init_read (self->paths->runtime, -1));
  write_init (self);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (self->paths->runtime, -1);
  g_assert_nonnull (init);
  g_assert_cmpint (init->pid, ==, getpid ());
  g_assert_cmpstr (init->cgroup, ==, "lodge/" UUID);
  g_assert_cmpstr (init->cgroup_mount, ==, "");

  static const char *const stale[] = { "", "pid=1\nstart-time=1\n", "pid=-5\nstart-time=9\n",
                                       "pid=2147483647\nstart-time=7\n", "garbage\0here" };
  g_autofree char *path = g_build_filename (self->paths->runtime, "init", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (stale); i++)
    {
      g_assert_true (g_file_set_contents (path, stale[i], -1, NULL));
      g_assert_null (lodge_lxc_init_read (self->paths->runtime, -1));
    }
  /* The number is in use again, by a later process. */
  g_autofree char *reused = g_strdup_printf ("pid=%d\nstart-time=1\n", (int) getpid ());
  g_assert_true (g_file_set_contents (path, reused, -1, NULL));
  g_assert_null (lodge_lxc_init_read (self->paths->runtime, -1));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
  ADD ("/lxc-notify/events", test_events);
  ADD ("/lxc-notify/ready", test_ready);
  ADD ("/lxc-notify/restart", test_restart);
  ADD ("/lxc-notify/init-facts", test_init_facts);
#undef ADD
  return g_test_run ();
}
