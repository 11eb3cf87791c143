/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-conformance.h"

#include <string.h>

typedef struct
{
  LodgeStore *store;
  gpointer data;
  GString *events; /* what the watch of the test has got */
  guint n_events;
  guint id;
} Fixture;

static void
fixture_set_up (Fixture *fixture, gconstpointer factory)
{
  fixture->store = ((const StoreFactory *) factory)->open (&fixture->data);
  fixture->events = g_string_new (NULL);
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer factory)
{
  ((const StoreFactory *) factory)->close (fixture->store, fixture->data);
  g_string_free (fixture->events, TRUE);
}

static gint64
put_leased (LodgeStore *store, const char *key, const char *value, gint64 lease)
{
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, key, value, lease };
  g_autoptr (GError) error = NULL;
  gint64 revision = -1;

  g_assert_true (lodge_store_txn (store, NULL, 0, &op, 1, &revision, &error));
  g_assert_no_error (error);
  return revision;
}

static gint64
put (LodgeStore *store, const char *key, const char *value)
{
  return put_leased (store, key, value, 0);
}

static gint64 delete (LodgeStore *store, const char *key)
{
  const LodgeStoreOp op = { LODGE_STORE_OP_DELETE, key, NULL, 0 };
  g_autoptr (GError) error = NULL;
  gint64 revision = -1;

  g_assert_true (lodge_store_txn (store, NULL, 0, &op, 1, &revision, &error));
  g_assert_no_error (error);
  return revision;
}

static LodgeStoreEntry *
get (LodgeStore *store, const char *key)
{
  g_autoptr (GError) error = NULL;
  LodgeStoreEntry *entry = (gpointer) 0x1;

  g_assert_true (lodge_store_get (store, key, &entry, &error));
  g_assert_no_error (error);
  return entry;
}

static void
assert_entry (LodgeStore *store, const char *key, const char *value, gint64 create_rev,
              gint64 mod_rev, gint64 version, gint64 lease)
{
  g_autoptr (LodgeStoreEntry) entry = get (store, key);

  g_assert_nonnull (entry);
  g_assert_cmpstr (entry->key, ==, key);
  g_assert_cmpstr (entry->value, ==, value);
  g_assert_cmpint (entry->create_rev, ==, create_rev);
  g_assert_cmpint (entry->mod_rev, ==, mod_rev);
  g_assert_cmpint (entry->version, ==, version);
  g_assert_cmpint (entry->lease, ==, lease);
}

static void
assert_absent (LodgeStore *store, const char *key)
{
  g_autoptr (LodgeStoreEntry) entry = get (store, key);

  g_assert_null (entry);
}

/* The keys below @prefix, each followed by a blank. */
static void
assert_keys (LodgeStore *store, const char *prefix, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) entries = lodge_store_list (store, prefix, NULL, &error);
  g_autoptr (GString) keys = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < entries->len; i++)
    g_string_append_printf (keys, "%s ", ((LodgeStoreEntry *) entries->pdata[i])->key);
  g_assert_cmpstr (keys->str, ==, expected);
}

static gint64
current_revision (LodgeStore *store)
{
  g_autoptr (GError) error = NULL;
  gint64 revision = -1;
  g_autoptr (GPtrArray) entries = lodge_store_list (store, "/", &revision, &error);

  g_assert_nonnull (entries);
  return revision;
}

static void
assert_refused (LodgeStore *store, const LodgeStoreCompare *compare, const LodgeStoreOp *ops,
                gsize n_ops, LodgeErrorCode code)
{
  g_autoptr (GError) error = NULL;
  gint64 before = current_revision (store);
  gint64 revision = -7;

  g_assert_false (
      lodge_store_txn (store, compare, compare != NULL ? 1 : 0, ops, n_ops, &revision, &error));
  g_assert_error (error, LODGE_ERROR, (int) code);
  g_assert_cmpint (revision, ==, -7);
  g_assert_cmpint (current_revision (store), ==, before);
}

