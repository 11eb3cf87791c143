/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed, out of space, failing disk.  A child does a fixed piece of work and dies in the middle
 * of it; what it had acknowledged must be there, and no half of a transaction.
 *
 * The system calls of SQLite's writes are replaced through its VFS, fdatasync() by this program's.
 */
#include "store-test-util.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lodge-journal.h"

typedef struct
{
  guint n_writes, n_syncs;
  guint kill_at;   /* which write dies, half done; 0: none */
  int write_errno; /* what all writes fail with; 0: none */
  int sync_errno;
} Faults;

/* Shared with what has no argument of ours: the replaced system calls. */
static Faults faults;

int fdatasync (int fd);
int
fdatasync (int fd)
{
  faults.n_syncs++;
  if (faults.sync_errno != 0)
    {
      errno = faults.sync_errno;
      return -1;
    }
  return (int) syscall (SYS_fdatasync, fd);
}

/* Returns how much of a write of @size is to be done; -1: errno is set. */
static gssize
meet_fault (gsize size)
{
  faults.n_writes++;
  if (faults.write_errno != 0)
    {
      errno = faults.write_errno;
      return -1;
    }
  return faults.n_writes == faults.kill_at ? (gssize) size / 2 : (gssize) size;
}

static gssize
finish_write (gssize written)
{
  if (faults.n_writes == faults.kill_at)
    raise (SIGKILL);
  return written;
}

static gssize
faulty_write (int fd, const void *data, gsize size)
{
  gssize allowed = meet_fault (size);
  return allowed < 0 ? -1 : finish_write (write (fd, data, (gsize) allowed));
}

static gssize
faulty_pwrite (int fd, const void *data, gsize size, off_t offset)
{
  gssize allowed = meet_fault (size);
  return allowed < 0 ? -1 : finish_write (pwrite (fd, data, (gsize) allowed, offset));
}

static void
install_faults (void)
{
  sqlite3_vfs *vfs = sqlite3_vfs_find (NULL);

  vfs->xSetSystemCall (vfs, "write", (sqlite3_syscall_ptr) faulty_write);
  vfs->xSetSystemCall (vfs, "pwrite", (sqlite3_syscall_ptr) faulty_pwrite);
  vfs->xSetSystemCall (vfs, "pwrite64", (sqlite3_syscall_ptr) faulty_pwrite);
}

/* What the child has acknowledged, in memory that outlives it. */
typedef struct
{
  guint kill_at;
  gint64 acked;      /* transactions */
  gint64 acked_step; /* steps of the job */
  gboolean finished;
} Shared;

static Shared *
shared_new (void)
{
  Shared *shared
      = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert_true (shared != MAP_FAILED);
  return shared;
}

/* Transaction n sets /a and /b to n; every third deletes and makes /c; then the job's step. */
static void
do_one (LodgeSqliteStore *store, LodgeJournalRow *row, gint64 n, Shared *shared)
{
  g_autofree char *value = g_strdup_printf ("%" G_GINT64_FORMAT, n);
  g_autofree char *pad = g_strnfill (3000, 'p');
  const LodgeStoreOp ops[] = { { LODGE_STORE_OP_PUT, "/a", value, 0 },
                               { LODGE_STORE_OP_PUT, "/pad", pad, 0 },
                               { n % 3 ? LODGE_STORE_OP_PUT : LODGE_STORE_OP_DELETE, "/c", "1", 0 },
                               { LODGE_STORE_OP_PUT, "/b", value, 0 } };

  pad[0] = pad[2999] = '"';
  if (!lodge_store_txn (LODGE_STORE (store), NULL, 0, ops, 4, NULL, NULL))
    _exit (3);
  shared->acked = n;
  g_free (row->step);
  row->step = g_strdup (value);
  const LodgeStoreOp step = { LODGE_STORE_OP_PUT, "/step", value, 0 };
  if (!lodge_journal_update (store, row, NULL, 0, &step, 1, NULL))
    _exit (4);
  shared->acked_step = n;
}

