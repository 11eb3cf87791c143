/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the SQLite store adds to the interface: the journal, what outlives a restart, bounds. */
#include "store-test-util.h"

#include <string.h>

#include "lodge-journal.h"

static LodgeJournalRow *
new_row (const char *operation)
{
  LodgeJournalRow *row = g_new0 (LodgeJournalRow, 1);

  row->operation = g_strdup (operation);
  row->description = g_strdup ("Create web");
  row->object = g_strdup ("1234");
  row->state = g_strdup ("running");
  row->step = g_strdup ("");
  row->direction = g_strdup ("do");
  row->data = g_strdup ("{\"name\":\"web\"}");
  row->result = g_strdup ("{}");
  row->error_nick = g_strdup ("");
  row->error_message = g_strdup ("");
  row->uid = G_MAXUINT32;
  row->started_at = 1700000000;
  return row;
}

static void
assert_rows_equal (const LodgeJournalRow *a, const LodgeJournalRow *b)
{
  g_assert_cmpint (a->id, ==, b->id);
  g_assert_cmpstr (a->operation, ==, b->operation);
  g_assert_cmpstr (a->description, ==, b->description);
  g_assert_cmpstr (a->object, ==, b->object);
  g_assert_cmpstr (a->state, ==, b->state);
  g_assert_cmpstr (a->step, ==, b->step);
  g_assert_cmpstr (a->direction, ==, b->direction);
  g_assert_cmpstr (a->data, ==, b->data);
  g_assert_cmpstr (a->result, ==, b->result);
  g_assert_cmpstr (a->error_nick, ==, b->error_nick);
  g_assert_cmpstr (a->error_message, ==, b->error_message);
  g_assert_cmpuint (a->uid, ==, b->uid);
  g_assert_cmpint (a->started_at, ==, b->started_at);
  g_assert_cmpint (a->ended_at, ==, b->ended_at);
}

static void
add (LodgeSqliteStore *store, LodgeJournalRow *row)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_journal_add (store, row, &error));
  g_assert_cmpint (row->id, >, 0);
}

static void
set (char **field, const char *value)
{
  g_free (*field);
  *field = g_strdup (value);
}

static void
update (LodgeSqliteStore *store, const LodgeJournalRow *row)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_journal_update (store, row, NULL, 0, NULL, 0, &error));
}

static void
test_journal (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (LodgeJournalRow) first = new_row ("instance-create");
  g_autoptr (LodgeJournalRow) second = new_row ("instance-delete");
  g_autoptr (GPtrArray) rows = NULL;

  add (store, first);
  add (store, second);
  g_assert_cmpint (second->id, >, first->id);
  set (&first->description, "Create \"w\xc3\xa9"
                            "b\"");
  set (&first->object, "5678");
  set (&first->state, "failed");
  set (&first->step, "define");
  set (&first->direction, "undo");
  set (&first->data, "{\"name\":\"db\"}");
  set (&first->result, "{\"n\":1}");
  set (&first->error_nick, "NoSpace");
  set (&first->error_message, "it's full");
  first->ended_at = 1700000009;
  update (store, first);
  lodge_sqlite_store_close (store);
  g_clear_object (&store);

  store = test_open (dir);
  rows = lodge_journal_list (store, FALSE, NULL);
  g_assert_cmpuint (rows->len, ==, 2);
  assert_rows_equal (rows->pdata[0], first);
  assert_rows_equal (rows->pdata[1], second);
  g_ptr_array_unref (rows);
  rows = lodge_journal_list (store, TRUE, NULL);
  g_assert_cmpuint (rows->len, ==, 1);
  assert_rows_equal (rows->pdata[0], second);
}

/* Fields that are written once, whatever the row says later. */
static void
test_journal_immutable (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (LodgeJournalRow) row = new_row ("instance-create");
  g_autoptr (GPtrArray) rows = NULL;

  add (store, row);
  set (&row->operation, "other");
  row->uid = 7;
  row->started_at = 7;
  update (store, row);
  rows = lodge_journal_list (store, FALSE, NULL);
  set (&row->operation, "instance-create");
  row->uid = G_MAXUINT32;
  row->started_at = 1700000000;
  assert_rows_equal (rows->pdata[0], row);
}

static void
test_journal_prune (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  gint64 last = 0;

  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (LodgeJournalRow) row = new_row ("x");

      row->ended_at = i == 0 ? 0 : 100 * (gint64) i;
      add (store, row);
      last = row->id;
    }
  g_assert_true (lodge_journal_prune (store, 200, NULL));
  g_autoptr (GPtrArray) rows = lodge_journal_list (store, FALSE, NULL);
  g_assert_cmpuint (rows->len, ==, 3);
  g_assert_true (lodge_journal_prune (store, G_MAXINT64, NULL));
  g_autoptr (GPtrArray) left = lodge_journal_list (store, FALSE, NULL);
  g_assert_cmpuint (left->len, ==, 1);
  /* A number is never used twice, though its row is gone. */
  g_autoptr (LodgeJournalRow) next = new_row ("x");
  add (store, next);
  g_assert_cmpint (next->id, ==, last + 1);
}

