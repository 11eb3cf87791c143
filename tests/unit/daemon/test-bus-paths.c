/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-paths.h"

#define UUID "0d2c7a55-90ff-4e5b-8a1e-3f2b6c7d8e9f"

static void
test_instances (void)
{
  g_autofree char *path = lodge_bus_path_of_instance (UUID);
  const char *node = strrchr (path, '/') + 1;
  g_autofree char *uuid = lodge_bus_uuid_of_node (node);

  g_assert_cmpstr (path, ==, "/org/lodge1/instance/_0d2c7a55_90ff_4e5b_8a1e_3f2b6c7d8e9f");
  g_assert_true (g_variant_is_object_path (path));
  g_assert_cmpstr (uuid, ==, UUID);
}

static void
test_names (void)
{
  g_autofree char *plain = lodge_bus_name_of_node ("web");
  g_autofree char *dashed = lodge_bus_name_of_node ("web_1_x");

  g_assert_cmpstr (plain, ==, "web");
  g_assert_cmpstr (dashed, ==, "web-1-x");
  /* No node is both a name and a UUID. */
  g_assert_null (lodge_bus_name_of_node ("_0d2c7a55_90ff_4e5b_8a1e_3f2b6c7d8e9f"));
  g_assert_null (lodge_bus_name_of_node ("web-1"));
  g_assert_null (lodge_bus_name_of_node ("web_"));
  g_assert_null (lodge_bus_name_of_node (""));
  g_assert_null (lodge_bus_name_of_node (NULL));
}

static void
test_strange_nodes (void)
{
  static const char *const nodes[] = {
    "",
    "_",
    "x",
    "_0d2c7a55",
    "0d2c7a55_90ff_4e5b_8a1e_3f2b6c7d8e9f",
    "_0d2c7a55-90ff-4e5b-8a1e-3f2b6c7d8e9f",
    "_0D2C7A55_90FF_4E5B_8A1E_3F2B6C7D8E9F",
    "_0d2c7a55_90ff_4e5b_8a1e_3f2b6c7d8e9f_",
    "__d2c7a55_90ff_4e5b_8a1e_3f2b6c7d8e9f",
    "_0d2c7a5590ff4e5b8a1e3f2b6c7d8e9f",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (nodes); i++)
    {
      g_assert_null (lodge_bus_uuid_of_node (nodes[i]));
      g_assert_null (lodge_bus_fingerprint_of_node (nodes[i]));
      g_assert_cmpuint (lodge_bus_number_of_node (nodes[i]), ==, 0);
    }
  g_assert_null (lodge_bus_uuid_of_node (NULL));
}

static void
test_images (void)
{
  g_autofree char *fingerprint = g_strnfill (64, 'a');
  g_autofree char *path = lodge_bus_path_of_image (fingerprint);

  g_assert_cmpstr (lodge_bus_fingerprint_of_node (strrchr (path, '/') + 1), ==, fingerprint);
  fingerprint[63] = 'g';
  g_autofree char *wrong = g_strconcat ("_", fingerprint, NULL);
  g_assert_null (lodge_bus_fingerprint_of_node (wrong));
}

static void
test_numbers (void)
{
  static const char *const wrong[]
      = { "0", "01", "-1", "+1", " 1", "1 ", "1x", "9223372036854775808", "" };
  g_autofree char *path = lodge_bus_path_of_job (G_MAXINT64);

  g_assert_cmpuint (lodge_bus_number_of_node (strrchr (path, '/') + 1), ==, G_MAXINT64);
  g_assert_cmpuint (lodge_bus_number_of_node ("1"), ==, 1);
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    g_assert_cmpuint (lodge_bus_number_of_node (wrong[i]), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/daemon/paths/instances", test_instances);
  g_test_add_func ("/daemon/paths/names", test_names);
  g_test_add_func ("/daemon/paths/strange-nodes", test_strange_nodes);
  g_test_add_func ("/daemon/paths/images", test_images);
  g_test_add_func ("/daemon/paths/numbers", test_numbers);
  return g_test_run ();
}
