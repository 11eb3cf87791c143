/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-db.h"

#include <errno.h>

#include "lodge-stmt.h"

/* Long enough for a copy by the sqlite3 shell to end, short enough for a start-up. */
#define BUSY_TIMEOUT_MS 2000

/* The errno of the failed call.  What SQLite keeps for the connection may be that of a later
 * call, so the file that is written to, the log, is asked first. */
static int
get_errno (LodgeDb *db)
{
  sqlite3_file *log = NULL;
  int saved_errno = 0;

  if (sqlite3_file_control (db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK
      && log != NULL && log->pMethods != NULL)
    log->pMethods->xFileControl (log, SQLITE_FCNTL_LAST_ERRNO, &saved_errno);
  return saved_errno != 0 ? saved_errno : sqlite3_system_errno (db->handle);
}

static gboolean
is_out_of_space (LodgeDb *db, int result)
{
  int saved_errno = (result & 0xff) == SQLITE_IOERR ? get_errno (db) : 0;

  return (result & 0xff) == SQLITE_FULL
         || ((result & 0xff) == SQLITE_IOERR && (saved_errno == ENOSPC || saved_errno == EDQUOT));
}

/* A write that found no space changed nothing that counts; any other failed I/O might have. */
static gboolean
is_fatal (LodgeDb *db, int result)
{
  switch (result & 0xff)
    {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return TRUE;
    case SQLITE_IOERR:
      return result != SQLITE_IOERR_WRITE || !is_out_of_space (db, result);
    default:
      return FALSE;
    }
}

void
lodge_db_set_error (LodgeDb *db, int result, GError **error)
{
  const char *message = sqlite3_errmsg (db->handle);
  LodgeErrorCode code = LODGE_ERROR_STORE;

  if (is_fatal (db, result))
    db->failed = TRUE;
  if (is_out_of_space (db, result))
    {
      code = LODGE_ERROR_NO_SPACE;
      message = "no space left on the device";
    }
  else if ((result & 0xff) == SQLITE_BUSY || (result & 0xff) == SQLITE_LOCKED)
    {
      code = LODGE_ERROR_BUSY;
      message = "another program has it open";
    }
  g_set_error (error, LODGE_ERROR, code, "Database \"%s\" failed: %s (SQLite code %d)", db->path,
               message, result);
}

static void
finalize_statement (gpointer statement)
{
  sqlite3_finalize (statement);
}

static LodgeDb *
open_with_flags (const char *path, const char *name, int flags, GError **error)
{
  g_autoptr (LodgeDb) db = g_new0 (LodgeDb, 1);
  int result;

  db->path = g_strdup (path);
  db->statements = g_hash_table_new_full (NULL, NULL, NULL, finalize_statement);
  result = sqlite3_open_v2 (name, &db->handle,
                            flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
  if (result != SQLITE_OK)
    {
      lodge_db_set_error (db, result, error);
      return NULL;
    }
  sqlite3_extended_result_codes (db->handle, 1);
  sqlite3_busy_timeout (db->handle, BUSY_TIMEOUT_MS);
  sqlite3_db_config (db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_db_config (db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  return g_steal_pointer (&db);
}

typedef struct
{
  const char *sql;
  const char *expected;
} Pragma;

static gboolean
set_pragmas (LodgeDb *db, const Pragma *pragmas, gsize n_pragmas, GError **error)
{
  for (gsize i = 0; i < n_pragmas; i++)
    {
      g_autofree char *value = NULL;

      if (!lodge_db_query_text (db, pragmas[i].sql, &value, error))
        return FALSE;
      if (pragmas[i].expected != NULL && !g_str_equal (value, pragmas[i].expected))
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                       "Database \"%s\" does not accept \"%s\"", db->path, pragmas[i].sql);
          return FALSE;
        }
    }
  return TRUE;
}

LodgeDb *
lodge_db_open (const char *path, GError **error)
{
  /* Exclusive: no locks to take for a read, no shared memory file to lose on a full disk, and
     nobody changes the keys behind our revision. */
  static const Pragma pragmas[] = {
    { "PRAGMA locking_mode = EXCLUSIVE", "exclusive" },
    { "PRAGMA cell_size_check = ON", NULL },
    { "PRAGMA temp_store = MEMORY", NULL },
  };
  g_autoptr (LodgeDb) db = open_with_flags (path, path, SQLITE_OPEN_READWRITE, error);

  if (db == NULL || !set_pragmas (db, pragmas, G_N_ELEMENTS (pragmas), error))
    return NULL;
  if (sqlite3_db_readonly (db->handle, "main") != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE, "Database \"%s\" is read-only", path);
      return NULL;
    }
  return g_steal_pointer (&db);
}

gboolean
lodge_db_activate (LodgeDb *db, GError **error)
{
  static const Pragma pragmas[] = {
    { "PRAGMA journal_mode = WAL", "wal" }, { "PRAGMA synchronous = FULL", NULL },
    { "PRAGMA synchronous", "2" },          { "PRAGMA foreign_keys = ON", NULL },
    { "PRAGMA foreign_keys", "1" },
  };

  if (!set_pragmas (db, pragmas, G_N_ELEMENTS (pragmas), error))
    return FALSE;
  sqlite3_db_config (db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
  return TRUE;
}

void
lodge_db_free (LodgeDb *db)
{
  if (db == NULL)
    return;
  g_clear_pointer (&db->statements, g_hash_table_unref);
  /* A connection that failed leaves its log to the recovery of the next start. */
  if (db->failed && db->handle != NULL)
    sqlite3_db_config (db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close_v2 (db->handle);
  g_free (db->path);
  g_free (db);
}

gboolean
lodge_db_exec (LodgeDb *db, const char *sql, GError **error)
{
  int result = sqlite3_exec (db->handle, sql, NULL, NULL, NULL);

  if (result != SQLITE_OK)
    {
      lodge_db_set_error (db, result, error);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_db_query_text (LodgeDb *db, const char *sql, char **out_value, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean row;

  if (!lodge_stmt_use (&stmt, db, sql, error) || !lodge_stmt_step (&stmt, &row, error))
    return FALSE;
  *out_value = row ? lodge_stmt_dup_text (&stmt, 0) : g_strdup ("");
  return TRUE;
}

gboolean
lodge_db_query_int (LodgeDb *db, const char *sql, gint64 *out_value, GError **error)
{
  g_autofree char *text = NULL;

  if (!lodge_db_query_text (db, sql, &text, error))
    return FALSE;
  *out_value = g_ascii_strtoll (text, NULL, 10);
  return TRUE;
}

gboolean
lodge_db_check (LodgeDb *db, GError **error)
{
  g_autofree char *finding = NULL;

  if (!lodge_db_query_text (db, "PRAGMA integrity_check (1)", &finding, error))
    return FALSE;
  if (!g_str_equal (finding, "ok"))
    {
      db->failed = TRUE;
      g_strdelimit (finding, "\n", ' ');
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE, "Database \"%s\" is damaged: %s",
                   db->path, finding);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_db_verify_file (const char *path, GError **error)
{
  g_autofree char *escaped = g_uri_escape_string (path, "/", FALSE);
  g_autofree char *uri = g_strconcat ("file:", escaped, "?immutable=1", NULL);
  g_autoptr (LodgeDb) db
      = open_with_flags (path, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, error);

  return db != NULL && lodge_db_check (db, error);
}

static gboolean
run (LodgeDb *db, const char *sql, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  return lodge_stmt_use (&stmt, db, sql, error) && lodge_stmt_run (&stmt, error);
}

LodgeDbTransaction *
lodge_db_begin (LodgeDb *db, GError **error)
{
  if (db->failed)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "Database \"%s\" is not written to any more, because it failed before"
                   "\nRestart lodged; its log has the first failure.",
                   db->path);
      return NULL;
    }
  return run (db, "BEGIN IMMEDIATE", error) ? db : NULL;
}

gboolean
lodge_db_commit (LodgeDbTransaction *transaction, GError **error)
{
  if (run (transaction, "COMMIT", error))
    return TRUE;
  lodge_db_rollback (transaction);
  return FALSE;
}

void
lodge_db_rollback (LodgeDbTransaction *transaction)
{
  /* SQLite rolls back by itself after some errors. */
  if (!sqlite3_get_autocommit (transaction->handle))
    run (transaction, "ROLLBACK", NULL);
}
