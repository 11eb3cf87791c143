/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-journal.h"

#include "lodge-failpoint.h"
#include "lodge-sqlite-store-private.h"

#define COLUMNS                                                                                    \
  "id, operation, description, object, state, step, direction, data, result, error_nick,"          \
  " error_message, uid, started_at, ended_at"

/* The numbers of the parameters are those of the columns, from 1, in all statements. */
#define SQL_ADD                                                                                    \
  "INSERT INTO jobs (" COLUMNS ")"                                                                 \
  " VALUES (NULL, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
#define SQL_UPDATE                                                                                 \
  "UPDATE jobs SET description = ?3, object = ?4, state = ?5, step = ?6, direction = ?7,"          \
  " data = ?8, result = ?9, error_nick = ?10, error_message = ?11, ended_at = ?14 WHERE id = ?1"
#define SQL_ALL        "SELECT " COLUMNS " FROM jobs ORDER BY id"
#define SQL_UNFINISHED "SELECT " COLUMNS " FROM jobs WHERE ended_at = 0 ORDER BY id"
#define SQL_PRUNE      "DELETE FROM jobs WHERE ended_at <> 0 AND ended_at < ?1"

typedef struct
{
  gsize offset;         /* in LodgeJournalRow, of a char * */
  int column;           /* from 0 */
  const char *fallback; /* what NULL is written as */
  gboolean immutable;   /* written once */
} TextField;

static const TextField text_fields[] = {
  { G_STRUCT_OFFSET (LodgeJournalRow, operation), 1, "", TRUE },
  { G_STRUCT_OFFSET (LodgeJournalRow, description), 2, "" },
  { G_STRUCT_OFFSET (LodgeJournalRow, object), 3, "" },
  { G_STRUCT_OFFSET (LodgeJournalRow, state), 4, "queued" },
  { G_STRUCT_OFFSET (LodgeJournalRow, step), 5, "" },
  { G_STRUCT_OFFSET (LodgeJournalRow, direction), 6, "do" },
  { G_STRUCT_OFFSET (LodgeJournalRow, data), 7, "{}" },
  { G_STRUCT_OFFSET (LodgeJournalRow, result), 8, "{}" },
  { G_STRUCT_OFFSET (LodgeJournalRow, error_nick), 9, "" },
  { G_STRUCT_OFFSET (LodgeJournalRow, error_message), 10, "" },
};

static char **
text_of (const LodgeJournalRow *row, const TextField *field)
{
  return (char **) G_STRUCT_MEMBER_P (row, field->offset);
}

void
lodge_journal_row_free (LodgeJournalRow *row)
{
  if (row == NULL)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (text_fields); i++)
    g_free (*text_of (row, &text_fields[i]));
  g_free (row);
}

static void
bind_texts (LodgeStmt *stmt, const LodgeJournalRow *row, gboolean also_immutable)
{
  for (gsize i = 0; i < G_N_ELEMENTS (text_fields); i++)
    {
      const TextField *field = &text_fields[i];
      const char *text = *text_of (row, field);

      if (also_immutable || !field->immutable)
        lodge_stmt_bind_text (stmt, field->column + 1, text != NULL ? text : field->fallback);
    }
}

/* Runs a statement that writes @row; what its checks refuse is the caller's fault. */
static gboolean
run_write (LodgeSqliteStore *store, LodgeStmt *stmt, const LodgeJournalRow *row, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (lodge_stmt_run (stmt, &local_error))
    return TRUE;
  if (sqlite3_extended_errcode (store->db->handle) == SQLITE_CONSTRAINT_CHECK)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "Job %" G_GINT64_FORMAT " (%s) has a field that the journal refuses: %s", row->id,
                 row->operation != NULL ? row->operation : "", local_error->message);
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
write_new (LodgeSqliteStore *store, gpointer user_data, GError **error)
{
  LodgeJournalRow *row = user_data;
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!lodge_failpoint ("journal:write", error)
      || !lodge_stmt_use (&stmt, store->db, SQL_ADD, error))
    return FALSE;
  bind_texts (&stmt, row, TRUE);
  lodge_stmt_bind_int (&stmt, 12, row->uid);
  lodge_stmt_bind_int (&stmt, 13, row->started_at);
  lodge_stmt_bind_int (&stmt, 14, row->ended_at);
  return run_write (store, &stmt, row, error);
}

