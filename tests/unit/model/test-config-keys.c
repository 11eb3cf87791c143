/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lodge-config-keys.h"
#include "lodge-json.h"

typedef struct
{
  LodgeKind kind;
  const char *key;
  const char *value;
} Pair;

static void
test_good (void)
{
  static const Pair good[] = {
    { LODGE_KIND_CONTAINER, "limits.memory", "200MiB" },
    { LODGE_KIND_VM, "limits.memory", "2GiB" },
    { LODGE_KIND_CONTAINER, "limits.cpu", "1" },
    { LODGE_KIND_CONTAINER, "limits.cpu", "0-1,3" },
    { LODGE_KIND_CONTAINER, "limits.processes", "500" },
    { LODGE_KIND_CONTAINER, "environment.http_proxy", "http://x" },
    { LODGE_KIND_VM, "user.note", "" },
    { LODGE_KIND_VM, "cloud-init.user-data", "#cloud-config\n\tx: y\r\n" },
    { LODGE_KIND_CONTAINER, "user.network-config", "version: 2\n" },
    { LODGE_KIND_VM, "vm.accel", "tcg" },
    { LODGE_KIND_VM, "vm.cpu", "maximum" },
    { LODGE_KIND_VM, "vm.cpu", "Skylake-Client" },
    { LODGE_KIND_VM, "vm.firmware", "uefi" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (
          lodge_config_validate_value (good[i].kind, good[i].key, good[i].value, &error));
      g_assert_no_error (error);
    }
}

static void
test_bad (void)
{
  static const Pair bad[] = {
    { LODGE_KIND_CONTAINER, "limits.memory", "200" },
    { LODGE_KIND_CONTAINER, "limits.memory", "200MIB" },
    { LODGE_KIND_CONTAINER, "limits.memory", "-1GiB" },
    { LODGE_KIND_CONTAINER, "limits.cpu", "0" },
    { LODGE_KIND_CONTAINER, "limits.cpu", "3-1" },
    { LODGE_KIND_CONTAINER, "limits.cpu", "1," },
    { LODGE_KIND_CONTAINER, "limits.cpu", "a" },
    { LODGE_KIND_CONTAINER, "limits.processes", "1" },
    { LODGE_KIND_CONTAINER, "limits.processes", "many" },
    { LODGE_KIND_VM, "limits.processes", "500" },
    { LODGE_KIND_CONTAINER, "vm.accel", "kvm" },
    { LODGE_KIND_VM, "vm.accel", "hvf" },
    { LODGE_KIND_VM, "vm.cpu", "" },
    { LODGE_KIND_VM, "vm.cpu", "a,b" },
    { LODGE_KIND_CONTAINER, "vm.cpu", "host" },
    { LODGE_KIND_CONTAINER, "environment.a b", "x" },
    { LODGE_KIND_CONTAINER, "environment.", "x" },
    { LODGE_KIND_CONTAINER, "environment.A", "two\nlines" },
    { LODGE_KIND_CONTAINER, "user.x", "\xff" },
    { LODGE_KIND_CONTAINER, "user.x", "two\nlines" },
    { LODGE_KIND_CONTAINER, "cloud-init.user-data", "a\x1b[2J" },
    { LODGE_KIND_CONTAINER, "cloud-init.other", "x" },
    { LODGE_KIND_CONTAINER, "", "x" },
    { LODGE_KIND_CONTAINER, "limits", "x" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (lodge_config_validate_value (bad[i].kind, bad[i].key, bad[i].value, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG);
      g_assert_nonnull (strstr (error->message, bad[i].key));
    }
}

static void
test_nearest (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (lodge_config_validate_value (LODGE_KIND_VM, "limits.memroy", "1GiB", &error));
  g_assert_nonnull (strstr (error->message, "did you mean limits.memory?"));
}

static void
test_effective (void)
{
  g_autoptr (GHashTable) own = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) effective = NULL;
  g_autoptr (GHashTable) of_container = NULL;

  g_hash_table_insert (own, (gpointer) "limits.memory", (gpointer) "3GiB");
  effective = lodge_config_effective (LODGE_KIND_VM, own);
  g_assert_cmpstr (g_hash_table_lookup (effective, "limits.memory"), ==, "3GiB");
  g_assert_cmpstr (g_hash_table_lookup (effective, "vm.accel"), ==, "auto");
  /* Row R03: a limit on processes is there unless somebody lifts it. */
  of_container = lodge_config_effective (LODGE_KIND_CONTAINER, NULL);
  g_assert_nonnull (g_hash_table_lookup (of_container, "limits.processes"));
  g_assert_null (g_hash_table_lookup (of_container, "vm.accel"));
}

/* Defaults have to pass what users have to pass. */
static void
test_table (void)
{
  gsize n_keys;
  const LodgeConfigKey *keys = lodge_config_keys (&n_keys);

  for (gsize i = 0; i < n_keys; i++)
    {
      g_assert_nonnull (keys[i].help);
      g_assert_cmpuint (strlen (keys[i].help), <, 80);
      for (int kind = 0; kind <= LODGE_KIND_VM; kind++)
        if (keys[i].fallback[kind] != NULL)
          g_assert_true (lodge_config_validate_value ((LodgeKind) kind, keys[i].key,
                                                      keys[i].fallback[kind], NULL));
      if (i > 0)
        g_assert_cmpstr (keys[i - 1].key, <, keys[i].key);
    }
}

static void
test_schema (void)
{
  g_autofree char *text = lodge_config_schema_json ();
  g_autoptr (JsonNode) root = lodge_json_parse (text, -1, 1 << 20, NULL);
  gsize n_keys;

  lodge_config_keys (&n_keys);
  g_assert_nonnull (root);
  g_assert_cmpuint (json_array_get_length (json_node_get_array (root)), ==, n_keys);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config-keys/good", test_good);
  g_test_add_func ("/config-keys/bad", test_bad);
  g_test_add_func ("/config-keys/nearest", test_nearest);
  g_test_add_func ("/config-keys/effective", test_effective);
  g_test_add_func ("/config-keys/table", test_table);
  g_test_add_func ("/config-keys/schema", test_schema);
  return g_test_run ();
}
