/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-db.h"

G_BEGIN_DECLS

/*
 * A use of a prepared statement: bind, step, read columns.  The statement stays prepared for the
 * next use; the end of the scope resets it.  A failed bind shows at the next step.  Main thread
 * only.  Bound text is not copied: it must live until the last step.
 */
typedef struct
{
  LodgeDb *db;
  sqlite3_stmt *handle;
  int result; /* of the binds */
} LodgeStmt;

#define LODGE_STMT_INIT                                                                            \
  {                                                                                                \
    NULL, NULL, SQLITE_OK                                                                          \
  }

/**
 * lodge_stmt_use:
 * @sql: static text of one statement; the cache goes by its address
 */
gboolean lodge_stmt_use (LodgeStmt *stmt, LodgeDb *db, const char *sql,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Resets it for the cache.  Also one that was never used. */
void lodge_stmt_clear (LodgeStmt *stmt);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeStmt, lodge_stmt_clear)

void lodge_stmt_bind_int (LodgeStmt *stmt, int position, gint64 value);
void lodge_stmt_bind_text (LodgeStmt *stmt, int position, const char *value);

/** One step.  @out_row: whether there is a row to read. */
gboolean lodge_stmt_step (LodgeStmt *stmt, gboolean *out_row,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Steps to the end, for statements without rows. */
gboolean lodge_stmt_run (LodgeStmt *stmt, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** A column of the current row. */
gint64 lodge_stmt_get_int (LodgeStmt *stmt, int column);

/** As above; (transfer full). */
char *lodge_stmt_dup_text (LodgeStmt *stmt, int column);

G_END_DECLS
