/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that lodge_sqlite_store_open() refuses, and that it changes nothing when it does;
 * migrations and backups.
 */
#include "store-test-util.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lodge-journal.h"

/* A closed database with a backup. */
static char *
make_good (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *key = g_strdup_printf ("/instances/%u", i);
      g_autofree char *value = g_strnfill (600 + i, 'v');

      value[0] = value[599 + i] = '"';
      test_put (store, key, value);
    }
  g_assert_true (lodge_sqlite_store_backup (store, &error));
  lodge_sqlite_store_close (store);
  return g_steal_pointer (&dir);
}

static void
overwrite (const char *path, gsize offset, const void *bytes, gsize size)
{
  g_auto (LodgeFd) fd = open (path, O_WRONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (pwrite (fd, bytes, size, (off_t) offset), ==, (gssize) size);
}

static void
make_empty (const char *path)
{
  g_assert_cmpint (truncate (path, 0), ==, 0);
}

static void
make_short (const char *path)
{
  g_assert_cmpint (truncate (path, 50), ==, 0);
}

static void
make_truncated (const char *path)
{
  g_assert_cmpint (truncate (path, 3 * 4096 + 77), ==, 0);
}

static void
make_garbage (const char *path)
{
  guint8 noise[65536];

  for (gsize i = 0; i < sizeof noise; i++)
    noise[i] = (guint8) g_test_rand_int ();
  overwrite (path, 0, noise, sizeof noise);
}

static void
make_garbage_after_header (const char *path)
{
  guint8 noise[16384];

  for (gsize i = 0; i < sizeof noise; i++)
    noise[i] = (guint8) g_test_rand_int ();
  overwrite (path, 100, noise, sizeof noise);
}

static void
make_foreign (const char *path)
{
  overwrite (path, 68, "Gpkg", 4);
}

static void
make_newer (const char *path)
{
  overwrite (path, 60, "\0\0\0\x63", 4);
}

static void
make_link (const char *path)
{
  g_autofree char *real = g_strconcat (path, ".real", NULL);

  g_assert_cmpint (rename (path, real), ==, 0);
  g_assert_cmpint (symlink (real, path), ==, 0);
}

static void
make_dir (const char *path)
{
  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_cmpint (mkdir (path, 0700), ==, 0);
}

static void
make_fifo (const char *path)
{
  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
}

static void
make_gone (const char *path)
{
  g_assert_cmpint (unlink (path), ==, 0);
}

typedef struct
{
  const char *name;
  void (*damage) (const char *path);
  LodgeErrorCode code;
} Refusal;

/* L01, L02 */
static const Refusal refusals[] = {
  { "empty", make_empty, LODGE_ERROR_STORE },
  { "short", make_short, LODGE_ERROR_STORE },
  { "truncated", make_truncated, LODGE_ERROR_STORE },
  { "garbage", make_garbage, LODGE_ERROR_STORE },
  { "garbage-after-header", make_garbage_after_header, LODGE_ERROR_STORE },
  { "other-application", make_foreign, LODGE_ERROR_STORE },
  { "newer-schema", make_newer, LODGE_ERROR_STORE_TOO_NEW },
  { "link", make_link, LODGE_ERROR_STORE },
  { "directory", make_dir, LODGE_ERROR_STORE },
  { "fifo", make_fifo, LODGE_ERROR_STORE },
  { "gone", make_gone, LODGE_ERROR_STORE },
};

static void
test_refusal (gconstpointer data)
{
  const Refusal *refusal = data;
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *backups = g_build_filename (dir, "backup", "lodge-", NULL);
  g_autofree char *message = NULL;

  refusal->damage (path);
  message = test_refuse (dir, refusal->code);
  g_test_message ("%s", message);
  g_assert_nonnull (strstr (message, path));
  g_assert_nonnull (strstr (message, backups));
}

/* A file that others could write may be anything: no word of a backup then. */
static void
test_refuse_writable (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *message = NULL;

  g_assert_cmpint (chmod (path, 0666), ==, 0);
  message = test_refuse (dir, LODGE_ERROR_STORE);
  g_assert_nonnull (strstr (message, path));
}

/* One flipped bit in the head of any page is found. */
static void
test_bit_flips (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *contents = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
  for (gsize page = 1; page < length / 4096; page++)
    {
      g_autofree char *message = NULL;
      char flipped = contents[page * 4096] ^ 0x40;

      overwrite (path, page * 4096, &flipped, 1);
      message = test_refuse (dir, LODGE_ERROR_STORE);
      overwrite (path, page * 4096, contents + page * 4096, 1);
    }
  g_assert_finalize_object (test_open (dir));
}

/* A bit anywhere is refused, or it is in a value or in space that is not used; what is never seen
 * is a crash, a changed file or a key that is lost. */
static void
test_bit_flips_anywhere (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *contents = NULL;
  gsize length;
  guint refused = 0, opened = 0;

  g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
  for (guint i = 0; i < 200; i++)
    {
      gsize offset = (gsize) g_test_rand_int_range (0, (gint32) length);
      char flipped = (char) (contents[offset] ^ (1 << g_test_rand_int_range (0, 8)));
      g_autoptr (GError) error = NULL;
      g_autoptr (LodgeSqliteStore) store = NULL;

      overwrite (path, offset, &flipped, 1);
      store = lodge_sqlite_store_open (dir, &error);
      if (store != NULL)
        {
          g_autoptr (GPtrArray) entries = lodge_store_list (LODGE_STORE (store), "/", NULL, NULL);
          g_assert_nonnull (entries);
          g_assert_cmpuint (entries->len, ==, 50);
          opened++;
        }
      else
        refused++;
      g_clear_object (&store);
      g_assert_true (g_file_set_contents_full (path, contents, (gssize) length,
                                               G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    }
  g_test_message ("%u refused, %u opened", refused, opened);
}

static void
test_restore (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *message = NULL;
  g_autofree char *value = NULL;
  g_auto (GStrv) words = NULL;

  make_garbage (path);
  message = test_refuse (dir, LODGE_ERROR_STORE);
  /* What the hint says, done by hand. */
  words = g_strsplit (strstr (message, "copy "), " ", -1);
  g_assert_cmpint (rename (words[1], path), ==, 0);
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  value = test_get (store, "/instances/49");
  g_assert_cmpuint (strlen (value), ==, 649);
  test_put (store, "/instances/49", "1");
}

static void
test_hint_skips_bad_backups (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *bad = g_build_filename (dir, "backup", "lodge-20991231T235959Z.db", NULL);
  g_autofree char *good = g_build_filename (dir, "backup", NULL);
  g_autofree char *message = NULL;
  g_autofree char *alone = NULL;

  make_empty (path);
  g_assert_true (g_file_set_contents (bad, "bad", -1, NULL));
  message = test_refuse (dir, LODGE_ERROR_STORE);
  g_assert_null (strstr (message, "20991231"));
  g_assert_nonnull (strstr (message, "backup/lodge-"));
  g_assert_true (lodge_tree_remove (good, NULL));
  alone = test_refuse (dir, LODGE_ERROR_STORE);
  g_assert_nonnull (strstr (alone, "no good backup"));
}

/* L04 */
static void
test_state_dir (void)
{
  static const struct
  {
    int mode;
    gboolean fine;
  } rows[] = { { 0700, TRUE },  { 0711, TRUE },  { 0755, TRUE },  { 0777, FALSE },
               { 0770, FALSE }, { 0702, FALSE }, { 01777, FALSE } };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (TestDir) dir = test_dir_new ();

      g_assert_cmpint (chmod (dir, (mode_t) rows[i].mode), ==, 0);
      if (rows[i].fine)
        g_assert_finalize_object (test_open (dir));
      else
        g_free (test_refuse (dir, LODGE_ERROR_STORE));
      g_assert_cmpint (test_count_files (dir, ".", "lodge."), ==, rows[i].fine ? 2 : 0);
    }
}

static void
test_state_dir_link (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autofree char *real = g_build_filename (dir, "real", NULL);
  g_autofree char *link = g_build_filename (dir, "link", NULL);
  g_autofree char *with_slash = g_strconcat (link, "//", NULL);
  g_autofree char *none = g_build_filename (dir, "none", NULL);
  g_autofree char *real_slash = g_strconcat (real, "/", NULL);

  g_assert_cmpint (mkdir (real, 0700), ==, 0);
  g_assert_cmpint (symlink (real, link), ==, 0);
  g_free (test_refuse (link, LODGE_ERROR_STORE));
  g_free (test_refuse (with_slash, LODGE_ERROR_STORE));
  g_free (test_refuse (none, LODGE_ERROR_NOT_FOUND));
  g_assert_finalize_object (test_open (real_slash));
}

static void
test_owner (void)
{
  g_autoptr (TestDir) dir = NULL;
  g_autofree char *path = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can give files away");
      return;
    }
  dir = make_good ();
  path = g_build_filename (dir, "lodge.db", NULL);
  g_assert_cmpint (chown (path, 65534, (gid_t) -1), ==, 0);
  g_free (test_refuse (dir, LODGE_ERROR_STORE));
  g_assert_cmpint (chown (path, 0, (gid_t) -1), ==, 0);
  g_assert_cmpint (chown (dir, 65534, (gid_t) -1), ==, 0);
  g_free (test_refuse (dir, LODGE_ERROR_STORE));
}

static void
open_second (const char *dir, gpointer data)
{
  g_autoptr (GError) error = NULL;

  _exit (lodge_sqlite_store_open (dir, &error) == NULL
                 && g_error_matches (error, LODGE_ERROR, LODGE_ERROR_BUSY)
             ? 42
             : 1);
}

/* L03 */
static void
test_second_opener (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  gint64 begin = g_get_monotonic_time ();

  g_free (test_refuse (dir, LODGE_ERROR_BUSY));
  g_assert_cmpint (WEXITSTATUS (test_fork (open_second, dir, NULL)), ==, 42);
  /* At once, and the lock is not lost by the attempt. */
  g_assert_cmpint (g_get_monotonic_time () - begin, <, G_USEC_PER_SEC);
  g_free (test_refuse (dir, LODGE_ERROR_BUSY));
  test_put (store, "/a", "1");
  lodge_sqlite_store_close (store);
  g_assert_finalize_object (test_open (dir));
}

/* The sqlite3 shell, a backup tool. */
static void
test_other_program (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autoptr (LodgeSqliteStore) store = NULL;
  sqlite3 *other = NULL;

  g_assert_cmpint (sqlite3_open (path, &other), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_null (lodge_sqlite_store_open (dir, NULL));
  sqlite3_close (other);
  store = test_open (dir);
  /* And the other way round. */
  g_assert_cmpint (sqlite3_open (path, &other), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (other, "DELETE FROM kv", NULL, NULL, NULL), ==, SQLITE_BUSY);
  sqlite3_close (other);
}

static void
test_modes (void)
{
  static const char *const names[] = { "lodge.db", "lodge.db-wal", "lodge.lock", "backup", NULL };
  mode_t old = umask (0);
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);

  g_assert_true (lodge_sqlite_store_backup (store, NULL));
  umask (old);
  for (gsize i = 0; names[i] != NULL; i++)
    {
      g_autofree char *path = g_build_filename (dir, names[i], NULL);
      struct stat st;

      g_assert_cmpint (stat (path, &st), ==, 0);
      g_assert_cmpint (st.st_mode & 0077, ==, 0);
    }
}

/* A start that was cut short leaves the new file beside the place. */
static void
test_leftover (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autofree char *path = g_build_filename (dir, "lodge.db.new", NULL);
  g_autofree char *wal = g_build_filename (dir, "lodge.db.new-wal", NULL);

  g_assert_true (g_file_set_contents (path, "half", -1, NULL));
  g_assert_true (g_file_set_contents (wal, "half", -1, NULL));
  g_assert_finalize_object (test_open (dir));
  g_assert_cmpuint (test_count_files (dir, ".", "lodge.db"), ==, 1);
}

#define GOOD_STEP                                                                                  \
  "CREATE TABLE extra (id INTEGER PRIMARY KEY, note TEXT) STRICT;"                                 \
  "INSERT INTO extra SELECT count (*), 'kept' FROM kv;"
#define BAD_STEP    "DELETE FROM kv; CREATE TABLE kv (a TEXT);"
#define ENDING_STEP "DELETE FROM kv; COMMIT;"

static LodgeSqliteStore *
open_with (const char *dir, const char *second, const char *third, GError **error)
{
  const LodgeMigration migrations[] = { lodge_migrations[0], { second }, { third }, { NULL } };

  return lodge_sqlite_store_open_with (dir, migrations, error);
}

static void
test_migrate (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeSqliteStore) store = open_with (dir, GOOD_STEP, NULL, &error);
  gint64 count = 0, version = 0;

  g_assert_no_error (error);
  g_assert_true (lodge_db_query_int (store->db, "SELECT id FROM extra", &count, NULL));
  g_assert_true (lodge_db_query_int (store->db, "PRAGMA user_version", &version, NULL));
  g_assert_cmpint (count, ==, 50);
  g_assert_cmpint (version, ==, 2);
  g_assert_cmpuint (test_count_files (dir, "backup", "before-0002-"), ==, 1);
  g_clear_object (&store);
  /* What is there already is not done again, and an older Lodge refuses it. */
  store = open_with (dir, GOOD_STEP, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (test_count_files (dir, "backup", "before-"), ==, 1);
  g_clear_object (&store);
  g_free (test_refuse (dir, LODGE_ERROR_STORE_TOO_NEW));
}

static void
migrate_and_die (const char *dir, gpointer data)
{
  g_autoptr (LodgeSqliteStore) store = open_with (dir, GOOD_STEP, NULL, NULL);

  raise (store != NULL ? SIGKILL : SIGTERM);
}

/* The newer schema is in the log only: looking at it must not fold the log. */
static void
test_newer_in_log (void)
{
  g_autoptr (TestDir) dir = make_good ();
  g_autofree char *wal = g_build_filename (dir, "lodge.db-wal", NULL);
  struct stat st;

  g_assert_cmpint (WTERMSIG (test_fork (migrate_and_die, dir, NULL)), ==, SIGKILL);
  g_assert_cmpint (stat (wal, &st), ==, 0);
  g_assert_cmpint (st.st_size, >, 0);
  g_free (test_refuse (dir, LODGE_ERROR_STORE_TOO_NEW));
  g_free (test_refuse (dir, LODGE_ERROR_STORE_TOO_NEW));
}

static void
test_migrate_fails (void)
{
  static const char *const steps[][2]
      = { { BAD_STEP, NULL }, { ENDING_STEP, NULL }, { GOOD_STEP, BAD_STEP } };

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_autoptr (TestDir) dir = make_good ();
      g_autoptr (GError) error = NULL;
      g_autoptr (LodgeSqliteStore) store = NULL;
      g_autofree char *value = NULL;

      g_assert_null (open_with (dir, steps[i][0], steps[i][1], &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_STORE);
      g_assert_nonnull (strstr (error->message, "Schema "));
      g_clear_error (&error);
      store = steps[i][1] != NULL ? open_with (dir, steps[i][0], NULL, &error) : test_open (dir);
      g_assert_no_error (error);
      value = test_get (store, "/instances/7");
      g_assert_nonnull (value);
    }
}

static void
test_fixture (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autofree char *path = g_build_filename (dir, "lodge.db", NULL);
  g_autofree char *sql = NULL;
  g_autofree char *value = NULL;
  g_autofree char *leased = NULL;
  g_autoptr (LodgeSqliteStore) store = NULL;
  g_autoptr (GPtrArray) jobs = NULL;
  sqlite3 *old = NULL;

  g_assert_true (g_file_get_contents (g_test_get_filename (G_TEST_DIST, "schema-0001.sql", NULL),
                                      &sql, NULL, NULL));
  g_assert_cmpint (sqlite3_open (path, &old), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (old, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close (old);
  g_assert_cmpint (chmod (path, 0600), ==, 0);

  store = test_open (dir);
  value = test_get (store, "/instances/a");
  leased = test_get (store, "/nodes/1");
  jobs = lodge_journal_list (store, TRUE, NULL);
  g_assert_cmpstr (value, ==, "{\"name\":\"web\"}");
  g_assert_null (leased);
  g_assert_cmpint (store->history.revision, ==, 8);
  g_assert_cmpint (store->history.compacted, ==, 4);
  g_assert_cmpuint (jobs->len, ==, 1);
  g_assert_cmpint (((LodgeJournalRow *) jobs->pdata[0])->id, ==, 41);
}

static void
test_backup_keeps_three (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autofree char *folder = g_build_filename (dir, "backup", NULL);
  g_autofree char *future = g_build_filename (folder, "lodge-20990101T000000Z.db", NULL);
  g_autofree char *partial = g_build_filename (folder, "lodge.partial", NULL);
  g_autofree char *stranger = g_build_filename (folder, "notes.db", NULL);
  g_autofree char *newest = g_build_filename (folder, "lodge-20990101T000005Z.db", NULL);
  g_autoptr (LodgeSqliteStore) store = test_open (dir);

  g_assert_cmpint (mkdir (folder, 0700), ==, 0);
  /* The clock was wrong once: later backups still are the newer ones. */
  g_assert_true (g_file_set_contents (future, "x", -1, NULL));
  g_assert_true (g_file_set_contents (partial, "x", -1, NULL));
  g_assert_true (g_file_set_contents (stranger, "x", -1, NULL));
  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *value = g_strdup_printf ("%u", i);
      g_autoptr (GError) error = NULL;

      test_put (store, "/n", value);
      g_assert_true (lodge_sqlite_store_backup (store, &error));
    }
  g_assert_cmpuint (test_count_files (dir, "backup", "lodge-"), ==, 3);
  g_assert_cmpuint (test_count_files (dir, "backup", ""), ==, 4);
  g_assert_true (g_file_test (stranger, G_FILE_TEST_EXISTS));

  g_autoptr (TestDir) other = test_dir_new ();
  g_autofree char *copy = g_build_filename (other, "lodge.db", NULL);
  g_autofree char *value = NULL;
  g_assert_cmpint (rename (newest, copy), ==, 0);
  g_autoptr (LodgeSqliteStore) restored = test_open (other);
  value = test_get (restored, "/n");
  g_assert_cmpstr (value, ==, "4");
  g_assert_cmpint (restored->history.revision, ==, 5);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (refusals); i++)
    {
      g_autofree char *name = g_strconcat ("/store/open/refuse/", refusals[i].name, NULL);

      g_test_add_data_func (name, &refusals[i], test_refusal);
    }
  g_test_add_func ("/store/open/refuse-writable", test_refuse_writable);
  g_test_add_func ("/store/open/bit-flips", test_bit_flips);
  g_test_add_func ("/store/open/bit-flips-anywhere", test_bit_flips_anywhere);
  g_test_add_func ("/store/open/restore", test_restore);
  g_test_add_func ("/store/open/hint-skips-bad-backups", test_hint_skips_bad_backups);
  g_test_add_func ("/store/open/state-dir", test_state_dir);
  g_test_add_func ("/store/open/state-dir-link", test_state_dir_link);
  g_test_add_func ("/store/open/owner", test_owner);
  g_test_add_func ("/store/open/second-opener", test_second_opener);
  g_test_add_func ("/store/open/other-program", test_other_program);
  g_test_add_func ("/store/open/modes", test_modes);
  g_test_add_func ("/store/open/leftover", test_leftover);
  g_test_add_func ("/store/migrate/one", test_migrate);
  g_test_add_func ("/store/migrate/newer-in-log", test_newer_in_log);
  g_test_add_func ("/store/migrate/fails", test_migrate_fails);
  g_test_add_func ("/store/migrate/fixture", test_fixture);
  g_test_add_func ("/store/backup/keeps-three", test_backup_keeps_three);
  return g_test_run ();
}
