/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "lodge-fd.h"
#include "lodge-registry.h"

#define UUID_A "0b4c2f64-6f1d-4c6c-9d2c-9b4b8d1f3a10"
#define UUID_B "1b4c2f64-6f1d-4c6c-9d2c-9b4b8d1f3a10"

typedef struct
{
  char *dir;
  LodgeSqliteStore *store;
  LodgeRegistry *registry;
  LodgeJournalRow *row;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->dir = g_dir_make_tmp ("lodge-registry-XXXXXX", NULL);
  f->store = lodge_sqlite_store_open (f->dir, &error);
  g_assert_no_error (error);
  f->registry = lodge_registry_new ();
  f->row = g_new0 (LodgeJournalRow, 1);
  f->row->operation = g_strdup ("test");
  g_assert_true (lodge_journal_add (f->store, f->row, &error));
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  lodge_journal_row_free (f->row);
  lodge_registry_free (f->registry);
  g_object_unref (f->store);
  g_assert_true (lodge_tree_remove (f->dir, NULL));
  g_free (f->dir);
}

static LodgeInstance *
make (const char *uuid, const char *name)
{
  LodgeInstance *instance = lodge_instance_new (uuid, name, LODGE_KIND_CONTAINER);

  instance->record = LODGE_RECORD_READY;
  instance->idmap_base = 0x70000000u;
  instance->image_alias = g_strdup ("debian/12");
  instance->address = g_strdup ("10.87.1.1");
  g_hash_table_insert (instance->config, g_strdup ("limits.memory"), g_strdup ("200MiB"));
  return instance;
}

static void
test_round_trip (Fixture *f, gconstpointer data)
{
  g_autoptr (LodgeInstance) instance = make (UUID_A, "web");
  g_autofree char *json = lodge_instance_to_json (instance);
  g_autoptr (LodgeInstance) again = lodge_instance_from_json (json, NULL);
  g_autofree char *json_again = lodge_instance_to_json (again);

  g_assert_cmpstr (json, ==, json_again);
  g_assert_cmpint (again->record, ==, LODGE_RECORD_READY);
}

/* Row B02: a broken record is an error that names the instance, never a crash or a guess. */
static void
test_broken (Fixture *f, gconstpointer data)
{
  static const char *const bad[]
      = { "{}",
          "[]",
          "",
          "{\"version\":1}",
          "{\"version\":2,\"uuid\":\"" UUID_A "\"}",
          "{\"version\":1,\"uuid\":\"../x\",\"name\":\"a\",\"kind\":\"vm\",\"record\":\"ready\"}",
          "{\"version\":1,\"uuid\":\"" UUID_A "\",\"name\":null,\"kind\":\"vm\"}",
          "{\"version\":1,\"uuid\":\"" UUID_A "\",\"name\":\"a\",\"kind\":7,\"record\":\"ready\"}",
          "{\"version\":1,\"uuid\":\"" UUID_A
          "\",\"name\":\"a\",\"kind\":\"vm\",\"record\":\"x\"}" };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (lodge_instance_from_json (bad[i], &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_STORE);
    }
}

/* The values that no field has: of each other type, of another size, and none. */
static const char *const odd_values[]
    = { "null",        "true", "-1",     "1e300", "4294967296",   "\"\"",
        "\"\\u0000\"", "[]",   "[[{}]]", "{}",    "{\"x\":null}", "{\"\":{\"\":[]}}" };

/* Reads @text.  Whatever it is, there is an error that names the instance, or an instance. */
static void
read_odd (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeInstance) instance = lodge_instance_from_json (text, &error);

  if (instance == NULL)
    {
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_STORE);
      g_assert_true (strstr (error->message, UUID_A) != NULL
                     || strstr (error->message, "(unknown)") != NULL);
      return;
    }
  g_autofree char *again = lodge_instance_to_json (instance);
  g_assert_nonnull (again);
}

/* Row B02, for each field that a record has: missing, of each other type, and there twice. */
static void
test_each_field (Fixture *f, gconstpointer data)
{
  g_autoptr (LodgeInstance) whole = make (UUID_A, "web");
  whole->medium = g_strdup ("medium");
  whole->network = g_strdup ("lodge");
  whole->mac = g_strdup ("02:00:00:00:00:01");
  whole->image_fingerprint = g_strnfill (64, 'a');
  g_autofree char *text = lodge_instance_to_json (whole);
  g_autoptr (JsonNode) node = json_from_string (text, NULL);
  g_autoptr (GList) fields = json_object_get_members (json_node_get_object (node));

  g_assert_cmpuint (g_list_length (fields), >, 10);
  for (GList *field = fields; field != NULL; field = field->next)
    {
      g_autoptr (JsonNode) less = json_node_copy (node);
      g_autoptr (JsonObject) object = json_object_new ();
      for (GList *other = fields; other != NULL; other = other->next)
        if (other != field)
          json_object_set_member (
              object, other->data,
              json_object_dup_member (json_node_get_object (node), other->data));
      json_node_set_object (less, object);
      g_autofree char *missing = json_to_string (less, FALSE);
      read_odd (missing);
      for (gsize i = 0; i < G_N_ELEMENTS (odd_values); i++)
        {
          g_autofree char *wrong
              = g_strdup_printf ("{\"%s\":%s,%s", (char *) field->data, odd_values[i], missing + 1);
          g_autofree char *twice
              = g_strdup_printf ("{\"%s\":%s,%s", (char *) field->data, odd_values[i], text + 1);
          read_odd (wrong);
          read_odd (twice);
        }
    }
}

