/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-console.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lodge-fd.h"

typedef struct
{
  char *dir;
  char *log;
  int guest; /* the master side: what libvirt's process of the container holds */
  char *tty;
  LodgeLxcConsole *console;
} Fixture;

static void
open_guest (Fixture *self)
{
  char name[64];
  self->guest = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  g_assert_cmpint (self->guest, >=, 0);
  g_assert_cmpint (grantpt (self->guest), ==, 0);
  g_assert_cmpint (unlockpt (self->guest), ==, 0);
  g_assert_cmpint (ptsname_r (self->guest, name, sizeof name), ==, 0);
  struct termios attributes;
  tcgetattr (self->guest, &attributes);
  cfmakeraw (&attributes);
  tcsetattr (self->guest, TCSANOW, &attributes);
  g_free (self->tty);
  self->tty = g_strdup (name);
}

static void
set_up (Fixture *self, gconstpointer data)
{
  self->dir = g_dir_make_tmp ("lodge-console-XXXXXX", NULL);
  self->log = g_build_filename (self->dir, "console.log", NULL);
  self->console = lodge_lxc_console_new (self->log);
  open_guest (self);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_object_unref (self->console);
  if (self->guest >= 0)
    close (self->guest);
  g_assert_true (lodge_tree_remove (self->dir, NULL));
  g_free (self->dir);
  g_free (self->log);
  g_free (self->tty);
}

static void
attach (Fixture *self)
{
  g_autoptr (GError) error = NULL;
  g_assert_true (lodge_lxc_console_attach (self->console, self->tty, &error));
  g_assert_no_error (error);
}

/* Runs the main loop until @fd has given @size bytes. */
static char *
read_exactly (int fd, gsize size)
{
  char *text = g_malloc0 (size + 1);
  gsize have = 0;
  gint64 end = g_get_monotonic_time () + 5 * G_TIME_SPAN_SECOND;
  fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
  while (have < size && g_get_monotonic_time () < end)
    {
      gssize n = read (fd, text + have, size - have);
      if (n > 0)
        have += (gsize) n;
      else if (!g_main_context_iteration (NULL, FALSE))
        g_usleep (500);
    }
  g_assert_cmpuint (have, ==, size);
  return text;
}

static void
spin (guint milliseconds)
{
  gint64 end = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
  while (g_get_monotonic_time () < end)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (500);
}

static char *
read_log (Fixture *self)
{
  g_autoptr (GError) error = NULL;
  g_auto (LodgeFd) fd = lodge_lxc_console_open_log (self->log, &error);
  g_assert_no_error (error);
  char *text = lodge_fd_read_all (fd, 4 << 20, NULL, &error);
  g_assert_no_error (error);
  return text;
}

static void
test_fan_out (Fixture *self, gconstpointer data)
{
  attach (self);
  g_auto (LodgeFd) first = lodge_lxc_console_add_client (self->console, NULL);
  g_auto (LodgeFd) second = lodge_lxc_console_add_client (self->console, NULL);
  g_assert_cmpint (write (self->guest, "login: ", 7), ==, 7);
  g_autofree char *one = read_exactly (first, 7);
  g_autofree char *two = read_exactly (second, 7);
  g_assert_cmpstr (one, ==, "login: ");
  g_assert_cmpstr (two, ==, "login: ");
  g_assert_cmpint (write (first, "ab", 2), ==, 2);
  g_autofree char *input = read_exactly (self->guest, 2);
  g_assert_cmpstr (input, ==, "ab");
  g_autofree char *log = read_log (self);
  g_assert_cmpstr (log, ==, "login: ");
}

/* Without a client, and with one that never reads, the guest must not stop; the log is bounded. */
static void
test_flood (Fixture *self, gconstpointer data)
{
  attach (self);
  g_auto (LodgeFd) lazy = lodge_lxc_console_add_client (self->console, NULL);
  char chunk[1024];
  memset (chunk, 'x', sizeof chunk);
  gsize written = 0;
  gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;
  while (written < 3 << 20 && g_get_monotonic_time () < end)
    {
      gssize n = write (self->guest, chunk, sizeof chunk);
      if (n > 0)
        written += (gsize) n;
      else
        g_main_context_iteration (NULL, FALSE);
    }
  g_assert_cmpuint (written, >=, 3 << 20);
  spin (50);
  g_autofree char *log = read_log (self);
  g_assert_cmpuint (strlen (log), <=, 1 << 20);
  g_assert_cmpuint (strlen (log), >=, 512 << 10);
  GStatBuf info;
  g_assert_cmpint (g_stat (self->log, &info), ==, 0);
  g_assert_cmpint (info.st_size, <=, 512 << 10);
  g_assert_cmpint (info.st_mode & 0777, ==, 0600);
}

static void
test_reboot (Fixture *self, gconstpointer data)
{
  attach (self);
  g_auto (LodgeFd) client = lodge_lxc_console_add_client (self->console, NULL);
  close (self->guest);
  spin (20);
  g_assert_false (lodge_lxc_console_is_attached (self->console));
  open_guest (self);
  attach (self);
  g_assert_cmpint (write (self->guest, "again", 5), ==, 5);
  g_autofree char *text = read_exactly (client, 5);
  g_assert_cmpstr (text, ==, "again");
}

static void
test_end (Fixture *self, gconstpointer data)
{
  attach (self);
  g_auto (LodgeFd) client = lodge_lxc_console_add_client (self->console, NULL);
  close (self->guest);
  self->guest = -1;
  spin (4200);
  char byte;
  g_assert_cmpint (read (client, &byte, 1), ==, 0);
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  const char *const paths[] = { "/dev/null", "/dev/pts/ptmx", "/etc/passwd", "/nonexistent" };
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr (GError) error = NULL;
      g_assert_false (lodge_lxc_console_attach (self->console, paths[i], &error));
      g_assert_true (error->domain == LODGE_ERROR);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
  ADD ("/lxc-console/fan-out", test_fan_out);
  ADD ("/lxc-console/flood", test_flood);
  ADD ("/lxc-console/reboot", test_reboot);
  ADD ("/lxc-console/end", test_end);
  ADD ("/lxc-console/refused", test_refused);
#undef ADD
  return g_test_run ();
}