static void
work (const char *dir, gpointer data)
{
  Shared *shared = data;
  LodgeSqliteStore *store;
  LodgeJournalRow row = { .operation = (char *) "x" };
  gint64 n = shared->acked;

  faults = (Faults){ .kill_at = shared->kill_at };
  install_faults ();
  store = lodge_sqlite_store_open (dir, NULL);
  if (store == NULL || !lodge_journal_add (store, &row, NULL))
    _exit (2);
  row.state = (char *) "running";
  for (guint i = 0; i < 4 || shared->kill_at == 0; i++)
    do_one (store, &row, ++n, shared);
  if (!lodge_sqlite_store_backup (store, NULL))
    _exit (5);
  g_object_unref (store);
  shared->finished = TRUE;
}

static gint64
get_number (LodgeSqliteStore *store, const char *key)
{
  g_autofree char *text = test_get (store, key);
  return text != NULL ? g_ascii_strtoll (text, NULL, 10) : 0;
}

/* All of a transaction or nothing, nothing that was acknowledged is lost, and at most the one
 * that was under way is there without that. */
static void
verify (const char *dir, Shared *shared)
{
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  g_autoptr (GPtrArray) rows = lodge_journal_list (store, TRUE, NULL);
  g_autofree char *c = test_get (store, "/c");
  gint64 a = get_number (store, "/a"), step = get_number (store, "/step");

  g_assert_cmpint (a, ==, get_number (store, "/b"));
  g_assert_cmpint (a, >=, shared->acked);
  g_assert_cmpint (a, <=, shared->acked + 1);
  g_assert_cmpint (c != NULL, ==, a % 3 != 0);
  g_assert_cmpint (step, >=, shared->acked_step);
  g_assert_cmpint (step, <=, a);
  if (rows->len > 0 && step > 0)
    {
      const LodgeJournalRow *last = rows->pdata[rows->len - 1];
      /* The last run may have died before its first step. */
      g_assert_true (*last->step == '\0' || g_ascii_strtoll (last->step, NULL, 10) == step);
    }
  shared->acked = a;
  shared->acked_step = step;
}

