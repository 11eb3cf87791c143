/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-audit.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-json.h"

typedef struct
{
  char *dir;
  char *path;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->dir = g_dir_make_tmp ("lodge-audit-XXXXXX", NULL);
  self->path = g_build_filename (self->dir, LODGE_AUDIT_DIR, LODGE_AUDIT_FILE, NULL);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  lodge_tree_remove (self->dir, NULL);
  g_free (self->path);
  g_free (self->dir);
}

static void
write_row (LodgeAudit *audit, guint32 uid, int code, const char *message)
{
  g_autoptr (GError) error = g_error_new_literal (LODGE_ERROR, code, message);
  const LodgeAuditRow row = { .uid = uid,
                              .sender = ":1.7",
                              .operation = "org.lodge1.Instance.Start",
                              .object = "/org/lodge1/instance/x",
                              .error = error };
  lodge_audit_write (audit, &row);
}

/* The rows of a file; each must be one sound object.  element-type JsonObject */
static GPtrArray *
read_rows (const char *path)
{
  GPtrArray *rows = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
  g_autofree char *text = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (path, &text, &size, NULL));
  g_assert_true (size == 0 || text[size - 1] == '\n');
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL && **line != '\0'; line++)
    {
      JsonObject *row = lodge_json_parse_object (*line, -1, 4096, NULL);
      g_assert_nonnull (row);
      g_ptr_array_add (rows, row);
    }
  return rows;
}

static void
test_rows (Fixture *self, gconstpointer data)
{
  g_autoptr (LodgeAudit) audit = lodge_audit_new (self->dir, 65536);
  g_autofree char *huge = g_strnfill (100000, 'x');
  struct stat st;

  write_row (audit, 1000, LODGE_ERROR_NOT_AUTHORIZED, "no\x1b[2J \xe2\x80\xae \xff\nand a hint");
  write_row (audit, 1000, LODGE_ERROR_NOT_FOUND, "is no refusal");
  write_row (audit, 1000, LODGE_ERROR_NO_SPACE, "nor is this");
  write_row (audit, G_MAXUINT32, LODGE_ERROR_INVALID_NAME, huge);
  g_autoptr (GPtrArray) rows = read_rows (self->path);
  g_assert_cmpuint (rows->len, ==, 2);
  g_assert_cmpint (lodge_json_get_int (rows->pdata[0], "uid", -1), ==, 1000);
  g_assert_cmpstr (lodge_json_get_string (rows->pdata[0], "sender", NULL), ==, ":1.7");
  g_assert_cmpstr (lodge_json_get_string (rows->pdata[0], "operation", NULL), ==,
                   "org.lodge1.Instance.Start");
  g_assert_cmpstr (lodge_json_get_string (rows->pdata[0], "object", NULL), ==,
                   "/org/lodge1/instance/x");
  g_assert_cmpstr (lodge_json_get_string (rows->pdata[0], "error", NULL), ==, "NotAuthorized");
  g_assert_cmpstr (lodge_json_get_string (rows->pdata[0], "message", NULL), ==,
                   "no\\x1b[2J \\u202e \\xff");
  g_assert_true (g_str_has_suffix (lodge_json_get_string (rows->pdata[0], "time", ""), "Z"));
  g_assert_true (json_object_get_null_member (rows->pdata[1], "uid"));
  g_assert_cmpuint (strlen (lodge_json_get_string (rows->pdata[1], "message", "")), <=, 400);
  g_assert_cmpint (stat (self->path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0600);
}

static void
test_rotation (Fixture *self, gconstpointer data)
{
  g_autoptr (LodgeAudit) audit = lodge_audit_new (self->dir, 4096);
  guint kept = 0;

  for (guint uid = 0; uid < 400; uid++)
    write_row (audit, uid, LODGE_ERROR_BUSY, "busy");
  for (int age = 3; age >= 0; age--)
    {
      g_autofree char *path
          = age == 0 ? g_strdup (self->path) : g_strdup_printf ("%s.%d", self->path, age);
      g_autoptr (GPtrArray) rows = read_rows (path);
      struct stat st;

      g_assert_cmpint (stat (path, &st), ==, 0);
      g_assert_cmpint (st.st_size, <=, 4096);
      g_assert_cmpint (st.st_mode & 07777, ==, 0600);
      kept += rows->len;
      /* The newest are those that are kept. */
      if (age == 0)
        g_assert_cmpint (lodge_json_get_int (rows->pdata[rows->len - 1], "uid", -1), ==, 399);
    }
  g_autofree char *oldest = g_strconcat (self->path, ".4", NULL);
  g_assert_false (g_file_test (oldest, G_FILE_TEST_EXISTS));
  g_assert_cmpuint (kept, >, 40);
}

static void
test_flood (Fixture *self, gconstpointer data)
{
  g_autoptr (LodgeAudit) audit = lodge_audit_new (self->dir, LODGE_AUDIT_MAX_BYTES);

  for (int i = 0; i < 5000; i++)
    write_row (audit, 1000, LODGE_ERROR_INVALID_NAME, "flood");
  write_row (audit, 1001, LODGE_ERROR_NOT_AUTHORIZED, "somebody else");
  g_autoptr (GPtrArray) rows = read_rows (self->path);
  /* A minute may have ended meanwhile. */
  g_assert_cmpuint (rows->len, <=, 2 * 600 + 1);
  JsonObject *last = rows->pdata[rows->len - 1];
  gint64 missing = 0;
  for (guint i = 0; i < rows->len; i++)
    missing += lodge_json_get_int (rows->pdata[i], "missing", 0);
  g_assert_cmpint (lodge_json_get_int (last, "uid", -1), ==, 1001);
  g_assert_cmpint (missing + rows->len, ==, 5001);
}

/* A file that may not grow is as good as a full disk: writes fail, or are cut off. */
static void
test_full_disk (Fixture *self, gconstpointer data)
{
  struct rlimit limit, before;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 20 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }
  signal (SIGXFSZ, SIG_IGN);
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  limit = before;
  limit.rlim_cur = 1000;
  g_autoptr (LodgeAudit) audit = lodge_audit_new (self->dir, 65536);

  write_row (audit, 0, LODGE_ERROR_BUSY, "before");
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  for (int i = 0; i < 20; i++)
    write_row (audit, 1, LODGE_ERROR_BUSY, "full");
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  write_row (audit, 2, LODGE_ERROR_BUSY, "after");
  g_autoptr (GPtrArray) rows = read_rows (self->path);
  JsonObject *last = rows->pdata[rows->len - 1];
  g_assert_cmpint (lodge_json_get_int (last, "uid", -1), ==, 2);
  g_assert_cmpint (lodge_json_get_int (last, "missing", 0), >, 10);
  g_assert_cmpint (lodge_json_get_int (last, "missing", 0) + rows->len, ==, 22);
}

