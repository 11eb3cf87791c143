/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "lodge-virt-autoptr.h"
#include "lodge-virt-error.h"
#include "lodge-virt-loop.h"

static void
test_map (void)
{
  static const struct
  {
    int code;
    LodgeErrorCode error;
  } rows[] = {
    { VIR_ERR_NO_DOMAIN, LODGE_ERROR_NOT_FOUND },
    { VIR_ERR_OPERATION_INVALID, LODGE_ERROR_INVALID_STATE },
    { VIR_ERR_AGENT_UNRESPONSIVE, LODGE_ERROR_AGENT_UNAVAILABLE },
    { VIR_ERR_OPERATION_TIMEOUT, LODGE_ERROR_TIMED_OUT },
    { VIR_ERR_INTERNAL_ERROR, LODGE_ERROR_BACKEND },
    { 99999, LODGE_ERROR_BACKEND },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    g_assert_cmpint (lodge_virt_error_map (rows[i].code), ==, rows[i].error);
}

static void
test_set (void)
{
  g_autoptr (virConnect) connection = virConnectOpen ("test:///default");
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (connection);
  g_autoptr (virDomain) domain = virDomainLookupByName (connection, "absent");
  g_assert_null (domain);
  g_assert_true (lodge_virt_error_is (VIR_ERR_NO_DOMAIN));
  lodge_virt_set_error (&error, "cannot start '%s'", "absent");
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  g_assert_true (g_str_has_prefix (error->message, "cannot start 'absent': Domain not found"));
  g_assert_null (strchr (error->message, '\n'));
}

static void
test_set_without_error (void)
{
  g_autoptr (GError) error = NULL;

  virResetLastError ();
  lodge_virt_set_error (&error, "it failed");
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND);
  g_assert_cmpstr (error->message, ==, "it failed");
  lodge_virt_set_error (NULL, "nobody asks");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  lodge_virt_loop_init (NULL);
  lodge_virt_error_init ();
  g_test_add_func ("/virt/error/map", test_map);
  g_test_add_func ("/virt/error/set", test_set);
  g_test_add_func ("/virt/error/none", test_set_without_error);
  return g_test_run ();
}
