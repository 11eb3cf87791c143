/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-migrate.h"

int
lodge_migrations_latest (const LodgeMigration *migrations)
{
  int version = 0;

  while (migrations[version].sql != NULL)
    version++;
  return version;
}

gboolean
lodge_migrate_check (LodgeDb *db, const LodgeMigration *migrations, int *out_version,
                     GError **error)
{
  int latest = lodge_migrations_latest (migrations);
  gint64 application, version;

  if (!lodge_db_query_int (db, "PRAGMA application_id", &application, error)
      || !lodge_db_query_int (db, "PRAGMA user_version", &version, error))
    return FALSE;
  if (application != LODGE_APPLICATION_ID)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "Database \"%s\" belongs to another application", db->path);
      return FALSE;
    }
  if (version > latest)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE_TOO_NEW,
                   "Database \"%s\" has schema %" G_GINT64_FORMAT
                   " of a newer Lodge, this one knows %d",
                   db->path, version, latest);
      return FALSE;
    }
  if (version < 1)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE, "Database \"%s\" has no schema",
                   db->path);
      return FALSE;
    }
  *out_version = (int) version;
  return TRUE;
}

static gboolean
check_foreign_keys (LodgeDb *db, int version, GError **error)
{
  g_autofree char *table = NULL;

  if (!lodge_db_query_text (db, "PRAGMA foreign_key_check", &table, error))
    return FALSE;
  if (*table != '\0')
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "Schema %d leaves table \"%s\" of database \"%s\" with dangling references",
                   version, table, db->path);
      return FALSE;
    }
  return TRUE;
}

static int
deny_transactions (void *user_data, int action, const char *a, const char *b, const char *c,
                   const char *d)
{
  return action == SQLITE_TRANSACTION ? SQLITE_DENY : SQLITE_OK;
}

/* Runs the text of a version; a COMMIT in it would tear the version in two. */
static gboolean
run_sql (LodgeDb *db, const char *sql, GError **error)
{
  gboolean done;

  sqlite3_set_authorizer (db->handle, deny_transactions, NULL);
  done = lodge_db_exec (db, sql, error);
  sqlite3_set_authorizer (db->handle, NULL, NULL);
  return done;
}

static gboolean
run_one (LodgeDb *db, const LodgeMigration *migration, int version, GError **error)
{
  g_autofree char *stamp = g_strdup_printf ("PRAGMA application_id = %d; PRAGMA user_version = %d",
                                            LODGE_APPLICATION_ID, version);
  g_autoptr (LodgeDbTransaction) transaction = lodge_db_begin (db, error);

  if (transaction == NULL || !run_sql (db, migration->sql, error))
    {
      g_prefix_error (error, "Schema %d cannot be set up: ", version);
      return FALSE;
    }
  if (!check_foreign_keys (db, version, error) || !lodge_db_exec (db, stamp, error))
    return FALSE;
  return lodge_db_commit (g_steal_pointer (&transaction), error);
}

gboolean
lodge_migrate_run (LodgeDb *db, const LodgeMigration *migrations, int from, GError **error)
{
  int latest = lodge_migrations_latest (migrations);

  if (from == latest)
    return TRUE;
  /* A table that others refer to can only be built anew while references are not enforced;
     the setting cannot change within a transaction. */
  if (!lodge_db_exec (db, "PRAGMA foreign_keys = OFF", error))
    return FALSE;
  for (int version = from; version < latest; version++)
    if (!run_one (db, &migrations[version], version + 1, error))
      return FALSE;
  return lodge_db_exec (db, "PRAGMA foreign_keys = ON", error);
}
