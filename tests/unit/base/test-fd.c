/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#include "lodge-fd.h"
#include "lodge/lodge-error.h"

static char *
make_directory (void)
{
  return g_dir_make_tmp ("lodge-fd-XXXXXX", NULL);
}

static void
test_replace (void)
{
  g_autofree char *directory = make_directory ();
  g_autofree char *path = g_build_filename (directory, "file", NULL);
  g_autofree char *leftover = g_build_filename (directory, ".file.new", NULL);
  g_autofree char *contents = NULL;
  g_autoptr (GError) error = NULL;
  struct stat st;

  g_assert_true (lodge_file_replace (path, "one", -1, 0600, &error));
  /* A leftover of a crash is not in the way, and a link there is not followed. */
  g_assert_cmpint (symlink ("/dev/null", leftover), ==, 0);
  g_assert_true (lodge_file_replace (path, "two", -1, 0640, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &contents, NULL, NULL));
  g_assert_cmpstr (contents, ==, "two");
  g_assert_cmpint (g_stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0640);
  g_assert_true (lodge_tree_remove (directory, NULL));
}

static void
test_read_all (void)
{
  g_auto (LodgeFd) fd = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
  g_autoptr (GError) error = NULL;

  g_assert_null (lodge_fd_read_all (fd, 100000, NULL, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED);
}

static void
test_make (void)
{
  g_autofree char *directory = make_directory ();
  g_autofree char *nested = g_build_filename (directory, "a", "b", NULL);
  g_autofree char *link = g_build_filename (directory, "link", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_dir_make (nested, 0711, NULL));
  g_assert_true (lodge_dir_make (nested, 0711, NULL));
  g_assert_cmpint (symlink (nested, link), ==, 0);
  g_assert_false (lodge_dir_make (link, 0711, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS);
  g_assert_true (lodge_tree_remove (directory, NULL));
}

/* Row L07: what a link points to survives. */
static void
test_remove_links (void)
{
  g_autofree char *outside = make_directory ();
  g_autofree char *kept = g_build_filename (outside, "kept", NULL);
  g_autofree char *directory = make_directory ();
  g_autofree char *link = g_build_filename (directory, "link", NULL);

  g_assert_true (g_file_set_contents (kept, "x", 1, NULL));
  g_assert_cmpint (symlink (outside, link), ==, 0);
  g_assert_true (lodge_tree_remove (directory, NULL));
  g_assert_true (g_file_test (kept, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (directory, G_FILE_TEST_EXISTS));
  g_assert_true (lodge_tree_remove (directory, NULL));
  g_assert_true (lodge_tree_remove (outside, NULL));
}

/* A guest can nest directories deeper than a path name or our descriptors reach. */
static void
test_remove_deep (void)
{
  g_autofree char *directory = make_directory ();
  g_autoptr (GError) error = NULL;
  int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  for (guint i = 0; i < 5000; i++)
    {
      int next;

      g_assert_cmpint (mkdirat (fd, "deeper", 0700), ==, 0);
      next = openat (fd, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      g_assert_cmpint (next, >=, 0);
      close (fd);
      fd = next;
    }
  close (fd);
  g_assert_true (lodge_tree_remove (directory, &error));
  g_assert_no_error (error);
  g_assert_false (g_file_test (directory, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fd/replace", test_replace);
  g_test_add_func ("/fd/read-all", test_read_all);
  g_test_add_func ("/fd/make", test_make);
  g_test_add_func ("/fd/remove-links", test_remove_links);
  g_test_add_func ("/fd/remove-deep", test_remove_deep);
  return g_test_run ();
}