gboolean
lodge_journal_add (LodgeSqliteStore *store, LodgeJournalRow *row, GError **error)
{
  g_return_val_if_fail (LODGE_IS_SQLITE_STORE (store), FALSE);
  g_return_val_if_fail (row != NULL, FALSE);

  if (!lodge_sqlite_txn_commit (store, NULL, write_new, row, NULL, error))
    return FALSE;
  row->id = sqlite3_last_insert_rowid (store->db->handle);
  return TRUE;
}

static gboolean
write_changed (LodgeSqliteStore *store, gpointer user_data, GError **error)
{
  const LodgeJournalRow *row = user_data;
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!lodge_failpoint ("journal:write", error)
      || !lodge_stmt_use (&stmt, store->db, SQL_UPDATE, error))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, row->id);
  bind_texts (&stmt, row, FALSE);
  lodge_stmt_bind_int (&stmt, 14, row->ended_at);
  if (!run_write (store, &stmt, row, error))
    return FALSE;
  if (sqlite3_changes (store->db->handle) == 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                   "Job %" G_GINT64_FORMAT " is not in the journal", row->id);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_journal_update (LodgeSqliteStore *store, const LodgeJournalRow *row,
                      const LodgeStoreCompare *compares, gsize n_compares, const LodgeStoreOp *ops,
                      gsize n_ops, GError **error)
{
  const LodgeStoreTxn txn = { compares, n_compares, ops, n_ops };

  g_return_val_if_fail (LODGE_IS_SQLITE_STORE (store), FALSE);
  g_return_val_if_fail (row != NULL, FALSE);

  return lodge_store_txn_check (&txn, error)
         && lodge_sqlite_txn_commit (store, &txn, write_changed, (gpointer) row, NULL, error);
}

static LodgeJournalRow *
read_row (LodgeStmt *stmt)
{
  LodgeJournalRow *row = g_new0 (LodgeJournalRow, 1);

  row->id = lodge_stmt_get_int (stmt, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (text_fields); i++)
    *text_of (row, &text_fields[i]) = lodge_stmt_dup_text (stmt, text_fields[i].column);
  row->uid = (guint32) lodge_stmt_get_int (stmt, 11);
  row->started_at = lodge_stmt_get_int (stmt, 12);
  row->ended_at = lodge_stmt_get_int (stmt, 13);
  return row;
}

GPtrArray *
lodge_journal_list (LodgeSqliteStore *store, gboolean unfinished_only, GError **error)
{
  g_autoptr (GPtrArray) rows
      = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_journal_row_free);
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean more = TRUE;

  g_return_val_if_fail (LODGE_IS_SQLITE_STORE (store), NULL);

  if (!lodge_sqlite_store_check_open (store, error)
      || !lodge_stmt_use (&stmt, store->db, unfinished_only ? SQL_UNFINISHED : SQL_ALL, error))
    return NULL;
  while (more)
    {
      if (!lodge_stmt_step (&stmt, &more, error))
        return NULL;
      if (more)
        g_ptr_array_add (rows, read_row (&stmt));
    }
  return g_steal_pointer (&rows);
}

static gboolean
write_prune (LodgeSqliteStore *store, gpointer user_data, GError **error)
{
  const gint64 *ended_before = user_data;
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;

  if (!lodge_stmt_use (&stmt, store->db, SQL_PRUNE, error))
    return FALSE;
  lodge_stmt_bind_int (&stmt, 1, *ended_before);
  return lodge_stmt_run (&stmt, error);
}

gboolean
lodge_journal_prune (LodgeSqliteStore *store, gint64 ended_before, GError **error)
{
  g_return_val_if_fail (LODGE_IS_SQLITE_STORE (store), FALSE);

  return lodge_sqlite_txn_commit (store, NULL, write_prune, &ended_before, NULL, error);
}