static void
test_journal_refuses (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (LodgeJournalRow) row = new_row ("x");
  g_autoptr (GError) error = NULL;
  const struct
  {
    char **field;
    const char *bad;
    const char *good;
  } rows[] = { { &row->state, "flying", "running" },
               { &row->direction, "sideways", "do" },
               { &row->data, "{", "{}" },
               { &row->result, "", "{}" } };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      set (rows[i].field, rows[i].bad);
      g_assert_false (lodge_journal_add (store, row, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
      g_assert_cmpint (row->id, ==, 0);
      g_clear_error (&error);
      set (rows[i].field, rows[i].good);
    }
  row->id = 99;
  g_assert_false (lodge_journal_update (store, row, NULL, 0, NULL, 0, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
}

/* The keys and the row are one commit. */
static void
test_journal_with_keys (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (LodgeJournalRow) row = new_row ("x");
  const LodgeStoreCompare compare = { LODGE_STORE_COMPARE_ABSENT, "/k", 0 };
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/k", "1", 0 };
  const LodgeStoreOp bad_op = { LODGE_STORE_OP_PUT, "k", "1", 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *value = NULL;
  g_autoptr (GPtrArray) rows = NULL;

  add (store, row);
  set (&row->step, "define");
  g_assert_true (lodge_journal_update (store, row, &compare, 1, &op, 1, &error));
  value = test_get (store, "/k");
  g_assert_cmpstr (value, ==, "1");

  set (&row->step, "never");
  g_assert_false (lodge_journal_update (store, row, &compare, 1, &op, 1, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_CONFLICT);
  g_clear_error (&error);
  g_assert_false (lodge_journal_update (store, row, NULL, 0, &bad_op, 1, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  /* The row is what fails: the key stays as it was. */
  const LodgeStoreOp second = { LODGE_STORE_OP_PUT, "/k", "2", 0 };
  set (&row->state, "flying");
  g_assert_false (lodge_journal_update (store, row, NULL, 0, &second, 1, &error));
  g_free (value);
  value = test_get (store, "/k");
  g_assert_cmpstr (value, ==, "1");
  g_assert_cmpint (store->history.revision, ==, 1);
  rows = lodge_journal_list (store, FALSE, NULL);
  g_assert_cmpstr (((LodgeJournalRow *) rows->pdata[0])->step, ==, "define");
}

static void
count_event (LodgeStoreChangeKind kind, const LodgeStoreEntry *entry, gpointer user_data)
{
  GString *events = user_data;

  g_string_append_printf (events, "%c%s@%d ", kind == LODGE_STORE_CHANGE_PUT ? '+' : '-',
                          entry->key, (int) entry->mod_rev);
}

/* Revisions and history go on where they were; a lease ends with the process. */
static void
test_restart (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (GString) events = g_string_new (NULL);
  gint64 lease = lodge_store_lease_grant (LODGE_STORE (store), 3600, NULL);
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/leased", "1", lease };
  g_autofree char *value = NULL;

  test_put (store, "/a", "1");
  g_assert_true (lodge_store_txn (LODGE_STORE (store), NULL, 0, &op, 1, NULL, NULL));
  g_clear_object (&store);

  store = test_open (dir);
  value = test_get (store, "/leased");
  g_assert_null (value);
  test_put (store, "/a", "2");
  lodge_store_watch (LODGE_STORE (store), "/", 1, count_event, events, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpstr (events->str, ==, "+/a@1 +/leased@2 -/leased@3 +/a@4 ");
}

static void
test_closed (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  LodgeStore *base = LODGE_STORE (store);
  g_autoptr (LodgeJournalRow) row = new_row ("x");
  g_autoptr (GString) events = g_string_new (NULL);
  LodgeStoreEntry *entry = NULL;
  g_autoptr (GError) error = NULL;

  guint id = lodge_store_watch (base, "/", 0, count_event, events, NULL);
  test_put (store, "/a", "1");
  lodge_sqlite_store_close (store);
  lodge_sqlite_store_close (store);
  lodge_store_unwatch (base, id);
  g_assert_false (lodge_store_get (base, "/a", &entry, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_STORE);
  g_assert_null (lodge_store_list (base, "/", NULL, NULL));
  g_assert_false (lodge_store_txn (base, NULL, 0, NULL, 0, NULL, NULL));
  g_assert_cmpint (lodge_store_lease_grant (base, 1, NULL), ==, 0);
  g_assert_false (lodge_journal_add (store, row, NULL));
  g_assert_null (lodge_journal_list (store, FALSE, NULL));
  g_assert_false (lodge_sqlite_store_backup (store, NULL));
  g_assert_cmpuint (lodge_store_watch (base, "/", 0, count_event, events, NULL), !=, 0);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpstr (events->str, ==, "");
}

static void
assert_history (LodgeSqliteStore *store)
{
  LodgeHistory before = store->history;
  gint64 count = 0;

  g_assert_true (lodge_db_query_int (store->db, "SELECT count (*) FROM changes", &count, NULL));
  g_assert_cmpint (count, ==, before.n_rows);
  g_assert_true (lodge_sqlite_txn_load (store, NULL));
  g_assert_cmpmem (&store->history, sizeof before, &before, sizeof before);
}

/* The ring has bounds in rows and in bytes, and what is counted is what is there. */
static void
test_history (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autofree char *big = g_strnfill (1000000, 'v');

  for (guint i = 0; i < 50; i++)
    {
      LodgeStoreOp ops[100];
      char keys[100][16];

      for (guint j = 0; j < 100; j++)
        {
          g_snprintf (keys[j], sizeof keys[j], "/k/%u", j);
          ops[j] = (LodgeStoreOp){ i % 2 == 0 ? LODGE_STORE_OP_PUT : LODGE_STORE_OP_DELETE, keys[j],
                                   "{}", 0 };
        }
      g_assert_true (lodge_store_txn (LODGE_STORE (store), NULL, 0, ops, 100, NULL, NULL));
      g_assert_cmpint (store->history.n_rows, <=, 2048);
    }
  g_assert_cmpint (store->history.n_rows, >=, 1000);
  g_assert_cmpint (store->history.compacted, >, 0);
  assert_history (store);
  big[0] = big[999999] = '"';
  for (guint i = 0; i < 10; i++)
    {
      test_put (store, "/big", big);
      g_assert_cmpint (store->history.n_bytes, <=, 4 * 1024 * 1024);
    }
  assert_history (store);
}

/* One transaction that is longer than the whole ring stays in it until the next. */
static void
test_history_huge_txn (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autofree char *big = g_strnfill (1000000, 'v');
  LodgeStoreOp ops[6];
  char keys[6][16];

  big[0] = big[999999] = '"';
  for (guint j = 0; j < 6; j++)
    {
      g_snprintf (keys[j], sizeof keys[j], "/k/%u", j);
      ops[j] = (LodgeStoreOp){ LODGE_STORE_OP_PUT, keys[j], big, 0 };
    }
  test_put (store, "/a", "1");
  g_assert_true (lodge_store_txn (LODGE_STORE (store), NULL, 0, ops, 6, NULL, NULL));
  g_assert_cmpint (store->history.n_rows, ==, 6);
  g_assert_cmpint (store->history.compacted, ==, 1);
  assert_history (store);
  test_put (store, "/a", "2");
  g_assert_cmpint (store->history.n_rows, ==, 1);
  g_assert_cmpint (store->history.compacted, ==, 2);
  assert_history (store);
}

/* More keys than a transaction admits still go in one. */
static void
test_big_lease (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  gint64 lease = lodge_store_lease_grant (LODGE_STORE (store), 3600, NULL);

  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *key = g_strdup_printf ("/l/%u", i);
      const LodgeStoreOp op = { LODGE_STORE_OP_PUT, key, "1", lease };

      g_assert_true (lodge_store_txn (LODGE_STORE (store), NULL, 0, &op, 1, NULL, NULL));
    }
  g_assert_true (lodge_store_lease_revoke (LODGE_STORE (store), lease, NULL));
  g_autoptr (GPtrArray) left = lodge_store_list (LODGE_STORE (store), "/l/", NULL, NULL);
  g_assert_cmpuint (left->len, ==, 0);
  g_assert_cmpint (store->history.revision, ==, 301);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/store/journal/rows", test_journal);
  g_test_add_func ("/store/journal/immutable", test_journal_immutable);
  g_test_add_func ("/store/journal/prune", test_journal_prune);
  g_test_add_func ("/store/journal/refuses", test_journal_refuses);
  g_test_add_func ("/store/journal/with-keys", test_journal_with_keys);
  g_test_add_func ("/store/sqlite/restart", test_restart);
  g_test_add_func ("/store/sqlite/closed", test_closed);
  g_test_add_func ("/store/sqlite/history", test_history);
  g_test_add_func ("/store/sqlite/history-huge-txn", test_history_huge_txn);
  g_test_add_func ("/store/sqlite/big-lease", test_big_lease);
  return g_test_run ();
}