static void
test_revisions (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;
  gint64 start = current_revision (store);

  g_assert_cmpint (put (store, "/a", "1"), ==, start + 1);
  assert_entry (store, "/a", "1", start + 1, start + 1, 1, 0);
  g_assert_cmpint (put (store, "/b", "{}"), ==, start + 2);
  g_assert_cmpint (put (store, "/a", "[2]"), ==, start + 3);
  assert_entry (store, "/a", "[2]", start + 1, start + 3, 2, 0);
  /* The same value is a write too. */
  g_assert_cmpint (put (store, "/a", "[2]"), ==, start + 4);
  assert_entry (store, "/a", "[2]", start + 1, start + 4, 3, 0);
  g_assert_cmpint (delete (store, "/a"), ==, start + 5);
  assert_absent (store, "/a");
  g_assert_cmpint (delete (store, "/a"), ==, start + 5);
  g_assert_cmpint (put (store, "/a", "\"new\""), ==, start + 6);
  assert_entry (store, "/a", "\"new\"", start + 6, start + 6, 1, 0);
  assert_entry (store, "/b", "{}", start + 2, start + 2, 1, 0);
}

static void
test_one_revision_a_txn (Fixture *fixture, gconstpointer factory)
{
  const LodgeStoreOp ops[] = { { LODGE_STORE_OP_PUT, "/x", "1", 0 },
                               { LODGE_STORE_OP_DELETE, "/old", NULL, 0 },
                               { LODGE_STORE_OP_PUT, "/y", "2", 0 } };
  const LodgeStoreOp nothing = { LODGE_STORE_OP_DELETE, "/nothing", NULL, 0 };
  gint64 start = put (fixture->store, "/old", "0");
  gint64 revision = 0;

  g_assert_true (lodge_store_txn (fixture->store, NULL, 0, ops, 3, &revision, NULL));
  g_assert_cmpint (revision, ==, start + 1);
  assert_entry (fixture->store, "/x", "1", start + 1, start + 1, 1, 0);
  assert_entry (fixture->store, "/y", "2", start + 1, start + 1, 1, 0);
  assert_absent (fixture->store, "/old");
  g_assert_true (lodge_store_txn (fixture->store, NULL, 0, &nothing, 1, &revision, NULL));
  g_assert_cmpint (revision, ==, start + 1);
  g_assert_true (lodge_store_txn (fixture->store, NULL, 0, NULL, 0, &revision, NULL));
  g_assert_cmpint (revision, ==, start + 1);
  g_assert_true (lodge_store_txn (fixture->store, NULL, 0, ops, 1, NULL, NULL));
}

static void
test_list (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;
  gint64 revision = 0;

  assert_keys (store, "/", "");
  put (store, "/i/b", "1");
  put (store, "/i/a", "1");
  put (store, "/i", "1");
  put (store, "/i0", "1");
  put (store, "/i/\xc3\xa9", "1");
  put (store, "/i/\xf4\x8f\xbf\xbf", "1");
  put (store, "/i/\xf4\x8f\xbf\xbfz", "1");
  put (store, "/i/B", "1");
  put (store, "/I/a", "1");
  assert_keys (store, "/i/",
               "/i/B /i/a /i/b /i/\xc3\xa9 /i/\xf4\x8f\xbf\xbf /i/\xf4\x8f\xbf\xbfz ");
  assert_keys (store, "/i/\xf4\x8f\xbf\xbf", "/i/\xf4\x8f\xbf\xbf /i/\xf4\x8f\xbf\xbfz ");
  assert_keys (store, "/i/b", "/i/b ");
  assert_keys (store, "/I", "/I/a ");
  assert_keys (store, "/i0/", "");
  /* Wildcards of other languages are ordinary characters. */
  put (store, "/w/%", "1");
  put (store, "/w/_*", "1");
  assert_keys (store, "/w/%", "/w/% ");
  assert_keys (store, "/w/_", "/w/_* ");
  g_autoptr (GPtrArray) entries = lodge_store_list (store, "/i/", &revision, NULL);
  g_assert_cmpint (revision, ==, 11);
}

