/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#include "lodge-fd.h"
#include "lodge-helper.h"

typedef struct
{
  GMainLoop *loop;
  LodgeHelper *helper;
  GCancellable *cancellable;
  gboolean ok;
  GError *error;
  GString *lines;
  double fraction;
  char *from_fd;
} Fixture;

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  Fixture *f = user_data;

  g_string_append_printf (f->lines, "%s\n", line);
  if (fd >= 0)
    {
      f->from_fd = lodge_fd_read_all (fd, 100, NULL, NULL);
      close (fd);
    }
  if (strcmp (line, "notice hanging") == 0 && f->cancellable != NULL)
    g_cancellable_cancel (f->cancellable);
}

static void
on_progress (LodgeHelper *helper, double fraction, guint64 done, guint64 total, const char *stage,
             gpointer user_data)
{
  Fixture *f = user_data;

  f->fraction = fraction;
  g_assert_cmpuint (done, ==, 1);
  g_assert_cmpuint (total, ==, 2);
  g_assert_cmpstr (stage, ==, "half done");
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Fixture *f = user_data;

  f->ok = lodge_helper_run_finish (LODGE_HELPER (source), result, &f->error);
  g_main_loop_quit (f->loop);
}

static void
fixture_init (Fixture *f, const char *op)
{
  memset (f, 0, sizeof *f);
  f->loop = g_main_loop_new (NULL, FALSE);
  f->lines = g_string_new (NULL);
  f->helper = lodge_helper_new (g_test_get_filename (G_TEST_DIST, "fake-helper.py", NULL), op);
  lodge_helper_set_line_func (f->helper, on_line, f);
  lodge_helper_set_progress_func (f->helper, on_progress, f);
}

static void
fixture_run (Fixture *f)
{
  lodge_helper_run_async (f->helper, f->cancellable, on_done, f);
  g_main_loop_run (f->loop);
}

static void
fixture_clear (Fixture *f)
{
  g_main_loop_unref (f->loop);
  g_string_free (f->lines, TRUE);
  g_clear_error (&f->error);
  g_clear_object (&f->helper);
  g_clear_object (&f->cancellable);
  g_free (f->from_fd);
}

static void
test_echo (void)
{
  Fixture f;

  fixture_init (&f, "echo");
  lodge_helper_add (f.helper, "word", "a sentence");
  lodge_helper_add (f.helper, "arg", "one");
  lodge_helper_add (f.helper, "arg", "two=2 \n");
  fixture_run (&f);
  g_assert_no_error (f.error);
  g_assert_true (f.ok);
  g_assert_nonnull (strstr (f.lines->str, "notice a sentence\n"));
  g_assert_cmpfloat (f.fraction, ==, 0.5);
  g_assert_true (g_str_has_prefix (lodge_helper_get_result (f.helper, "answer"), "one|two=2 "));
  fixture_clear (&f);
}

static void
test_error (void)
{
  Fixture f;

  fixture_init (&f, "fail");
  fixture_run (&f);
  g_assert_error (f.error, LODGE_ERROR, LODGE_ERROR_NO_SPACE);
  g_assert_cmpstr (f.error->message, ==, "the pool is full");
  fixture_clear (&f);
}

/* What foreign bytes make a helper say is no success when the helper itself has failed. */
static void
test_lie (void)
{
  Fixture f;

  fixture_init (&f, "lie");
  fixture_run (&f);
  g_assert_false (f.ok);
  g_assert_error (f.error, LODGE_ERROR, LODGE_ERROR_IMAGE_INVALID);
  fixture_clear (&f);
}

static void
test_many_results (void)
{
  Fixture f;

  fixture_init (&f, "many");
  fixture_run (&f);
  g_assert_no_error (f.error);
  g_assert_nonnull (lodge_helper_get_result (f.helper, "key0"));
  g_assert_null (lodge_helper_get_result (f.helper, "key9999"));
  fixture_clear (&f);
}

static void
test_death (void)
{
  Fixture f;

  fixture_init (&f, "die");
  fixture_run (&f);
  g_assert_error (f.error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED);
  g_assert_nonnull (strstr (f.error->message, "status 3: last words\\x1b"));
  fixture_clear (&f);
}

static void
test_absent (void)
{
  Fixture f;

  fixture_init (&f, "x");
  g_clear_object (&f.helper);
  f.helper = lodge_helper_new ("/nowhere/lodge-x", "x");
  fixture_run (&f);
  g_assert_error (f.error, LODGE_ERROR, LODGE_ERROR_HELPER_FAILED);
  fixture_clear (&f);
}

