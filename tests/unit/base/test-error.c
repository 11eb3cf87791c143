/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "lodge/lodge-error.h"

static void
test_table (void)
{
  for (int code = 0; code < LODGE_ERROR_N_CODES; code++)
    {
      const char *name = lodge_error_dbus_name ((LodgeErrorCode) code);
      g_autoptr (GError) error = g_error_new_literal (LODGE_ERROR, code, "x");

      g_assert_true (g_dbus_is_interface_name (name));
      g_assert_true (g_str_has_prefix (name, "org.lodge1.Error."));
      g_assert_cmpint (lodge_error_from_nick (lodge_error_nick ((LodgeErrorCode) code)), ==, code);
      g_assert_cmpint (lodge_error_exit_code (error), >=, 1);
    }
  g_assert_cmpint (lodge_error_from_nick ("Nonsense"), ==, LODGE_ERROR_HELPER_FAILED);
}

/* What arrives from the bus is the same code again. */
static void
test_remote (void)
{
  g_autoptr (GError) error = NULL;

  lodge_error_register_bus ();
  error = g_dbus_error_new_for_dbus_error ("org.lodge1.Error.Busy", "it is busy");
  error = lodge_error_normalize (g_steal_pointer (&error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_BUSY);
  g_assert_cmpint (lodge_error_exit_code (error), ==, 6);
}

static void
test_normalize (void)
{
  g_autoptr (GError) cancelled
      = lodge_error_normalize (g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "x"));
  g_autoptr (GError) gone
      = lodge_error_normalize (g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN, "x"));
  g_autoptr (GError) interactive = lodge_error_normalize (g_dbus_error_new_for_dbus_error (
      "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "x"));

  g_assert_error (cancelled, LODGE_ERROR, LODGE_ERROR_CANCELLED);
  g_assert_error (gone, LODGE_ERROR, LODGE_ERROR_DAEMON_UNREACHABLE);
  g_assert_error (interactive, LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED);
  g_assert_null (lodge_error_normalize (NULL));
}

static void
test_errno (void)
{
  g_autoptr (GError) error = NULL;

  lodge_error_set_errno (&error, ENOSPC, "writing %s", "x%s");
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, "writing x%s: "));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/error/table", test_table);
  g_test_add_func ("/error/remote", test_remote);
  g_test_add_func ("/error/normalize", test_normalize);
  g_test_add_func ("/error/errno", test_errno);
  return g_test_run ();
}