static void
test_commit (Fixture *f, gconstpointer data)
{
  g_autoptr (LodgeInstance) web = make (UUID_A, "web");
  g_autoptr (LodgeInstance) same_name = make (UUID_B, "web");
  g_autoptr (LodgeRegistry) reloaded = lodge_registry_new ();
  g_autoptr (GError) error = NULL;

  same_name->idmap_base = 0x70010000u;
  g_assert_true (lodge_registry_commit_new (f->store, web, f->row, &error));
  g_assert_false (lodge_registry_commit_new (f->store, same_name, f->row, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS);
  g_clear_error (&error);

  /* Undoing the one that failed must not take the other's name. */
  g_assert_true (lodge_registry_commit_delete (f->store, same_name, f->row, &error));
  g_assert_true (lodge_registry_load (reloaded, LODGE_STORE (f->store), &error));
  g_assert_no_error (error);
  g_assert_nonnull (lodge_registry_get_by_name (reloaded, "web"));
  g_assert_false (lodge_registry_commit_new (f->store, same_name, f->row, NULL));

  g_assert_true (lodge_registry_commit_delete (f->store, web, f->row, &error));
  g_assert_true (lodge_registry_commit_delete (f->store, web, f->row, &error));
  g_assert_true (lodge_registry_commit_new (f->store, same_name, f->row, &error));
  g_assert_no_error (error);
}

static void
test_rename (Fixture *f, gconstpointer data)
{
  g_autoptr (LodgeInstance) web = make (UUID_A, "web");
  g_autoptr (LodgeInstance) db = make (UUID_B, "db");
  g_autoptr (LodgeRegistry) reloaded = lodge_registry_new ();

  db->idmap_base = 0x70010000u;
  lodge_registry_add (f->registry, web);
  lodge_registry_add (f->registry, db);
  g_assert_true (lodge_registry_commit_new (f->store, web, f->row, NULL));
  g_assert_true (lodge_registry_commit_new (f->store, db, f->row, NULL));
  g_assert_false (lodge_registry_commit_rename (f->store, web, "db", f->row, NULL));
  g_assert_cmpstr (web->name, ==, "web");
  g_assert_true (lodge_registry_commit_rename (f->store, web, "www", f->row, NULL));
  lodge_registry_rename (f->registry, web, "www");
  g_assert_null (lodge_registry_get_by_name (f->registry, "web"));
  g_assert_true (lodge_registry_get_by_name (f->registry, "www") == web);
  g_assert_true (lodge_registry_load (reloaded, LODGE_STORE (f->store), NULL));
  g_assert_null (lodge_registry_get_by_name (reloaded, "web"));
  g_assert_nonnull (lodge_registry_get_by_name (reloaded, "www"));
}

/* Rows I01 and I02: ranges never overlap, and never reach the host's own ids. */
static void
test_idmaps (Fixture *f, gconstpointer data)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *uuid = g_uuid_string_random ();
      g_autofree char *name = g_strdup_printf ("c%u", i);
      g_autoptr (LodgeInstance) instance = make (uuid, name);

      instance->idmap_base = lodge_registry_pick_idmap (f->registry, NULL);
      g_assert_cmpuint (instance->idmap_base, >=, 0x70000000u);
      g_assert_cmpuint (instance->idmap_base, <=, 0x7fff0000u);
      g_assert_cmpuint (instance->idmap_base % LODGE_IDMAP_COUNT, ==, 0);
      g_assert_true (g_hash_table_add (seen, GUINT_TO_POINTER (instance->idmap_base)));
      lodge_registry_add (f->registry, instance);
    }
}

/* What the image helpers run has ids of its own, down to the last container that fits. */
static void
test_idmaps_of_sandbox (Fixture *f, gconstpointer data)
{
  guint32 base, sandbox_last = LODGE_SANDBOX_IDMAP_BASE + LODGE_SANDBOX_IDMAP_COUNT - 1;
  g_autoptr (GError) error = NULL;
  guint n_ranges = 0;

  while ((base = lodge_registry_pick_idmap (f->registry, &error)) != 0)
    {
      g_autofree char *uuid = g_uuid_string_random ();
      g_autoptr (LodgeInstance) instance = make (uuid, uuid);

      g_assert_true (base > sandbox_last
                     || base + LODGE_IDMAP_COUNT - 1 < LODGE_SANDBOX_IDMAP_BASE);
      instance->idmap_base = base;
      lodge_registry_add (f->registry, instance);
      n_ranges++;
    }
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED);
  g_assert_cmpuint (n_ranges, >, 1000);
}

/* A foreign VM and a container may have one name: each is found, by UUID at the least. */
static void
test_same_name (Fixture *f, gconstpointer data)
{
  g_autoptr (LodgeInstance) first = make (UUID_A, "web");
  g_autoptr (LodgeInstance) second = make (UUID_B, "web");
  g_autoptr (GPtrArray) all = NULL;

  lodge_registry_add (f->registry, first);
  lodge_registry_add (f->registry, second);
  g_assert_true (lodge_registry_get_by_name (f->registry, "web") == first);
  all = lodge_registry_list (f->registry);
  g_assert_cmpuint (all->len, ==, 2);
  lodge_registry_remove (f->registry, first);
  g_assert_true (lodge_registry_get_by_name (f->registry, "web") == second);
  lodge_registry_remove (f->registry, second);
  g_assert_null (lodge_registry_get_by_name (f->registry, "web"));
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/registry/round-trip", test_round_trip);
  ADD ("/registry/broken", test_broken);
  ADD ("/registry/each-field", test_each_field);
  ADD ("/registry/commit", test_commit);
  ADD ("/registry/rename", test_rename);
  ADD ("/registry/idmaps", test_idmaps);
  ADD ("/registry/idmaps-of-sandbox", test_idmaps_of_sandbox);
  ADD ("/registry/same-name", test_same_name);
  return g_test_run ();
}
