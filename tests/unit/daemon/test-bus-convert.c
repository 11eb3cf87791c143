/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-convert.h"

static void
test_config_hides_secrets (void)
{
  g_autoptr (GHashTable) config = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GVariant) shown = NULL;
  g_autoptr (GVariant) all = NULL;
  const char *value;

  g_hash_table_insert (config, "environment.PASSWORD", "hunter2");
  g_hash_table_insert (config, "cloud-init.user-data", "#cloud-config");
  g_hash_table_insert (config, "user.user-data", "#cloud-config");
  g_hash_table_insert (config, "limits.memory", "1GiB");
  shown = g_variant_ref_sink (lodge_bus_config_to_variant (config, FALSE));
  all = g_variant_ref_sink (lodge_bus_config_to_variant (config, TRUE));
  g_assert_cmpuint (g_variant_n_children (shown), ==, 4);
  g_assert_true (g_variant_lookup (shown, "environment.PASSWORD", "&s", &value));
  g_assert_cmpstr (value, ==, LODGE_BUS_HIDDEN);
  g_assert_true (g_variant_lookup (shown, "cloud-init.user-data", "&s", &value));
  g_assert_cmpstr (value, ==, LODGE_BUS_HIDDEN);
  g_assert_true (g_variant_lookup (shown, "user.user-data", "&s", &value));
  g_assert_cmpstr (value, ==, LODGE_BUS_HIDDEN);
  g_assert_true (g_variant_lookup (shown, "limits.memory", "&s", &value));
  g_assert_cmpstr (value, ==, "1GiB");
  g_assert_true (g_variant_lookup (all, "environment.PASSWORD", "&s", &value));
  g_assert_cmpstr (value, ==, "hunter2");
}

static void
test_config_from_variant (void)
{
  g_autoptr (GVariant) good = g_variant_ref_sink (g_variant_new_parsed ("{'a': 'b', 'c': 'd'}"));
  g_autoptr (GVariant) twice = g_variant_ref_sink (g_variant_new_parsed ("{'a': 'b', 'a': 'd'}"));
  g_autoptr (GHashTable) config = lodge_bus_config_from_variant (good, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (g_hash_table_size (config), ==, 2);
  g_assert_cmpstr (g_hash_table_lookup (config, "c"), ==, "d");
  g_assert_null (lodge_bus_config_from_variant (twice, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
}

static void
test_text_of_any_encoding (void)
{
  g_autoptr (GVariant) text = g_variant_ref_sink (lodge_bus_string_to_variant ("a\xff z"));
  g_autoptr (GVariant) none = g_variant_ref_sink (lodge_bus_string_to_variant (NULL));
  const char *const words[] = { "x", "\xc3\x28", NULL };
  g_autoptr (GVariant) list = g_variant_ref_sink (lodge_bus_strv_to_variant (words));

  g_assert_true (g_utf8_validate (g_variant_get_string (text, NULL), -1, NULL));
  g_assert_cmpstr (g_variant_get_string (none, NULL), ==, "");
  g_assert_cmpuint (g_variant_n_children (list), ==, 2);
}

static void
test_usage_leaves_out_what_is_unknown (void)
{
  g_autoptr (LodgeUsage) usage = lodge_usage_new ();
  g_autoptr (GVariant) empty = g_variant_ref_sink (lodge_bus_usage_to_variant (usage));
  g_autoptr (GVariant) full = NULL;
  g_autoptr (GVariant) networks = NULL;
  guint64 memory;

  g_assert_cmpuint (g_variant_n_children (empty), ==, 1); /* networks */
  usage->memory = 5;
  usage->swap = 0;
  usage->host_device = g_strdup ("vnet1");
  usage->rx_bytes = 7;
  full = g_variant_ref_sink (lodge_bus_usage_to_variant (usage));
  g_assert_cmpuint (g_variant_n_children (full), ==, 3);
  g_assert_true (g_variant_lookup (full, "memory", "t", &memory));
  g_assert_cmpuint (memory, ==, 5);
  networks = g_variant_lookup_value (full, "networks", G_VARIANT_TYPE ("a{sa{sv}}"));
  g_assert_cmpuint (g_variant_n_children (networks), ==, 1);
}

static void
test_kinds (void)
{
  g_autoptr (GVariant) none = g_variant_ref_sink (g_variant_new_parsed ("@a{sv} {}"));
  g_autoptr (GVariant) vm = g_variant_ref_sink (g_variant_new_parsed ("{'kind': <'vm'>}"));
  g_autoptr (GVariant) odd = g_variant_ref_sink (g_variant_new_parsed ("{'kind': <'VM'>}"));
  g_autoptr (GError) error = NULL;
  LodgeKind kind = LODGE_KIND_VM;

  g_assert_true (lodge_bus_kind_from_options (none, &kind, &error));
  g_assert_cmpint (kind, ==, LODGE_KIND_CONTAINER);
  g_assert_true (lodge_bus_kind_from_options (vm, &kind, &error));
  g_assert_cmpint (kind, ==, LODGE_KIND_VM);
  g_assert_false (lodge_bus_kind_from_options (odd, &kind, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/daemon/convert/config-hides-secrets", test_config_hides_secrets);
  g_test_add_func ("/daemon/convert/config-from-variant", test_config_from_variant);
  g_test_add_func ("/daemon/convert/text-of-any-encoding", test_text_of_any_encoding);
  g_test_add_func ("/daemon/convert/usage-leaves-out-what-is-unknown",
                   test_usage_leaves_out_what_is_unknown);
  g_test_add_func ("/daemon/convert/kinds", test_kinds);
  return g_test_run ();
}