static void
test_compare (Fixture *fixture, gconstpointer factory)
{
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/k", "2", 0 };
  gint64 made = put (fixture->store, "/k", "1");
  const struct
  {
    LodgeStoreCompare compare;
    gboolean holds;
  } rows[] = {
    { { LODGE_STORE_COMPARE_ABSENT, "/k", 0 }, FALSE },
    { { LODGE_STORE_COMPARE_ABSENT, "/none", 0 }, TRUE },
    { { LODGE_STORE_COMPARE_EXISTS, "/k", 0 }, TRUE },
    { { LODGE_STORE_COMPARE_EXISTS, "/none", 0 }, FALSE },
    { { LODGE_STORE_COMPARE_MOD_REV, "/k", made + 7 }, FALSE },
    { { LODGE_STORE_COMPARE_MOD_REV, "/none", made }, FALSE },
    { { LODGE_STORE_COMPARE_MOD_REV, "/none", 0 }, TRUE },
    { { LODGE_STORE_COMPARE_MOD_REV, "/k", 0 }, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      if (rows[i].holds)
        g_assert_true (lodge_store_txn (fixture->store, &rows[i].compare, 1, &op, 1, NULL, NULL));
      else
        assert_refused (fixture->store, &rows[i].compare, &op, 1, LODGE_ERROR_CONFLICT);
    }
}

static void
test_conflict_names_the_key (Fixture *fixture, gconstpointer factory)
{
  gint64 made = put (fixture->store, "/k", "1");
  const LodgeStoreCompare compares[] = { { LODGE_STORE_COMPARE_MOD_REV, "/k", made },
                                         { LODGE_STORE_COMPARE_EXISTS, "/other-key", 0 } };
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/k", "2", 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (lodge_store_txn (fixture->store, compares, 2, &op, 1, NULL, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "/other-key"));
  assert_entry (fixture->store, "/k", "1", made, made, 1, 0);
}

/* The last operation is refused, and so the first ones never were. */
static void
test_all_or_nothing (Fixture *fixture, gconstpointer factory)
{
  const LodgeStoreOp ops[] = { { LODGE_STORE_OP_PUT, "/new", "1", 0 },
                               { LODGE_STORE_OP_DELETE, "/kept", NULL, 0 },
                               { LODGE_STORE_OP_PUT, "/bad", "{\"a\":", 0 } };
  gint64 made = put (fixture->store, "/kept", "1");

  assert_refused (fixture->store, NULL, ops, 3, LODGE_ERROR_INVALID_ARGUMENT);
  assert_absent (fixture->store, "/new");
  assert_entry (fixture->store, "/kept", "1", made, made, 1, 0);
  g_assert_cmpint (put (fixture->store, "/new", "1"), ==, made + 1);
}

static void
test_bad_input (Fixture *fixture, gconstpointer factory)
{
  g_autofree char *long_key = g_strnfill (513, 'k');
  const LodgeStoreOp rows[] = {
    { LODGE_STORE_OP_PUT, "", "1", 0 },          { LODGE_STORE_OP_PUT, NULL, "1", 0 },
    { LODGE_STORE_OP_PUT, "no-slash", "1", 0 },  { LODGE_STORE_OP_PUT, "/\xff\xfe", "1", 0 },
    { LODGE_STORE_OP_PUT, long_key, "1", 0 },    { LODGE_STORE_OP_DELETE, "x", NULL, 0 },
    { LODGE_STORE_OP_PUT, "/k", NULL, 0 },       { LODGE_STORE_OP_PUT, "/k", "", 0 },
    { LODGE_STORE_OP_PUT, "/k", "nope", 0 },     { LODGE_STORE_OP_PUT, "/k", "{'a':1}", 0 },
    { LODGE_STORE_OP_PUT, "/k", "{} {}", 0 },    { LODGE_STORE_OP_PUT, "/k", "[1,]", 0 },
    { LODGE_STORE_OP_PUT, "/k", "\"\xc3\"", 0 }, { LODGE_STORE_OP_PUT, "/k", "1", -5 },
  };

  long_key[0] = '/';
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    assert_refused (fixture->store, NULL, &rows[i], 1, LODGE_ERROR_INVALID_ARGUMENT);
  long_key[512] = '\0';
  put (fixture->store, long_key, "1");

  LodgeStoreEntry *entry = NULL;
  g_autoptr (GError) error = NULL;
  g_assert_false (lodge_store_get (fixture->store, "k", &entry, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  g_assert_null (lodge_store_list (fixture->store, "", NULL, NULL));
}

static void
test_deep_json (Fixture *fixture, gconstpointer factory)
{
  g_autoptr (GString) deep = g_string_new (NULL);
  LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/k", NULL, 0 };

  for (guint i = 0; i < 200000; i++)
    g_string_append_c (deep, '[');
  for (guint i = 0; i < 200000; i++)
    g_string_append_c (deep, ']');
  op.value = deep->str;
  assert_refused (fixture->store, NULL, &op, 1, LODGE_ERROR_INVALID_ARGUMENT);
}

static void
test_limits (Fixture *fixture, gconstpointer factory)
{
  const gsize max = 1024 * 1024;
  g_autofree char *value = g_strnfill (max + 1, 'v');
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  LodgeStoreOp ops[129];

  value[0] = '"';
  value[max] = '"';
  ops[0] = (LodgeStoreOp){ LODGE_STORE_OP_PUT, "/big", value, 0 };
  assert_refused (fixture->store, NULL, ops, 1, LODGE_ERROR_LIMIT_EXCEEDED);
  value[max - 1] = '"';
  value[max] = '\0';
  put (fixture->store, "/big", value);
  assert_entry (fixture->store, "/big", value, 1, 1, 1, 0);

  for (guint i = 0; i < 129; i++)
    {
      char *key = g_strdup_printf ("/many/%03u", i);
      g_ptr_array_add (keys, key);
      ops[i] = (LodgeStoreOp){ LODGE_STORE_OP_PUT, key, "1", 0 };
    }
  assert_refused (fixture->store, NULL, ops, 129, LODGE_ERROR_LIMIT_EXCEEDED);
  g_assert_true (lodge_store_txn (fixture->store, NULL, 0, ops, 128, NULL, NULL));
  ops[1].key = ops[0].key;
  assert_refused (fixture->store, NULL, ops, 2, LODGE_ERROR_INVALID_ARGUMENT);
}

static void
on_event (LodgeStoreChangeKind kind, const LodgeStoreEntry *entry, gpointer user_data)
{
  Fixture *fixture = user_data;

  fixture->n_events++;
  if (entry == NULL)
    g_string_append (fixture->events, "gone ");
  else if (kind == LODGE_STORE_CHANGE_DELETE)
    g_string_append_printf (fixture->events, "-%s@%d ", entry->key, (int) entry->mod_rev);
  else
    g_string_append_printf (fixture->events, "+%s=%s@%d,%d,%d ", entry->key, entry->value,
                            (int) entry->mod_rev, (int) entry->create_rev, (int) entry->version);
}

static gboolean
set_flag (gpointer flag)
{
  *(gboolean *) flag = TRUE;
  return G_SOURCE_REMOVE;
}

/* Lets the main context run for @ms. */
static void
iterate (guint ms)
{
  gboolean over = FALSE;

  g_timeout_add (ms, set_flag, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
}

static void
wait_for_events (Fixture *fixture, guint n)
{
  gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

  while (fixture->n_events < n && g_get_monotonic_time () < deadline)
    iterate (2);
  iterate (20);
  g_assert_cmpuint (fixture->n_events, ==, n);
}

static void
assert_events (Fixture *fixture, guint n, const char *expected)
{
  wait_for_events (fixture, n);
  g_assert_cmpstr (fixture->events->str, ==, expected);
  g_string_truncate (fixture->events, 0);
  fixture->n_events = 0;
}

static void
test_watch (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;
  const LodgeStoreOp ops[] = { { LODGE_STORE_OP_PUT, "/w/b", "2", 0 },
                               { LODGE_STORE_OP_PUT, "/other", "2", 0 },
                               { LODGE_STORE_OP_DELETE, "/w/a", NULL, 0 } };

  put (store, "/w/before", "1");
  guint id = lodge_store_watch (store, "/w/", 0, on_event, fixture, NULL);
  g_assert_cmpuint (id, !=, 0);
  put (store, "/w/a", "1");
  /* Never from within the call. */
  g_assert_cmpuint (fixture->n_events, ==, 0);
  put (store, "/w", "1");
  put (store, "/w/a", "[1]");
  g_assert_true (lodge_store_txn (store, NULL, 0, ops, 3, NULL, NULL));
  delete (store, "/w/absent");
  assert_events (fixture, 4, "+/w/a=1@2,2,1 +/w/a=[1]@4,2,2 +/w/b=2@5,5,1 -/w/a@5 ");
  put (store, "/w/b", "3");
  assert_events (fixture, 1, "+/w/b=3@6,5,2 ");
  lodge_store_unwatch (store, id);
  put (store, "/w/b", "4");
  assert_events (fixture, 0, "");
}

static void
test_watch_no_rollback (Fixture *fixture, gconstpointer factory)
{
  const LodgeStoreOp ops[]
      = { { LODGE_STORE_OP_PUT, "/w/a", "1", 0 }, { LODGE_STORE_OP_PUT, "/w/b", "bad", 0 } };

  guint id = lodge_store_watch (fixture->store, "/w/", 0, on_event, fixture, NULL);
  assert_refused (fixture->store, NULL, ops, 2, LODGE_ERROR_INVALID_ARGUMENT);
  assert_events (fixture, 0, "");
  lodge_store_unwatch (fixture->store, id);
}

static void
test_watch_from (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;

  put (store, "/w/a", "1");
  put (store, "/w/b", "2");
  delete (store, "/w/a");
  guint id = lodge_store_watch (store, "/w/", 2, on_event, fixture, NULL);
  put (store, "/w/c", "3");
  assert_events (fixture, 3, "+/w/b=2@2,2,1 -/w/a@3 +/w/c=3@4,4,1 ");
  lodge_store_unwatch (store, id);

  /* A revision that is still to come. */
  id = lodge_store_watch (store, "/w/", 6, on_event, fixture, NULL);
  put (store, "/w/d", "5");
  assert_events (fixture, 0, "");
  put (store, "/w/d", "6");
  assert_events (fixture, 1, "+/w/d=6@6,5,2 ");
  lodge_store_unwatch (store, id);

  /* List and watch from the revision of the list: nothing is missed, nothing comes twice. */
  gint64 revision;
  g_autoptr (GPtrArray) entries = lodge_store_list (store, "/w/", &revision, NULL);
  put (store, "/w/e", "7");
  id = lodge_store_watch (store, "/w/", revision + 1, on_event, fixture, NULL);
  assert_events (fixture, 1, "+/w/e=7@7,7,1 ");
  lodge_store_unwatch (store, id);
}

/* However long the history is that a store keeps: the watch gets all of it in order, or hears
 * that it is gone and nothing after that. */
static void
test_watch_gone (Fixture *fixture, gconstpointer factory)
{
  const guint n = 10000;
  guint id = 0;

  put (fixture->store, "/w/first", "1");
  for (guint i = 0; i < n / 128; i++)
    {
      LodgeStoreOp ops[128];
      g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);

      for (guint j = 0; j < 128; j++)
        {
          g_ptr_array_add (keys, g_strdup_printf ("/w/%u", j));
          ops[j] = (LodgeStoreOp){ LODGE_STORE_OP_PUT, keys->pdata[j], "1", 0 };
        }
      g_assert_true (lodge_store_txn (fixture->store, NULL, 0, ops, 128, NULL, NULL));
    }
  id = lodge_store_watch (fixture->store, "/w/", 1, on_event, fixture, NULL);
  iterate (100);
  if (g_str_has_prefix (fixture->events->str, "gone "))
    {
      put (fixture->store, "/w/first", "2");
      assert_events (fixture, 1, "gone ");
    }
  else
    g_assert_true (g_str_has_prefix (fixture->events->str, "+/w/first=1@1,1,1 "));
  lodge_store_unwatch (fixture->store, id);
}

static void
count_destroy (gpointer user_data)
{
  (*(guint *) user_data)++;
}

static void
never (LodgeStoreChangeKind kind, const LodgeStoreEntry *entry, gpointer user_data)
{
  g_assert_not_reached ();
}

static void
test_watch_destroy (Fixture *fixture, gconstpointer factory)
{
  guint destroyed = 0;
  guint id = lodge_store_watch (fixture->store, "/w/", 0, never, &destroyed, count_destroy);
  guint other = lodge_store_watch (fixture->store, "/w/", 0, never, &destroyed, count_destroy);

  g_assert_cmpuint (id, !=, other);
  put (fixture->store, "/w/a", "1");
  /* An event was on its way. */
  lodge_store_unwatch (fixture->store, id);
  g_assert_cmpuint (destroyed, ==, 1);
  lodge_store_unwatch (fixture->store, other);
  g_assert_cmpuint (destroyed, ==, 2);
  iterate (20);
}

static void
react (LodgeStoreChangeKind kind, const LodgeStoreEntry *entry, gpointer user_data)
{
  Fixture *fixture = user_data;

  on_event (kind, entry, fixture);
  if (fixture->n_events < 5)
    put (fixture->store, "/w/a", "1");
  else
    lodge_store_unwatch (fixture->store, fixture->id);
}

/* A watch may write, and may end itself. */
static void
test_watch_reentrant (Fixture *fixture, gconstpointer factory)
{
  fixture->id = lodge_store_watch (fixture->store, "/w/", 0, react, fixture, NULL);
  put (fixture->store, "/w/a", "1");
  wait_for_events (fixture, 5);
  put (fixture->store, "/w/a", "1");
  wait_for_events (fixture, 5);
}

static void
test_lease_ends (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;
  gint64 lease = lodge_store_lease_grant (store, 1, NULL);
  gint64 begin = g_get_monotonic_time ();

  g_assert_cmpint (lease, >, 0);
  put_leased (store, "/l/a", "1", lease);
  put_leased (store, "/l/b", "1", lease);
  assert_entry (store, "/l/a", "1", 1, 1, 1, lease);
  put_leased (store, "/l/freed", "1", lease);
  put (store, "/l/freed", "2");
  put (store, "/l/free", "1");
  guint id = lodge_store_watch (store, "/l/", 0, on_event, fixture, NULL);
  wait_for_events (fixture, 2);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, G_USEC_PER_SEC);
  /* Both in one revision. */
  assert_events (fixture, 2, "-/l/a@6 -/l/b@6 ");
  assert_keys (store, "/l/", "/l/free /l/freed ");
  lodge_store_unwatch (store, id);

  g_autoptr (GError) error = NULL;
  g_assert_false (lodge_store_lease_keepalive (store, lease, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/l/a", "1", lease };
  assert_refused (store, NULL, &op, 1, LODGE_ERROR_NOT_FOUND);
}

static void
test_lease_keepalive (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;
  gint64 lease = lodge_store_lease_grant (store, 1, NULL);

  put_leased (store, "/l/a", "1", lease);
  for (guint i = 0; i < 4; i++)
    {
      iterate (500);
      g_assert_true (lodge_store_lease_keepalive (store, lease, NULL));
    }
  assert_keys (store, "/l/", "/l/a ");
}

static void
test_lease_revoke (Fixture *fixture, gconstpointer factory)
{
  LodgeStore *store = fixture->store;
  gint64 lease = lodge_store_lease_grant (store, 3600, NULL);
  gint64 other = lodge_store_lease_grant (store, G_MAXUINT, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (lease, !=, other);
  put_leased (store, "/l/a", "1", lease);
  put_leased (store, "/l/b", "1", other);
  g_assert_true (lodge_store_lease_revoke (store, lease, NULL));
  assert_keys (store, "/l/", "/l/b ");
  g_assert_false (lodge_store_lease_revoke (store, lease, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_cmpint (lodge_store_lease_grant (store, 0, &error), ==, 0);
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
}

/* Random transactions against a model of a dozen lines. */
typedef struct
{
  char value[16];
  gint64 create_rev, mod_rev, version;
} ModelEntry;

#define N_MODEL_KEYS 12

static gboolean
model_holds (const ModelEntry *model, const LodgeStoreCompare *compare, guint key)
{
  switch (compare->kind)
    {
    case LODGE_STORE_COMPARE_ABSENT:
      return model[key].version == 0;
    case LODGE_STORE_COMPARE_EXISTS:
      return model[key].version != 0;
    default:
      return model[key].mod_rev == compare->revision;
    }
}

static gint64
model_apply (ModelEntry *model, gint64 revision, const LodgeStoreOp *ops, const guint *keys,
             guint n_ops)
{
  gboolean changed = FALSE;

  for (guint i = 0; i < n_ops; i++)
    {
      ModelEntry *entry = &model[keys[i]];

      if (ops[i].kind == LODGE_STORE_OP_DELETE)
        {
          changed |= entry->version != 0;
          *entry = (ModelEntry){ 0 };
          continue;
        }
      changed = TRUE;
      g_strlcpy (entry->value, ops[i].value, sizeof entry->value);
      entry->mod_rev = revision + 1;
      if (entry->version++ == 0)
        entry->create_rev = revision + 1;
    }
  return changed ? revision + 1 : revision;
}

static void
assert_model (LodgeStore *store, const ModelEntry *model, gint64 revision)
{
  gint64 listed = -1;
  g_autoptr (GPtrArray) entries = lodge_store_list (store, "/m/", &listed, NULL);
  guint n = 0;

  g_assert_cmpint (listed, ==, revision);
  for (guint i = 0; i < N_MODEL_KEYS; i++)
    {
      const ModelEntry *want = &model[i];
      const LodgeStoreEntry *entry;

      if (want->version == 0)
        continue;
      g_assert_cmpuint (n, <, entries->len);
      entry = entries->pdata[n++];
      g_assert_cmpint (entry->key[3] - 'a', ==, (int) i);
      g_assert_cmpstr (entry->value, ==, want->value);
      g_assert_cmpint (entry->create_rev, ==, want->create_rev);
      g_assert_cmpint (entry->mod_rev, ==, want->mod_rev);
      g_assert_cmpint (entry->version, ==, want->version);
    }
  g_assert_cmpuint (n, ==, entries->len);
}

static void
test_random (Fixture *fixture, gconstpointer factory)
{
  ModelEntry model[N_MODEL_KEYS] = { 0 };
  gint64 revision = current_revision (fixture->store);

  for (guint round = 0; round < 600; round++)
    {
      char names[N_MODEL_KEYS][8], values[4][16];
      LodgeStoreOp ops[4];
      guint keys[4];
      guint n_ops = (guint) g_test_rand_int_range (0, 5), start, step;
      guint compared = (guint) g_test_rand_int_range (0, N_MODEL_KEYS);
      LodgeStoreCompare compare = { (LodgeStoreCompareKind) g_test_rand_int_range (0, 3), NULL, 0 };
      gboolean compares = g_test_rand_bit (), holds;
      gint64 got = -1;

      for (guint i = 0; i < N_MODEL_KEYS; i++)
        g_snprintf (names[i], sizeof names[i], "/m/%c", 'a' + i);
      compare.key = names[compared];
      compare.revision = g_test_rand_bit () ? model[compared].mod_rev : revision;
      /* A step that has no divisor with the number of keys never meets one twice. */
      start = (guint) g_test_rand_int_range (0, N_MODEL_KEYS);
      step = g_test_rand_bit () ? 5 : 7;
      for (guint i = 0; i < n_ops; i++)
        {
          keys[i] = (start + i * step) % N_MODEL_KEYS;
          g_snprintf (values[i], sizeof values[i], "%d", g_test_rand_int ());
          ops[i] = (LodgeStoreOp){ g_test_rand_int_range (0, 3) == 0 ? LODGE_STORE_OP_DELETE
                                                                     : LODGE_STORE_OP_PUT,
                                   names[keys[i]], values[i], 0 };
        }
      holds = !compares || model_holds (model, &compare, compared);
      g_assert_cmpint (
          lodge_store_txn (fixture->store, &compare, compares ? 1 : 0, ops, n_ops, &got, NULL), ==,
          holds);
      if (holds)
        {
          revision = model_apply (model, revision, ops, keys, n_ops);
          g_assert_cmpint (got, ==, revision);
        }
      if (round % 10 == 0)
        assert_model (fixture->store, model, revision);
    }
  assert_model (fixture->store, model, revision);
}

void
store_conformance_add (const char *path, const StoreFactory *factory)
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer factory);
  } tests[] = {
    { "revisions", test_revisions },
    { "one-revision-a-txn", test_one_revision_a_txn },
    { "list", test_list },
    { "compare", test_compare },
    { "conflict-names-the-key", test_conflict_names_the_key },
    { "all-or-nothing", test_all_or_nothing },
    { "bad-input", test_bad_input },
    { "deep-json", test_deep_json },
    { "limits", test_limits },
    { "watch", test_watch },
    { "watch-no-rollback", test_watch_no_rollback },
    { "watch-from", test_watch_from },
    { "watch-gone", test_watch_gone },
    { "watch-destroy", test_watch_destroy },
    { "watch-reentrant", test_watch_reentrant },
    { "lease-ends", test_lease_ends },
    { "lease-keepalive", test_lease_keepalive },
    { "lease-revoke", test_lease_revoke },
    { "random", test_random },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *full = g_strconcat (path, "/", tests[i].name, NULL);

      g_test_add (full, Fixture, factory, fixture_set_up, tests[i].func, fixture_tear_down);
    }
}
