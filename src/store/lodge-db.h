/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sqlite3.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * One connection to an SQLite database with the settings that Lodge relies on, and its prepared
 * statements.  Main thread only.
 *
 * After an I/O error or a sign of damage the connection refuses to write until the process is
 * started again: what a failed fsync left on the disk is unknown, and only recovery knows.
 */
typedef struct
{
  sqlite3 *handle;
  char *path;
  GHashTable *statements; /* static SQL text, by address -> sqlite3_stmt */
  gboolean failed;        /* writes are refused */
} LodgeDb;

/**
 * lodge_db_open:
 * @path: an existing file, which may be empty
 *
 * Opens it for this process alone, and leaves the file and its write-ahead log as they are, also
 * when it is closed again, until lodge_db_activate().
 *
 * Returns: (transfer full): or %NULL with BUSY, NO_SPACE or STORE.
 */
LodgeDb *lodge_db_open (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Closes it; also %NULL. */
void lodge_db_free (LodgeDb *db);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeDb, lodge_db_free)

/**
 * lodge_db_activate:
 *
 * Turns the write-ahead log, full synchronisation and foreign keys on, and checks that they are.
 */
gboolean lodge_db_activate (LodgeDb *db, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_db_check:
 *
 * Runs SQLite's integrity check, which takes no longer than the quick one while a database is a
 * few megabytes; damage is %LODGE_ERROR_STORE with the first finding.
 */
gboolean lodge_db_check (LodgeDb *db, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Opens @path read-only, without leaving a trace, and runs the check on it. */
gboolean lodge_db_verify_file (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Runs the statements of @sql, which give no rows or rows that do not matter. */
gboolean lodge_db_exec (LodgeDb *db, const char *sql, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** The first column of the only row of @sql (a pragma, a count) as a number. */
gboolean lodge_db_query_int (LodgeDb *db, const char *sql, gint64 *out_value,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** As above, as text.  @out_value: (transfer full): "" when there is no row. */
gboolean lodge_db_query_text (LodgeDb *db, const char *sql, char **out_value,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_db_set_error:
 * @result: what the failed call of SQLite returned
 *
 * Sets @error from the connection's last error: NO_SPACE (ENOSPC, EDQUOT), BUSY, else STORE.
 */
void lodge_db_set_error (LodgeDb *db, int result, GError **error);

/** A transaction that is rolled back at the end of its scope unless it was committed. */
typedef LodgeDb LodgeDbTransaction;

/** BEGIN IMMEDIATE.  Returns: %NULL on failure. */
LodgeDbTransaction *lodge_db_begin (LodgeDb *db, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** COMMIT of @transaction (transfer full); when it fails it has been rolled back. */
gboolean lodge_db_commit (LodgeDbTransaction *transaction,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** ROLLBACK of @transaction (transfer full). */
void lodge_db_rollback (LodgeDbTransaction *transaction);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeDbTransaction, lodge_db_rollback)

G_END_DECLS