static void
test_cancel (gconstpointer stubborn)
{
  Fixture f;
  gint64 before = g_get_monotonic_time ();

  fixture_init (&f, "hang");
  if (stubborn != NULL)
    lodge_helper_add (f.helper, "stubborn", "1");
  f.cancellable = g_cancellable_new ();
  fixture_run (&f);
  g_assert_error (f.error, LODGE_ERROR, LODGE_ERROR_CANCELLED);
  g_assert_cmpint (lodge_helper_get_pid (f.helper), ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - before, <, 20 * G_USEC_PER_SEC);
  fixture_clear (&f);
}

static void
test_timeout (void)
{
  Fixture f;

  fixture_init (&f, "hang");
  lodge_helper_set_timeout (f.helper, 1);
  fixture_run (&f);
  g_assert_error (f.error, LODGE_ERROR, LODGE_ERROR_TIMED_OUT);
  fixture_clear (&f);
}

static void
test_fds (void)
{
  Fixture f;
  g_autofree char *path = NULL;
  g_auto (LodgeFd) fd = g_file_open_tmp ("lodge-helper-XXXXXX", &path, NULL);

  g_assert_true (lodge_fd_write_all (fd, "passed", 6, NULL));
  lseek (fd, 0, SEEK_SET);
  fixture_init (&f, "fd");
  lodge_helper_add_fd (f.helper, "file", fd);
  fixture_run (&f);
  g_assert_no_error (f.error);
  g_assert_cmpstr (lodge_helper_get_result (f.helper, "text"), ==, "passed");
  g_assert_cmpstr (f.from_fd, ==, "from the helper");
  fixture_clear (&f);
  g_unlink (path);
}

/* Row E02: nothing of the daemon's is open in a helper. */
static void
test_no_leak (void)
{
  Fixture f;
  g_auto (LodgeFd) secret = open ("/etc/passwd", O_RDONLY | O_CLOEXEC);

  g_assert_cmpint (secret, >=, 0);
  fixture_init (&f, "fds");
  fixture_run (&f);
  g_assert_no_error (f.error);
  g_assert_cmpstr (lodge_helper_get_result (f.helper, "open"), ==, "0,1,2,3,4");
  fixture_clear (&f);
}

static void
on_started (gpointer user_data)
{
  Fixture *f = user_data;

  g_assert_true (lodge_helper_send (f->helper, "hello\n", NULL));
}

static void
test_send (void)
{
  Fixture f;

  fixture_init (&f, "listen");
  lodge_helper_run_async (f.helper, NULL, on_done, &f);
  on_started (&f);
  g_main_loop_run (f.loop);
  g_assert_cmpstr (lodge_helper_get_result (f.helper, "heard"), ==, "hello");
  g_assert_false (lodge_helper_send (f.helper, "late\n", NULL));
  fixture_clear (&f);
}

static void
test_flood (void)
{
  Fixture f;

  fixture_init (&f, "flood");
  fixture_run (&f);
  g_assert_true (f.ok);
  g_assert_cmpuint (f.lines->len, <=, 4200);
  fixture_clear (&f);
}

static void
test_seal (void)
{
  g_auto (LodgeFd) fd = lodge_helper_seal_program ("/bin/true", NULL);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, "x", 1), ==, -1);
  g_assert_cmpint (ftruncate (fd, 0), ==, -1);
  g_assert_cmpint (lodge_helper_seal_program ("/nowhere", NULL), ==, -1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/helper/echo", test_echo);
  g_test_add_func ("/helper/error", test_error);
  g_test_add_func ("/helper/lie", test_lie);
  g_test_add_func ("/helper/many-results", test_many_results);
  g_test_add_func ("/helper/death", test_death);
  g_test_add_func ("/helper/absent", test_absent);
  g_test_add_data_func ("/helper/cancel", NULL, test_cancel);
  g_test_add_data_func ("/helper/cancel-stubborn", "", test_cancel);
  g_test_add_func ("/helper/timeout", test_timeout);
  g_test_add_func ("/helper/fds", test_fds);
  g_test_add_func ("/helper/no-leak", test_no_leak);
  g_test_add_func ("/helper/send", test_send);
  g_test_add_func ("/helper/flood", test_flood);
  g_test_add_func ("/helper/seal", test_seal);
  return g_test_run ();
}
