/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-cpu-limit.h"

static void
test_valid (void)
{
  static const struct
  {
    const char *text;
    guint count;
    const char *cpuset;
  } rows[] = {
    { "1", 1, NULL },       { "16", 16, NULL },          { "0-1", 2, "0-1" },
    { "0-0", 1, "0-0" },    { "0-1,1-2", 3, "0-1,1-2" }, { "3,5", 2, "3,5" },
    { "8192", 8192, NULL },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *cpuset = NULL;
      guint count = 0;
      g_assert_true (lodge_cpu_limit_parse (rows[i].text, &count, &cpuset, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (count, ==, rows[i].count);
      g_assert_cmpstr (cpuset, ==, rows[i].cpuset);
    }
}

static void
test_invalid (void)
{
  static const char *const rows[] = { "",     "0",       "-1",   "1-", "-",  ",",   "2-1",
                                      "0-1,", "0-99999", "8193", "a",  "1 ", "0x1", "0-1-2" };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      char *cpuset = (char *) "untouched";
      guint count = 77;
      g_assert_false (lodge_cpu_limit_parse (rows[i], &count, &cpuset, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG);
      g_assert_cmpuint (count, ==, 77);
      g_assert_cmpstr (cpuset, ==, "untouched");
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu-limit/valid", test_valid);
  g_test_add_func ("/cpu-limit/invalid", test_invalid);
  return g_test_run ();
}
