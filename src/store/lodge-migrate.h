/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-db.h"

G_BEGIN_DECLS

/** "Ldge": how a database says that it is Lodge's (application_id). */
#define LODGE_APPLICATION_ID 0x4c646765

/** The SQL that makes schema N+1 from schema N, where N is its place in the table. */
typedef struct
{
  const char *sql;
} LodgeMigration;

/** Generated from schemas/sql; ended by a row without text. */
extern const LodgeMigration lodge_migrations[];

/** The version that @migrations lead to. */
int lodge_migrations_latest (const LodgeMigration *migrations);

/**
 * lodge_migrate_check:
 *
 * Checks that the database is Lodge's (else STORE) and no newer than @migrations (else
 * STORE_TOO_NEW).  Changes nothing.
 *
 * @out_version: its schema
 */
gboolean lodge_migrate_check (LodgeDb *db, const LodgeMigration *migrations, int *out_version,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_migrate_run:
 * @from: the schema that the database has; 0: it is empty
 *
 * Brings it to the latest version, one transaction each.  A failure leaves the last version that
 * was reached whole.
 */
gboolean lodge_migrate_run (LodgeDb *db, const LodgeMigration *migrations, int from,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
