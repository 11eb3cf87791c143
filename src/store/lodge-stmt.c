/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-stmt.h"

gboolean
lodge_stmt_use (LodgeStmt *stmt, LodgeDb *db, const char *sql, GError **error)
{
  sqlite3_stmt *handle = g_hash_table_lookup (db->statements, sql);

  if (handle == NULL)
    {
      int result
          = sqlite3_prepare_v3 (db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);
      if (result != SQLITE_OK)
        {
          lodge_db_set_error (db, result, error);
          return FALSE;
        }
      g_hash_table_insert (db->statements, (gpointer) sql, handle);
    }
  g_assert (!sqlite3_stmt_busy (handle));
  *stmt = (LodgeStmt){ db, handle, SQLITE_OK };
  return TRUE;
}

void
lodge_stmt_clear (LodgeStmt *stmt)
{
  if (stmt->handle == NULL)
    return;
  sqlite3_reset (stmt->handle);
  sqlite3_clear_bindings (stmt->handle);
  stmt->handle = NULL;
}

void
lodge_stmt_bind_int (LodgeStmt *stmt, int position, gint64 value)
{
  int result = sqlite3_bind_int64 (stmt->handle, position, value);
  if (result != SQLITE_OK)
    stmt->result = result;
}

void
lodge_stmt_bind_text (LodgeStmt *stmt, int position, const char *value)
{
  int result = sqlite3_bind_text (stmt->handle, position, value, -1, SQLITE_STATIC);
  if (result != SQLITE_OK)
    stmt->result = result;
}

gboolean
lodge_stmt_step (LodgeStmt *stmt, gboolean *out_row, GError **error)
{
  int result = stmt->result == SQLITE_OK ? sqlite3_step (stmt->handle) : stmt->result;

  if (result != SQLITE_ROW && result != SQLITE_DONE)
    {
      lodge_db_set_error (stmt->db, result, error);
      return FALSE;
    }
  *out_row = result == SQLITE_ROW;
  return TRUE;
}

gboolean
lodge_stmt_run (LodgeStmt *stmt, GError **error)
{
  gboolean row = TRUE;

  while (row)
    if (!lodge_stmt_step (stmt, &row, error))
      return FALSE;
  return TRUE;
}

gint64
lodge_stmt_get_int (LodgeStmt *stmt, int column)
{
  return sqlite3_column_int64 (stmt->handle, column);
}

char *
lodge_stmt_dup_text (LodgeStmt *stmt, int column)
{
  const char *text = (const char *) sqlite3_column_text (stmt->handle, column);
  return g_strdup (text != NULL ? text : "");
}
