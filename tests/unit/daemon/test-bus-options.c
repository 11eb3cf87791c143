/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-options.h"

#include <gio/gunixfdlist.h>

static const LodgeBusOption table[] = {
  { "force", "b" },  { "timeout", "u" }, { "rows", "q" }, { "cwd", "s" },
  { "names", "as" }, { "file", "h" },    { NULL },
};

static GVariant *
parse (const char *text)
{
  return g_variant_ref_sink (g_variant_new_parsed (text));
}

static void
check_fails (const char *text, const char *part)
{
  g_autoptr (GVariant) options = parse (text);
  g_autoptr (GError) error = NULL;

  g_assert_false (lodge_bus_options_check (options, table, "option", &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, part));
}

static void
test_values (void)
{
  g_autoptr (GVariant) options = parse ("{'force': <true>, 'timeout': <uint32 7>, "
                                        "'rows': <uint16 24>, 'cwd': <'/tmp'>, 'names': <['a']>}");
  g_autoptr (GVariant) empty = parse ("@a{sv} {}");
  g_autofree const char **names = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_bus_options_check (options, table, "option", &error));
  g_assert_no_error (error);
  g_assert_true (lodge_bus_options_get_bool (options, "force"));
  g_assert_cmpuint (lodge_bus_options_get_uint (options, "timeout", 30), ==, 7);
  g_assert_cmpuint (lodge_bus_options_get_uint16 (options, "rows", 0), ==, 24);
  g_assert_cmpstr (lodge_bus_options_get_string (options, "cwd"), ==, "/tmp");
  names = lodge_bus_options_get_strings (options, "names");
  g_assert_cmpstr (names[0], ==, "a");

  g_assert_true (lodge_bus_options_check (empty, NULL, "option", &error));
  g_assert_false (lodge_bus_options_get_bool (empty, "force"));
  g_assert_cmpuint (lodge_bus_options_get_uint (empty, "timeout", 30), ==, 30);
  g_assert_null (lodge_bus_options_get_string (empty, "cwd"));
  g_assert_null (lodge_bus_options_get_strings (empty, "names"));
}

static void
test_refusals (void)
{
  g_autoptr (GVariant) any = parse ("{'force': <true>}");
  g_autoptr (GError) error = NULL;

  check_fails ("{'forse': <true>}", "did you mean 'force'");
  check_fails ("{'zzzzzzzz': <true>}", "'zzzzzzzz'");
  check_fails ("{'': <true>}", "no option ''");
  check_fails ("{'a\\nb': <true>}", "a\\x0ab");
  check_fails ("{'force': <'yes'>}", "type 's', not 'b'");
  check_fails ("{'timeout': <5>}", "type 'i', not 'u'");
  check_fails ("{'force': <<true>>}", "type 'v', not 'b'");
  check_fails ("{'force': <true>, 'force': <false>}", "given twice");
  g_assert_false (lodge_bus_options_check (any, NULL, "option", &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
}

static void
test_files (void)
{
  static const struct
  {
    const char *text;
    gboolean good;
  } cases[] = {
    { "{'file': <handle 0>}", TRUE },
    { "{'file': <handle 1>}", FALSE },
    { "{'file': <handle -1>}", FALSE },
  };
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();

  g_assert_cmpint (g_unix_fd_list_append (fds, 0, NULL), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GVariant) options = parse (cases[i].text);
      g_autoptr (GError) error = NULL;
      int fd = -2;

      g_assert_true (lodge_bus_options_check (options, table, "option", NULL));
      g_assert_cmpint (lodge_bus_options_get_fd (options, "file", fds, &fd, &error), ==,
                       cases[i].good);
      g_assert_true (cases[i].good ? fd >= 0 : error != NULL && fd == -2);
      g_clear_error (&error);
      g_assert_false (lodge_bus_options_get_fd (options, "file", NULL, &fd, &error));
    }

  g_autoptr (GVariant) none = parse ("@a{sv} {}");
  int fd = -2;
  g_assert_true (lodge_bus_options_get_fd (none, "file", NULL, &fd, NULL));
  g_assert_cmpint (fd, ==, -1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/daemon/options/values", test_values);
  g_test_add_func ("/daemon/options/refusals", test_refusals);
  g_test_add_func ("/daemon/options/files", test_files);
  return g_test_run ();
}