/* Every write of a whole life, from the first of the creation to the last of the close. */
static void
test_kill_at_each_write (void)
{
  Shared *shared = shared_new ();
  guint n = 0;

  while (!shared->finished)
    {
      g_autoptr (TestDir) dir = test_dir_new ();
      int status;

      *shared = (Shared){ .kill_at = ++n };
      status = test_fork (work, dir, shared);
      g_assert_true (shared->finished ? WIFEXITED (status) && WEXITSTATUS (status) == 0
                                      : WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
      verify (dir, shared);
    }
  g_test_message ("%u writes", n - 1);
  g_assert_cmpuint (n, >, 30);
  munmap (shared, sizeof *shared);
}

/* At any time, one life after the other on one database. */
static void
test_kill_at_random (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  Shared *shared = shared_new ();

  for (guint i = 0; i < 25; i++)
    {
      pid_t pid = fork ();
      int status;

      g_assert_cmpint (pid, >=, 0);
      if (pid == 0)
        {
          work (dir, shared);
          _exit (0);
        }
      g_usleep ((gulong) g_test_rand_int_range (1000, 60000));
      kill (pid, SIGKILL);
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
      verify (dir, shared);
    }
  g_test_message ("%d transactions", (int) shared->acked);
  munmap (shared, sizeof *shared);
}

static void
test_one_sync (void)
{
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = test_open (dir);
  LodgeJournalRow row = { .operation = (char *) "x" };
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/a", "2", 0 };

  g_assert_true (lodge_journal_add (store, &row, NULL));
  test_put (store, "/a", "1");
  faults.n_syncs = 0;
  for (guint i = 0; i < 20; i++)
    test_put (store, "/a", "1");
  g_assert_cmpuint (faults.n_syncs, ==, 20);
  g_assert_true (lodge_journal_update (store, &row, NULL, 0, &op, 1, NULL));
  g_assert_cmpuint (faults.n_syncs, ==, 21);
  /* Reading, and a transaction that changes nothing, cost none. */
  g_free (test_get (store, "/a"));
  g_assert_true (lodge_store_txn (LODGE_STORE (store), NULL, 0, NULL, 0, NULL, NULL));
  g_assert_cmpuint (faults.n_syncs, ==, 21);
}

static void
assert_put_fails (LodgeSqliteStore *store, LodgeErrorCode code)
{
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/a", "9", 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (lodge_store_txn (LODGE_STORE (store), NULL, 0, &op, 1, NULL, &error));
  g_assert_error (error, LODGE_ERROR, (int) code);
}

static void
assert_value (LodgeSqliteStore *store, const char *key, const char *expected)
{
  g_autofree char *value = test_get (store, key);

  g_assert_cmpstr (value, ==, expected);
}

static void
test_write_fails (void)
{
  static const int space[] = { ENOSPC, EDQUOT };
  g_autoptr (TestDir) dir = test_dir_new ();
  g_autoptr (LodgeSqliteStore) store = NULL;

  install_faults ();
  store = test_open (dir);
  test_put (store, "/a", "1");
  for (gsize i = 0; i < G_N_ELEMENTS (space); i++)
    {
      faults.write_errno = space[i];
      assert_put_fails (store, LODGE_ERROR_NO_SPACE);
      faults.write_errno = 0;
      assert_value (store, "/a", "1");
      /* When there is room again it goes on. */
      test_put (store, "/a", "1");
    }
  g_assert_cmpint (store->history.revision, ==, 3);
  faults.write_errno = EIO;
  assert_put_fails (store, LODGE_ERROR_STORE);
  faults.write_errno = 0;
  assert_put_fails (store, LODGE_ERROR_STORE);
  assert_value (store, "/a", "1");
  g_clear_object (&store);
  store = test_open (dir);
  assert_value (store, "/a", "1");
  test_put (store, "/a", "2");
}

/* After a failed sync nobody knows what is on the disk: no more writes in this process. */
static void
test_sync_fails (void)
{
  static const struct
  {
    int saved_errno;
    LodgeErrorCode code;
  } rows[] = { { EIO, LODGE_ERROR_STORE }, { ENOSPC, LODGE_ERROR_NO_SPACE } };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (TestDir) dir = test_dir_new ();
      g_autoptr (LodgeSqliteStore) store = test_open (dir);
      g_autofree char *value = NULL;

      test_put (store, "/a", "1");
      faults.sync_errno = rows[i].saved_errno;
      assert_put_fails (store, rows[i].code);
      faults.sync_errno = 0;
      assert_put_fails (store, LODGE_ERROR_STORE);
      assert_value (store, "/a", "1");
      g_clear_object (&store);
      store = test_open (dir);
      value = test_get (store, "/a");
      g_assert_true (g_str_equal (value, "1") || g_str_equal (value, "9"));
      test_put (store, "/a", "2");
    }
}

static void
fill_file_system (const char *dir)
{
  g_autofree char *path = g_build_filename (dir, "ballast", NULL);
  char block[4096] = { 1 };
  FILE *out = fopen (path, "we");

  g_assert_nonnull (out);
  setvbuf (out, NULL, _IONBF, 0);
  while (fwrite (block, sizeof block, 1, out) == 1)
    ;
  g_assert_cmpint (errno, ==, ENOSPC);
  fclose (out);
}

/* On a full disk new things are refused in the end, but what a stop or a delete records still
 * goes; and when there is room again, all goes. */