static void
test_in_the_way (Fixture *self, gconstpointer data)
{
  g_autofree char *dir = g_build_filename (self->dir, LODGE_AUDIT_DIR, NULL);
  g_autofree char *victim = g_build_filename (self->dir, "victim", NULL);
  g_autofree char *text = NULL;

  g_assert_true (g_file_set_contents (victim, "untouched", -1, NULL));
  g_assert_cmpint (g_mkdir (dir, 0700), ==, 0);
  g_assert_cmpint (symlink (victim, self->path), ==, 0);
  /* Warnings of structured logging cannot be expected. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_autoptr (LodgeAudit) audit = lodge_audit_new (self->dir, 65536);
  write_row (audit, 0, LODGE_ERROR_BUSY, "x"); /* one complaint is enough */
  g_assert_true (g_file_get_contents (victim, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "untouched");
  g_assert_cmpint (g_unlink (self->path), ==, 0);
  write_row (audit, 0, LODGE_ERROR_BUSY, "y");
  g_autoptr (GPtrArray) rows = read_rows (self->path);
  g_assert_cmpuint (rows->len, ==, 1);
  g_assert_cmpint (lodge_json_get_int (rows->pdata[0], "missing", 0), ==, 1);
}

static void
test_cut_off (Fixture *self, gconstpointer data)
{
  g_autofree char *dir = g_build_filename (self->dir, LODGE_AUDIT_DIR, NULL);
  g_autofree char *text = NULL;

  g_assert_cmpint (g_mkdir (dir, 0700), ==, 0);
  g_assert_true (g_file_set_contents (self->path, "{\"time\":\"20", -1, NULL));
  g_autoptr (LodgeAudit) audit = lodge_audit_new (self->dir, 65536);
  write_row (audit, 0, LODGE_ERROR_BUSY, "x");
  g_assert_true (g_file_get_contents (self->path, &text, NULL, NULL));
  g_assert_true (g_str_has_prefix (text, "{\"time\":\"20\n{\"time\":\""));
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *self, gconstpointer data);
  } tests[] = {
    { "/audit/rows", test_rows },
    { "/audit/rotation", test_rotation },
    { "/audit/flood", test_flood },
    { "/audit/full-disk", test_full_disk },
    { "/audit/in-the-way", test_in_the_way },
    { "/audit/cut-off", test_cut_off },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].func, tear_down);
  return g_test_run ();
}
