/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-db.h"

G_BEGIN_DECLS

/** The folder of the backups in the state directory. */
#define LODGE_BACKUP_DIR "backup"

/**
 * lodge_backup_write:
 * @state_dir: gets the folder when it has none
 * @name: of the file in it
 *
 * Copies the database of @db there, whole or not at all, checked and synced.  Not within a
 * transaction.
 */
gboolean lodge_backup_write (const char *state_dir, LodgeDb *db, const char *name,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Whether there is any backup. */
gboolean lodge_backup_exists (const char *state_dir);

/**
 * lodge_backup_find_good:
 *
 * Returns: (transfer full) (nullable): the path of the newest backup that passes the check; those
 * that were made before a migration come after the hourly ones.
 */
char *lodge_backup_find_good (const char *state_dir);

G_END_DECLS