static void
use_full_disk (const char *dir, gpointer data)
{
  g_autofree char *ballast = g_build_filename (dir, "ballast", NULL);
  g_autofree char *pad = g_strnfill (100000, 'p');
  LodgeSqliteStore *store;
  LodgeJournalRow row = { .operation = (char *) "delete" };
  g_autoptr (GError) error = NULL;
  guint n = 0;

  g_assert_cmpint (unshare (CLONE_NEWNS), ==, 0);
  g_assert_cmpint (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
  g_assert_cmpint (mount ("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700"), ==, 0);
  store = test_open (dir);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = g_strdup_printf ("/i/%u", i);
      test_put (store, key, "{}");
    }
  fill_file_system (dir);
  g_assert_true (lodge_journal_add (store, &row, &error));
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = g_strdup_printf ("/i/%u", i);
      const LodgeStoreOp op = { LODGE_STORE_OP_DELETE, key, NULL, 0 };

      g_assert_true (lodge_journal_update (store, &row, NULL, 0, &op, 1, &error));
    }
  pad[0] = pad[99999] = '"';
  for (n = 0; n < 1000; n++)
    {
      g_autofree char *key = g_strdup_printf ("/big/%u", n);
      const LodgeStoreOp op = { LODGE_STORE_OP_PUT, key, pad, 0 };

      if (!lodge_store_txn (LODGE_STORE (store), NULL, 0, &op, 1, NULL, &error))
        break;
    }
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (lodge_sqlite_store_backup (store, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE);
  g_assert_cmpuint (test_count_files (dir, "backup", ""), ==, 0);
  g_clear_error (&error);
  /* A restart on the full disk, then room. */
  g_object_unref (store);
  store = test_open (dir);
  g_assert_cmpint (unlink (ballast), ==, 0);
  test_put (store, "/again", "1");
  g_assert_true (lodge_sqlite_store_backup (store, NULL));
  g_object_unref (store);
}

static void
test_full_disk (void)
{
  g_autoptr (TestDir) dir = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can mount a small tmpfs");
      return;
    }
  dir = test_dir_new ();
  g_assert_cmpint (test_fork (use_full_disk, dir, NULL), ==, 0);
}

#ifdef LODGE_FAILPOINTS
static void
use_failpoint (const char *dir, gpointer data)
{
  LodgeSqliteStore *store = test_open (dir);
  LodgeJournalRow row = { .operation = (char *) "x" };
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, "/a", "2", 0 };

  test_put (store, "/a", "1");
  if (!lodge_journal_add (store, &row, NULL))
    _exit (2);
  row.step = (char *) "one";
  g_setenv ("LODGE_FAILPOINT", data, TRUE);
  _exit (lodge_journal_update (store, &row, NULL, 0, &op, 1, NULL) ? 7 : 8);
}

static void
test_failpoints (void)
{
  static const struct
  {
    const char *config;
    int status; /* exit code; 0: killed */
    const char *value;
  } rows[] = { { "journal:write:kill", 0, "1" },    { "store:commit:kill", 0, "1" },
               { "store:committed:kill", 0, "2" },  { "journal:write:error=28", 8, "1" },
               { "store:commit:error=28", 8, "1" }, { "store:committed:error=5", 8, "2" },
               { "store:commit:sleep=1", 7, "2" } };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (TestDir) dir = test_dir_new ();
      int status = test_fork (use_failpoint, dir, (gpointer) rows[i].config);
      g_autoptr (LodgeSqliteStore) store = NULL;
      g_autoptr (GPtrArray) jobs = NULL;

      g_assert_cmpint (WIFSIGNALED (status) ? 0 : WEXITSTATUS (status), ==, rows[i].status);
      store = test_open (dir);
      assert_value (store, "/a", rows[i].value);
      jobs = lodge_journal_list (store, TRUE, NULL);
      g_assert_cmpstr (((LodgeJournalRow *) jobs->pdata[0])->step, ==,
                       *rows[i].value == '2' ? "one" : "");
    }
}
#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/store/crash/kill-at-each-write", test_kill_at_each_write);
  g_test_add_func ("/store/crash/kill-at-random", test_kill_at_random);
  g_test_add_func ("/store/crash/one-sync", test_one_sync);
  g_test_add_func ("/store/crash/write-fails", test_write_fails);
  g_test_add_func ("/store/crash/sync-fails", test_sync_fails);
  g_test_add_func ("/store/crash/full-disk", test_full_disk);
#ifdef LODGE_FAILPOINTS
  g_test_add_func ("/store/crash/failpoints", test_failpoints);
#endif
  return g_test_run ();
}
