/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-test-util.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

char *
test_dir_new (void)
{
  g_autoptr (GError) error = NULL;
  char *dir = g_dir_make_tmp ("lodge-store-XXXXXX", &error);

  g_assert_no_error (error);
  return dir;
}

void
test_dir_free (char *dir)
{
  g_autoptr (GError) error = NULL;

  lodge_tree_remove (dir, &error);
  g_assert_no_error (error);
  g_free (dir);
}

LodgeSqliteStore *
test_open (const char *dir)
{
  g_autoptr (GError) error = NULL;
  LodgeSqliteStore *store = lodge_sqlite_store_open (dir, &error);

  g_assert_no_error (error);
  return store;
}

void
test_put (LodgeSqliteStore *store, const char *key, const char *value)
{
  const LodgeStoreOp op = { LODGE_STORE_OP_PUT, key, value, 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_store_txn (LODGE_STORE (store), NULL, 0, &op, 1, NULL, &error));
}

char *
test_get (LodgeSqliteStore *store, const char *key)
{
  g_autoptr (LodgeStoreEntry) entry = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_store_get (LODGE_STORE (store), key, &entry, &error));
  return entry != NULL ? g_steal_pointer (&entry->value) : NULL;
}

char *
test_refuse (const char *dir, LodgeErrorCode code)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *before = test_snapshot (dir);
  g_autofree char *after = NULL;

  g_assert_null (lodge_sqlite_store_open (dir, &error));
  g_assert_error (error, LODGE_ERROR, (int) code);
  after = test_snapshot (dir);
  g_assert_cmpstr (before, ==, after);
  return g_strdup (error->message);
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static GPtrArray *
list_names (const char *dir)
{
  g_autoptr (GDir) handle = g_dir_open (dir, 0, NULL);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (handle != NULL && (name = g_dir_read_name (handle)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  return names;
}

char *
test_snapshot (const char *dir)
{
  g_autoptr (GPtrArray) names = list_names (dir);
  GString *all = g_string_new (NULL);

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *path = g_build_filename (dir, names->pdata[i], NULL);
      g_autofree char *contents = NULL;
      g_autofree char *sum = NULL;
      struct stat st;
      gsize length = 0;

      if (g_str_equal (names->pdata[i], "lodge.lock") || lstat (path, &st) < 0)
        continue;
      if (S_ISDIR (st.st_mode))
        sum = test_snapshot (path);
      else if (S_ISREG (st.st_mode) && g_file_get_contents (path, &contents, &length, NULL))
        sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *) contents, length);
      g_string_append_printf (all, "%s %o %s\n", (char *) names->pdata[i], st.st_mode, sum);
    }
  return g_string_free (all, FALSE);
}

guint
test_count_files (const char *dir, const char *folder, const char *prefix)
{
  g_autofree char *path = g_build_filename (dir, folder, NULL);
  g_autoptr (GPtrArray) names = list_names (path);
  guint n = 0;

  for (guint i = 0; i < names->len; i++)
    n += g_str_has_prefix (names->pdata[i], prefix);
  return n;
}

int
test_fork (void (*func) (const char *dir, gpointer data), const char *dir, gpointer data)
{
  int status = 0;
  pid_t pid;

  fflush (NULL);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      func (dir, data);
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return status;
}
