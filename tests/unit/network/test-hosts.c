/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>

#include "lodge-fd.h"
#include "lodge-hosts.h"

#define MAC     "52:54:00:01:02:03"
#define ADDRESS "10.87.1.2"

typedef struct
{
  char *dir;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->dir = g_dir_make_tmp ("lodge-hosts-XXXXXX", NULL);
  g_assert_true (lodge_hosts_prepare (fixture->dir, &error));
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_true (lodge_tree_remove (fixture->dir, NULL));
  g_free (fixture->dir);
}

static void
assert_file (Fixture *fixture, const char *sub_dir, const char *wanted)
{
  g_autofree char *path = g_build_filename (fixture->dir, sub_dir, "52-54-00-01-02-03", NULL);
  g_autofree char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  g_assert_cmpstr (text, ==, wanted);
}

static void
test_add_and_remove (Fixture *fixture, gconstpointer data)
{
  g_autofree char *address = NULL;

  g_assert_true (lodge_hosts_add (fixture->dir, MAC, "web", ADDRESS, NULL));
  assert_file (fixture, "dhcp", MAC "," ADDRESS ",web,10m\n");
  assert_file (fixture, "names", ADDRESS " web\n");
  g_assert_false (lodge_hosts_is_retired (fixture->dir, ADDRESS));

  g_assert_true (lodge_hosts_remove (fixture->dir, MAC, &address, NULL));
  g_assert_cmpstr (address, ==, ADDRESS);
  assert_file (fixture, "dhcp", NULL);
  assert_file (fixture, "names", NULL);
}

/* dnsmasq has the reservation in mind until it reads everything anew. */
static void
test_retired (Fixture *fixture, gconstpointer data)
{
  g_autofree char *address = NULL;

  g_assert_true (lodge_hosts_add (fixture->dir, MAC, "web", ADDRESS, NULL));
  g_assert_true (lodge_hosts_remove (fixture->dir, MAC, &address, NULL));
  g_assert_true (lodge_hosts_is_retired (fixture->dir, ADDRESS));
  g_assert_false (lodge_hosts_is_retired (fixture->dir, "10.87.1.3"));

  lodge_hosts_reload (fixture->dir, "no-such-network");
  g_assert_false (lodge_hosts_is_retired (fixture->dir, ADDRESS));
}

static void
test_remove_what_is_not_there (Fixture *fixture, gconstpointer data)
{
  g_autofree char *address = NULL;
  g_autofree char *half = g_build_filename (fixture->dir, "dhcp", "52-54-00-01-02-03", NULL);

  g_assert_true (lodge_hosts_remove (fixture->dir, MAC, &address, NULL));
  g_assert_null (address);
  /* Not what Lodge writes: a name below retired/ must not come from it. */
  g_assert_true (g_file_set_contents (half, MAC ",../../../etc,web,10m\n", -1, NULL));
  g_assert_true (lodge_hosts_remove (fixture->dir, MAC, &address, NULL));
  g_assert_null (address);
  assert_file (fixture, "dhcp", NULL);
}

/* What an older Lodge has made can be removed. */
static void
test_without_marks (Fixture *fixture, gconstpointer data)
{
  g_autofree char *retired = g_build_filename (fixture->dir, "retired", NULL);
  g_autofree char *address = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_hosts_add (fixture->dir, MAC, "web", ADDRESS, NULL));
  g_assert_true (lodge_tree_remove (retired, NULL));
  g_assert_true (lodge_hosts_remove (fixture->dir, MAC, &address, &error));
  g_assert_no_error (error);
  g_assert_true (lodge_hosts_is_retired (fixture->dir, ADDRESS));
}

static void
test_another_name (Fixture *fixture, gconstpointer data)
{
  g_assert_true (lodge_hosts_add (fixture->dir, MAC, "web", ADDRESS, NULL));
  g_assert_true (lodge_hosts_add (fixture->dir, MAC, "db", ADDRESS, NULL));
  assert_file (fixture, "names", ADDRESS " db\n");
}

#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/hosts/add-and-remove", test_add_and_remove);
  ADD ("/hosts/retired", test_retired);
  ADD ("/hosts/remove-what-is-not-there", test_remove_what_is_not_there);
  ADD ("/hosts/without-marks", test_without_marks);
  ADD ("/hosts/another-name", test_another_name);
  return g_test_run ();
}
